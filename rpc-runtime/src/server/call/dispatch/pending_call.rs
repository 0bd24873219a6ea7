//! A call that is not complete yet: creates its context, reads its message, and rejects it on an
//! error.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONNECTION, EXPECT, HeaderValue};
use http::{Method as Verb, Version, request};
use http_body::Body;

use super::{HttpResponse, shared_caches, single_message, stream_messages};
use crate::compression::{self, DecompressError, Encoding};
use crate::context::{Context, ContextBuilder};
use crate::descriptor::MethodDescriptor;
use crate::duration::saturating_deadline;
use crate::error::{Code, Error};
use crate::middleware::{self, Request};
use crate::observe::Rejection;
use crate::protocol::connect::{self, Accepts, CallRejection, RejectionFormat, RequestHead};
use crate::protocol::context::IncomingContext;
use crate::server::call::body::{self, Aborted, BodyWait, ReadBodyError, ResponseBody};
use crate::server::call::discard::discard;
use crate::server::call::parameters::{BoundRequest, Parameter};
use crate::server::call::request_stream::UnreadRequest;
use crate::server::call::service::Route;
use crate::server::call::trust::Caller;
use crate::server::inner::ServerInner;
use crate::server::memory::{CallMemory, PeerMemory, Reservation};

/// Maximum number of bytes that are read of a body before its rejection is sent over HTTP/1.
const DISCARD_BYTES: usize = 1 << 20;

/// The delay after which a call may be sent again that a stopping server has not begun.
pub(super) const STOPPING_RETRY_AFTER: Duration = Duration::from_millis(100);

/// A call whose message has not been read.
pub(super) struct PendingCall<'a> {
    pub(super) inner: &'a Arc<ServerInner>,
    pub(super) caller: Caller,
    method: Option<&'static MethodDescriptor>,
    pub(super) head: &'a request::Parts,
    /// Set for a request at an HTTP path of the method.
    bound: Option<BoundRequest>,
}

impl<'a> PendingCall<'a> {
    pub(super) fn new(
        inner: &'a Arc<ServerInner>,
        caller: Caller,
        method: Option<&'static MethodDescriptor>,
        head: &'a request::Parts,
    ) -> Self {
        Self {
            inner,
            caller,
            method,
            head,
            bound: None,
        }
    }

    /// Takes the arguments of a request at an HTTP path from the path and the query too.
    pub(super) fn bound(self, bound: Option<BoundRequest>) -> Self {
        Self { bound, ..self }
    }

    /// Reads the message and runs the call.
    pub(super) async fn run<B>(
        self,
        route: &Arc<Route>,
        incoming: IncomingContext,
        memory: &Arc<PeerMemory>,
        mut body: Pin<&mut B>,
    ) -> HttpResponse
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let memory = CallMemory::new(memory, self.caller.is_trusted());
        let (head, has_query_message) = self.read_head(route);
        let timeout = head.as_ref().ok().and_then(|head| head.timeout);
        let context = self.context(route.method(), incoming.builder, timeout);
        let empty = if !body.is_end_stream() && has_query_message {
            // Boxed, because it is rare.
            Box::pin(self.expect_empty(&context, memory, &mut body)).await
        } else {
            Ok(())
        };
        let message = match (empty, head, incoming.rejection) {
            (Err(error), ..) => Err(error),
            (Ok(()), Ok(head), None) => {
                let parameters = route.parameters();
                self.message(head, parameters, &context, memory, &mut body)
                    .await
            }
            (Ok(()), Ok(_), Some(rejection)) => Err(BodyError::Rejected(rejection.into())),
            (Ok(()), Err(refusal), _) => Err(BodyError::Rejected(refusal)),
        };
        let (refusal, rejection, rest) = match message {
            Ok(message) => {
                let metadata = context.metadata().clone();
                let message = middleware::Body::message(message);
                let is_get = self.head.method == Verb::GET;
                let cached = is_get.then(|| context.clone());
                let request = Request::new(route.method(), context, metadata, message);
                let mut response = self
                    .inner
                    .call(route, request, self.caller.errors(), Some(memory))
                    .await;
                if response.is_aborted() {
                    return abort();
                }
                if self.is_stream() {
                    return stream_messages::write(
                        self.head,
                        response,
                        memory,
                        &UnreadRequest::default(),
                    );
                }
                BoundRequest::finish(self.bound.as_ref(), &mut response);
                let mut response =
                    single_message::write(response, Accepts::read(self.head), memory);
                if let Some(context) = cached {
                    let has_users = self.inner.authentication().has_authenticators();
                    shared_caches::mark(&Verb::GET, &context, has_users, &mut response);
                }
                return response;
            }
            Err(BodyError::Rejected(refusal)) => (refusal, None, Some(&mut body)),
            Err(BodyError::Unreadable(error)) => (error.into(), None, None),
            Err(BodyError::NoMemory(error)) => (error.into(), Some(Rejection::Overload), None),
        };
        // Boxed, so that it does not enlarge the future of every call.
        Box::pin(self.refuse_for(rejection, &context, refusal, rest)).await
    }

    /// Reads the head, and returns whether the body must be empty.
    fn read_head(&self, route: &Route) -> (Result<RequestHead, CallRejection>, bool) {
        match &self.bound {
            None => (
                connect::read_request(self.head, route.method()),
                connect::has_query_message(self.head, route.method()),
            ),
            Some(bound) => (
                bound.read(self.head, route.parameters()),
                BoundRequest::has_query_message(self.head),
            ),
        }
    }

    /// Returns the context of the call, with its deadline.
    pub(super) fn context(
        &self,
        method: &'static MethodDescriptor,
        builder: ContextBuilder,
        timeout: Option<Duration>,
    ) -> Context {
        let (deadline, cap) = self.inner.limits().deadline(method, timeout);
        let builder = builder
            .method(method)
            .server_info(self.inner.server_info().clone())
            .caller_timeout(timeout, cap)
            .metadata(self.caller.metadata(&self.head.headers));
        match deadline {
            Some(deadline) => builder.deadline(deadline).build(),
            None => builder.build(),
        }
    }

    /// Reads the body of a `GET`, which must be empty. Some clients send an empty one: HTTP/2 with
    /// an empty frame at the end, or HTTP/1.1 in chunks.
    async fn expect_empty<B>(
        &self,
        context: &Context,
        memory: CallMemory<'_>,
        body: &mut Pin<&mut B>,
    ) -> Result<(), BodyError>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        // A client that waits for `100 Continue` would send the body after the first read.
        if body.size_hint().lower() > 0 || self.head.headers.contains_key(EXPECT) {
            return Err(BodyError::Rejected(CallRejection::body_of_get()));
        }
        let mut cancel_guard = CancelGuard::new(self, context);
        let has_data = body::has_data(body, self.body_wait(context, memory)).await;
        cancel_guard.disarm();
        match has_data {
            Ok(false) => Ok(()),
            Ok(true) => Err(BodyError::Rejected(CallRejection::body_of_get())),
            Err(failure) => Err(self.unread(failure, context)),
        }
    }

    /// Returns the wait for the body.
    fn body_wait<'w>(&'w self, context: &Context, memory: CallMemory<'w>) -> BodyWait<'w> {
        let own = saturating_deadline(Instant::now(), self.inner.limits().body_timeout);
        let deadline = context.deadline().map_or(own, |deadline| deadline.min(own));
        BodyWait {
            head: self.head,
            memory,
            deadline: deadline.into(),
            stopping: self.inner.lifecycle().incomplete_ended(),
        }
    }

    /// Reads, verifies and decompresses the message. It is counted until its last part is dropped.
    async fn message<B>(
        &self,
        head: RequestHead,
        parameters: &[Parameter],
        context: &Context,
        memory: CallMemory<'_>,
        body: &mut Pin<&mut B>,
    ) -> Result<Bytes, BodyError>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        if head.timeout == Some(Duration::ZERO) {
            let text = "the caller's timeout is zero, so the call was not run";
            return Err(Error::without_location(Code::DeadlineExceeded, text).into());
        }
        let limits = self.inner.limits();
        let of_call = memory;
        let mut memory = of_call.reserve();
        let compressed = match head.message {
            Some(message) => {
                // The message is in the query, which is signed with the path. The signed body is
                // empty.
                self.caller.check_body(&[])?;
                message
            }
            None => {
                let mut cancel_guard = CancelGuard::new(self, context);
                let wait = self.body_wait(context, of_call);
                let message = body::read(body, self.body_limit(), wait, &mut memory).await;
                cancel_guard.disarm();
                let message = message.map_err(|failure| self.unread(failure, context))?;
                // Before decompression, so that an unsigned request cannot cause that work.
                self.caller.check_body(&message)?;
                message
            }
        };
        let received = memory.bytes();
        let may_take = |bytes| memory.grow_to(received.saturating_add(bytes));
        if self.is_stream() {
            let message = stream_messages::open_single(
                compressed,
                head.encoding,
                limits.message_bytes,
                may_take,
            );
            return Ok(memory.attach(message?));
        }
        let message =
            compression::decompress(compressed, head.encoding, limits.message_bytes, may_take);
        let message = message.map_err(|problem| self.undecoded(problem, &memory, context))?;
        if head.encoding != Encoding::Identity {
            // The compressed message is gone.
            memory.shrink_to(memory.bytes() - received);
        }
        let message = match &self.bound {
            Some(bound) if self.head.method == Verb::POST => bound.merge(parameters, message)?,
            _ => message,
        };
        if self.bound.is_some() && !memory.grow_to(memory.bytes().max(message.len())) {
            return Err(self.unread(ReadBodyError::NoMemory(memory.refusal()), context));
        }
        Ok(memory.attach(message))
    }

    /// Returns the maximum size of a body with one message, in bytes.
    fn body_limit(&self) -> usize {
        let limit = self.inner.limits().message_bytes;
        if self.is_stream() {
            limit.saturating_add(connect::ENVELOPE_HEAD)
        } else {
            limit
        }
    }

    /// Returns whether the messages of the call are in envelopes.
    pub(super) fn is_stream(&self) -> bool {
        self.method.is_some_and(MethodDescriptor::is_streaming)
    }

    fn undecoded(
        &self,
        problem: DecompressError,
        memory: &Reservation<'_>,
        context: &Context,
    ) -> BodyError {
        match problem {
            DecompressError::TooLarge => self.unread(ReadBodyError::TooLarge, context),
            DecompressError::NoMemory => {
                self.unread(ReadBodyError::NoMemory(memory.refusal()), context)
            }
            DecompressError::Invalid(error) => invalid(format!(
                "the request specifies gzip, but its message is not valid gzip: {error}"
            ))
            .into(),
        }
    }

    fn unread(&self, failure: ReadBodyError, context: &Context) -> BodyError {
        match failure {
            ReadBodyError::TooLarge => self.inner.too_large().into(),
            ReadBodyError::NoMemory(refusal) => BodyError::NoMemory(refusal.of_request()),
            ReadBodyError::Late => {
                let is_of_call = context
                    .deadline()
                    .is_some_and(|deadline| deadline <= Instant::now());
                let text = match (is_of_call, context.caller_timeout()) {
                    (true, Some(_)) => {
                        "the body of the request did not arrive within the timeout of the caller"
                    }
                    (true, None) => {
                        "the body of the request did not arrive before the deadline of the call"
                    }
                    (false, _) => {
                        "the body of the request did not arrive within the server's `body_timeout`"
                    }
                };
                BodyError::Unreadable(Error::without_location(Code::DeadlineExceeded, text))
            }
            ReadBodyError::Stopping => {
                let text = "the server is stopping, and the request was not complete; the call was not begun";
                let error = Error::without_location(Code::Unavailable, text);
                BodyError::Unreadable(error.with_retry_after(STOPPING_RETRY_AFTER))
            }
            ReadBodyError::Broken(error) => BodyError::Unreadable(
                invalid("failed to read the body of the request").with_source(error),
            ),
        }
    }

    /// Observes and rejects a call that is not run.
    pub(super) async fn refuse<B>(
        &self,
        context: &Context,
        refusal: CallRejection,
        body: Option<&mut Pin<&mut B>>,
    ) -> HttpResponse
    where
        B: Body<Data = Bytes>,
    {
        self.refuse_for(None, context, refusal, body).await
    }

    /// Rejects a call as [`refuse`](Self::refuse) does. With a `rejection` the request is valid,
    /// and the server could serve it at another time.
    pub(super) async fn refuse_for<B>(
        &self,
        rejection: Option<Rejection>,
        context: &Context,
        refusal: CallRejection,
        body: Option<&mut Pin<&mut B>>,
    ) -> HttpResponse
    where
        B: Body<Data = Bytes>,
    {
        let errors = self.caller.errors();
        // Observed before the rest of the body is read, because the caller may disconnect
        // meanwhile.
        let error = self
            .inner
            .refuse_for(rejection, self.method, context, refusal.error, errors);
        let close = self.head.version < Version::HTTP_2 && !self.finish_body(body).await;
        let format = match refusal.format {
            // The content type is accepted.
            RejectionFormat::Error if self.is_stream() => RejectionFormat::EndStream,
            format => format,
        };
        let response = connect::write_rejection(&error, format);
        let mut response = response.map(ResponseBody::full);
        if close {
            response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// Discards the rest of the body; returns whether the connection can be reused.
    async fn finish_body<B>(&self, body: Option<&mut Pin<&mut B>>) -> bool
    where
        B: Body<Data = Bytes>,
    {
        match body {
            None => false,
            Some(body) if body.is_end_stream() => true,
            // The client sends the body only after `100 Continue`, which reading the body would
            // send.
            Some(_) if self.head.headers.contains_key(EXPECT) => false,
            Some(body) => discard(body, DISCARD_BYTES).await,
        }
    }
}

/// The reason why a message could not be read.
enum BodyError {
    /// The call is rejected. The rest of the body can be read and discarded.
    Rejected(CallRejection),
    /// The rest of the body cannot be read.
    Unreadable(Error),
    /// There is no memory for the rest of the body.
    NoMemory(Error),
}

impl From<Error> for BodyError {
    fn from(error: Error) -> Self {
        Self::Rejected(error.into())
    }
}

/// Observes a call whose caller disconnects before its message is complete: the future of the call
/// is dropped then, and this guard with it.
struct CancelGuard<'a> {
    call: &'a PendingCall<'a>,
    context: &'a Context,
    armed: bool,
}

impl<'a> CancelGuard<'a> {
    fn new(call: &'a PendingCall<'a>, context: &'a Context) -> Self {
        Self {
            call,
            context,
            armed: true,
        }
    }

    /// Ends the guard: the body was read.
    fn disarm(&mut self) {
        self.armed = false;
    }
}

impl Drop for CancelGuard<'_> {
    fn drop(&mut self) {
        if self.armed {
            let text = "the caller disconnected before its message was complete";
            let error = Error::without_location(Code::Canceled, text);
            // The response is discarded, because the caller is gone.
            drop(self.call.inner.refuse(
                self.call.method,
                self.context,
                error,
                self.call.caller.errors(),
            ));
        }
    }
}

fn invalid(text: impl Into<Cow<'static, str>>) -> Error {
    Error::without_location(Code::InvalidArgument, text)
}

/// Returns a response that is never sent; see [`Aborted`].
pub(super) fn abort() -> HttpResponse {
    let mut response = HttpResponse::new(ResponseBody::broken());
    response.extensions_mut().insert(Aborted);
    response
}

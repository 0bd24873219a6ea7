//! Plain HTTP in addition to the services: runs the application's own router in the stages of a
//! call. Layers apply to calls only.
//!
//! Observers see the end when the head of the response is complete. The body then streams in the
//! same context and with a panic guard, and keeps its place among the running calls.

use std::error::Error as StdError;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body as AxumBody;
use bytes::Bytes;
use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::{Method, StatusCode, request};
use http_body::Body;
use tower_service::Service as _;
use tracing::{Instrument as _, Span};

use super::plain_response::{error_response, label, observe_response};
use super::{HttpResponse, shared_caches};
use crate::context::{Context, ContextBuilder};
use crate::duration::saturating_deadline;
use crate::error::{Code, Error};
use crate::observe::{CallStart, Observation, Rejection};
use crate::protocol::connect::{self, CallRejection, RejectionFormat};
use crate::protocol::context::IncomingContext;
use crate::protocol::printable;
use crate::server::admission::authentication::Required;
use crate::server::admission::{self, Permit, Rejected};
use crate::server::call::body::{self, BodyWait, ReadBodyError, ResponseBody, StoppableBody};
use crate::server::call::guard::within;
use crate::server::call::lingering_body::UnreadBody;
use crate::server::call::peer_origin::PeerAddress;
use crate::server::call::trust::{Caller, CallerKind, Peer};
use crate::server::call::waiting_body::{Place, WaitingBody};
use crate::server::inner::ServerInner;
use crate::server::memory::{CallMemory, NoMemory, OwnedMemory, PeerMemory};
use crate::server::panic::CatchPanic;
use crate::server::plain_routes::PlainRoutes;

/// The maximum length of a verb in a text, in bytes.
const QUOTED_VERB: usize = 128;

/// A request for plain HTTP whose caller is known.
pub(super) struct PlainCall<'a> {
    inner: &'a Arc<ServerInner>,
    peer: &'a Peer,
    caller: Caller,
    routes: &'a PlainRoutes,
}

/// The reason for which a request has no response of its route.
enum Failure {
    /// The request is not valid, or the route does not serve its caller.
    Refused(CallRejection),
    /// It was not admitted.
    Rejected(Rejected),
    /// It was rejected after its handler began: it gave up its place while its body was sent and
    /// was not admitted again, or there was no memory for its body.
    RejectedLate(Rejected),
    /// The deadline passed, or the handler panicked.
    Failed(Error),
}

/// The place of an admitted request.
enum Admitted<'a> {
    /// Of a request whose body has arrived.
    Whole(Option<Permit<'a>>),
    /// Of a request whose body has not been read.
    Waiting(Arc<Place>),
}

impl<'a> PlainCall<'a> {
    pub(super) fn new(
        inner: &'a Arc<ServerInner>,
        peer: &'a Peer,
        caller: Caller,
        routes: &'a PlainRoutes,
    ) -> Self {
        Self {
            inner,
            peer,
            caller,
            routes,
        }
    }

    /// Serves the request with the application's own router. The stages are those of a call, see
    /// `server/call/stack.rs`.
    pub(super) async fn run<B>(
        self,
        incoming: IncomingContext,
        memory: &Arc<PeerMemory>,
        request: http::Request<B>,
    ) -> HttpResponse
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let memory = CallMemory::new(memory, self.caller.is_trusted());
        let (mut head, body) = request.into_parts();
        let timeout = connect::read_timeout(&head.headers);
        let given = timeout.as_ref().ok().copied().flatten();
        let context = self.context(&head, incoming.builder, given);
        // 1. Observers: outermost, so that they see every outcome, including a dropped request.
        let start = CallStart::http(label(&head.method), &context);
        let observation = self.inner.observers().start(start);
        let context = observation.span().context(&context).unwrap_or(context);
        let valid = timeout.and_then(|_| incoming.rejection.map_or(Ok(()), Err));
        let unread = UnreadBody::of(&head, &body);
        let prepared = match valid {
            Ok(()) => self.prepare(&head, body, &context, memory).await,
            Err(error) => Err(Failure::Refused(error.into())),
        };
        let (admitted, body) = match prepared {
            Ok(prepared) => prepared,
            Err(failure) => {
                let mut response = self.fail(observation, failure, &context);
                unread.mark(&mut response);
                return response;
            }
        };
        let verb = head.method.clone();
        if let Some(address) = context.peer_address() {
            head.extensions.insert(PeerAddress(address));
        }
        let request = http::Request::from_parts(head, body);
        // 5. Deadline, outside of span, context and panic guard.
        let span = observation.span();
        let span = span.or(|| log_span(request.method(), &context));
        let work = run(self.routes.router().clone(), request, &context, span);
        let outcome = within(context.deadline(), admitted.hold(work)).await;
        match outcome.unwrap_or_else(|| Err(Failure::Failed(Error::deadline_exceeded()))) {
            Ok(mut response) => {
                explain_verb(&verb, &mut response);
                let has_users = self.inner.authentication().has_authenticators();
                shared_caches::mark(&verb, &context, has_users, &mut response);
                self.finish(observation, response, admitted, context, memory.to_owned())
            }
            Err(failure) => self.fail(observation, failure, &context),
        }
    }

    /// Returns the context of the request. A caller may shorten the deadline.
    fn context(
        &self,
        head: &request::Parts,
        builder: ContextBuilder,
        timeout: Option<Duration>,
    ) -> Context {
        let default = self.inner.limits().default_deadline;
        let timeout_or_default = timeout.map_or(default, |timeout| timeout.min(default));
        builder
            .server_info(self.inner.server_info().clone())
            .deadline(saturating_deadline(Instant::now(), timeout_or_default))
            .caller_timeout(timeout, default)
            .metadata(self.caller.metadata(&head.headers))
            .build()
    }

    /// Admits the request, and returns its body: verified if it is signed, else unread.
    async fn prepare<B>(
        &self,
        head: &request::Parts,
        body: B,
        context: &Context,
        memory: CallMemory<'_>,
    ) -> Result<(Admitted<'a>, AxumBody), Failure>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        // 2. Which callers the route serves.
        let route = self.routes.find(&head.uri).map_err(Failure::Failed)?;
        if let Some(exposure) = self.peer.exposure()
            && !exposure.has_route(route.pattern())
        {
            return Err(Failure::Refused(CallRejection::path(head.uri.path())));
        }
        if let Err(rejection) = route.access.check(self.caller.kind(), head.uri.path()) {
            let id = context.request_id();
            self.inner
                .refusals()
                .record(self.peer, id, &rejection.error);
            return Err(Failure::Refused(rejection));
        }
        if context
            .deadline()
            .is_some_and(|deadline| deadline <= Instant::now())
        {
            // The caller no longer waits for the response.
            return Err(Failure::Rejected(Error::deadline_exceeded().into()));
        }
        // As a message is, so that a slow body of a signed request takes no place.
        let verified = if self.caller.is_signed() {
            Ok(AxumBody::from(
                self.verified(head, context, body, memory).await?,
            ))
        } else {
            Err(body)
        };
        let is_complete = verified.as_ref().map_or_else(B::is_end_stream, |_| true);
        let incomplete = (!is_complete).then(|| memory.incomplete(head)).transpose();
        let incomplete = incomplete.map_err(|refusal| no_memory(&refusal))?;
        // 3. Authorization and rate limits.  4. Admission, which waits until the deadline at most.
        // At an edge with users: admission, authentication, authorization.
        let mut rules = self.routes.rules(&route, label(&head.method));
        if let CallerKind::Unsigned { .. } = self.caller.kind() {
            // The route serves the services and tools of an internal listener, which are no users.
            rules.user = Required::Nothing;
        }
        let inner = self.inner;
        let permit = admission::enter(inner.gate(), inner.authentication(), &rules, context).await;
        let permit = permit.map_err(|rejected| self.rejected(head, rejected))?;
        let (body, incomplete) = match (verified, incomplete) {
            (Err(body), Some(incomplete)) => (body, incomplete.into_count()),
            (verified, _) => {
                let body = verified.unwrap_or_else(|_| AxumBody::empty());
                return Ok((Admitted::Whole(permit), body));
            }
        };
        let stopping = self.inner.lifecycle().incomplete_ended().clone();
        let body = StoppableBody::new(Box::pin(body), stopping);
        let gate = self.inner.gate();
        let permit = permit.map(|permit| permit.into_owned(Arc::clone(gate)));
        let place = Place::new(permit, gate, context.deadline());
        let body = AxumBody::new(WaitingBody::new(body, Arc::clone(&place), incomplete));
        Ok((Admitted::Waiting(place), body))
    }

    /// Returns the failure of a request that is not admitted. At an edge, an unknown path is 404
    /// for all callers: no credentials and no rule of the policy would change that.
    fn rejected(&self, head: &request::Parts, rejected: Rejected) -> Failure {
        let code = rejected.error.code();
        if matches!(code, Code::Unauthenticated | Code::PermissionDenied)
            && matches!(self.caller.kind(), CallerKind::Edge)
            && self.routes.is_unknown(&head.uri)
        {
            return Failure::Refused(CallRejection::path(head.uri.path()));
        }
        Failure::Rejected(rejected)
    }

    /// Reads the body of a signed request, and checks it against the signature.
    async fn verified<B>(
        &self,
        head: &request::Parts,
        context: &Context,
        body: B,
        memory: CallMemory<'_>,
    ) -> Result<Bytes, Failure>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let limits = self.inner.limits();
        let own = saturating_deadline(Instant::now(), limits.body_timeout);
        let deadline = context.deadline().map_or(own, |deadline| deadline.min(own));
        let wait = BodyWait {
            head,
            memory,
            deadline: deadline.into(),
            stopping: self.inner.lifecycle().incomplete_ended(),
        };
        let mut memory = memory.reserve();
        let read = body::read(&mut pin!(body), limits.message_bytes, wait, &mut memory).await;
        let body = read.map_err(|failure| self.unread(failure))?;
        let checked = self.caller.check_body(&body);
        checked.map_err(|error| Failure::Refused(error.into()))?;
        Ok(memory.attach(body))
    }

    fn unread(&self, failure: ReadBodyError) -> Failure {
        let error = match failure {
            ReadBodyError::NoMemory(refusal) => return no_memory(&refusal),
            ReadBodyError::TooLarge => self.inner.too_large(),
            ReadBodyError::Late => {
                let text = "the body of the request did not arrive in time";
                Error::without_location(Code::DeadlineExceeded, text)
            }
            ReadBodyError::Stopping => {
                let text = "the server is stopping, and the request was not complete";
                Error::without_location(Code::Unavailable, text)
            }
            ReadBodyError::Broken(error) => {
                let text = "failed to read the body of the request";
                Error::without_location(Code::InvalidArgument, text).with_source(error)
            }
        };
        Failure::Refused(error.into())
    }

    /// Reports a response of the router to the observers, and returns it with a body that runs in
    /// the context of the request. A body whose end is not known keeps the permit until then.
    fn finish(
        &self,
        observation: Observation,
        mut response: http::Response<AxumBody>,
        admitted: Admitted<'_>,
        context: Context,
        memory: OwnedMemory,
    ) -> HttpResponse {
        if response.status() == StatusCode::NO_CONTENT {
            // axum adds a length to every empty body; a 204 response must not have one.
            response.headers_mut().remove(CONTENT_LENGTH);
        }
        let is_stream = response.body().size_hint().exact().is_none();
        observe_response(observation, &mut response);
        let permit = match admitted {
            Admitted::Whole(permit) => {
                let permit = permit.filter(|_| is_stream);
                permit.map(|permit| permit.into_owned(Arc::clone(self.inner.gate())))
            }
            Admitted::Waiting(place) => place.take().filter(|_| is_stream),
        };
        response.map(|body| ResponseBody::plain(body, context, memory, permit))
    }

    /// Reports a failure to the observers, and returns its response.
    fn fail(
        &self,
        mut observation: Observation,
        failure: Failure,
        context: &Context,
    ) -> HttpResponse {
        let (error, format) = match failure {
            Failure::Refused(CallRejection { error, format }) => {
                observation.end_bad_request(&error);
                (error.not_executed(), format)
            }
            Failure::Rejected(Rejected { error, rejection }) => {
                observation.reject(rejection);
                observation.end_with(Some(&error), 0);
                (error.not_executed(), RejectionFormat::Error)
            }
            // The handler may have done something.
            Failure::RejectedLate(Rejected { error, rejection }) => {
                observation.reject(rejection);
                observation.end_with(Some(&error), 0);
                (error, RejectionFormat::Error)
            }
            Failure::Failed(error) => {
                observation.end_with(Some(&error), 0);
                (error, RejectionFormat::Error)
            }
        };
        error_response(self.inner, &self.caller, error, format, context)
    }
}

impl Admitted<'_> {
    /// Runs the handler.
    async fn hold(
        &self,
        work: impl Future<Output = Result<http::Response<AxumBody>, Error>>,
    ) -> Result<http::Response<AxumBody>, Failure> {
        let Self::Waiting(place) = self else {
            return work.await.map_err(Failure::Failed);
        };
        let outcome = place.hold(work).await.map_err(Failure::RejectedLate)?;
        let response = outcome.map_err(Failure::Failed)?;
        let has_failed = response.status().as_u16() >= 400;
        // A handler may not fail because of its body.
        match place.rejected().filter(|_| has_failed) {
            Some(rejected) => Err(Failure::RejectedLate(rejected)),
            None => Ok(response),
        }
    }
}

/// Returns the failure of a request whose handler has not begun.
fn no_memory(refusal: &NoMemory) -> Failure {
    Failure::Rejected(Rejected {
        error: refusal.of_request(),
        rejection: Some(Rejection::Overload),
    })
}

/// Adds a text to the 405 of axum, which says nothing.
fn explain_verb(verb: &Method, response: &mut http::Response<AxumBody>) {
    let is_bare = response.status() == StatusCode::METHOD_NOT_ALLOWED
        && response.body().size_hint().exact() == Some(0)
        && !response.headers().contains_key(CONTENT_TYPE);
    if !is_bare {
        return;
    }
    let allowed = response.headers().get(ALLOW);
    let allowed = allowed.and_then(|allowed| allowed.to_str().ok());
    let allowed = allowed.filter(|allowed| !allowed.is_empty());
    let advice = allowed.map_or_else(String::new, |allowed| {
        format!("; use {}", allowed.replace(',', ", ").replace("  ", " "))
    });
    let verb = printable(verb.as_str().as_bytes(), QUOTED_VERB);
    let text = format!("this path cannot be called with {verb}{advice}\n");
    *response.body_mut() = text.into();
    let headers = response.headers_mut();
    headers.remove(CONTENT_LENGTH);
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(CONTENT_TYPE, plain);
}

/// Returns the span of a request: every event of its handler has the request ID.
fn log_span(verb: &Method, context: &Context) -> Span {
    tracing::info_span!(
        target: "rpc",
        "http",
        request_id = context.request_id(),
        verb = label(verb)
    )
}

async fn run(
    mut router: axum::Router,
    request: http::Request<AxumBody>,
    context: &Context,
    span: Span,
) -> Result<http::Response<AxumBody>, Error> {
    let response = async { router.call(request).await };
    let guarded = CatchPanic::new(response);
    match context.clone().scope(guarded).instrument(span).await? {
        Ok(response) => Ok(response),
        Err(never) => match never {},
    }
}

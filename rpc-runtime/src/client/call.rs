//! The future that a generated client method returns, with per-call options.

use std::borrow::Cow;
use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::task;
use std::time::Duration;

use super::Client;
use super::ended::end_call;
use super::handle::CallHandle;
use super::stack::{self, CallParts, CallResult, OutgoingCall, OwnOptions};
use crate::compression::Compression;
use crate::context::{Context, Principal, RequestId};
use crate::descriptor::MethodDescriptor;
use crate::error::{Error, Remote};
use crate::metadata::{InvalidMetadata, Metadata};
use crate::method::{RedactedArguments, ReplyCodec};
use crate::middleware::{Body, BoxFuture};
use crate::streaming::BodyKind;

/// A call of a generated client. It is sent when the future is first polled.
///
/// The arguments are encoded and the [`Context`] is captured when the method is called, so a call
/// borrows nothing and keeps its request ID in `tokio::spawn` and `join!`.
///
/// ```no_run
/// use std::time::Duration;
/// use rpc_runtime::prelude::*;
///
/// #[rpc_service]
/// trait Greeter {
///     async fn greet(&self, name: &str) -> Result<String>;
/// }
///
/// # async fn example() -> Result<()> {
/// let greeter = GreeterClient::connect("http://127.0.0.1:8080")?;
/// let text = greeter.greet("Ada").timeout(Duration::from_millis(50)).header("x-tenant", "blue").await?;
/// # drop(text);
/// # Ok(())
/// # }
/// ```
///
/// # Cancellation
///
/// Dropping the future cancels the call. Its connection is closed, and the server drops the
/// handler unless the method is `detached`.
#[must_use = "a call is sent when it is awaited"]
pub struct Call<T: 'static, E: 'static = Error>(CallState<T, E>);

enum CallState<T: 'static, E: 'static> {
    Prepared(Box<UnsentCall<T, E>>),
    Running(BoxFuture<Result<Reply<T>, Remote<E>>>),
    Done,
}

/// A call that has not been sent.
struct UnsentCall<T: 'static, E: 'static> {
    parts: CallParts,
    reply: &'static ReplyCodec<T, E>,
}

/// Creates a call from its encoded arguments.
#[track_caller]
pub(crate) fn prepare<T: 'static, E: 'static>(
    client: &Client,
    method: &'static MethodDescriptor,
    redacted_arguments: Option<&'static dyn RedactedArguments>,
    reply: &'static ReplyCodec<T, E>,
    message: Result<BodyKind, Error>,
) -> Call<T, E> {
    let caller = Location::caller();
    let context = Context::current();
    tracing::trace!(target: "rpc", method = method.path, file = caller.file(), line = caller.line(), "call created");
    Call(CallState::Prepared(Box::new(UnsentCall {
        parts: CallParts {
            client: client.clone(),
            method,
            redacted_arguments,
            outgoing: OutgoingCall::of(method, &context),
            context,
            timeout: None,
            metadata: Metadata::new(),
            body: message.map(Body::from),
            retry: true,
            options: OwnOptions::default(),
            handle: None,
        },
        reply,
    })))
}

impl<T: 'static, E: 'static> Call<T, E> {
    /// Sets the timeout of the call, counted from when it is sent. A call that is made while
    /// handling a request also ends at the deadline of that request.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.change(|parts| parts.timeout = Some(timeout))
    }

    /// Removes the timeout of the call, also that of the method and of the client. A call that is
    /// made while handling a request still ends at the deadline of that request, and the server
    /// applies its own limits, see `Limits::default_deadline`.
    pub fn no_timeout(self) -> Self {
        self.timeout(Duration::MAX)
    }

    /// Returns the call with a handle that cancels it, from any task, and that tells what is known
    /// of it.
    ///
    /// ```
    /// # use rpc_runtime::prelude::*;
    /// # #[rpc_service]
    /// # trait Greeter {
    /// #     async fn greet(&self, name: &str) -> Result<String>;
    /// # }
    /// # struct Slow;
    /// # impl Greeter for Slow {
    /// #     async fn greet(&self, _name: &str) -> Result<String> {
    /// #         std::future::pending().await
    /// #     }
    /// # }
    /// # async fn example() {
    /// let greeter = GreeterClient::local(Slow);
    /// let (call, handle) = greeter.greet("Ada").with_handle();
    /// let running = tokio::spawn(call);
    /// while handle.attempts() == 0 {
    ///     tokio::task::yield_now().await;
    /// }
    /// handle.cancel();
    /// let error = running.await.unwrap().unwrap_err();
    /// assert_eq!(error.code(), Code::Canceled);
    /// assert!(!error.is_not_executed());
    /// # }
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(example());
    /// ```
    pub fn with_handle(self) -> (Self, CallHandle) {
        let handle = CallHandle::new();
        let call = self.change(|parts| parts.handle = Some(handle.clone()));
        (call, handle)
    }

    /// Disables retries and hedging for this call.
    pub fn no_retry(self) -> Self {
        self.change(|parts| parts.retry = false)
    }

    /// Sets the compression of this call; see [`Client::compression`].
    pub fn compression(self, compression: Compression) -> Self {
        self.change(|parts| parts.options.compression = Some(compression))
    }

    /// Sets whether this call is sent by HTTP `GET`, if its method is `no_side_effects`; see
    /// [`Client::use_get`].
    pub fn use_get(self, use_get: bool) -> Self {
        self.change(|parts| parts.options.use_get = Some(use_get))
    }

    /// Sets the maximum size of the response in bytes; see [`Client::message_limit`].
    pub fn message_limit(self, bytes: usize) -> Self {
        self.change(|parts| parts.options.message_limit = Some(bytes))
    }

    /// Makes the call for another user than that of the [`Context`]: in a test, or in a job that
    /// works for several users. It is the user that [`Context::with_principal`] sets.
    ///
    /// ```
    /// use rpc_runtime::Principal;
    /// use rpc_runtime::prelude::*;
    ///
    /// #[rpc_service]
    /// trait Greeter {
    ///     async fn greet(&self) -> Result<String>;
    /// }
    ///
    /// struct English;
    ///
    /// impl Greeter for English {
    ///     async fn greet(&self) -> Result<String> {
    ///         let user = Context::current().principal();
    ///         let user = user.or_error(Code::Unauthenticated, "log in first")?;
    ///         Ok(format!("Hello {}", user.subject()))
    ///     }
    /// }
    ///
    /// #[tokio::main(flavor = "current_thread")]
    /// async fn main() {
    ///     let greeter = GreeterClient::local(English);
    ///     let text = greeter.greet().as_user(Principal::new("ada")).await;
    ///     assert_eq!(text.unwrap(), "Hello ada");
    ///     assert_eq!(greeter.greet().await.unwrap_err().code(), Code::Unauthenticated);
    /// }
    /// ```
    ///
    /// A principal that is not valid is the error of the call, which is not sent.
    pub fn as_user(self, principal: Principal) -> Self {
        self.change(|parts| match parts.context.with_principal(principal) {
            Ok(context) => parts.context = context,
            Err(error) => parts.body = Err(error),
        })
    }

    /// Adds a metadata entry, sent as a header. An invalid name or value fails the call with
    /// `invalid_argument`. With identity keys, the signature of the call covers it.
    pub fn header(self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        self.add_metadata(|metadata| metadata.append(name, value))
    }

    /// Adds a metadata entry with bytes, under a name that ends in `-bin`. An invalid name fails
    /// the call with `invalid_argument`.
    pub fn header_bin(self, name: impl Into<Cow<'static, str>>, value: &[u8]) -> Self {
        self.add_metadata(|metadata| metadata.append_bin(name, value))
    }

    fn add_metadata(self, add: impl FnOnce(&mut Metadata) -> Result<(), InvalidMetadata>) -> Self {
        self.change(|parts| {
            if let Err(invalid) = add(&mut parts.metadata)
                && parts.body.is_ok()
            {
                parts.body = Err(Error::without_location(
                    crate::Code::InvalidArgument,
                    invalid.to_string(),
                ));
            }
        })
    }

    fn change(mut self, change: impl FnOnce(&mut CallParts)) -> Self {
        if let CallState::Prepared(prepared) = &mut self.0 {
            change(&mut prepared.parts);
        }
        self
    }
}

impl<T: 'static, E: 'static> Call<T, E> {
    /// Sends the call and returns the value together with the metadata of the response.
    ///
    /// # Errors
    ///
    /// The error of the call. Its metadata is in [`Remote::metadata`].
    pub async fn with_response(mut self) -> Result<Reply<T>, Remote<E>> {
        std::future::poll_fn(|cx| self.poll_reply(cx)).await
    }

    fn poll_reply(
        &mut self,
        cx: &mut task::Context<'_>,
    ) -> task::Poll<Result<Reply<T>, Remote<E>>> {
        loop {
            match &mut self.0 {
                CallState::Running(running) => {
                    let polled = running.as_mut().poll(cx);
                    if polled.is_ready() {
                        self.0 = CallState::Done;
                    }
                    return polled;
                }
                CallState::Prepared(_) => {
                    if let CallState::Prepared(prepared) =
                        std::mem::replace(&mut self.0, CallState::Done)
                    {
                        self.0 = CallState::Running(Box::pin(prepared.run()));
                    }
                }
                // As for any future, polling again after completion is a mistake of the caller.
                CallState::Done => panic!("`Call` polled after completion"),
            }
        }
    }
}

impl<T: 'static, E: 'static> UnsentCall<T, E> {
    async fn run(self: Box<Self>) -> Result<Reply<T>, Remote<E>> {
        let Self { parts, reply } = *self;
        let method = parts.method;
        let CallResult {
            request_id,
            response,
            callers,
        } = stack::run(parts).await;
        let (headers, trailers, result) = response.into_parts();
        let value = result.and_then(|body| {
            let (kind, guards) = body.into_parts();
            let value = reply.decode_value(method.path, guards.held_by(kind));
            value.map_err(|mut error| {
                end_call(&mut error, request_id, method, &callers);
                error
            })
        });
        match value {
            Ok(value) => Ok(Reply {
                value,
                request_id,
                headers,
                trailers,
            }),
            Err(error) => {
                callers.record_variant(reply.fingerprint(&error), error.retries_exhausted());
                Err(reply.decode_error(error))
            }
        }
    }
}

impl<T: 'static, E: 'static> Future for Call<T, E> {
    type Output = Result<T, Remote<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> task::Poll<Self::Output> {
        self.poll_reply(cx).map_ok(|reply| reply.value)
    }
}

impl<T: 'static, E: 'static> fmt::Debug for Call<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            CallState::Prepared(prepared) => {
                write!(f, "Call({}, not sent)", prepared.parts.method.path)
            }
            CallState::Running(_) => f.write_str("Call(running)"),
            CallState::Done => f.write_str("Call(done)"),
        }
    }
}

/// The value of a call with the metadata of the response; see [`Call::with_response`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Reply<T> {
    /// The value that the method returned.
    pub value: T,
    /// The ID of the request.
    pub request_id: RequestId,
    /// Metadata sent before the message.
    pub headers: Metadata,
    /// Metadata sent after the message.
    pub trailers: Metadata,
}

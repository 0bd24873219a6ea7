//! A call that has been made and not been sent: options, then `await`.

use std::borrow::Cow;
use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::task;
use std::time::Duration;

use super::{Client, stack};
use crate::context::{Context, RequestId};
use crate::descriptor::MethodDescriptor;
use crate::error::{Error, Remote};
use crate::metadata::Metadata;
use crate::method::{RedactedArguments, ReplyCodec};
use crate::middleware::{Body, BoxFuture};

/// A call of a generated client: a future that is sent when it is first polled.
///
/// Arguments are encoded and the [`Context`] is captured where the method is called, so a call borrows nothing and
/// keeps its request id through `tokio::spawn` and `join!`.
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
/// Dropping the future cancels the call: its connection is closed, and the handler is dropped there, unless the method
/// is `detached`.
#[must_use = "a call is sent when it is awaited"]
pub struct Call<T: 'static, E: 'static = Error>(CallState<T, E>);

enum CallState<T: 'static, E: 'static> {
    Prepared(Box<PreparedCall<T, E>>),
    Running(BoxFuture<Result<Reply<T>, Remote<E>>>),
    Done,
}

/// All that a call needs to be sent.
struct PreparedCall<T: 'static, E: 'static> {
    parts: CallParts,
    reply: &'static ReplyCodec<T, E>,
}

/// The part of a call that does not know its types.
pub(super) struct CallParts {
    pub(super) client: Client,
    pub(super) method: &'static MethodDescriptor,
    /// How its arguments are shown to people.
    pub(super) redacted_arguments: Option<&'static dyn RedactedArguments>,
    /// The context that the call is made in.
    pub(super) context: Context,
    pub(super) timeout: Option<Duration>,
    pub(super) metadata: Metadata,
    /// The request message, or why there is none.
    pub(super) body: Result<Body, Error>,
    /// Whether it may be sent more than once.
    pub(super) retry: bool,
}

/// Makes a call; the arguments are encoded already.
#[track_caller]
pub(crate) fn prepare<T: 'static, E: 'static>(
    client: &Client,
    method: &'static MethodDescriptor,
    redacted_arguments: Option<&'static dyn RedactedArguments>,
    reply: &'static ReplyCodec<T, E>,
    message: Result<Vec<u8>, Error>,
) -> Call<T, E> {
    let place = Location::caller();
    tracing::trace!(target: "rpc", method = method.path, file = place.file(), line = place.line(), "call made");
    Call(CallState::Prepared(Box::new(PreparedCall {
        parts: CallParts {
            client: client.clone(),
            method,
            redacted_arguments,
            context: Context::current(),
            timeout: None,
            metadata: Metadata::new(),
            body: message.map(Body::message),
            retry: true,
        },
        reply,
    })))
}

impl<T: 'static, E: 'static> Call<T, E> {
    /// How long the call may take, from when it is sent. The deadline of the request that it is part of holds as well.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.change(|parts| parts.timeout = Some(timeout))
    }

    /// Sends the call once at most: no retry, no hedge, whatever the method allows.
    pub fn no_retry(self) -> Self {
        self.change(|parts| parts.retry = false)
    }

    /// Sends metadata along. A name or value that cannot travel fails the call with `invalid_argument`.
    pub fn header(self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        self.change(|parts| {
            if let Err(invalid) = parts.metadata.append(name, value)
                && parts.body.is_ok()
            {
                parts.body = Err(Error::unlocated(
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
    /// Resolves to the value together with the metadata of the answer.
    ///
    /// # Errors
    ///
    /// As the call itself; the metadata of an error is in [`Remote::metadata`].
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
                // As with any future that is polled again: the caller's mistake, and a clear text for it.
                CallState::Done => panic!("a call was polled after it was done"),
            }
        }
    }
}

impl<T: 'static, E: 'static> PreparedCall<T, E> {
    async fn run(self: Box<Self>) -> Result<Reply<T>, Remote<E>> {
        let Self { parts, reply } = *self;
        let (request_id, response) = stack::run(parts).await;
        let (headers, trailers, result) = response.into_parts();
        let value = result.and_then(|body| match body.as_message() {
            Some(message) => reply.decode_value(message),
            None => Err(Error::unlocated(
                crate::Code::Internal,
                "a stream came where one message was due",
            )
            .public()),
        });
        match value {
            Ok(value) => Ok(Reply {
                value,
                request_id,
                headers,
                trailers,
            }),
            Err(error) => Err(reply.decode_error(error)),
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

/// The value of a call with the metadata of the answer; see [`Call::with_response`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Reply<T> {
    /// What the method answered.
    pub value: T,
    /// The id that the request travelled with.
    pub request_id: RequestId,
    /// Metadata that came before the message.
    pub headers: Metadata,
    /// Metadata that came behind the message.
    pub trailers: Metadata,
}

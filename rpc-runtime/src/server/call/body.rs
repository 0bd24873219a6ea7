//! HTTP bodies: reads request bodies within limits, and writes response bodies.

use std::error::Error as StdError;
use std::fmt;
use std::pin::{Pin, pin};
use std::task::{self, Poll, ready};

use bytes::Bytes;
use http::request;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::envelope_body::EnvelopeBody;
use crate::context::Context;
use crate::middleware::Guards;
use crate::protocol::body::{BodyReadError, collect, poll_once};
use crate::server::admission::OwnedPermit;
use crate::server::memory::{CallMemory, NoMemory, OwnedMemory, Reservation};
use crate::server::panic;

/// The reason for which a body could not be read.
#[derive(Debug)]
pub(crate) enum ReadBodyError {
    /// Its size or its declared length exceeds the limit.
    TooLarge,
    /// There is no memory for it.
    NoMemory(NoMemory),
    /// It was not complete at the deadline.
    Late,
    /// It was not complete when the server stopped.
    Stopping,
    /// It failed: an invalid chunk, a reset stream.
    Broken(Box<dyn StdError + Send + Sync>),
}

/// The wait for a body, which is counted with the head of its request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyWait<'s> {
    pub(crate) head: &'s request::Parts,
    pub(crate) memory: CallMemory<'s>,
    pub(crate) deadline: Instant,
    /// Cancelled when a stopping server no longer waits for incomplete requests.
    pub(crate) stopping: &'s CancellationToken,
}

impl BodyWait<'_> {
    async fn until<T>(
        self,
        reading: impl Future<Output = Result<T, ReadBodyError>>,
    ) -> Result<T, ReadBodyError> {
        let mut reading = pin!(timeout_at(self.deadline, reading));
        // Usually the body is already there: it is not counted, and the lock of the token is not
        // taken.
        let read = match poll_once(reading.as_mut()).await {
            Poll::Ready(read) => read,
            Poll::Pending => {
                let incomplete = self.memory.incomplete(self.head);
                let _incomplete = incomplete.map_err(ReadBodyError::NoMemory)?;
                tokio::select! {
                    biased;
                    read = reading => read,
                    () = self.stopping.cancelled() => return Err(ReadBodyError::Stopping),
                }
            }
        };
        read.unwrap_or(Err(ReadBodyError::Late))
    }
}

/// Reads a whole body of at most `limit` bytes within `wait`, however slowly its bytes arrive.
/// `memory` counts them.
pub(crate) async fn read<B>(
    body: &mut Pin<&mut B>,
    limit: usize,
    wait: BodyWait<'_>,
    memory: &mut Reservation<'_>,
) -> Result<Bytes, ReadBodyError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let reading = async {
        let read = collect(body, limit, |bytes| memory.grow_to(bytes)).await;
        read.map_err(|error| match error {
            BodyReadError::TooLarge => ReadBodyError::TooLarge,
            BodyReadError::NoMemory => ReadBodyError::NoMemory(memory.refusal()),
            BodyReadError::Broken(error) => ReadBodyError::Broken(error),
        })
    };
    wait.until(reading).await
}

/// Reads a body up to its first byte, or to its end within `wait`; returns whether it has a byte.
pub(crate) async fn has_data<B>(
    body: &mut Pin<&mut B>,
    wait: BodyWait<'_>,
) -> Result<bool, ReadBodyError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let reading = async {
        while !body.is_end_stream() {
            match body.frame().await {
                None => break,
                Some(Err(error)) => return Err(ReadBodyError::Broken(error.into())),
                Some(Ok(frame)) if frame.data_ref().is_some_and(|data| !data.is_empty()) => {
                    return Ok(true);
                }
                // An empty chunk, or trailers.
                Some(Ok(_)) => {}
            }
        }
        Ok(false)
    };
    wait.until(reading).await
}

/// The body of a request to a plain HTTP route. It fails when a stopping server no longer waits for
/// incomplete requests.
pub(crate) struct StoppableBody<B> {
    body: B,
    stopping: CancellationToken,
    /// Created when the body has to wait.
    stopped: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl<B> StoppableBody<B> {
    pub(crate) fn new(body: B, stopping: CancellationToken) -> Self {
        Self {
            body,
            stopping,
            stopped: None,
        }
    }
}

impl<B> Body for StoppableBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Box<dyn StdError + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Self {
            body,
            stopping,
            stopped,
        } = &mut *self;
        if let Poll::Ready(frame) = Pin::new(body).poll_frame(cx) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let stopped = stopped.get_or_insert_with(|| Box::pin(stopping.clone().cancelled_owned()));
        ready!(stopped.as_mut().poll(cx));
        let text = "the server is stopping, and the request was not complete";
        Poll::Ready(Some(Err(text.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A response extension of fault injection: the response is not sent. An HTTP/1 connection is
/// closed, an HTTP/2 stream is reset.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Aborted;

impl fmt::Display for Aborted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("fault injected (`drop` or `lose`): no response is sent")
    }
}

impl StdError for Aborted {}

/// The body of a response, with guards that are held until it is sent or dropped.
#[derive(Debug)]
pub(crate) struct ResponseBody {
    content: Content,
    _guards: Guards,
}

#[derive(Debug)]
enum Content {
    Message(Option<Bytes>),
    /// A body that fails, so that the response does not arrive.
    Broken,
    /// The body of a plain HTTP route.
    Plain {
        body: axum::body::Body,
        context: Context,
        /// Its place among the running calls.
        _permit: Option<OwnedPermit>,
        memory: OwnedMemory,
    },
    /// The messages of a stream.
    Stream(EnvelopeBody),
}

impl ResponseBody {
    pub(crate) fn message(message: Bytes, guards: Guards) -> Self {
        let message = (!message.is_empty()).then_some(message);
        Self {
            content: Content::Message(message),
            _guards: guards,
        }
    }

    /// Returns a body without guards.
    pub(crate) fn full(message: Bytes) -> Self {
        Self::message(message, Guards::default())
    }

    /// Returns the body of a stream.
    pub(crate) fn stream(envelopes: EnvelopeBody, guards: Guards) -> Self {
        Self {
            content: Content::Stream(envelopes),
            _guards: guards,
        }
    }

    /// Returns a body that fails at its first frame. It aborts the response where an application's
    /// own server holds the connection.
    pub(crate) fn broken() -> Self {
        Self {
            content: Content::Broken,
            _guards: Guards::default(),
        }
    }

    /// Returns the body of a plain HTTP route. Its frames are produced in the context of the
    /// request, and counted until they are sent; it fails at a frame for which there is no memory.
    /// `permit` is held until its end.
    pub(crate) fn plain(
        body: axum::body::Body,
        context: Context,
        memory: OwnedMemory,
        permit: Option<OwnedPermit>,
    ) -> Self {
        Self {
            content: Content::Plain {
                body,
                context,
                _permit: permit,
                memory,
            },
            _guards: Guards::default(),
        }
    }
}

/// Counts the data of a frame.
fn counted(frame: Frame<Bytes>, memory: &OwnedMemory) -> Result<Frame<Bytes>, axum::Error> {
    match frame.into_data() {
        Ok(data) => {
            let data = memory.as_call().count(data);
            data.map(Frame::data)
                .map_err(|refused| axum::Error::new(refused.of_response()))
        }
        Err(trailers) => Ok(trailers),
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match &mut self.content {
            Content::Message(message) => {
                Poll::Ready(message.take().map(|data| Ok(Frame::data(data))))
            }
            Content::Broken => Poll::Ready(Some(Err(axum::Error::new(Aborted)))),
            Content::Plain {
                body,
                context,
                memory,
                ..
            } => {
                let piece = || context.enter(|| Pin::new(body).poll_frame(cx));
                let polled = panic::catch(piece).unwrap_or_else(|error| {
                    tracing::error!(target: "rpc", request_id = context.request_id(), "{error:#}");
                    Poll::Ready(Some(Err(axum::Error::new(error))))
                });
                polled.map(|frame| frame.map(|frame| counted(frame?, memory)))
            }
            Content::Stream(envelopes) => envelopes
                .poll_envelope(cx)
                .map(|envelope| envelope.map(|envelope| Ok(Frame::data(envelope)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Message(message) => message.is_none(),
            Content::Broken => false,
            Content::Plain { body, .. } => body.is_end_stream(),
            Content::Stream(envelopes) => envelopes.is_end(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Message(message) => {
                let length = message.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
            }
            Content::Broken | Content::Stream(_) => SizeHint::default(),
            Content::Plain { body, .. } => body.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests;

//! HTTP bodies: reads request bodies within limits, and writes response bodies.

use std::error::Error as StdError;
use std::fmt;
use std::pin::Pin;
use std::task::{self, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout, timeout_at};

use super::panic;
use crate::context::Context;
use crate::middleware::Guards;
use crate::protocol::body::{BodyReadError, collect};

/// Maximum number of bytes that are read of a discarded body.
const DISCARD_BYTES: usize = 1 << 20;

/// Maximum time for reading a discarded body.
const DISCARD_TIME: Duration = Duration::from_secs(1);

/// Why a body could not be read.
#[derive(Debug)]
pub(crate) enum ReadBodyError {
    /// Its size or its declared length exceeds the limit.
    TooLarge,
    /// It was not complete at the deadline.
    Late,
    /// It failed: an invalid chunk, a reset stream.
    Broken(Box<dyn StdError + Send + Sync>),
}

/// Reads a whole body of at most `limit` bytes before `deadline`, however slowly its bytes arrive.
pub(crate) async fn read<B>(
    body: &mut Pin<&mut B>,
    limit: usize,
    deadline: Instant,
) -> Result<Bytes, ReadBodyError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    match timeout_at(deadline, collect(body, limit)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(BodyReadError::TooLarge)) => Err(ReadBodyError::TooLarge),
        Ok(Err(BodyReadError::Broken(error))) => Err(ReadBodyError::Broken(error)),
        Err(_) => Err(ReadBodyError::Late),
    }
}

/// Reads a body up to its first byte, or to its end before `deadline`; returns whether it has a byte.
pub(crate) async fn has_data<B>(
    body: &mut Pin<&mut B>,
    deadline: Instant,
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
    timeout_at(deadline, reading)
        .await
        .unwrap_or(Err(ReadBodyError::Late))
}

/// Reads and discards a body; returns whether it reached the end.
///
/// Closing an HTTP/1 connection with unread bytes makes the operating system send a reset, and a
/// client that is still writing would see the reset instead of the response.
pub(crate) async fn discard<B>(body: &mut Pin<&mut B>) -> bool
where
    B: Body<Data = Bytes>,
{
    let mut remaining = DISCARD_BYTES;
    let reading = async {
        while !body.is_end_stream() {
            match body.frame().await {
                None => break,
                Some(Err(_)) => return false,
                Some(Ok(frame)) => {
                    let length = frame.data_ref().map_or(0, Bytes::len);
                    match remaining.checked_sub(length) {
                        Some(left) => remaining = left,
                        None => return false,
                    }
                }
            }
        }
        true
    };
    timeout(DISCARD_TIME, reading).await.unwrap_or(false)
}

/// A response extension of fault injection: the response is not sent. An HTTP/1 connection is
/// closed, an HTTP/2 stream is reset.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Aborted;

impl fmt::Display for Aborted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("fault injected: the response is not sent")
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
    },
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

    /// Returns a body that fails at its first frame. It aborts the response where an application's
    /// own server holds the connection.
    pub(crate) fn broken() -> Self {
        Self {
            content: Content::Broken,
            _guards: Guards::default(),
        }
    }

    /// Returns the body of a plain HTTP route. Its frames are produced in the context of the
    /// request.
    pub(crate) fn plain(body: axum::body::Body, context: Context) -> Self {
        Self {
            content: Content::Plain { body, context },
            _guards: Guards::default(),
        }
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
            Content::Plain { body, context } => {
                let piece = || context.enter(|| Pin::new(body).poll_frame(cx));
                panic::catch(piece).unwrap_or_else(|error| {
                    tracing::error!(target: "rpc", request_id = context.request_id(), "{error:#}");
                    Poll::Ready(Some(Err(axum::Error::new(error))))
                })
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Message(message) => message.is_none(),
            Content::Broken => false,
            Content::Plain { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Message(message) => {
                let length = message.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
            }
            Content::Broken => SizeHint::default(),
            Content::Plain { body, .. } => body.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests;

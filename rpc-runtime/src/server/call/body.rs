//! The bodies of HTTP: reading the one of a request within its limits, and the one of an answer.

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

/// The most that is read of a body that nobody wants, in bytes.
const DISCARD_BYTES: usize = 1 << 20;

/// The longest that reading such a body may take.
const DISCARD_TIME: Duration = Duration::from_secs(1);

/// Why a body could not be read.
#[derive(Debug)]
pub(crate) enum ReadBodyError {
    /// It has, or says that it has, more than the limit.
    TooLarge,
    /// It was not there in time.
    Late,
    /// It is broken: a bad chunk, a stream that was reset.
    Broken(Box<dyn StdError + Send + Sync>),
}

/// Reads a body of at most `limit` bytes, all of it before `deadline`, however it drips.
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

/// Reads a body that nobody wants to its end, and says whether it got there.
///
/// Without that, HTTP/1 cannot go on: the connection is closed with bytes unread, the system answers those with a
/// reset, and a client that is still writing sees the reset in place of our answer.
pub(crate) async fn discard<B>(body: &mut Pin<&mut B>) -> bool
where
    B: Body<Data = Bytes>,
{
    let mut room = DISCARD_BYTES;
    let reading = async {
        while !body.is_end_stream() {
            match body.frame().await {
                None => break,
                Some(Err(_)) => return false,
                Some(Ok(frame)) => {
                    let length = frame.data_ref().map_or(0, Bytes::len);
                    match room.checked_sub(length) {
                        Some(left) => room = left,
                        None => return false,
                    }
                }
            }
        }
        true
    };
    timeout(DISCARD_TIME, reading).await.unwrap_or(false)
}

/// A fault on purpose: the answer is not sent, and its connection is closed. Stands in the extensions of the answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Aborted;

impl fmt::Display for Aborted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("fault injected: the answer is not sent")
    }
}

impl StdError for Aborted {}

/// The body of an answer, with all that is held until it is sent or dropped.
#[derive(Debug)]
pub(crate) struct ResponseBody {
    content: Content,
    _guards: Guards,
}

#[derive(Debug)]
enum Content {
    Message(Option<Bytes>),
    /// Of an answer that is not to arrive.
    Broken,
    /// Of a plain HTTP route.
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

    /// A body that nothing is held for.
    pub(crate) fn full(message: Bytes) -> Self {
        Self::message(message, Guards::default())
    }

    /// A body that breaks where it starts, for servers that are not ours to close a connection of.
    pub(crate) fn broken() -> Self {
        Self {
            content: Content::Broken,
            _guards: Guards::default(),
        }
    }

    /// The body of a plain HTTP route, which runs in the route's context: it may be made piece by piece.
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

//! The body of a request: one message, or a stream of them.

use std::pin::Pin;
use std::task::{self, Poll, ready};

use bytes::Bytes;
use futures_core::Stream as _;
use http_body::{Body, Frame, SizeHint};

use crate::compression::Compression;
use crate::error::Error;
use crate::protocol::connect;
use crate::streaming::Streaming;

/// The body of a request.
#[derive(Debug)]
pub(super) enum RequestBody {
    /// One message; `None` when it is sent.
    Full(Option<Bytes>),
    Stream(Envelopes),
}

/// The messages of a request stream, each in an envelope.
#[derive(Debug)]
pub(super) struct Envelopes {
    messages: Streaming<Bytes>,
    compression: Compression,
}

impl Envelopes {
    pub(super) fn new(messages: Streaming<Bytes>, compression: Compression) -> Self {
        Self {
            messages,
            compression,
        }
    }

    /// Polls the next envelope.
    pub(super) fn poll_envelope(
        &mut self,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        let next = ready!(Pin::new(&mut self.messages).poll_next(cx));
        Poll::Ready(next.map(|message| connect::write_envelope(&message?, self.compression)))
    }
}

impl From<Bytes> for RequestBody {
    fn from(message: Bytes) -> Self {
        Self::Full((!message.is_empty()).then_some(message))
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match &mut *self {
            Self::Full(message) => Poll::Ready(message.take().map(Frame::data).map(Ok)),
            Self::Stream(messages) => {
                let envelope = ready!(messages.poll_envelope(cx));
                Poll::Ready(envelope.map(|envelope| envelope.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Full(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(message) => {
                let length = message.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
            }
            Self::Stream(_) => SizeHint::default(),
        }
    }
}

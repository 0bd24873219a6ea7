//! The body of a response with streams: an envelope for each message, and one for its end.

use std::fmt;
use std::pin::Pin;
use std::task::{self, Poll, ready};

use bytes::Bytes;
use futures_core::Stream as _;

use super::request_stream::UnreadRequest;
use crate::compression::Compression;
use crate::metadata::Metadata;
use crate::protocol::connect;
use crate::streaming::Streaming;

/// The envelopes of a response.
pub(crate) struct EnvelopeBody {
    content: Content,
    /// Read before the end of the response.
    unread: UnreadRequest,
}

enum Content {
    /// All envelopes together.
    Written(Bytes),
    Stream(Streaming<Bytes>, Compression),
    /// All is sent.
    Sent,
    /// The rest of the request is read, too.
    Ended,
}

impl EnvelopeBody {
    pub(crate) fn stream(
        messages: Streaming<Bytes>,
        compression: Compression,
        unread: UnreadRequest,
    ) -> Self {
        Self {
            content: Content::Stream(messages, compression),
            unread,
        }
    }

    /// Creates the body of a response whose envelopes are known.
    pub(crate) fn written(envelopes: Bytes, unread: UnreadRequest) -> Self {
        Self {
            content: Content::Written(envelopes),
            unread,
        }
    }

    pub(crate) fn is_end(&self) -> bool {
        matches!(self.content, Content::Ended)
    }

    /// Polls the next envelope; `None` after that of the end.
    pub(crate) fn poll_envelope(&mut self, cx: &mut task::Context<'_>) -> Poll<Option<Bytes>> {
        let (messages, compression) = match &mut self.content {
            Content::Stream(messages, compression) => (messages, *compression),
            Content::Written(envelopes) => {
                let envelopes = std::mem::take(envelopes);
                self.content = Content::Sent;
                return Poll::Ready(Some(envelopes));
            }
            Content::Sent => {
                ready!(self.unread.poll_read(cx));
                self.content = Content::Ended;
                return Poll::Ready(None);
            }
            Content::Ended => return Poll::Ready(None),
        };
        let ended = match ready!(Pin::new(&mut *messages).poll_next(cx)) {
            Some(Ok(message)) => match connect::write_envelope(&message, compression) {
                Ok(envelope) => return Poll::Ready(Some(envelope)),
                Err(error) => Some(error),
            },
            Some(Err(error)) => Some(error),
            None => None,
        };
        // An error has its metadata.
        let trailers = match ended {
            Some(_) => Metadata::new(),
            None => messages.take_trailers(),
        };
        self.content = Content::Sent;
        Poll::Ready(Some(connect::write_end_stream(ended.as_ref(), &trailers)))
    }
}

impl fmt::Debug for EnvelopeBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EnvelopeBody")
    }
}

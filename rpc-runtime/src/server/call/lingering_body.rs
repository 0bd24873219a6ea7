//! Request bodies that are not read before the response: over HTTP/2 their rest is read after it.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONNECTION, EXPECT, HeaderValue};
use http::{Version, request};
use http_body::{Body, Frame, SizeHint};
use tokio::runtime::Handle;

use super::discard::discard;

/// Maximum number of bytes that are read after the response.
const MAX_BYTES: usize = 8 << 20;

/// Maximum length of an unread body after which an HTTP/1 connection can be used again. hyper skips
/// one that has arrived with the head.
const SMALL_BYTES: u64 = 64 << 10;

/// The consequence for its connection of a body that is not read before the response, since its
/// sender has no right to more than that, or the server no time for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnreadBody {
    /// Nothing: there is no body, or the connection is HTTP/2, see [`LingeringBody`].
    None,
    /// The body may have arrived with the head.
    Small,
    /// The connection is closed.
    Large,
}

/// An extension of a response that is sent before its request is read, although the connection may
/// be used again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LeftUnread;

impl UnreadBody {
    pub(crate) fn of(head: &request::Parts, body: &impl Body) -> Self {
        if head.version >= Version::HTTP_2 || body.is_end_stream() {
            return Self::None;
        }
        // The client sends the body only after `100 Continue`.
        let is_announced = head.headers.contains_key(EXPECT);
        match body.size_hint().upper() {
            Some(..=SMALL_BYTES) if !is_announced => Self::Small,
            _ => Self::Large,
        }
    }

    /// Writes this into the response.
    pub(crate) fn mark<B>(self, response: &mut http::Response<B>) {
        let headers = response.headers_mut();
        match self {
            Self::Large => {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Self::Small => {
                headers.remove(CONNECTION);
                response.extensions_mut().insert(LeftUnread);
            }
            Self::None => {}
        }
    }
}

/// The body of a request. If it is dropped before its end, its rest is read and discarded, within
/// limits of bytes and time.
///
/// Otherwise the stream would be reset when the response is complete, which the standard allows
/// (RFC 9113, section 8.1). Clients that are still sending, such as `curl`, would then report the
/// reset in place of the response. For HTTP/1 see [`discard`].
#[derive(Debug)]
pub(crate) struct LingeringBody<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    /// `None` after the drop only.
    body: Option<B>,
    lingers: bool,
}

impl<B> LingeringBody<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    /// Returns a body that is dropped as it is unless it `lingers`.
    pub(crate) fn new(body: B, lingers: bool) -> Self {
        Self {
            body: Some(body),
            lingers,
        }
    }
}

impl<B> Body for LingeringBody<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(B::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(B::size_hint).unwrap_or_default()
    }
}

impl<B> Drop for LingeringBody<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    fn drop(&mut self) {
        if !self.lingers || self.is_end_stream() {
            return;
        }
        // Without a runtime, the connection ends as well.
        if let (Some(mut body), Ok(runtime)) = (self.body.take(), Handle::try_current()) {
            runtime.spawn(async move {
                discard(&mut Pin::new(&mut body), MAX_BYTES).await;
            });
        }
    }
}

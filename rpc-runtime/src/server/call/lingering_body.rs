//! A request body over HTTP/2 whose rest is read after an early response.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::runtime::Handle;

use super::body;

/// Maximum number of bytes that are read after the response.
const MAX_BYTES: usize = 8 << 20;

/// The body of a request. If it is dropped before its end, its rest is read and discarded, within
/// limits of bytes and time.
///
/// Otherwise the stream would be reset when the response is complete, which the standard allows
/// (RFC 9113, section 8.1). Clients that are still sending, such as `curl`, would then report the
/// reset in place of the response. For HTTP/1 see [`body::discard`].
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
                body::discard(&mut Pin::new(&mut body), MAX_BYTES).await;
            });
        }
    }
}

//! Reading and writing of a connection: detects its protocol and reports progress to [`Activity`].

use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

use super::activity::{Activity, Protocol};
use super::head_gate::{GatedBytes, PREFACE};

/// The detected protocol, and the bytes that were read to detect it.
#[derive(Debug)]
pub(super) struct Sniffed {
    pub(super) protocol: Protocol,
    bytes: [u8; PREFACE.len()],
    length: usize,
}

/// Reads until the protocol is known. Returns `None` if the peer closes the connection before that.
///
/// The caller must set a timeout: this waits indefinitely for a peer that sends nothing or a part
/// of the preface.
pub(super) async fn sniff(io: &mut (impl AsyncRead + Unpin)) -> Result<Option<Sniffed>> {
    let mut start = Sniffed {
        protocol: Protocol::Http1,
        bytes: [0; PREFACE.len()],
        length: 0,
    };
    loop {
        let read = io.read(&mut start.bytes[start.length..]).await?;
        if read == 0 {
            return Ok(None);
        }
        start.length += read;
        if start.bytes[..start.length] != PREFACE[..start.length] {
            return Ok(Some(start));
        }
        if start.length == PREFACE.len() {
            start.protocol = Protocol::Http2;
            return Ok(Some(start));
        }
    }
}

/// A connection that replays the sniffed bytes first and reports reads and writes to its
/// [`Activity`].
#[derive(Debug)]
pub(super) struct Io<I> {
    source: Source<I>,
    activity: Arc<Activity>,
    /// The bytes of an HTTP/2 connection whose request heads pass a gate.
    gated: Option<GatedBytes>,
    /// The rest of a response that is sent in place of one of hyper, see
    /// [`Activity::complete_bare_response`].
    replacement: Option<Bytes>,
}

#[derive(Debug)]
struct Source<I> {
    inner: I,
    start: Sniffed,
    /// Number of sniffed bytes that have been replayed.
    taken: usize,
}

impl<I> Io<I> {
    pub(super) fn new(inner: I, start: Sniffed, activity: Arc<Activity>) -> Self {
        Self {
            source: Source {
                inner,
                start,
                taken: 0,
            },
            gated: activity.head_gate().map(|_| GatedBytes::new()),
            activity,
            replacement: None,
        }
    }

    pub(super) fn into_inner(self) -> I {
        self.source.inner
    }

    /// Reports the outcome of a write of `length` bytes to the activity.
    fn wrote(&self, polled: Poll<Result<usize>>, length: usize) -> Poll<Result<usize>> {
        match &polled {
            Poll::Pending => self.activity.write_blocked(),
            Poll::Ready(Ok(written)) => self.activity.wrote(*written, length),
            Poll::Ready(Err(_)) => {}
        }
        polled
    }
}

impl<I: AsyncRead + Unpin> Source<I> {
    fn poll_read(
        &mut self,
        activity: &Activity,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let filled = buffer.filled().len();
        let left = &self.start.bytes[self.taken..self.start.length];
        let length = left.len().min(buffer.remaining());
        buffer.put_slice(&left[..length]);
        self.taken += length;
        if buffer.remaining() == 0 {
            activity.received(&buffer.filled()[filled..]);
            return Poll::Ready(Ok(()));
        }
        // Bytes that are available after the sniffed ones are returned in the same read. hyper
        // would parse a head in two pieces twice, and double its buffer until the connection ends.
        let polled = Pin::new(&mut self.inner).poll_read(cx, buffer);
        if buffer.filled().len() > filled {
            activity.received(&buffer.filled()[filled..]);
        }
        match polled {
            Poll::Pending if length > 0 => Poll::Ready(Ok(())),
            polled => polled,
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Io<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let Self {
            source,
            activity,
            gated,
            ..
        } = &mut *self;
        match (gated, activity.head_gate()) {
            (Some(gated), Some(gate)) => gated.poll_read(gate, cx, buffer, |cx, buffer| {
                source.poll_read(activity, cx, buffer)
            }),
            _ => source.poll_read(activity, cx, buffer),
        }
    }
}

impl<I: AsyncWrite + Unpin> Io<I> {
    /// Sends the replacement; completes as the write of the `length` bytes that it replaces.
    fn poll_replace(&mut self, cx: &mut Context<'_>, length: usize) -> Poll<Result<usize>> {
        while let Some(rest) = &mut self.replacement {
            if rest.is_empty() {
                self.replacement = None;
                break;
            }
            let written = ready!(Pin::new(&mut self.source.inner).poll_write(cx, rest))?;
            if written == 0 {
                return Poll::Ready(Ok(0));
            }
            rest.advance(written);
        }
        Poll::Ready(Ok(length))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Io<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize>> {
        if self.replacement.is_none() {
            let replacement = self.activity.complete_bare_response(bytes);
            self.replacement = replacement.map(Bytes::from);
        }
        let polled = if self.replacement.is_some() {
            self.poll_replace(cx, bytes.len())
        } else {
            Pin::new(&mut self.source.inner).poll_write(cx, bytes)
        };
        self.wrote(polled, bytes.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        // hyper sends a response of its own as one slice.
        if let [only] = slices {
            return self.poll_write(cx, only);
        }
        let polled = Pin::new(&mut self.source.inner).poll_write_vectored(cx, slices);
        self.wrote(polled, slices.iter().map(|slice| slice.len()).sum())
    }

    fn is_write_vectored(&self) -> bool {
        self.source.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.source.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.source.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;
    use crate::Limits;
    use crate::server::memory::MessageMemory;

    fn activity() -> Arc<Activity> {
        let limits = Limits::default();
        let memory = MessageMemory::new(&limits).unknown_peers();
        Arc::new(Activity::new(&limits, Protocol::Http1, memory))
    }

    #[tokio::test]
    async fn first_bytes_determine_the_protocol() {
        for (bytes, protocol) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], Some(Protocol::Http1)),
            (b"POST / HTTP/1.1\r\n\r\n", Some(Protocol::Http1)),
            (
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0",
                Some(Protocol::Http2),
            ),
            (b"PRI * HTTP/1.1\r\n\r\nSM\r\n\r\n", Some(Protocol::Http1)),
            (b"PRI * HTTP/2.0\r\n\r\n", None),
            (b"P", None),
            (b"", None),
        ] {
            let mut io = bytes;
            let start = sniff(&mut io).await.unwrap();
            assert_eq!(
                start.map(|start| start.protocol),
                protocol,
                "{}",
                bytes.escape_ascii()
            );
        }
    }

    #[tokio::test]
    async fn sniffed_bytes_are_replayed() {
        let request = b"POST /a.B/C HTTP/1.1\r\nhost: a\r\n\r\n";
        let mut io = &request[..];
        let start = sniff(&mut io).await.unwrap().unwrap();
        let activity = activity();
        let mut read = Vec::new();
        Io::new(io, start, activity)
            .read_to_end(&mut read)
            .await
            .unwrap();
        assert_eq!(read, request);
    }

    #[tokio::test]
    async fn one_read_returns_sniffed_and_available_bytes() {
        let (mut peer, mut io) = tokio::io::duplex(1024);
        let (head, rest) = (b"POST /a.B/C HTTP/1.1\r\n".as_slice(), b"host: a\r\n\r\n");
        for late in [false, true] {
            let sent = if late {
                head.to_vec()
            } else {
                [head, rest].concat()
            };
            peer.write_all(&sent).await.unwrap();
            let start = sniff(&mut io).await.unwrap().unwrap();
            let activity = activity();
            let mut replayed = Io::new(io, start, activity);
            let mut bytes = [0; 100];
            let read = replayed.read(&mut bytes).await.unwrap();
            assert_eq!(&bytes[..read], sent);
            io = replayed.into_inner();
        }
    }
}

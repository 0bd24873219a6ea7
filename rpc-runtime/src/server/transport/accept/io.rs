//! The bytes of a connection: which protocol they begin, and who is waited for.

use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

use super::activity::Activity;

/// What every HTTP/2 connection begins with. Source: RFC 9113, section 3.4.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// The bytes that were read to find out.
#[derive(Debug)]
pub(super) struct Sniffed {
    pub(super) protocol: Protocol,
    bytes: [u8; PREFACE.len()],
    length: usize,
}

/// Reads until the protocol is known; `None` where the peer closes before that.
///
/// The caller bounds the time: a peer that sends nothing, or half of the preface, would be waited for without end.
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

/// The bytes of a connection, those of its start first. Tells the [`Activity`] what moves.
#[derive(Debug)]
pub(super) struct Io<I> {
    inner: I,
    start: Sniffed,
    /// How many bytes of the start have been read from here.
    taken: usize,
    activity: Arc<Activity>,
}

impl<I> Io<I> {
    pub(super) fn new(inner: I, start: Sniffed, activity: Arc<Activity>) -> Self {
        Self {
            inner,
            start,
            taken: 0,
            activity,
        }
    }

    pub(super) fn into_inner(self) -> I {
        self.inner
    }

    fn wrote<T>(&self, polled: Poll<T>) -> Poll<T> {
        match polled {
            Poll::Pending => self.activity.write_blocked(),
            Poll::Ready(_) => self.activity.write_moved(),
        }
        polled
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Io<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let left = &self.start.bytes[self.taken..self.start.length];
        let length = left.len().min(buffer.remaining());
        buffer.put_slice(&left[..length]);
        self.taken += length;
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        // What is there behind the start comes along. A head in two pieces is parsed twice, and makes hyper double its
        // buffer for the life of the connection.
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.activity.received();
        }
        match polled {
            Poll::Pending if length > 0 => Poll::Ready(Ok(())),
            polled => polled,
        }
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Io<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.wrote(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.wrote(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test]
    async fn the_first_bytes_say_which_protocol_it_is() {
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
    async fn what_was_sniffed_is_read_again() {
        let whole = b"POST /a.B/C HTTP/1.1\r\nhost: a\r\n\r\n";
        let mut io = &whole[..];
        let start = sniff(&mut io).await.unwrap().unwrap();
        let activity = Arc::new(Activity::new(&crate::Limits::default(), Protocol::Http1));
        let mut read = Vec::new();
        Io::new(io, start, activity)
            .read_to_end(&mut read)
            .await
            .unwrap();
        assert_eq!(read, whole);
    }

    #[tokio::test]
    async fn what_follows_the_start_comes_with_it_and_nothing_is_waited_for() {
        let (mut peer, mut io) = tokio::io::duplex(1024);
        let (head, rest) = (b"POST /a.B/C HTTP/1.1\r\n".as_slice(), b"host: a\r\n\r\n");
        for late in [false, true] {
            let now = if late {
                head.to_vec()
            } else {
                [head, rest].concat()
            };
            peer.write_all(&now).await.unwrap();
            let start = sniff(&mut io).await.unwrap().unwrap();
            let activity = Arc::new(Activity::new(&crate::Limits::default(), Protocol::Http1));
            let mut whole = Io::new(io, start, activity);
            let mut bytes = [0; 100];
            let read = whole.read(&mut bytes).await.unwrap();
            assert_eq!(&bytes[..read], now);
            io = whole.into_inner();
        }
    }
}

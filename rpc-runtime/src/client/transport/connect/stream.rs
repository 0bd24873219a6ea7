//! An open connection: with TLS or without it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::client::transport::tls::TlsStream;

/// An open connection.
#[derive(Debug)]
pub(in crate::client::transport) enum ConnectedStream {
    /// Through a tunnel of a proxy, or to a proxy that forwards each request.
    Plain {
        tcp: TcpStream,
        is_forwarded: bool,
    },
    Tls(Box<TlsStream>),
}

/// Calls a method of the stream within.
macro_rules! delegate {
    ($stream:expr, $io:ident => $call:expr) => {
        match $stream.get_mut() {
            Self::Plain { tcp: $io, .. } => {
                let $io = Pin::new($io);
                $call
            }
            Self::Tls($io) => {
                let $io = Pin::new(&mut **$io);
                $call
            }
        }
    };
}

impl AsyncRead for ConnectedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        delegate!(self, io => io.poll_read(cx, buf))
    }
}

impl AsyncWrite for ConnectedStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, io => io.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, io => io.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, io => io.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, io => io.poll_shutdown(cx))
    }
}

impl Connection for ConnectedStream {
    fn connected(&self) -> Connected {
        let is_forwarded = matches!(
            self,
            Self::Plain {
                is_forwarded: true,
                ..
            }
        );
        Connected::new().proxy(is_forwarded)
    }
}

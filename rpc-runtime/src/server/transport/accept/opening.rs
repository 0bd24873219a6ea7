//! The part of a connection before HTTP: the header of the PROXY protocol, and the TLS handshake.
//! Both count in `first_byte_timeout`.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::proxy_header::{self, MAX_HEADER};
use super::refusal::{Refusal, refuse};
use super::{connection, reached};
use crate::observe::LogThrottle;
use crate::server::call::peer_origin::PeerOrigin;
use crate::server::call::trust::Peer;
use crate::server::inner::ServerInner;
use crate::server::memory::PeerMemory;
use crate::server::process::lifecycle::Phase;
use crate::server::transport::listen::settings::ListenerSettings;

/// The first byte of a TLS connection: the type of a record with a handshake.
const HANDSHAKE: u8 = 0x16;

/// Connections without a valid header of the PROXY protocol.
static NO_PROXY_HEADER: LogThrottle = LogThrottle::new();

/// The bytes of a connection, whose type is not known.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<I: AsyncRead + AsyncWrite + Unpin + Send> Stream for I {}

/// Serves a connection of a listener to its end.
pub(super) async fn serve<I>(
    io: I,
    inner: Arc<ServerInner>,
    settings: Arc<ListenerSettings>,
    origin: PeerOrigin,
    memory: Arc<PeerMemory>,
    phase: watch::Receiver<Phase>,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limit = inner.limits().first_byte_timeout;
    if settings.is_plain() {
        let peer = settings.peer(origin, None);
        return connection::serve(io, inner, peer, memory, phase, limit).await;
    }
    // Boxed, so that the future of other connections does not reserve memory for it.
    Box::pin(serve_opened(io, inner, settings, origin, memory, phase)).await;
}

async fn serve_opened<I>(
    io: I,
    inner: Arc<ServerInner>,
    settings: Arc<ListenerSettings>,
    origin: PeerOrigin,
    memory: Arc<PeerMemory>,
    mut phase: watch::Receiver<Phase>,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limit = inner.limits().first_byte_timeout;
    let started = Instant::now();
    let opened = tokio::select! {
        biased;
        opened = timeout(limit, open(io, &inner, &settings, origin)) => opened,
        () = reached(&mut phase, Phase::Closing) => return,
    };
    match opened {
        Ok(Some((io, peer))) => {
            let left = limit.saturating_sub(started.elapsed());
            connection::serve(io, inner, peer, memory, phase, left).await;
        }
        Ok(None) => {}
        Err(_) => {
            tracing::debug!(target: "rpc", ?origin, "connection closed: its TLS handshake or PROXY header was not complete within `first_byte_timeout`");
        }
    }
}

/// Reads what precedes HTTP. `None` if the connection is not served.
async fn open<I>(
    io: I,
    inner: &ServerInner,
    settings: &ListenerSettings,
    mut origin: PeerOrigin,
) -> Option<(Box<dyn Stream>, Peer)>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut io = Prefixed::new(io);
    if settings.proxy_protocol {
        origin = read_proxy_header(&mut io, inner, origin).await?;
    }
    let Some(tls) = &settings.tls else {
        return Some((Box::new(io), settings.peer(origin, None)));
    };
    let first = match io.first().await {
        Ok(first) => first?,
        Err(error) => {
            tracing::debug!(target: "rpc", %error, "a connection failed before its TLS handshake");
            return None;
        }
    };
    if first != HANDSHAKE {
        tracing::debug!(target: "rpc", ?origin, "a connection to a TLS listener does not begin with a TLS handshake");
        // The first letter of an HTTP method, or of the preface of HTTP/2.
        if first.is_ascii_uppercase() {
            refuse(io, Refusal::NeedsTls, inner.peers().metrics()).await;
        }
        return None;
    }
    let address = origin.address();
    let opened = async {
        let stream = tls.accept(io).await?;
        let certificate = tls.peer_certificate(&stream)?;
        io::Result::Ok((stream, certificate))
    };
    match opened.await {
        Ok((stream, certificate)) => Some((Box::new(stream), settings.peer(origin, certificate))),
        Err(error) => {
            tls.failed(address, &error);
            None
        }
    }
}

/// Reads the header of the PROXY protocol, and returns the origin that it states. `None` if the
/// connection is not served.
async fn read_proxy_header<I: AsyncRead + Unpin>(
    io: &mut Prefixed<I>,
    inner: &ServerInner,
    origin: PeerOrigin,
) -> Option<PeerOrigin> {
    let sender = origin.address();
    let header = match sender {
        Some(sender) if !inner.is_trusted_proxy(sender.ip()) => {
            Err("the peer is not a trusted proxy".to_owned())
        }
        _ => io.proxy_header().await,
    };
    match header {
        // A connection of the load balancer itself gets no trust from its address either.
        Ok(client) => Some(origin.behind_proxy(client)),
        Err(reason) => {
            if let Some(count) = NO_PROXY_HEADER.record() {
                let peer = sender.map(tracing::field::display::<SocketAddr>);
                tracing::warn!(target: "rpc", peer, reason, count, "connection without a header of the PROXY protocol closed; `count` so far");
            }
            None
        }
    }
}

/// A connection that replays its first bytes.
#[derive(Debug)]
struct Prefixed<I> {
    prefix: BytesMut,
    inner: I,
}

impl<I> Prefixed<I> {
    fn new(inner: I) -> Self {
        Self {
            prefix: BytesMut::new(),
            inner,
        }
    }
}

impl<I: AsyncRead + Unpin> Prefixed<I> {
    /// Returns the first byte, which stays unread. `None` at the end of the connection.
    async fn first(&mut self) -> io::Result<Option<u8>> {
        if self.prefix.is_empty() {
            self.fill().await?;
        }
        Ok(self.prefix.first().copied())
    }

    /// Reads more of the first bytes. Returns their number.
    async fn fill(&mut self) -> io::Result<usize> {
        self.prefix.reserve(MAX_HEADER);
        self.inner.read_buf(&mut self.prefix).await
    }

    /// Reads the header of the PROXY protocol, and returns the address of the client.
    async fn proxy_header(&mut self) -> Result<Option<SocketAddr>, String> {
        loop {
            if let Some(header) = proxy_header::parse(&self.prefix)? {
                self.prefix.advance(header.length);
                return Ok(header.client);
            }
            match self.fill().await {
                Ok(1..) => {}
                Ok(0) => return Err("the connection ended in the header".to_owned()),
                Err(error) => return Err(error.to_string()),
            }
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Prefixed<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.prefix.is_empty() {
            return Pin::new(&mut self.inner).poll_read(cx, buffer);
        }
        let length = self.prefix.len().min(buffer.remaining());
        buffer.put_slice(&self.prefix.split_to(length));
        if self.prefix.is_empty() {
            // Frees the memory.
            self.prefix = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Prefixed<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

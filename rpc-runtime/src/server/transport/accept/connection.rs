//! One connection from its first byte to its end.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{self, Poll};

use bytes::Bytes;
use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::timeout;

use super::activity::{Activity, CallGuard};
use super::drive::{ConnectionEnd, drive, linger};
use super::io::{Io, Protocol, Sniffed, sniff};
use super::reached;
use crate::context::Context;
use crate::server::call::body::{Aborted, ResponseBody};
use crate::server::call::dispatch::dispatch;
use crate::server::call::trust::Peer;
use crate::server::inner::ServerInner;
use crate::server::limits::Limits;
use crate::server::process::lifecycle::Phase;

/// The most that HTTP/1 holds of a head, in bytes, unless the limits allow larger heads. Enough to read a path of
/// 64 KiB and answer it with 414, little enough to hold for every connection.
const HEAD_BUFFER: usize = 80 << 10;

/// How many headers hyper reads without a list on the heap for each request.
const HEADERS_INLINE: usize = 100;

/// What HTTP/2 may do on one connection.
mod http2_limits {
    use std::time::Duration;

    /// Calls at one time.
    pub(super) const STREAMS: u32 = 256;
    /// Streams that the peer has reset before we looked at them; more is an attack (CVE-2023-44487).
    pub(super) const PENDING_RESETS: usize = 20;
    /// Streams that we have reset for the peer's mistakes.
    pub(super) const LOCAL_RESETS: usize = 128;
    /// What is kept of an answer whose reader is slow, in bytes a call.
    pub(super) const SEND_BUFFER: usize = 64 << 10;
    /// How often a silent peer is asked whether it is there, and how long it has to say so.
    pub(super) const PING: Duration = Duration::from_secs(20);
    pub(super) const PING_TIMEOUT: Duration = Duration::from_secs(10);
    /// What a header counts beside its name and value. Source: RFC 9113, section 6.5.2.
    pub(super) const HEADER_OVERHEAD: usize = 32;
}

/// Serves a connection to its end.
pub(super) async fn serve<I>(
    mut io: I,
    inner: Arc<ServerInner>,
    peer: Peer,
    mut phase: watch::Receiver<Phase>,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = inner.limits();
    let start = tokio::select! {
        // Nothing has been asked yet, so nothing is lost.
        () = reached(&mut phase, Phase::Closing) => return,
        start = timeout(limits.first_byte_timeout, sniff(&mut io)) => start,
    };
    let start = match start {
        Ok(Ok(Some(start))) => start,
        Ok(Ok(None)) => return,
        Ok(Err(error)) => {
            return tracing::debug!(target: "rpc", %error, "a connection broke before a request");
        }
        Err(_) => {
            return tracing::debug!(target: "rpc", ?peer, "a connection that said nothing was closed");
        }
    };
    let ended = match start.protocol {
        Protocol::Http1 => serve_http1(io, start, inner, peer, phase).await,
        // Boxed, so that a connection of HTTP/1 has no room for it.
        Protocol::Http2 => Box::pin(serve_http2(io, start, inner, peer, phase)).await,
    };
    if let Err(error) = ended {
        // The peer's mistakes and its going away; what a call has to say was said in its answer.
        tracing::debug!(target: "rpc", ?peer, %error, "a connection ended early");
    }
}

async fn serve_http1<I>(
    io: I,
    start: Sniffed,
    inner: Arc<ServerInner>,
    peer: Peer,
    mut phase: watch::Receiver<Phase>,
) -> hyper::Result<()>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = inner.limits();
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // The watchdog does this, see `activity`.
        .header_read_timeout(None)
        .max_buf_size(head_size(limits).max(HEAD_BUFFER));
    if limits.header_count != HEADERS_INLINE {
        builder.max_headers(limits.header_count);
    }
    let activity = Arc::new(Activity::new(limits, Protocol::Http1));
    let io = TokioIo::new(Io::new(io, start, activity.clone()));
    let service = {
        let activity = activity.clone();
        service_fn(move |request| answer(inner.clone(), peer, activity.call(), request))
    };
    let mut connection = builder.serve_connection(io, service);
    // Closing them earlier would meet a request that is on its way; until then answers say that they are the last.
    let closing = reached(&mut phase, Phase::Closing);
    let ended = drive(Pin::new(&mut connection), activity.clone(), closing).await;
    let unread = match &ended {
        Ok(ConnectionEnd::ByItself) => activity.has_unread(),
        Ok(ConnectionEnd::TimedOut) => false,
        // hyper has said what it thinks of these bytes, and nobody will read the next ones.
        Err(error) => error.is_parse(),
    };
    if unread {
        linger(connection.into_parts().io.into_inner().into_inner()).await;
    }
    ended.map(drop)
}

async fn serve_http2<I>(
    io: I,
    start: Sniffed,
    inner: Arc<ServerInner>,
    peer: Peer,
    mut phase: watch::Receiver<Phase>,
) -> hyper::Result<()>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = inner.limits();
    let header_list = head_size(limits) + http2_limits::HEADER_OVERHEAD * limits.header_count;
    // hyper spawns a task a stream here: the calls of one connection may use all cores.
    let mut builder = http2::Builder::new(InContext(Context::current()));
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(http2_limits::STREAMS)
        .max_pending_accept_reset_streams(http2_limits::PENDING_RESETS)
        .max_local_error_reset_streams(http2_limits::LOCAL_RESETS)
        .max_send_buf_size(http2_limits::SEND_BUFFER)
        .max_header_list_size(u32::try_from(header_list).unwrap_or(u32::MAX))
        .keep_alive_interval(http2_limits::PING)
        .keep_alive_timeout(http2_limits::PING_TIMEOUT);
    let activity = Arc::new(Activity::new(limits, Protocol::Http2));
    let io = TokioIo::new(Io::new(io, start, activity.clone()));
    let service = {
        let activity = activity.clone();
        service_fn(move |request| answer(inner.clone(), peer, activity.call(), request))
    };
    // HTTP/2 can say which requests it has taken, so nothing is lost.
    let last_call = reached(&mut phase, Phase::GoingAway);
    let connection = pin!(builder.serve_connection(io, service));
    drive(connection, activity, last_call).await?;
    Ok(())
}

/// Spawns what a connection spawns within the context of the server.
#[derive(Clone)]
struct InContext(Context);

impl<F> Executor<F> for InContext
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, work: F) {
        tokio::spawn(self.0.clone().scope(work));
    }
}

/// The largest head that the limits let through: one step more, so that we and not hyper answer what is just too large.
fn head_size(limits: &Limits) -> usize {
    const ONE_STEP: usize = 8 << 10;
    limits.path_bytes + limits.header_bytes + ONE_STEP
}

async fn answer(
    inner: Arc<ServerInner>,
    peer: Peer,
    call: CallGuard,
    request: Request<Incoming>,
) -> Result<Response<GuardedBody>, Aborted> {
    let http1 = request.version() < Version::HTTP_2;
    let mut response = dispatch(&inner, peer, request).await;
    if let Some(lost) = response.extensions().get::<Aborted>() {
        // Ends an HTTP/1 connection without an answer, and resets a stream of HTTP/2.
        return Err(*lost);
    }
    if http1 && inner.lifecycle().is_at_least(Phase::GoingAway) {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    if response.headers().contains_key(CONNECTION) {
        call.activity().left_unread();
    }
    Ok(response.map(|body| GuardedBody { body, _call: call }))
}

/// The body of an answer; the call runs until it is sent or dropped.
struct GuardedBody {
    body: ResponseBody,
    _call: CallGuard,
}

impl Body for GuardedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

//! Serves one connection from its first byte to its end.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING};
use http::{Method, Request, Response, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::timeout;

use super::activity::{Activity, CallGuard, Protocol};
use super::drive::{ConnectionEnd, drive, linger};
use super::head_gate::MAX_HEADS;
use super::io::{Io, sniff};
use super::raw_head::{head_buffer, head_size};
use super::reached;
use super::unsent::PART;
use crate::context::Context;
use crate::server::call::body::{Aborted, ResponseBody};
use crate::server::call::dispatch::{TwoLengths, dispatch, refuse_late};
use crate::server::call::lingering_body::LeftUnread;
use crate::server::call::trust::Peer;
use crate::server::inner::ServerInner;
use crate::server::limits::MAX_HEADERS;
use crate::server::memory::PeerMemory;
use crate::server::process::lifecycle::Phase;

/// Number of headers that hyper parses without a heap allocation for each request.
const HEADERS_INLINE: usize = 100;

/// Limits of one HTTP/2 connection.
mod http2_limits {
    use std::time::Duration;

    /// Maximum number of concurrent calls.
    pub(super) const STREAMS: u32 = 256;
    /// Maximum number of streams that the peer reset before they were accepted. More indicate an
    /// attack (CVE-2023-44487), unless the peer is trusted, see `head_gate`.
    pub(super) const PENDING_RESETS: usize = super::MAX_HEADS;
    /// Maximum number of streams that the server reset because of the peer's protocol errors
    /// (CVE-2025-8671).
    pub(super) const LOCAL_RESETS: usize = 128;
    /// Bytes of bodies that the server receives before they are read, in all streams together. They
    /// are not counted as memory for messages.
    pub(super) const WINDOW: u32 = 256 << 10;
    /// Maximum size of the send buffer of a call, in bytes. It fills when the peer reads slowly.
    pub(super) const SEND_BUFFER: usize = 64 << 10;
    /// Interval of the pings that are sent to a silent peer.
    pub(super) const PING: Duration = Duration::from_secs(20);
    /// Time within which the peer must acknowledge a ping.
    pub(super) const PING_TIMEOUT: Duration = Duration::from_secs(10);
    /// Bytes that each header counts in addition to its name and value. Source: RFC 9113, section
    /// 6.5.2.
    pub(super) const HEADER_OVERHEAD: usize = 32;
}

/// Detects the protocol of a connection and serves it to its end. `first_byte_timeout` is what is
/// left of that of the server.
pub(super) async fn serve<I>(
    mut io: I,
    inner: Arc<ServerInner>,
    peer: Peer,
    memory: Arc<PeerMemory>,
    mut phase: watch::Receiver<Phase>,
    first_byte_timeout: Duration,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = inner.limits();
    let start = tokio::select! {
        biased;
        // First, because a request that has arrived is served.
        start = timeout(first_byte_timeout, sniff(&mut io)) => start,
        () = reached(&mut phase, Phase::Closing) => return,
    };
    let start = match start {
        Ok(Ok(Some(start))) => start,
        Ok(Ok(None)) => return,
        Ok(Err(error)) => {
            return tracing::debug!(target: "rpc", %error, "a connection failed before its first request");
        }
        Err(_) => {
            return tracing::debug!(target: "rpc", ?peer, "connection closed: its protocol was not known within `first_byte_timeout`");
        }
    };
    let cors = inner.cors(&peer).cloned();
    let mut activity = Activity::new(limits, start.protocol, memory).with_cors(cors);
    if start.protocol == Protocol::Http2 && peer.may_be_trusted() {
        activity = activity.with_head_gate();
    }
    let activity = Arc::new(activity);
    let io = TokioIo::new(Io::new(io, start, activity.clone()));
    let ended = match activity.protocol() {
        Protocol::Http1 => serve_http1(io, activity, inner, &peer, phase).await,
        // Boxed, so that the future of an HTTP/1 connection does not reserve memory for it.
        Protocol::Http2 => Box::pin(serve_http2(io, activity, inner, &peer, phase)).await,
    };
    if let Err(error) = ended {
        // The peer violated the protocol or disconnected. Errors of calls were sent in their
        // responses.
        tracing::debug!(target: "rpc", ?peer, %error, "a connection ended early");
    }
}

async fn serve_http1<I>(
    io: TokioIo<Io<I>>,
    activity: Arc<Activity>,
    inner: Arc<ServerInner>,
    peer: &Peer,
    mut phase: watch::Receiver<Phase>,
) -> hyper::Result<()>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = inner.limits();
    let metrics = Arc::clone(inner.peers().metrics());
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // `ConnectionTimer` enforces the header timeout.
        .header_read_timeout(None)
        .max_buf_size(head_buffer(limits));
    if limits.header_count != HEADERS_INLINE {
        builder.max_headers(limits.header_count.min(MAX_HEADERS));
    }
    let service = {
        let (activity, peer) = (activity.clone(), peer.clone());
        service_fn(move |request: Request<Incoming>| {
            let call = activity.call(request.body().size_hint().exact());
            respond(inner.clone(), peer.clone(), call, request)
        })
    };
    let mut connection = builder.serve_connection(io, service);
    // A request may be in transit on an idle connection, so it is closed only in this phase. From
    // `GoingAway` on, responses carry `Connection: close`.
    let closing = reached(&mut phase, Phase::Closing);
    let ended = drive(
        Pin::new(&mut connection),
        activity.clone(),
        closing,
        &metrics,
    )
    .await;
    let unread = match &ended {
        Ok(ConnectionEnd::ByItself) => activity.has_unread(),
        Ok(ConnectionEnd::TimedOut) => false,
        // hyper has responded to the invalid bytes, and does not read the rest.
        Err(error) => error.is_parse(),
    };
    if unread {
        linger(connection.into_parts().io.into_inner().into_inner()).await;
    }
    ended.map(drop)
}

async fn serve_http2<I>(
    io: TokioIo<Io<I>>,
    activity: Arc<Activity>,
    inner: Arc<ServerInner>,
    peer: &Peer,
    mut phase: watch::Receiver<Phase>,
) -> hyper::Result<()>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = inner.limits();
    let metrics = Arc::clone(inner.peers().metrics());
    let overhead = http2_limits::HEADER_OVERHEAD * limits.header_count.min(MAX_HEADERS);
    let header_list = head_size(limits).saturating_add(overhead);
    // hyper spawns one task per stream: the calls of one connection may use all cores.
    let mut builder = http2::Builder::new(InContext(Context::current()));
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(http2_limits::STREAMS)
        .max_pending_accept_reset_streams(http2_limits::PENDING_RESETS)
        .max_local_error_reset_streams(http2_limits::LOCAL_RESETS)
        .initial_connection_window_size(http2_limits::WINDOW)
        .initial_stream_window_size(http2_limits::WINDOW)
        .max_send_buf_size(http2_limits::SEND_BUFFER)
        .max_header_list_size(u32::try_from(header_list).unwrap_or(u32::MAX))
        .keep_alive_interval(http2_limits::PING)
        .keep_alive_timeout(http2_limits::PING_TIMEOUT);
    let service = {
        let (activity, peer) = (activity.clone(), peer.clone());
        service_fn(move |request| {
            respond(inner.clone(), peer.clone(), activity.call(None), request)
        })
    };
    // GOAWAY states which requests were accepted, so none is lost.
    let last_call = reached(&mut phase, Phase::GoingAway);
    let connection = pin!(builder.serve_connection(io, service));
    drive(connection, activity, last_call, &metrics).await?;
    Ok(())
}

/// Executor that runs the tasks of a connection in the context of the server.
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

async fn respond(
    inner: Arc<ServerInner>,
    peer: Peer,
    mut call: CallGuard,
    mut request: Request<Incoming>,
) -> Result<Response<GuardedBody>, Aborted> {
    let http1 = request.version() < Version::HTTP_2;
    if http1 && request.headers().contains_key(TRANSFER_ENCODING) && call.has_two_lengths() {
        request.extensions_mut().insert(TwoLengths);
    }
    // HTTP/1 omits the body by itself.
    let omits_body = !http1 && request.method() == Method::HEAD;
    let mut response = if call.is_late() {
        Box::pin(refuse_late(&inner, request)).await
    } else {
        let identified = |is_trusted| call.identified(is_trusted);
        dispatch(&inner, &peer, call.activity().memory(), request, identified).await
    };
    call.responded();
    if let Some(aborted) = response.extensions().get::<Aborted>() {
        // Closes an HTTP/1 connection without a response, and resets an HTTP/2 stream.
        return Err(*aborted);
    }
    if http1 && inner.lifecycle().is_at_least(Phase::GoingAway) {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    if response.headers().contains_key(CONNECTION)
        || response.extensions().get::<LeftUnread>().is_some()
    {
        call.activity().left_unread();
    }
    if omits_body {
        response = without_body(response);
    }
    call.sending();
    Ok(response.map(|body| GuardedBody {
        body,
        call,
        rest: Bytes::new(),
    }))
}

/// Returns the response to a `HEAD` request: the head of a response with its body's length.
fn without_body(mut response: Response<ResponseBody>) -> Response<ResponseBody> {
    let has_length = !matches!(
        response.status(),
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
    );
    if has_length && let Some(length) = response.body().size_hint().exact() {
        let headers = response.headers_mut();
        headers.entry(CONTENT_LENGTH).or_insert(length.into());
    }
    response.map(|_| ResponseBody::full(Bytes::new()))
}

/// Response body that keeps its call counted as running until it is sent or dropped.
struct GuardedBody {
    body: ResponseBody,
    call: CallGuard,
    /// The rest of a frame that is sent in parts.
    rest: Bytes,
}

impl GuardedBody {
    /// Returns the next part of the response. In HTTP/1, where a blocked write shows a peer that
    /// does not read, the whole frame is one part.
    fn next_part(&mut self, mut data: Bytes) -> Bytes {
        if self.call.activity().protocol() == Protocol::Http2 && data.len() > PART {
            self.rest = data.split_off(PART);
        }
        if self.is_end_stream() {
            self.call.sending_last(data)
        } else {
            self.call.sending();
            data
        }
    }
}

impl Body for GuardedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if !self.rest.is_empty() {
            let rest = std::mem::take(&mut self.rest);
            return Poll::Ready(Some(Ok(Frame::data(self.next_part(rest)))));
        }
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        let frame = match polled {
            Poll::Pending => {
                self.call.producing();
                return Poll::Pending;
            }
            Poll::Ready(Some(Ok(frame))) => frame,
            Poll::Ready(end) => return Poll::Ready(end),
        };
        let frame = match frame.into_data() {
            Ok(data) => Frame::data(self.next_part(data)),
            Err(trailers) => trailers,
        };
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        // Asked for before the first part.
        self.body.size_hint()
    }
}

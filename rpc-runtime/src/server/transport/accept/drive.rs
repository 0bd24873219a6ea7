//! Runs a hyper connection, and closes it without losing its last response.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::timeout;

use super::activity::{Activity, ConnectionTimer};
use crate::observe::ConnectionMetrics;

/// Time for the graceful close of a connection that reached a timeout.
const GRACEFUL_CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Time for which [`linger`] keeps reading.
const LINGER_TIME: Duration = Duration::from_secs(1);
/// Number of bytes after which [`linger`] stops reading.
const LINGER_BYTES: usize = 8 << 20;

/// The way in which a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConnectionEnd {
    /// The connection completed, including a graceful close after a timeout.
    ByItself,
    /// The peer did not complete the graceful close in time.
    TimedOut,
}

/// An HTTP/1 or HTTP/2 connection of hyper.
pub(super) trait HttpConnection: Future<Output = hyper::Result<()>> {
    /// Starts a graceful shutdown: running calls finish, new ones are not accepted.
    fn finish(self: Pin<&mut Self>);
}

impl<I, S> HttpConnection for http1::Connection<I, S>
where
    Self: Future<Output = hyper::Result<()>>,
    S: hyper::service::HttpService<Incoming>,
    S::ResBody: 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    <S::ResBody as Body>::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<I, S, E> HttpConnection for http2::Connection<I, S, E>
where
    Self: Future<Output = hyper::Result<()>>,
    S: hyper::service::HttpService<Incoming>,
    S::ResBody: 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    <S::ResBody as Body>::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    E: hyper::rt::bounds::Http2ServerConnExec<S::Future, S::ResBody>,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// Runs a connection until it ends or its timer elapses. After `stop` completes, shuts it down
/// gracefully. `metrics` count a peer that does not take a response.
pub(super) async fn drive<C: HttpConnection>(
    mut connection: Pin<&mut C>,
    activity: Arc<Activity>,
    stop: impl Future<Output = ()>,
    metrics: &ConnectionMetrics,
) -> hyper::Result<ConnectionEnd> {
    let mut timer = ConnectionTimer::new(Arc::clone(&activity));
    let mut stop = pin!(stop);
    let mut stopping = false;
    let ended = poll_fn(|cx| {
        activity.polled();
        if !stopping && stop.as_mut().poll(cx).is_ready() {
            // Reads a request that has already arrived. An idle connection is closed without
            // reading.
            if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                return Poll::Ready(Some(ended));
            }
            stopping = true;
            activity.stopping();
            connection.as_mut().finish();
        }
        if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
            return Poll::Ready(Some(ended));
        }
        ready!(timer.poll(cx));
        Poll::Ready(None)
    })
    .await;
    if let Some(ended) = ended {
        return ended.map(|()| ConnectionEnd::ByItself);
    }
    if stopping {
        // The graceful close has begun `INCOMPLETE_TIMEOUT` ago.
        return Ok(ConnectionEnd::TimedOut);
    }
    // An idle peer is notified by a graceful close, so that it does not see a failure. A blocked
    // peer gets only `GRACEFUL_CLOSE_TIMEOUT`.
    connection.as_mut().finish();
    if activity.has_unread_response() {
        metrics.untaken();
        let others = end_other_calls(connection.as_mut(), &activity);
        if let Ok(Some(ended)) = timeout(activity.drain_timeout(), others).await {
            return ended.map(|()| ConnectionEnd::ByItself);
        }
    }
    let closing = poll_fn(|cx| {
        activity.polled();
        connection.as_mut().poll(cx)
    });
    match timeout(GRACEFUL_CLOSE_TIMEOUT, closing).await {
        Ok(ended) => ended.map(|()| ConnectionEnd::ByItself),
        Err(_) => Ok(ConnectionEnd::TimedOut),
    }
}

/// Runs a connection until it ends, or all of its calls wait for the peer.
async fn end_other_calls<C: HttpConnection>(
    mut connection: Pin<&mut C>,
    activity: &Activity,
) -> Option<hyper::Result<()>> {
    poll_fn(|cx| {
        activity.polled();
        match connection.as_mut().poll(cx) {
            Poll::Ready(ended) => Poll::Ready(Some(ended)),
            Poll::Pending if activity.other_calls() == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Discards the rest of a request whose response was sent before it was read completely. If the
/// connection were closed with unread bytes, the system would send a reset, and the peer would lose
/// the response.
pub(super) async fn linger(mut io: impl AsyncRead + Unpin) {
    let reading = async {
        let mut scratch = vec![0; 16 << 10];
        let mut remaining = LINGER_BYTES;
        while let Ok(read @ 1..) = io.read(&mut scratch).await {
            match remaining.checked_sub(read) {
                Some(left) => remaining = left,
                None => return,
            }
        }
    };
    // A peer that writes for longer than that may lose the response.
    drop(timeout(LINGER_TIME, reading).await);
}

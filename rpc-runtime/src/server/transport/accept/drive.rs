//! Running a connection of hyper, and ending it so that its last answer arrives.

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

/// How long a connection that has waited too long may take to end in order.
const GRACEFUL_CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// How long, and for how many bytes, a connection that was answered in the middle of a request is kept open.
const LINGER_TIME: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 8 << 20;

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConnectionEnd {
    ByItself,
    /// The peer made us wait too long.
    TimedOut,
}

/// The two kinds of connections of hyper.
pub(super) trait Connection: Future<Output = hyper::Result<()>> {
    /// Finishes what runs, and takes no more.
    fn finish(self: Pin<&mut Self>);
}

impl<I, S> Connection for http1::Connection<I, S>
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

impl<I, S, E> Connection for http2::Connection<I, S, E>
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

/// Runs a connection until it ends, its timer rings, or, once `stop` is done, its calls are.
pub(super) async fn drive<C: Connection>(
    mut connection: Pin<&mut C>,
    activity: Arc<Activity>,
    stop: impl Future<Output = ()>,
) -> hyper::Result<ConnectionEnd> {
    let mut timer = ConnectionTimer::new(activity);
    let mut stop = pin!(stop);
    let mut stopping = false;
    let ended = poll_fn(|cx| {
        if !stopping && stop.as_mut().poll(cx).is_ready() {
            stopping = true;
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
    // A peer that only idles is told, so that it does not take the end for a failure. One that is stuck is not waited
    // for again.
    connection.as_mut().finish();
    match timeout(GRACEFUL_CLOSE_TIMEOUT, connection).await {
        Ok(ended) => ended.map(|()| ConnectionEnd::ByItself),
        Err(_) => Ok(ConnectionEnd::TimedOut),
    }
}

/// Reads on for a moment after an answer that came in the middle of a request. Closed at once, with bytes unread, the
/// system would send a reset, which makes the peer throw our answer away unread.
pub(super) async fn linger(mut io: impl AsyncRead + Unpin) {
    let reading = async {
        let mut scratch = vec![0; 16 << 10];
        let mut room = LINGER_BYTES;
        while let Ok(read @ 1..) = io.read(&mut scratch).await {
            match room.checked_sub(read) {
                Some(left) => room = left,
                None => return,
            }
        }
    };
    // Whoever goes on writing for longer than that loses the answer, which is all that is at stake.
    drop(timeout(LINGER_TIME, reading).await);
}

//! One HTTP/2 connection: its handshake, the task that drives it, and keep-alive.

use std::error::Error as StdError;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ::http::Uri;
use bytes::Bytes;
use h2::client::{self, SendRequest};
use h2::{Ping, PingPong};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until, timeout};
use tower_service::Service;

use super::Connector;
use super::origin::{ConnectError, Origin};
use crate::client::transport::limits::{HANDSHAKE_TIMEOUT, HEADER_LIST_BYTES, POOL_IDLE};
use crate::client::transport::tls;

/// The time without a response after which a connection with waiting calls is pinged.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(5);

/// The time within which a server must respond to a ping.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// The number of calls in a row that reach their deadline without a response, after which a
/// connection gets no more calls. A server may answer pings while the calls behind it are stuck,
/// for example in a proxy.
const MAX_DEADLINES: u32 = 3;

/// The flow control windows for responses, of a stream and of a connection. They are those of
/// hyper's client.
const STREAM_WINDOW: u32 = 2 << 20;
const CONNECTION_WINDOW: u32 = 5 << 20;

/// The number of canceled calls whose late responses are ignored. `h2` does so for a second; it
/// forgets those above this number, and resets the stream of each frame that arrives for them.
const CANCELED_STREAMS: usize = 4096;

/// The number of such resets after which `h2` ends the connection, to protect itself from a server
/// that sends invalid frames. It never forgets one.
const LOCAL_RESETS: usize = 16_384;

/// A connection that is open.
#[derive(Debug)]
pub(super) struct Connection {
    requests: SendRequest<Bytes>,
    health: Arc<Health>,
}

/// The state of a connection that its calls and its task share.
#[derive(Debug)]
pub(super) struct Health {
    /// The number of streams in use.
    active: AtomicUsize,
    /// Whether the connection takes no more calls.
    left: AtomicBool,
    /// The time to which the others are relative, in microseconds.
    opened: Instant,
    /// The time at which the first of the calls that wait was started.
    waiting_since: AtomicU64,
    /// The time at which something of a response has arrived.
    received: AtomicU64,
    /// The number of calls in a row that reached their deadline without a response.
    deadlines: AtomicU32,
    /// The reason why this side has closed the connection.
    failure: OnceLock<String>,
}

/// A stream of a connection, taken for a call.
#[derive(Debug)]
pub(super) struct Lease {
    connection: Arc<Connection>,
    origin: Arc<Origin>,
    responded: bool,
    deadline: Option<Instant>,
}

impl Lease {
    /// Takes a stream, unless all are in use or the connection takes no more calls.
    pub(super) fn take(connection: &Arc<Connection>, origin: &Arc<Origin>) -> Option<Self> {
        let health = &connection.health;
        if health.is_left() {
            return None;
        }
        // Where the server allows no stream for the moment, one call waits, see `exchange`.
        let max = connection.max_streams().max(1);
        // Callers hold the lock of the origin, so the number cannot grow in between.
        if health.active.load(Ordering::SeqCst) >= max {
            return None;
        }
        if health.active.fetch_add(1, Ordering::SeqCst) == 0 {
            health.waiting_since.store(health.now(), Ordering::Relaxed);
        }
        Some(Self {
            connection: Arc::clone(connection),
            origin: Arc::clone(origin),
            responded: false,
            deadline: None,
        })
    }

    /// Returns the sender of one request.
    pub(super) fn requests(&self) -> SendRequest<Bytes> {
        self.connection.requests.clone()
    }

    pub(super) fn health(&self) -> &Arc<Health> {
        &self.connection.health
    }

    /// Sets the deadline of the call.
    pub(super) fn expires(&mut self, deadline: Option<std::time::Instant>) {
        self.deadline = deadline.map(Instant::from_std);
    }

    /// Records the head of the response.
    pub(super) fn responded(&mut self) {
        self.responded = true;
        self.health().received();
        self.health().deadlines.store(0, Ordering::Relaxed);
    }

    /// Gives no more calls to the connection.
    pub(super) fn leave(&self) {
        self.origin.leave(self.health());
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let health = self.health();
        // Ordered before the look at the queue in `stream_ended`: a call that enters it looks at
        // the streams afterwards.
        health.active.fetch_sub(1, Ordering::SeqCst);
        let expired = self.deadline.is_some_and(|end| end <= Instant::now());
        if expired && !self.responded {
            let deadlines = health.deadlines.fetch_add(1, Ordering::Relaxed) + 1;
            if deadlines >= MAX_DEADLINES && !health.is_left() {
                tracing::debug!(
                    target: "rpc",
                    address = %self.origin.authority(),
                    deadlines,
                    "left an HTTP/2 connection on which calls get no response"
                );
                self.leave();
            }
        }
        self.origin.stream_ended();
    }
}

impl Connection {
    pub(super) fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// Returns the number of streams that the server allows.
    pub(super) fn max_streams(&self) -> usize {
        self.requests.current_max_send_streams()
    }
}

impl Health {
    fn new() -> Self {
        Self {
            active: AtomicUsize::new(0),
            left: AtomicBool::new(false),
            opened: Instant::now(),
            waiting_since: AtomicU64::new(0),
            received: AtomicU64::new(0),
            deadlines: AtomicU32::new(0),
            failure: OnceLock::new(),
        }
    }

    /// Returns the time since the connection was opened, in microseconds.
    fn now(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Returns the time since which nothing has arrived, though a call waits if any is active.
    fn silent_since(&self) -> Instant {
        let waiting = self.waiting_since.load(Ordering::Relaxed);
        self.opened + Duration::from_micros(waiting.max(self.received.load(Ordering::Relaxed)))
    }

    /// Marks that the connection takes no more calls.
    pub(super) fn leave(&self) {
        self.left.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_left(&self) -> bool {
        self.left.load(Ordering::Relaxed)
    }

    /// Records that something of a response has arrived.
    pub(super) fn received(&self) {
        self.received.store(self.now(), Ordering::Relaxed);
    }

    /// Returns the reason why this side has closed the connection.
    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }
}

/// Opens a connection and starts its task. It is returned when the server has responded to the
/// handshake, so that its limit of streams is known, and a peer that does not use HTTP/2 gets no
/// request.
pub(super) async fn open(origin: &Arc<Origin>) -> Result<Arc<Connection>, ConnectError> {
    let uri = Uri::builder()
        .scheme("http")
        .authority(origin.authority().clone())
        .path_and_query("/")
        .build()
        .map_err(ConnectError::new)?;
    match origin.connector().clone() {
        Connector::Tcp(mut tcp) => {
            poll_fn(|cx| tcp.poll_ready(cx))
                .await
                .map_err(ConnectError::new)?;
            let io = tcp.call(uri).await.map_err(ConnectError::new)?;
            handshake(io.into_inner(), origin).await
        }
        Connector::Configured(configured) => {
            let io = configured.open_http2(origin.authority()).await;
            handshake(io.map_err(ConnectError::new)?, origin).await
        }
        #[cfg(unix)]
        Connector::Unix(mut unix) => {
            let io = unix.call(uri).await.map_err(ConnectError::new)?;
            handshake(io.into_inner(), origin).await
        }
    }
}

async fn handshake<T>(io: T, origin: &Arc<Origin>) -> Result<Arc<Connection>, ConnectError>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = async {
        let (requests, mut driver) = client::Builder::new()
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(HEADER_LIST_BYTES)
            .max_concurrent_reset_streams(CANCELED_STREAMS)
            .max_local_error_reset_streams(Some(LOCAL_RESETS))
            .handshake::<T, Bytes>(io)
            .await?;
        let mut pings = driver.ping_pong().ok_or("no ping is possible")?;
        // The settings of the server come before its response to a ping.
        tokio::select! {
            ended = &mut driver => {
                ended?;
                return Err("the server closed the connection".into());
            }
            pong = pings.ping(Ping::opaque()) => pong?,
        };
        Ok::<_, Box<dyn StdError + Send + Sync>>((requests, driver, pings))
    };
    let (requests, driver, pings) = match timeout(HANDSHAKE_TIMEOUT, handshake).await {
        Ok(opened) => opened.map_err(|error| ConnectError::new(handshake_failure(&*error)))?,
        Err(_) => {
            let text = format!("no response to the HTTP/2 handshake within {HANDSHAKE_TIMEOUT:?}");
            return Err(ConnectError::new(io::Error::new(ErrorKind::TimedOut, text)));
        }
    };
    let health = Arc::new(Health::new());
    let connection = Arc::new(Connection {
        requests,
        health: Arc::clone(&health),
    });
    tokio::spawn(drive(driver, pings, health, Arc::clone(origin)));
    Ok(connection)
}

/// Describes the failure of a handshake, which is often that of a server without HTTP/2: it
/// responds in HTTP/1 or closes.
fn handshake_failure(error: &(dyn StdError + Send + Sync + 'static)) -> String {
    let refused = error
        .downcast_ref::<h2::Error>()
        .is_some_and(|error| error.is_go_away() && error.is_remote());
    if refused {
        return format!("the server refused the connection: {error}");
    }
    tls::refusal(error).unwrap_or_else(|| {
        format!(
            "the HTTP/2 handshake failed: {error}; if the server speaks HTTP/1 only, do not use `Client::http2`; if it serves TLS, use a URL with `https://`"
        )
    })
}

/// Drives a connection until it ends.
async fn drive<T>(
    driver: client::Connection<T, Bytes>,
    pings: PingPong,
    health: Arc<Health>,
    origin: Arc<Origin>,
) where
    T: AsyncRead + AsyncWrite + Unpin,
{
    tokio::select! {
        ended = driver => {
            if let Err(error) = ended {
                tracing::debug!(target: "rpc", address = %origin.authority(), %error, "an HTTP/2 connection ended");
            }
        }
        () = watch(pings, &health, &origin) => {}
    }
    origin.ended(&health);
}

/// Watches a connection: pings it while calls wait and nothing arrives, and leaves it when it has
/// been idle for a while. Returns when the server does not respond to a ping; the connection is
/// then dropped, and the calls on it fail.
async fn watch(mut pings: PingPong, health: &Arc<Health>, origin: &Arc<Origin>) {
    let mut last_pong = health.opened;
    loop {
        let now = Instant::now();
        let silent_since = health.silent_since().max(last_pong);
        let mut next = now + KEEP_ALIVE_INTERVAL;
        if health.active.load(Ordering::Relaxed) > 0 {
            let due = silent_since + KEEP_ALIVE_INTERVAL;
            if due <= now {
                if !responds(&mut pings, health).await {
                    return;
                }
                last_pong = Instant::now();
                continue;
            }
            next = due;
        } else if health.silent_since() + POOL_IDLE <= now {
            // It ends by itself, because nothing can send requests on it any more.
            origin.leave(health);
        }
        sleep_until(next).await;
    }
}

/// Sends a ping. Returns `false` if nothing arrives in response.
async fn responds(pings: &mut PingPong, health: &Health) -> bool {
    let mut pong = pin!(pings.ping(Ping::opaque()));
    loop {
        let received = health.received.load(Ordering::Relaxed);
        match timeout(KEEP_ALIVE_TIMEOUT, &mut pong).await {
            // An error ends the connection, which its driver reports.
            Ok(_) => return true,
            // A response has overtaken the ping.
            Err(_) if health.received.load(Ordering::Relaxed) != received => {}
            Err(_) => {
                // There is one ping at a time, so it is set once.
                let _ = health.failure.set(format!(
                    "no response to a keep-alive ping within {KEEP_ALIVE_TIMEOUT:?}"
                ));
                return false;
            }
        }
    }
}

//! Resource limits of a server. Every limit has a default.

use std::time::{Duration, Instant};

use http::HeaderMap;

use crate::descriptor::MethodDescriptor;
use crate::duration::saturating_deadline;
use crate::error::{Code, Error, Result};

/// The size of the shortest message, `{}`.
const MIN_MESSAGE_BYTES: usize = 2;
/// The number of headers of the shortest call: `host`, `content-type` and `content-length`.
const MIN_HEADER_COUNT: usize = 3;
/// The size of these headers with a short host name, in bytes.
const MIN_HEADER_BYTES: usize = 64;
/// The memory that every short call needs while it waits for its body.
const MIN_BUFFERED_BYTES: usize = 16 << 10;
/// The size up to which a message does not count against `buffered_bytes`.
pub(super) const UNCOUNTED_BYTES: usize = 4 << 10;
/// The resolution of timers.
const MIN_TIMEOUT: Duration = Duration::from_millis(1);

/// The maximum number of headers of a request. A higher limit has no effect, because the header map
/// of the crate `http` cannot hold many more.
pub(super) const MAX_HEADERS: usize = 16_384;

/// Limits and timeouts of a server.
///
/// | field | default | effect when exceeded |
/// | --- | --- | --- |
/// | `message_bytes` | 4 MiB | `resource_exhausted`; applies to the decompressed message too |
/// | `buffered_bytes` | 256 MiB | `resource_exhausted`, with a retry delay; untrusted callers together have a half, each peer has an eighth |
/// | `header_bytes` | 32 KiB | HTTP 431 |
/// | `header_count` | 100 | HTTP 431 |
/// | `path_bytes` | 8 KiB | HTTP 414 |
/// | `first_byte_timeout` | 10 s | the connection is closed |
/// | `header_timeout` | 10 s | the connection is closed |
/// | `idle_timeout` | 60 s | the connection is closed |
/// | `body_timeout` | 30 s | `deadline_exceeded`, and the connection is closed |
/// | `connections` | 10,000 | new connections wait in the kernel's queue |
/// | `connections_per_peer` | 2,500 | new connections of that peer are refused: `unavailable`, not executed; above 64 at once, closed without a response |
/// | `running_calls` | 1,024 | new calls wait in a short queue; built-in methods, such as `Ping`, are not counted |
/// | `queued_calls` | 256 | `unavailable` immediately, with a retry delay |
/// | `queue_timeout` | 50 ms | `unavailable`, with a retry delay |
/// | `wrong_credentials_per_peer` | 60 in a minute | `resource_exhausted`, with a retry delay, for all calls of that peer with credentials |
/// | `default_deadline` | 30 s | `deadline_exceeded`; applies to calls without a deadline and without streams |
/// | `deadline_cap` | 5 min | later deadlines are reduced to this; not those of calls with streams |
/// | `stream_idle_timeout` | 5 min | `deadline_exceeded` for a stream without a message in either direction |
/// | `lame_duck` | 0 s; 500 ms after SIGTERM | not a limit: how long a stopping server keeps serving while it reports not ready |
/// | `stream_drain_timeout` | 5 s | streams of a stopping server end with `unavailable` and a retry delay |
/// | `drain_timeout` | 30 s | calls that are still running are dropped |
///
/// The limits are checked when the server starts: a value with which no call could be served is
/// `invalid_argument`, and the error names the field. The largest value of a type means no limit.
///
/// ```
/// use std::time::Duration;
///
/// use rpc_runtime::{Limits, Server};
///
/// let mut limits = Limits::default();
/// limits.message_bytes = 64 << 10;
/// limits.default_deadline = Duration::from_secs(2);
/// let server = Server::new("logsink").limits(limits);
/// # drop(server);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Maximum size of a message, in bytes, before and after decompression.
    pub message_bytes: usize,
    /// Maximum size of all messages in memory together, in bytes: of requests from their first
    /// bytes until the call ends, and of responses until they are written. Messages up to 4 KiB are
    /// not counted. A request that waits for its sender counts 8 KiB, its head and 128 bytes for
    /// each header. The body of a plain HTTP request counts piece by piece, until its route has
    /// dropped the piece.
    ///
    /// All callers without trust together get at most a half, and each peer, as counted by
    /// [`connections_per_peer`](Self::connections_per_peer), at most an eighth; but each share has
    /// room for one message of [`message_bytes`](Self::message_bytes). A request that does not fit
    /// is rejected before it runs. A call whose response does not fit fails after it ran.
    pub buffered_bytes: usize,
    /// Maximum size of the names and values of all headers of a request together, in bytes.
    pub header_bytes: usize,
    /// Maximum number of headers of a request. Values above 16,384 count as 16,384.
    pub header_count: usize,
    /// Maximum size of the path and query of a request, in bytes.
    pub path_bytes: usize,
    /// Time from accepting a connection until its first bytes show whether it uses HTTP/1 or
    /// HTTP/2.
    pub first_byte_timeout: Duration,
    /// Time from the first byte of an HTTP/1 request until its headers are complete.
    pub header_timeout: Duration,
    /// Time between two requests of a connection. Also the time within which a client must take the
    /// next 16 KiB of each response, or the rest of it. Otherwise its connection ends: other calls
    /// on an HTTP/2 connection have [`drain_timeout`](Self::drain_timeout) to end before.
    pub idle_timeout: Duration,
    /// Time for receiving the whole body of a request, however slowly its bytes arrive.
    pub body_timeout: Duration,
    /// Maximum number of open connections, over all listeners.
    pub connections: usize,
    /// Maximum number of open connections of one peer, over all TCP listeners. It prevents one peer
    /// from taking all `connections`. A peer is one IPv4 address, or one IPv6 /64, the usual
    /// allocation of a single customer. All connections of a proxy count as one peer. Unix sockets
    /// are not counted: the mode of the socket file controls who may connect.
    pub connections_per_peer: usize,
    /// Maximum number of running calls and plain HTTP requests, over all listeners. A call counts
    /// until its handler returns, its `detached` work is done and its response stream ends; a call
    /// with an idempotency key at the latest until its last caller leaves (as many of these may run
    /// on). A client that reads a response of one message slowly does not hold a permit, nor does
    /// one that sends the body of a plain request slowly.
    pub running_calls: usize,
    /// Maximum number of calls that wait for a running call to end, in order of arrival.
    pub queued_calls: usize,
    /// Maximum time that a call waits in this queue. A call whose deadline passes in the queue is
    /// not run.
    pub queue_timeout: Duration,
    /// Maximum number of wrong credentials of one peer in a minute, for servers with an
    /// authenticator ([`Server::authenticate`](crate::Server::authenticate)). The peer may send
    /// them at once, and regains one after another: of 60, one each second. Above it all its calls
    /// with credentials at edge listeners are refused, also with the right ones, except of built-in
    /// methods.
    ///
    /// A peer is what [`connections_per_peer`](Self::connections_per_peer) counts, but behind a
    /// trusted proxy ([`Server::trusted_proxies`](crate::Server::trusted_proxies)) it is the client
    /// of the proxy, and in a mounted router it is the [`PeerAddress`](crate::PeerAddress) of the
    /// request. Where the address is not known, on Unix sockets for example, the limit is for the
    /// wrong credentials of one user: all with the same user name of HTTP Basic, or with the same
    /// token. 10,000 peers are remembered; of more than that, those with the most wrong
    /// credentials.
    pub wrong_credentials_per_peer: usize,
    /// Deadline of a call that specifies none. A call with streams has none then, but
    /// [`stream_idle_timeout`](Self::stream_idle_timeout).
    pub default_deadline: Duration,
    /// Latest deadline that a call may specify. `#[rpc(timeout = …)]` overrides it for one method.
    pub deadline_cap: Duration,
    /// Maximum time between two messages of a call with streams, in either direction.
    pub stream_idle_timeout: Duration,
    /// Time for which a stopping server keeps serving while `/readyz` reports not ready, so that
    /// callers and load balancers can stop sending calls to it. Set it slightly above the probe's
    /// period times its failure threshold.
    ///
    /// While it is 0, [`Server::run`](crate::Server::run) uses 500 ms after SIGTERM, and none after
    /// Ctrl-C. The option `--lame-duck=0s` disables that.
    pub lame_duck: Duration,
    /// Time after which a stopping server ends its streams. They end with `unavailable`, and a
    /// client may open them again on another server. Counted as
    /// [`drain_timeout`](Self::drain_timeout) is.
    pub stream_drain_timeout: Duration,
    /// Time for which a stopping server waits for running calls. It waits for incomplete requests
    /// for 3 s of it.
    pub drain_timeout: Duration,
}

impl Limits {
    /// Checks that a server with these limits can serve a call. `longest_path` is the length of the
    /// longest path of its methods.
    ///
    /// # Errors
    ///
    /// `invalid_argument` with the name of the field.
    pub(crate) fn check(&self, longest_path: usize) -> Result<()> {
        // Without `..`, so that a new field is either checked or listed below.
        let Self {
            message_bytes,
            buffered_bytes,
            header_bytes,
            header_count,
            path_bytes,
            first_byte_timeout,
            header_timeout,
            idle_timeout,
            body_timeout,
            connections,
            connections_per_peer,
            running_calls,
            wrong_credentials_per_peer,
            default_deadline,
            deadline_cap,
            stream_idle_timeout,
            // 0 is valid: no queue, no wait, no lame duck, no drain.
            queued_calls: _,
            queue_timeout: _,
            lame_duck: _,
            stream_drain_timeout: _,
            drain_timeout: _,
        } = self;
        for (field, value, min) in [
            ("message_bytes", *message_bytes, MIN_MESSAGE_BYTES),
            ("buffered_bytes", *buffered_bytes, MIN_BUFFERED_BYTES),
            ("header_bytes", *header_bytes, MIN_HEADER_BYTES),
            ("header_count", *header_count, MIN_HEADER_COUNT),
            ("path_bytes", *path_bytes, longest_path),
            ("connections", *connections, 1),
            ("connections_per_peer", *connections_per_peer, 1),
            ("running_calls", *running_calls, 1),
            ("wrong_credentials_per_peer", *wrong_credentials_per_peer, 1),
        ] {
            if value < min {
                return Err(too_small(field, &value.to_string(), &min.to_string()));
            }
        }
        for (field, value) in [
            ("first_byte_timeout", *first_byte_timeout),
            ("header_timeout", *header_timeout),
            ("idle_timeout", *idle_timeout),
            ("body_timeout", *body_timeout),
            ("default_deadline", *default_deadline),
            ("deadline_cap", *deadline_cap),
            ("stream_idle_timeout", *stream_idle_timeout),
        ] {
            if value < MIN_TIMEOUT {
                let (value, min) = (format!("{value:?}"), format!("{MIN_TIMEOUT:?}"));
                return Err(too_small(field, &value, &min));
            }
        }
        Ok(())
    }
}

fn too_small(field: &str, value: &str, min: &str) -> Error {
    let text = format!(
        "`Limits::{field}` is {value}, with which the server could not serve any call; use at least {min}"
    );
    Error::without_location(Code::InvalidArgument, text)
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 4 << 20,
            buffered_bytes: 256 << 20,
            header_bytes: 32 << 10,
            header_count: 100,
            path_bytes: 8 << 10,
            first_byte_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            body_timeout: Duration::from_secs(30),
            connections: 10_000,
            connections_per_peer: 2_500,
            running_calls: 1024,
            queued_calls: 256,
            queue_timeout: Duration::from_millis(50),
            wrong_credentials_per_peer: 60,
            default_deadline: Duration::from_secs(30),
            deadline_cap: Duration::from_secs(300),
            stream_idle_timeout: Duration::from_secs(300),
            lame_duck: Duration::ZERO,
            stream_drain_timeout: Duration::from_secs(5),
            drain_timeout: Duration::from_secs(30),
        }
    }
}

impl Limits {
    /// Returns the deadline of a call that begins now, and the longest timeout that it may have. A
    /// call with streams has a deadline only if its caller or its method sets one.
    pub(crate) fn deadline(
        &self,
        method: &MethodDescriptor,
        timeout: Option<Duration>,
    ) -> (Option<Instant>, Duration) {
        let (cap, default) = if method.is_streaming() {
            (Duration::MAX, method.timeout)
        } else {
            (self.deadline_cap, Some(self.default_deadline))
        };
        let cap = method.timeout.unwrap_or(cap);
        let given = timeout.or(default);
        let deadline = given.map(|given| saturating_deadline(Instant::now(), given.min(cap)));
        (deadline, cap)
    }

    /// Checks the number and the size of the headers of a request.
    ///
    /// # Errors
    ///
    /// `resource_exhausted` above a limit.
    pub(crate) fn check_headers(&self, headers: &HeaderMap) -> Result<()> {
        let sizes = headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len());
        if headers.len() <= self.header_count && sizes.sum::<usize>() <= self.header_bytes {
            return Ok(());
        }
        Err(headers_too_large(self.header_count, self.header_bytes))
    }
}

/// Returns the error of a path with its query above the limit.
pub(crate) fn path_too_long(limit: usize) -> Error {
    let text = format!("path and query exceed the server's limit of {limit} bytes");
    Error::without_location(Code::ResourceExhausted, text)
}

/// Returns the error of headers above the limits of their number and size.
pub(crate) fn headers_too_large(count: usize, bytes: usize) -> Error {
    let text = format!(
        "headers exceed the server's limits: at most {count} headers, and {bytes} bytes in total"
    );
    Error::without_location(Code::ResourceExhausted, text)
}

//! What one server takes from the outside at most. Every value is on by default.

use std::time::Duration;

/// The limits and timers of a server.
///
/// | field | default | what happens past it |
/// | --- | --- | --- |
/// | `message_bytes` | 4 MiB | `resource_exhausted`; holds for the decompressed message too |
/// | `header_bytes` | 32 KiB | HTTP 431 |
/// | `header_count` | 100 | HTTP 431 |
/// | `path_bytes` | 8 KiB | HTTP 414 |
/// | `first_byte_timeout` | 10 s | the connection is closed |
/// | `header_timeout` | 10 s | the connection is closed |
/// | `idle_timeout` | 60 s | the connection is closed |
/// | `body_timeout` | 30 s | `deadline_exceeded`, and the connection is closed; the time is for the whole body |
/// | `connections` | 10,000 | new connections wait in the kernel's queue |
/// | `connections_per_peer` | 2,500 | new connections of that peer are closed at once |
/// | `running_calls` | 1,024 | new calls wait in a short queue; what is built in, such as `Ping`, is not counted |
/// | `queued_calls` | 256 | `unavailable` at once, with a time after which to try again |
/// | `queue_timeout` | 50 ms | `unavailable`, with a time after which to try again |
/// | `default_deadline` | 30 s | `deadline_exceeded`; for calls without a deadline of their own |
/// | `deadline_cap` | 5 min | later deadlines are brought forward to this |
/// | `lame_duck` | 0 s | not a bound: how long a stopping server says that it is not ready before it goes |
/// | `drain_timeout` | 30 s | calls that still run when the server stops are dropped |
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
    /// The largest message, in bytes, after decompression.
    pub message_bytes: usize,
    /// The names and values of all headers of a request together, in bytes.
    pub header_bytes: usize,
    /// The number of headers of a request.
    pub header_count: usize,
    /// Path and query of a request, in bytes.
    pub path_bytes: usize,
    /// From accepting a connection until the protocol of its first request is known.
    pub first_byte_timeout: Duration,
    /// From the first byte of a request until its headers are complete.
    pub header_timeout: Duration,
    /// From one request of a connection to the next; also how long a client may take nothing of its answer.
    pub idle_timeout: Duration,
    /// For the whole body of a request, however it drips.
    pub body_timeout: Duration,
    /// Connections that are open at one time, over all listeners.
    pub connections: usize,
    /// Connections that one peer has open at one time, over all TCP listeners, so that one cannot take them all: one IPv4
    /// address, or one /64 of IPv6, which is what a single customer gets. Behind a proxy all connections are the proxy's.
    /// Unix sockets are not counted: the file's mode says who may connect.
    pub connections_per_peer: usize,
    /// Calls that run at one time, over all listeners. `detached` work counts until it is done, the stream of an answer
    /// until its end, an answer of one message until the handler has it: a slow reader holds no place.
    pub running_calls: usize,
    /// Calls that wait until one of those is done, first come, first served.
    pub queued_calls: usize,
    /// The longest that a call waits there. One whose deadline passes before that is not run.
    pub queue_timeout: Duration,
    /// The deadline of a call that brings none.
    pub default_deadline: Duration,
    /// The latest deadline that a call may bring; `#[rpc(timeout = …)]` on a method sets one of its own.
    pub deadline_cap: Duration,
    /// How long a server that was told to stop goes on serving while `/readyz` says no. Whoever sends it calls must
    /// have noticed by then: a little more than the probe's period times the failures that it takes. 0 where callers
    /// notice by themselves, and at a terminal.
    pub lame_duck: Duration,
    /// How long a stopping server waits for the calls that run.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 4 << 20,
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
            default_deadline: Duration::from_secs(30),
            deadline_cap: Duration::from_secs(300),
            lame_duck: Duration::ZERO,
            drain_timeout: Duration::from_secs(30),
        }
    }
}

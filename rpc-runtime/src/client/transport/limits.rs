//! Limits of all transports.

use std::time::Duration;

/// The timeout of opening a connection.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The timeout of each step between the open connection and the first request: a tunnel, the TLS
/// handshake, the HTTP/2 handshake.
pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// The time for which an idle connection is kept. It is shorter than the idle timeout of the server
/// (60 s), so the server rarely closes a connection on which a request has just been sent.
pub(super) const POOL_IDLE: Duration = Duration::from_secs(50);

/// The maximum size of the headers of a response over HTTP/2, as the peer counts them. It is above
/// the limits of `http.rs`, so that these decide and say what is wrong.
pub(super) const HEADER_LIST_BYTES: u32 = 64 << 10;

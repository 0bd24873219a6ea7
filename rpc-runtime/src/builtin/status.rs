//! `rpc.v1.Status`: version, uptime and metrics of a server. Every server has it on its internal
//! listeners, and not on edge listeners.
//!
//! Calls of `rpc.v1.Status` are logged and observed like others, but not counted in the metrics:
//! those of an idle server do not change when they are read.
//!
//! ```
//! use rpc_runtime::status::StatusClient;
//!
//! # async fn main_() -> rpc_runtime::Result<()> {
//! let status = StatusClient::connect("http://127.0.0.1:9002")?.get().await?;
//! for method in status.methods {
//!     println!("{} {} {:?}", method.name, method.requests, method.p99_us);
//! }
//! # Ok(())
//! # }
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use rpc_macros::rpc_service;
use serde::{Deserialize, Serialize};

use super::serde_duration;
use crate::error::Result;

/// Status of a server.
#[rpc_service(package = "rpc.v1")]
pub trait Status {
    /// Returns the name, version, uptime and metrics of the server.
    #[rpc(no_side_effects)]
    async fn get(&self) -> Result<ServerStatus>;
}

/// Response of [`Status::get`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ServerStatus {
    /// Name of the server, such as `logsink`.
    pub server: String,
    /// Environment, such as `prod`.
    pub environment: String,
    /// Instance that responded.
    pub instance: String,
    /// Version of the crate that declares its first service; empty for a server without one.
    pub version: String,
    /// Version of `rpc-runtime`.
    pub runtime_version: String,
    /// Time since the start of the server; in JSON in seconds, such as `"1.500s"`.
    #[serde(with = "serde_duration")]
    pub uptime: Duration,
    /// Sum over `methods`, under the name `total`. Its percentiles are those of all calls, which
    /// cannot be computed from the rows. `None` from servers of older versions.
    #[serde(default)]
    pub total: Option<MethodStatus>,
    /// One row for each method of its services, called or not, sorted by name. After them, if there
    /// were such requests, `http` for all plain HTTP routes and `unknown` for requests without a
    /// known method.
    pub methods: Vec<MethodStatus>,
    /// Calls that its handlers make with clients of this crate: one row for each called method,
    /// sorted by name. Methods beyond the first 256 share the row `others` at the end.
    #[serde(default)]
    pub outgoing: Vec<OutgoingStatus>,
    /// Dropped log records; `None` if they are not counted, as without `--logsink`. See
    /// [`Server::dropped_logs`](crate::Server::dropped_logs).
    #[serde(default)]
    pub logs_dropped: Option<u64>,
    /// Connections that the server refused or ended because of its limits. Absent in JSON while
    /// there are none.
    #[serde(default, skip_serializing_if = "ConnectionStatus::is_empty")]
    pub connections: ConnectionStatus,
}

/// Connections that a server refused or ended since it started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ConnectionStatus {
    /// Refused connections of peers with
    /// [`connections_per_peer`](crate::Limits::connections_per_peer) open ones.
    #[serde(default)]
    pub over_limit: u64,
    /// Refused connections that were closed without a response: 64 others were being refused, or
    /// their first bytes did not arrive within 250 ms. Their callers do not know whether a call was
    /// executed.
    #[serde(default)]
    pub unanswered: u64,
    /// Connections that ended because their peer did not take a response within
    /// [`idle_timeout`](crate::Limits::idle_timeout).
    #[serde(default)]
    pub untaken: u64,
}

impl ConnectionStatus {
    /// Returns whether there are no such connections.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Metrics of one method since the server started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MethodStatus {
    /// Full name of the service and wire name of the method, such as `fibpro.v1.LogSink/RecvLog`.
    pub name: String,
    /// Started calls, including rejected ones.
    pub requests: u64,
    /// Running calls, without detached work whose call has ended.
    pub in_flight: u64,
    /// Failed calls, by code.
    pub errors: BTreeMap<String, u64>,
    /// Failed calls whose caller is at fault; also in `errors`. These are calls with the other
    /// codes than [`Code::is_server_error`](crate::Code::is_server_error), and requests that the
    /// server could not read, such as those for an unknown path. 0 from servers of older versions.
    #[serde(default)]
    pub refused: u64,
    /// Calls rejected because the server was overloaded; also in `errors`, mostly as `unavailable`.
    #[serde(default)]
    pub shed: u64,
    /// Calls rejected by a rate limit; also in `errors`, as `resource_exhausted`.
    #[serde(default)]
    pub rate_limited: u64,
    /// Calls that their caller marked as a repeated attempt. Edge listeners ignore the mark.
    #[serde(default)]
    pub repeats: u64,
    /// Median duration in microseconds, from the request head to the response; up to 1/32 too
    /// large. `None` before the first call has ended.
    pub p50_us: Option<u64>,
    /// 90th percentile of the duration, in microseconds.
    pub p90_us: Option<u64>,
    /// 99th percentile of the duration, in microseconds.
    pub p99_us: Option<u64>,
}

/// Metrics of one method that the handlers of a server call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OutgoingStatus {
    /// Full name of the service and wire name of the method; `others` for the shared row.
    pub name: String,
    /// Started calls, including those that were never sent.
    pub calls: u64,
    /// Running calls.
    pub in_flight: u64,
    /// Failed calls, by code. A failed attempt that was retried with success is not a failed call.
    pub errors: BTreeMap<String, u64>,
    /// Failed calls with the other codes than
    /// [`Code::is_server_error`](crate::Code::is_server_error); also in `errors`. 0 from servers of
    /// older versions.
    #[serde(default)]
    pub refused: u64,
    /// Sent attempts. A call has no attempt if no address is known.
    pub attempts: u64,
    /// Attempts after the first one of each call: retries and hedges.
    pub retries: u64,
    /// Median duration in microseconds, including all attempts and the delays between them; up to
    /// 1/32 too large. `None` before the first call has ended.
    pub p50_us: Option<u64>,
    /// 90th percentile of the duration, in microseconds.
    pub p90_us: Option<u64>,
    /// 99th percentile of the duration, in microseconds.
    pub p99_us: Option<u64>,
}

impl MethodStatus {
    /// Returns the number of failed calls.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.errors.values().sum()
    }

    /// Returns the number of calls that failed because of the server: those that are not `refused`.
    #[must_use]
    pub fn server_errors(&self) -> u64 {
        self.failed().saturating_sub(self.refused)
    }
}

impl OutgoingStatus {
    /// Returns the number of failed calls.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.errors.values().sum()
    }

    /// Returns the number of calls that failed because of the called server: those that are not
    /// `refused`.
    #[must_use]
    pub fn server_errors(&self) -> u64 {
        self.failed().saturating_sub(self.refused)
    }
}

//! `rpc.v1.Status`: version, uptime and metrics of a server. Every server has it on its internal
//! listeners, and not on edge listeners.
//!
//! Calls of `rpc.v1.Status` are logged and observed like others, but not counted in the metrics: those of
//! an idle server do not change when they are read.
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
use std::sync::Arc;
use std::time::{Duration, Instant};

use rpc_macros::rpc_service;
use serde::{Deserialize, Serialize};

use super::serde_duration;
use crate::context::Source;
use crate::descriptor::MethodDescriptor;
use crate::error::Result;
use crate::observe::{ClientMethodSnapshot, MetricsSnapshot, ServerMethodSnapshot, ServerMetrics};

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
    /// Sum over `methods`, under the name `total`. Its percentiles are those of all calls, which cannot
    /// be computed from the rows. `None` from servers of older versions.
    #[serde(default)]
    pub total: Option<MethodStatus>,
    /// One row for each method of its services, called or not, sorted by name. After them, if there were
    /// such requests, `http` for all plain HTTP routes and `unknown` for requests without a known method.
    pub methods: Vec<MethodStatus>,
    /// Calls that its handlers make with clients of this crate: one row for each called method, sorted by
    /// name. Methods beyond the first 256 share the row `others` at the end.
    #[serde(default)]
    pub outgoing: Vec<OutgoingStatus>,
    /// Dropped log records; `None` if they are not counted, as without `--logsink`. See
    /// [`Server::dropped_logs`](crate::Server::dropped_logs).
    #[serde(default)]
    pub logs_dropped: Option<u64>,
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
    /// Calls rejected because the server was overloaded; also in `errors`, mostly as `unavailable`.
    #[serde(default)]
    pub shed: u64,
    /// Calls rejected by a rate limit; also in `errors`, as `resource_exhausted`.
    #[serde(default)]
    pub rate_limited: u64,
    /// Calls that their caller marked as a repeated attempt. Edge listeners ignore the mark.
    #[serde(default)]
    pub repeats: u64,
    /// Median duration in microseconds, from the request head to the response; up to 1/32 too large.
    /// `None` before the first call has ended.
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
    /// Sent attempts. A call has no attempt if its circuit breaker was open.
    pub attempts: u64,
    /// Attempts after the first one of each call: retries and hedges.
    pub retries: u64,
    /// Median duration in microseconds, including all attempts and the delays between them; up to 1/32
    /// too large. `None` before the first call has ended.
    pub p50_us: Option<u64>,
    /// 90th percentile of the duration, in microseconds.
    pub p90_us: Option<u64>,
    /// 99th percentile of the duration, in microseconds.
    pub p99_us: Option<u64>,
}

impl MethodStatus {
    fn new(name: &str, counted: &ServerMethodSnapshot) -> Self {
        let [p50_us, p90_us, p99_us] = percentiles(&counted.calls);
        Self {
            name: name.to_owned(),
            requests: counted.calls.requests,
            in_flight: counted.calls.in_flight,
            errors: by_code(&counted.calls),
            shed: counted.shed,
            rate_limited: counted.rate_limited,
            repeats: counted.repeats,
            p50_us,
            p90_us,
            p99_us,
        }
    }

    /// Returns the number of failed calls.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.errors.values().sum()
    }
}

impl OutgoingStatus {
    fn new(counted: &ClientMethodSnapshot) -> Self {
        let [p50_us, p90_us, p99_us] = percentiles(&counted.calls);
        Self {
            name: counted
                .method
                .map_or("others", MethodDescriptor::full_name)
                .to_owned(),
            calls: counted.calls.requests,
            in_flight: counted.calls.in_flight,
            errors: by_code(&counted.calls),
            attempts: counted.attempts,
            retries: counted.retries,
            p50_us,
            p90_us,
            p99_us,
        }
    }

    /// Returns the number of failed calls.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.errors.values().sum()
    }
}

fn percentiles(counted: &MetricsSnapshot) -> [Option<u64>; 3] {
    match counted.percentiles {
        Some(percentiles) => percentiles.map(Some),
        None => [None; 3],
    }
}

fn by_code(counted: &MetricsSnapshot) -> BTreeMap<String, u64> {
    let errors = counted.errors.iter();
    errors
        .map(|(code, count)| (code.to_string(), *count))
        .collect()
}

/// Returns the number of dropped log records.
pub(crate) type DroppedLogs = Box<dyn Fn() -> u64 + Send + Sync>;

/// The status service of a server.
struct StatusService {
    source: Arc<Source>,
    version: &'static str,
    start: Instant,
    metrics: Arc<ServerMetrics>,
    dropped_logs: Option<DroppedLogs>,
}

impl Status for StatusService {
    async fn get(&self) -> Result<ServerStatus> {
        let methods = self.metrics.methods().into_iter();
        let methods =
            methods.map(|(method, counted)| MethodStatus::new(method.full_name(), &counted));
        let others = [
            ("http", self.metrics.http()),
            ("unknown", self.metrics.unknown()),
        ];
        let others = others
            .into_iter()
            .filter(|(_, counted)| counted.calls.requests > 0)
            .map(|(name, counted)| MethodStatus::new(name, &counted));
        let outgoing = self.metrics.outgoing().read();
        Ok(ServerStatus {
            server: self.source.server().to_owned(),
            environment: self.source.environment().to_owned(),
            instance: self.source.instance().to_owned(),
            version: self.version.to_owned(),
            runtime_version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime: self.start.elapsed(),
            total: Some(MethodStatus::new("total", &self.metrics.total())),
            methods: methods.chain(others).collect(),
            outgoing: outgoing.iter().map(OutgoingStatus::new).collect(),
            logs_dropped: self.dropped_logs.as_ref().map(|count| count()),
        })
    }
}

/// Returns the status service of a server. `version` is that of the server or of its first service.
pub(crate) fn status_service(
    source: &Arc<Source>,
    version: &'static str,
    metrics: &Arc<ServerMetrics>,
    dropped_logs: Option<DroppedLogs>,
) -> StatusServer<impl Status> {
    let status = StatusService {
        source: Arc::clone(source),
        version,
        start: Instant::now(),
        metrics: Arc::clone(metrics),
        dropped_logs,
    };
    StatusServer::new(status)
}

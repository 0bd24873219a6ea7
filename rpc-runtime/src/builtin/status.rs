//! `rpc.v1.Status`: what a server is and what it has done since it started. Every server answers it at its internal
//! listeners; an edge has no such path.
//!
//! Calls of `rpc.v1.Status` are in the log and reach observers as others do, but are not in the numbers: those of an idle
//! server stay the same, however often somebody looks.
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
use crate::server::{Routes, Service as _};

/// What a server is and what it has done since it started.
#[rpc_service(package = "rpc.v1")]
pub trait Status {
    /// Who the server is, since when, and the numbers of each of its methods.
    #[rpc(no_side_effects)]
    async fn get(&self) -> Result<ServerStatus>;
}

/// The answer to [`Status::get`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ServerStatus {
    /// Name of the server, such as `logsink`.
    pub server: String,
    /// The environment that it runs in.
    pub environment: String,
    /// Which instance of the server answered.
    pub instance: String,
    /// Version of the crate that declares its first service; empty for a server without one.
    pub version: String,
    /// Version of `rpc-runtime`.
    pub runtime_version: String,
    /// How long it has been up; on the wire in seconds, such as `"1.500s"`.
    #[serde(with = "serde_duration")]
    pub uptime: Duration,
    /// All of `methods` together, under the name `total`. Percentiles are those of all calls, which the rows do not tell.
    /// `None` from a server that does not know it yet.
    #[serde(default)]
    pub total: Option<MethodStatus>,
    /// A row for each method of its services, called or not, by name. Behind them, where there was such a request,
    /// `http` for all plain HTTP routes and `unknown` for requests whose method is not known.
    pub methods: Vec<MethodStatus>,
    /// What its handlers call, by name: a row for each method that they have called through a client of ours. Of more than
    /// 256 methods the others share the row `others`, at the end.
    #[serde(default)]
    pub outgoing: Vec<OutgoingStatus>,
    /// Records of its log that nobody kept; `None` where nobody counts them, as without `--logsink`. See
    /// [`Server::dropped_logs`](crate::Server::dropped_logs).
    #[serde(default)]
    pub logs_dropped: Option<u64>,
}

/// The numbers of one method since the server started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MethodStatus {
    /// Full name of the service and wire name of the method, such as `fibpro.v1.LogSink/RecvLog`.
    pub name: String,
    /// Calls that have started, refused ones among them.
    pub requests: u64,
    /// Calls that run now. Work of a `detached` method whose caller is gone is not among them.
    pub in_flight: u64,
    /// Calls that failed, by code.
    pub errors: BTreeMap<String, u64>,
    /// Calls that were turned away because as many ran and waited as the server takes; also in `errors`, mostly as
    /// `unavailable`.
    #[serde(default)]
    pub shed: u64,
    /// Calls that were turned away by a rate limit; also in `errors`, as `resource_exhausted`.
    #[serde(default)]
    pub rate_limited: u64,
    /// Calls that repeat an earlier attempt of their caller, as it says itself. An edge does not believe it.
    #[serde(default)]
    pub repeats: u64,
    /// What half of the calls did not exceed, in microseconds, from their head to their answer; too large by at most a
    /// 32nd. `None` before a call has ended.
    pub p50_us: Option<u64>,
    /// What 90 of 100 calls did not exceed, in microseconds.
    pub p90_us: Option<u64>,
    /// What 99 of 100 calls did not exceed, in microseconds.
    pub p99_us: Option<u64>,
}

/// The numbers of one method that the handlers of a server call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OutgoingStatus {
    /// Full name of the service and wire name of the method; `others` for what has no row of its own.
    pub name: String,
    /// Calls that have started, those that were never sent among them.
    pub calls: u64,
    /// Calls that run now.
    pub in_flight: u64,
    /// Calls that failed, by code. An attempt that failed and was followed by one that did not is no failed call.
    pub errors: BTreeMap<String, u64>,
    /// How often a call was sent: once in most cases, more often with `retries`, and not at all where its circuit breaker
    /// was open.
    pub attempts: u64,
    /// The attempts beyond the first of each call: retries and hedges.
    pub retries: u64,
    /// What half of the calls did not exceed, in microseconds, with all attempts and the waits in between; too large by at
    /// most a 32nd. `None` before a call has ended.
    pub p50_us: Option<u64>,
    /// What 90 of 100 calls did not exceed, in microseconds.
    pub p90_us: Option<u64>,
    /// What 99 of 100 calls did not exceed, in microseconds.
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

    /// Calls that failed, whatever the code.
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

    /// Calls that failed, whatever the code.
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

/// Tells how many records of the log were not kept.
pub(crate) type DroppedLogs = Box<dyn Fn() -> u64 + Send + Sync>;

/// The implementation that every server has.
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

/// What answers for a server. `version` is its own, or that of its first service.
pub(crate) fn status_routes(
    source: &Arc<Source>,
    version: &'static str,
    metrics: &Arc<ServerMetrics>,
    dropped_logs: Option<DroppedLogs>,
) -> Routes {
    let status = StatusService {
        source: Arc::clone(source),
        version,
        start: Instant::now(),
        metrics: Arc::clone(metrics),
        dropped_logs,
    };
    StatusServer::new(status).into_routes()
}

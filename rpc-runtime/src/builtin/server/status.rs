//! The implementation of `rpc.v1.Status`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use crate::builtin::status::{
    ConnectionStatus, MethodStatus, OutgoingStatus, ServerStatus, Status, StatusServer,
};
use crate::context::Source;
use crate::descriptor::MethodDescriptor;
use crate::error::Result;
use crate::observe::{
    ClientMethodSnapshot, ConnectionSnapshot, MetricsSnapshot, ServerMethodSnapshot, ServerMetrics,
};

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
            connections: ConnectionStatus::new(self.metrics.connections().read()),
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

impl ConnectionStatus {
    fn new(counted: ConnectionSnapshot) -> Self {
        let ConnectionSnapshot {
            over_limit,
            unanswered,
            untaken,
        } = counted;
        Self {
            over_limit,
            unanswered,
            untaken,
        }
    }
}

impl MethodStatus {
    fn new(name: &str, counted: &ServerMethodSnapshot) -> Self {
        let [p50_us, p90_us, p99_us] = percentiles(&counted.calls);
        Self {
            name: name.to_owned(),
            requests: counted.calls.requests,
            in_flight: counted.calls.in_flight,
            errors: by_code(&counted.calls),
            refused: counted.refused,
            shed: counted.shed,
            rate_limited: counted.rate_limited,
            repeats: counted.repeats,
            p50_us,
            p90_us,
            p99_us,
        }
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
            refused: counted.calls.refused(),
            attempts: counted.attempts,
            retries: counted.retries,
            p50_us,
            p90_us,
            p99_us,
        }
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

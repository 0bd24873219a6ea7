//! Traces of OpenTelemetry: spans of calls, their parents, and the export to a collector.

#![allow(
    clippy::unwrap_used,
    reason = "clippy allows it in tests, and not in what only tests call"
)]

mod collector;
/// Spans that are exported, lost and sent again.
mod export;
/// Servers as processes: options, variables, and the stop.
mod process;
/// A collector that is not ours.
mod real;
/// Collectors with TLS, and headers for them.
mod secure;
/// Spans of calls through services.
mod spans;

use rpc_runtime::otel::{TraceExporter, TraceExporterBuilder};
use tracing_subscriber::layer::SubscriberExt as _;

use self::collector::Collector;

/// A subscriber of this thread that exports its spans.
struct Traced {
    collector: Collector,
    exporter: TraceExporter,
    _subscriber: tracing::subscriber::DefaultGuard,
}

impl Traced {
    async fn start() -> Self {
        Self::start_with(&[], Ok).await
    }

    /// Starts an exporter to a collector that responds with these statuses first.
    async fn start_with(
        statuses: &[u16],
        change: impl FnOnce(TraceExporterBuilder) -> rpc_runtime::Result<TraceExporterBuilder>,
    ) -> Self {
        let collector = Collector::start(statuses).await;
        let builder = TraceExporter::builder(&collector.url).unwrap();
        let exporter = change(builder).unwrap().start("shop").unwrap();
        let subscriber = tracing_subscriber::registry().with(exporter.layer());
        Self {
            collector,
            exporter,
            _subscriber: tracing::subscriber::set_default(subscriber),
        }
    }
}

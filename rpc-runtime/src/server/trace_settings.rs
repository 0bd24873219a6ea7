//! Setting the export of traces.

use super::Server;
use crate::otel::TraceExporterBuilder;

impl Server {
    /// Exports the traces of this process while [`run`](Self::run) runs; see [`crate::otel`].
    ///
    /// By default nothing is exported, unless the operator sets `--trace-endpoint`, or one of the
    /// variables `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` and `OTEL_EXPORTER_OTLP_ENDPOINT`, which take
    /// precedence over this collector. Further variables set headers and certificates:
    /// `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_EXPORTER_OTLP_CERTIFICATE`,
    /// `OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE` and `OTEL_EXPORTER_OTLP_CLIENT_KEY`, each also as
    /// `OTEL_EXPORTER_OTLP_TRACES_…`.
    ///
    /// ```
    /// use rpc_runtime::{Server, otel::TraceExporter};
    ///
    /// let traces = TraceExporter::builder("http://127.0.0.1:4318")?.ratio(0.1)?;
    /// let server = Server::new("pricing").export_traces(traces);
    /// # drop(server);
    /// # Ok::<(), rpc_runtime::Error>(())
    /// ```
    ///
    /// Needs the feature `otel`.
    pub fn export_traces(mut self, traces: TraceExporterBuilder) -> Self {
        self.process.trace_exporter = Some(traces);
        self
    }
}

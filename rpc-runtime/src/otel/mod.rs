//! Traces of OpenTelemetry: a span for each call, and their export over OTLP.
//!
//! A client opens a span for each call, and a server one for each call that it receives. They are
//! spans of `tracing` that `tracing-opentelemetry` records, so the spans of the application are
//! between them:
//!
//! ```text
//! client span             parent: the current span, or the trace of the context
//!  traceparent            on the wire: the ID of the client span
//!   server span           parent: the client span
//!    application's spans
//!     client span of the next call …
//! ```
//!
//! The parent decides whether a trace is sampled. Of the traces that start here, a
//! [ratio](TraceExporterBuilder::ratio) is: all, by default. At an edge listener the trace of the
//! caller is linked and not continued, so a stranger does not decide what is sampled. A trace that
//! is not sampled is not exported; its calls carry the cleared flag on.
//!
//! [`Server::export_traces`](crate::Server::export_traces) and `--trace-endpoint` export the traces
//! of a server while it runs. A program with its own subscriber adds [`TraceExporter::layer`] to
//! it, or a layer of its own, with [`trace_calls`].
//!
//! # Guarantees
//!
//! - **Tracing never delays or fails a call.** Spans that ended wait in a bounded queue for the
//!   thread that sends them.
//! - **Spans that are lost are counted**, in [`TraceExporter::dropped`] and in the log.
//! - **The exporter does not trace itself.**

mod exporter;
mod options;
mod processor;
mod variables;
mod worker;

pub(crate) use exporter::PreparedTraces;
pub use exporter::{TraceExporter, TraceExporterBuilder};
pub(crate) use options::TraceOptions;

/// Opens a span for each call from now on, in a program whose subscriber has its own layer of
/// `tracing-opentelemetry`. A [`TraceExporter`] does so itself.
pub fn trace_calls() {
    crate::observe::trace_calls();
}

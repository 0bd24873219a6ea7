//! The log of a process: the subscriber that writes to stderr, and the export to a log sink.

use std::io::IsTerminal as _;

use clap::ValueEnum;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, Registry, fmt};

use super::log_filter::{DEFAULT, LogFilter, NOTES_TARGET};
use crate::context::Source;
use crate::error::Result;
use crate::identity::IdentityKeys;
use crate::logs::{self, LogExportOptions, LogExporter, LogExporterBuilder, PreparedExporter};
use crate::option_name::option_name;
use crate::otel::{PreparedTraces, TraceExporter, TraceExporterBuilder};
use crate::server::panic;
use crate::stderr::Stderr;

/// The log format of a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
#[non_exhaustive]
pub enum LogFormat {
    /// One human-readable line for each event.
    #[default]
    Text,
    /// One JSON object on each line.
    Json,
}

/// The subscriber and the log exporter of a process that calls `run`.
pub(crate) struct ProcessLog {
    /// The exporter. It starts sending when the server has an address.
    prepared: Option<PreparedExporter>,
    traces: Option<PreparedTraces>,
    /// Whether the installed subscriber is ours; only that one feeds the exporter.
    is_ours: bool,
}

/// Starts logging to stderr. Records for the sink are queued until the export starts.
pub(crate) fn start_log(
    format: LogFormat,
    options: &LogExportOptions,
    builder: Option<LogExporterBuilder>,
    traces: Option<TraceExporterBuilder>,
) -> Result<ProcessLog> {
    panic::install_hook();
    let builder = options.apply(builder)?;
    let traces = traces.map(TraceExporterBuilder::prepare).transpose()?;
    // A program with its own subscriber may have started the same export.
    let builder = builder.filter(|builder| !logs::is_exporting_to(builder.target()));
    let prepared = builder.map(LogExporterBuilder::prepare).transpose();
    let prepared = prepared.map_err(|error| match options.spool {
        Some(_) => {
            error.caused_by_option(option_name!(options.prefixed, "log-spool (RPC_LOG_SPOOL)"))
        }
        None => error,
    })?;
    let is_ours = install_subscriber(format, prepared.as_ref(), traces.as_ref());
    Ok(ProcessLog {
        prepared,
        traces,
        is_ours,
    })
}

impl ProcessLog {
    /// Discards the exporter and its queued records.
    pub(crate) fn discard(self) {
        if let Some(prepared) = self.prepared {
            prepared.discard();
        }
    }

    /// Returns whether [`start_export`](Self::start_export) will start an exporter, or the program
    /// has started one.
    pub(crate) fn will_export(&self, is_log_sink: bool) -> bool {
        let is_started = self.prepared.is_some() && self.is_ours;
        (is_started || logs::is_exporting()) && !is_log_sink
    }

    /// Starts the export of traces; returns `None` if there is none, or if the subscriber of the
    /// program does not record them.
    pub(crate) fn start_traces(&mut self, source: &Source) -> Result<Option<TraceExporter>> {
        let Some(traces) = self.traces.take() else {
            return Ok(None);
        };
        if !self.is_ours {
            let collector = traces.target();
            tracing::warn!(
                target: "rpc",
                "traces are not exported to {collector}, because the program has installed another tracing subscriber; \
                 start a `TraceExporter` and add `TraceExporter::layer` to that subscriber"
            );
            return Ok(None);
        }
        traces.start(source).map(Some)
    }

    /// Starts the exporter; returns `None` if there is none, or if it cannot be used here.
    pub(crate) fn start_export(
        self,
        is_log_sink: bool,
        source: &Source,
        identity: Option<&IdentityKeys>,
    ) -> Result<Option<LogExporter>> {
        let Some(prepared) = self.prepared else {
            return Ok(None);
        };
        // A sink that exported its own log to itself would log each delivery, and never finish.
        if is_log_sink {
            prepared.discard();
            tracing::warn!(
                target: "rpc",
                "this server is a log sink: its own log is not exported"
            );
            return Ok(None);
        }
        if !self.is_ours {
            let sink = prepared.target().to_owned();
            prepared.discard();
            tracing::warn!(
                target: "rpc",
                "the log is not exported to {sink}, because the program has installed another tracing subscriber; \
                 start a `LogExporter` and add `LogExporter::layer` to that subscriber"
            );
            return Ok(None);
        }
        let exporter = prepared.start(source.clone(), identity.cloned())?;
        Ok(Some(exporter))
    }
}

/// Installs a subscriber that logs to stderr and to the exporter. Returns `false` if the
/// application has already set a subscriber, which then stays in place.
fn install_subscriber(
    format: LogFormat,
    prepared: Option<&PreparedExporter>,
    traces: Option<&PreparedTraces>,
) -> bool {
    let from_environment = LogFilter::from_environment(DEFAULT);
    let filter = from_environment.build();
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let lines = fmt::layer::<Registry>()
        .with_writer(|| Stderr)
        // Internal errors are printed to stderr, which panics if stderr is closed. This would end
        // the server.
        .log_internal_errors(false);
    let lines = match format {
        LogFormat::Text => lines
            // Color codes only on a terminal, not in files and pipes.
            .with_ansi(!plain && std::io::stderr().is_terminal())
            .boxed(),
        LogFormat::Json => lines.json().with_span_list(false).boxed(),
    };
    let registry = tracing_subscriber::registry();
    let logs = prepared.map(|prepared| prepared.layer().boxed());
    let traces = traces.map(|traces| traces.layer().boxed());
    let exports: Vec<_> = logs.into_iter().chain(traces).collect();
    let installed = if exports.is_empty() {
        registry.with(lines).with(filter).try_init()
    } else {
        // Separate filters: what is exported does not depend on the filter of stderr.
        let mut layers = vec![lines.with_filter(filter).boxed()];
        layers.extend(exports);
        registry.with(layers).try_init()
    };
    if installed.is_ok() {
        for note in from_environment.notes() {
            tracing::warn!(target: NOTES_TARGET, "{note}");
        }
    }
    installed.is_ok()
}

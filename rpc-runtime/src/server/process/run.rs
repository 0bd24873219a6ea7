//! `Server::run`: signals, the log of the process, and the printed URLs of the listeners.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry, fmt};

use super::bound::BoundServer;
use super::reload::KeyReloader;
use super::signals::Signals;
use super::stall_detector::StallDetector;
use crate::error::{Code, Error, Result};
use crate::logs::{self, LogExporter, LogExporterBuilder, PreparedExporter};
use crate::server::call::panic;
use crate::server::{LogFormat, Server};

/// Time for sending the remaining log records to the sink when the process ends.
const LOG_FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs until a signal arrives or `stop` completes.
pub(crate) async fn run(mut server: Server, stop: impl Future<Output = ()> + Send) -> Result<()> {
    let log = match server.log.take() {
        Some(log) => log?,
        None => start_log(&mut server)?,
    };
    let name = server.name().to_owned();
    // Both are installed before the server is announced: `second` must also count the first signal.
    let (mut signals, second) = (Signals::new()?, Signals::new()?);
    let is_log_sink = server.is_log_sink();
    if log.will_export(is_log_sink) && server.dropped_logs.is_none() {
        server = server.dropped_logs(logs::dropped);
    }
    let bound = match server.bind().await {
        Ok(bound) => bound,
        Err(error) => {
            log.discard();
            return Err(error);
        }
    };
    for url in bound.urls() {
        announce(&format!("{name} listening on {url}"));
    }
    for address in bound.open_addresses() {
        tracing::warn!(
            target: "rpc",
            "internal listener {address} has no identity keys: it rejects peers on other hosts"
        );
    }
    let _watchdog = StallDetector::start();
    let _reloading = KeyReloader::on_hangup(bound.identity().cloned())?;
    let exporter = log.start_export(is_log_sink, &bound)?;
    let serving = bound.serve(async move {
        tokio::select! {
            signal = signals.next() => tracing::info!(target: "rpc", signal, "stopping"),
            () = stop => tracing::info!(target: "rpc", "stopping"),
        }
    });
    let served = until_second(second, serving).await;
    if let Some(exporter) = exporter {
        // After a second signal the process ends immediately; unsent records stay in the spool, if
        // there is one.
        let timeout = if served.is_ok() {
            LOG_FLUSH_TIMEOUT
        } else {
            Duration::ZERO
        };
        exporter.shutdown(timeout).await;
    }
    served
}

/// Serves to the end.
///
/// # Errors
///
/// `canceled` if a second signal arrives before all calls are done.
async fn until_second(mut second: Signals, serving: impl Future<Output = ()>) -> Result<()> {
    tokio::pin!(serving);
    let mut received = 0;
    loop {
        tokio::select! {
            () = &mut serving => return Ok(()),
            signal = second.next() => {
                received += 1;
                if received > 1 {
                    return Err(Error::without_location(Code::Canceled, format!("ended by a second {signal} before all calls were done")));
                }
            }
        }
    }
}

/// The subscriber and the log exporter of a process that calls `run`.
pub(crate) struct ProcessLog {
    /// The exporter. It starts sending when the server has an address.
    prepared: Option<PreparedExporter>,
    /// Whether the installed subscriber is ours; only that one feeds the exporter.
    is_ours: bool,
}

/// Starts logging to stderr. Records for the sink are queued until the export starts.
pub(crate) fn start_log(server: &mut Server) -> Result<ProcessLog> {
    panic::install_hook();
    let builder = server
        .log_export_options
        .apply(server.log_exporter.take())?;
    let prepared = builder.map(LogExporterBuilder::prepare).transpose()?;
    let is_ours = install_subscriber(server.log_format, prepared.as_ref());
    Ok(ProcessLog { prepared, is_ours })
}

impl ProcessLog {
    /// Discards the exporter and its queued records.
    fn discard(self) {
        if let Some(prepared) = self.prepared {
            prepared.discard();
        }
    }

    /// Returns whether [`start_export`](Self::start_export) will start an exporter.
    fn will_export(&self, is_log_sink: bool) -> bool {
        self.prepared.is_some() && self.is_ours && !is_log_sink
    }

    /// Starts the exporter; returns `None` if there is none, or if it cannot be used here.
    fn start_export(self, is_log_sink: bool, bound: &BoundServer) -> Result<Option<LogExporter>> {
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
            prepared.discard();
            tracing::warn!(
                target: "rpc",
                "the log is not exported, because the program has installed another tracing subscriber; \
                 start a `LogExporter` and add `LogExporter::layer` to that subscriber"
            );
            return Ok(None);
        }
        let exporter = prepared.start(bound.source().clone(), bound.identity().cloned())?;
        Ok(Some(exporter))
    }
}

/// Installs a subscriber that logs to stderr and to the exporter. Returns `false` if the
/// application has already set a subscriber, which then stays in place.
fn install_subscriber(format: LogFormat, prepared: Option<&PreparedExporter>) -> bool {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let lines = fmt::layer::<Registry>()
        .with_writer(std::io::stderr)
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
    let installed = match prepared {
        // Separate filters: the exported records do not depend on the filter of stderr.
        Some(prepared) => registry
            .with(vec![
                lines.with_filter(filter).boxed(),
                prepared.layer().boxed(),
            ])
            .try_init(),
        None => registry.with(lines).with(filter).try_init(),
    };
    installed.is_ok()
}

/// Prints a line to stdout. Scripts and tests wait for it.
fn announce(line: &str) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = writeln!(out, "{line}").and_then(|()| out.flush()) {
        tracing::warn!(target: "rpc", %error, "failed to print to stdout: {line}");
    }
}

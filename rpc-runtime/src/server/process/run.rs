//! `Server::run`: what a process adds to a server: signals, a log, a line that says where it listens.

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

/// How long the log of a process that ends may take to get to the sink.
const LOG_FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs until a signal comes or `stop` is done.
pub(crate) async fn run(mut server: Server, stop: impl Future<Output = ()> + Send) -> Result<()> {
    let log = match server.log.take() {
        Some(log) => log?,
        None => start_log(&mut server)?,
    };
    let name = server.name().to_owned();
    // Both before anybody knows that we are here: a signal that only one of them has seen would never be the second.
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
            "{address} is an internal listener without keys: it answers peers on this host only, and refuses all others"
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
        // Whoever signals twice is in a hurry; the spool is no matter of seconds.
        let timeout = if served.is_ok() {
            LOG_FLUSH_TIMEOUT
        } else {
            Duration::ZERO
        };
        exporter.shutdown(timeout).await;
    }
    served
}

/// Serves to the end; an error says that a second signal came before all calls were done.
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

/// The log of a process, as far as `run` has to do with it.
pub(crate) struct ProcessLog {
    /// An exporter that starts sending when the server has an address.
    prepared: Option<PreparedExporter>,
    /// Whether the subscriber is the one that ships.
    is_ours: bool,
}

/// Starts the log on stderr; what is to be shipped waits from here on.
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
    /// Ships nothing after all.
    fn discard(self) {
        if let Some(prepared) = self.prepared {
            prepared.discard();
        }
    }

    /// Whether [`start_export`](Self::start_export) will find something to do.
    fn will_export(&self, is_log_sink: bool) -> bool {
        self.prepared.is_some() && self.is_ours && !is_log_sink
    }

    fn start_export(self, is_log_sink: bool, bound: &BoundServer) -> Result<Option<LogExporter>> {
        let Some(prepared) = self.prepared else {
            return Ok(None);
        };
        // A sink that sent itself what it has to say of each delivery would never be done.
        if is_log_sink {
            prepared.discard();
            tracing::warn!(
                target: "rpc",
                "this server is a log sink: its own log stays here and is not sent to another one"
            );
            return Ok(None);
        }
        if !self.is_ours {
            prepared.discard();
            tracing::warn!(
                target: "rpc",
                "the log is not sent to the sink, because the program has set a subscriber of its own; \
                 start a `LogExporter` and add `LogExporter::layer` to that subscriber"
            );
            return Ok(None);
        }
        let exporter = prepared.start(bound.source().clone(), bound.identity().cloned())?;
        Ok(Some(exporter))
    }
}

/// Logs to stderr, and to whoever ships. Fails where the application has set a subscriber, and that one stays.
fn install_subscriber(format: LogFormat, prepared: Option<&PreparedExporter>) -> bool {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let lines = fmt::layer::<Registry>()
        .with_writer(std::io::stderr)
        // It tells of a closed stderr on stderr, which panics: a log that nobody reads would end the server.
        .log_internal_errors(false);
    let lines = match format {
        LogFormat::Text => lines
            // Escape codes are for eyes, and not for files and pipes.
            .with_ansi(!plain && std::io::stderr().is_terminal())
            .boxed(),
        LogFormat::Json => lines.json().with_span_list(false).boxed(),
    };
    let registry = tracing_subscriber::registry();
    let installed = match prepared {
        // Each has its own filter: what is shipped is no matter of what is shown here.
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

/// One line on stdout: what scripts and tests wait for.
fn announce(line: &str) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = writeln!(out, "{line}").and_then(|()| out.flush()) {
        tracing::warn!(target: "rpc", %error, "not printed: {line}");
    }
}

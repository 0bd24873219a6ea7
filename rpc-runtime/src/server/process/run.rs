//! `Server::run`: signals, the export of the log, and the printed URLs of the listeners.

use std::io::Write as _;
use std::time::Duration;

use super::bound::{BoundServer, StopCause};
use super::reload::KeyReloader;
use super::signals::{ProcessSignal, ProcessSignals};
use super::stall_detector::StallDetector;
use crate::error::{Code, Error, Result};
use crate::logs;
use crate::server::{Server, Trust};

/// Time for sending the remaining traces to the collector, and then the remaining log records to
/// the sink, when the process ends.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

impl Server {
    /// Binds, prints `NAME listening on URL` for each listener, with ` (edge)` at the end for an
    /// edge, and serves until SIGINT or SIGTERM. Then stops as
    /// described at [`BoundServer::serve`](crate::BoundServer::serve).
    ///
    /// Installs a `tracing` subscriber if the program has not set one. It writes to stderr,
    /// filtered by `RUST_LOG`, and to a log sink if one is configured (see
    /// [`export_logs`](Self::export_logs)). After the last call, the remaining log records have 5 s
    /// to reach the sink, and before that the remaining traces 5 s to reach their collector. SIGHUP
    /// reloads the key file of [`identity`](Self::identity), and the certificates of TLS listeners.
    ///
    /// A second signal, at least 1 s after the first, ends `run` immediately with an error. Earlier
    /// ones are repeats: supervisors and terminals often send a signal twice.
    ///
    /// Sockets that a service manager passes (`LISTEN_FDS`) take the place of the configured
    /// addresses, unless they are bound to exactly these; see [`bind`](Self::bind).
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind), and `failed_precondition` for an inherited socket if the server has
    /// addresses of both kinds and none is that of the socket; `invalid_argument` if the URL of the
    /// log sink is invalid, `failed_precondition` if the log spool cannot be used, `canceled` after
    /// a second signal.
    pub async fn run(self) -> Result<()> {
        run(self, std::future::pending()).await
    }

    /// Runs like [`run`](Self::run), and also stops when `stop` completes. Use it to stop on an
    /// event other than a signal, such as the end of standard input.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub async fn run_until(self, stop: impl Future<Output = ()> + Send) -> Result<()> {
        run(self, stop).await
    }
}

/// Runs until a signal arrives or `stop` completes.
async fn run(mut server: Server, stop: impl Future<Output = ()> + Send) -> Result<()> {
    let mut log = match server.process.log.take() {
        Some(log) => log?,
        None => server.process.start_log()?,
    };
    let name = server.name().to_owned();
    // Both are installed before the server is announced: `second` must also count the first signal.
    let (mut signals, second) = (ProcessSignals::new()?, ProcessSignals::new()?);
    let is_log_sink = server.is_log_sink();
    if log.will_export(is_log_sink) && server.config.dropped_logs.is_none() {
        server = server.dropped_logs(logs::dropped);
    }
    server.process.takes_all_sockets = true;
    let bound = match server.bind().await {
        Ok(bound) => bound,
        Err(error) => {
            log.discard();
            return Err(error);
        }
    };
    // Before the announcement: from then on a SIGHUP may arrive, and would end the process.
    let _reloading = KeyReloader::on_hangup(bound.identity().cloned(), bound.tls())?;
    announce_listeners(&name, &bound);
    let _detector = StallDetector::start();
    let traces = log.start_traces(bound.source())?;
    let exporter = log.start_export(is_log_sink, bound.source(), bound.identity())?;
    let serving = bound.serve_until(async move {
        tokio::select! {
            signal = signals.next() => {
                tracing::info!(target: "rpc", %signal, "stopping");
                match signal {
                    ProcessSignal::Terminate => StopCause::Terminated,
                    ProcessSignal::Interrupt | ProcessSignal::Hangup => StopCause::Requested,
                }
            }
            () = stop => {
                tracing::info!(target: "rpc", "stopping");
                StopCause::Requested
            }
        }
    });
    let served = until_second(second, serving).await;
    // After a second signal the process ends immediately; unsent records stay in the spool, if
    // there is one.
    let timeout = if served.is_ok() {
        FLUSH_TIMEOUT
    } else {
        Duration::ZERO
    };
    // The traces first: the log says what is lost of them.
    if let Some(traces) = traces {
        traces.shutdown(timeout).await;
    }
    if let Some(exporter) = exporter {
        exporter.shutdown(timeout).await;
    }
    served
}

/// Serves to the end.
///
/// # Errors
///
/// `canceled` if a second signal arrives before all calls are done, and is not a repeat.
async fn until_second(mut second: ProcessSignals, serving: impl Future<Output = ()>) -> Result<()> {
    let second = async {
        second.next().await;
        second.next().await
    };
    tokio::select! {
        () = serving => Ok(()),
        signal = second => {
            let text = format!("ended by a second {signal} before all calls were done");
            Err(Error::without_location(Code::Canceled, text))
        }
    }
}

/// Prints the URL of each listener, and warns of those that reject peers on other hosts.
fn announce_listeners(name: &str, bound: &BoundServer) {
    for (url, trust) in bound.urls_with_trust() {
        let kind = match trust {
            Trust::Internal => "",
            Trust::Edge => " (edge)",
        };
        announce(&format!("{name} listening on {url}{kind}"));
    }
    for address in bound.open_addresses() {
        tracing::warn!(
            target: "rpc",
            "internal listener {address} has no identity keys: it rejects peers on other hosts; set \
             `--identity-key-file`, or use `--listen-edge` for callers without keys"
        );
    }
}

/// Prints a line to stdout. Scripts and tests wait for it.
fn announce(line: &str) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = writeln!(out, "{line}").and_then(|()| out.flush()) {
        tracing::warn!(target: "rpc", %error, "failed to print to stdout: {line}");
    }
}

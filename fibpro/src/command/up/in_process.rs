//! All services in this process: a server with its own port for each, and one log for all.

use std::env;
use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::time::Duration;

use fibpro::process::caused_by;
use fibpro::serve::{
    PreparedService, ServiceOptions, ShutdownTasks, compute_worker, controller, gatekeeper,
    logsink, pricing, userstore,
};
use futures_util::future::LocalBoxFuture;
use rpc_runtime::BoundServer;
use rpc_runtime::logs::{LogExporter, dropped};
use rpc_runtime::stderr::Stderr;
use rpc_runtime::{Client, Code, Error, IdentityKeys, Result};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

use super::plan::{ServiceUrls, SystemPlan};
use super::ready;
use super::sockets::ServiceSockets;
use super::supervisor::all_stopped;
use crate::command::CommandError;

/// Timeout for the delivery of the last records to the log sink.
const LOG_TIMEOUT: Duration = Duration::from_secs(5);

/// The log sink's own events go to stderr only: exported, they would report on their own delivery.
const OF_THE_SINK: &str = "fibpro::service::logsink";

/// The services that run in this process.
pub(super) struct InProcess {
    keys: IdentityKeys,
    running: Vec<RunningService>,
    exporter: Option<LogExporter>,
}

struct RunningService {
    name: Arc<str>,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
    closing: ShutdownTasks,
}

impl InProcess {
    pub(super) fn new(plan: &SystemPlan) -> Result<Self, CommandError> {
        let keys = IdentityKeys::from_file(plan.data.identity_key())
            .map_err(|error| CommandError::Service(error.message().to_owned()))?;
        Ok(Self {
            keys,
            running: Vec::new(),
            exporter: None,
        })
    }

    /// Starts a service, and returns when it is ready. After the order to stop, it finishes what
    /// has begun and leaves nothing open.
    pub(super) async fn start(
        &mut self,
        plan: &SystemPlan,
        urls: &ServiceUrls,
        sockets: ServiceSockets,
        order: &CancellationToken,
    ) -> Result<(), String> {
        let (service, name) = (sockets.service, Arc::clone(&sockets.name));
        let url = sockets.url().to_owned();
        if service == "logsink" {
            // The others export from their first event on, which waits in the sink's socket.
            let exporter = start_log(&url, plan, self.keys.clone());
            self.exporter = Some(exporter.map_err(|error| error.message().to_owned())?);
        }
        let Some(prepare) = preparation(service) else {
            return Err(format!("unknown service `{service}`"));
        };
        let PreparedService { server, closing } = prepare(plan, urls, &sockets).await?;
        if order.is_cancelled() {
            // Its services hold what closing waits for.
            drop(server);
            return finish(&name, closing).await;
        }
        let released = sockets
            .sockets
            .into_iter()
            .try_for_each(|(_, socket)| socket.release());
        if let Err(error) = released {
            drop(server);
            // The error of the socket is the reason; closing adds nothing to it.
            let _ = closing.finish().await;
            return Err(error.message().to_owned());
        }
        let server = match service {
            "logsink" => server,
            // The exporter is shared, so each server reports the count of the process.
            _ => server.dropped_logs(dropped),
        };
        let bound: BoundServer = match server.bind().await {
            Ok(bound) => bound,
            Err(error) => {
                // The error of the listener is the reason; closing adds nothing to it.
                let _ = closing.finish().await;
                return Err(error.message().to_owned());
            }
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(bound.serve(until(stopped)));
        self.wait(name, &url, stop, serving, closing, order).await
    }

    async fn wait(
        &mut self,
        name: Arc<str>,
        url: &str,
        stop: oneshot::Sender<()>,
        serving: JoinHandle<()>,
        closing: ShutdownTasks,
        order: &CancellationToken,
    ) -> Result<(), String> {
        let running = self.running.push_mut(RunningService {
            name: Arc::clone(&name),
            stop: Some(stop),
            serving,
            closing,
        });
        tokio::select! {
            ready = ready::wait(&name, url) => return ready,
            () = order.cancelled() => return Ok(()),
            // A panic has been logged.
            _ = &mut running.serving => {}
        }
        // It has ended, so there is nothing to stop.
        self.running.pop();
        Err(format!("{name} ended before it was ready"))
    }

    pub(super) async fn stop(&mut self) -> Result<(), String> {
        let mut failed = Vec::new();
        while let Some(mut running) = self.running.pop() {
            let name = running.name;
            if *name == *"logsink" {
                // All other services have ended: their last records are sent while the log sink
                // still runs.
                if let Some(exporter) = self.exporter.take() {
                    exporter.shutdown(LOG_TIMEOUT).await;
                }
            }
            running.closing.begin();
            // The receiver is gone only if the service has ended already.
            let _ = running.stop.take().map(|stop| stop.send(()));
            let served = running.serving.await.map_err(|error| error.to_string());
            let served = served.map_err(|error| format!("{name}: {error}"));
            let closed = finish(&name, running.closing).await;
            failed.extend(served.and(closed).err());
        }
        all_stopped(&failed)
    }
}

/// Does the work that remains at the end of a service.
async fn finish(name: &str, closing: ShutdownTasks) -> Result<(), String> {
    let closed = closing.finish().await;
    closed.map_err(|error| format!("{name}: {}", error.message()))
}

async fn until(stopped: oneshot::Receiver<()>) {
    // A dropped sender stops the service as well.
    let _ = stopped.await;
}

/// [`prepare`] of one service.
type Preparation = for<'a> fn(
    &'a SystemPlan,
    &'a ServiceUrls,
    &'a ServiceSockets,
) -> LocalBoxFuture<'a, Result<PreparedService, String>>;

/// Returns how a service is prepared, by its name.
fn preparation(service: &str) -> Option<Preparation> {
    Some(match service {
        "logsink" => boxed::<logsink::LogSinkOptions>,
        "userstore" => boxed::<userstore::UserStoreOptions>,
        "pricing" => boxed::<pricing::PricingOptions>,
        "compute_worker" => boxed::<compute_worker::ComputeWorkerOptions>,
        "controller" => boxed::<controller::ControllerOptions>,
        "gatekeeper" => boxed::<gatekeeper::GatekeeperOptions>,
        _ => return None,
    })
}

fn boxed<'a, S: ServiceOptions + 'static>(
    plan: &'a SystemPlan,
    urls: &'a ServiceUrls,
    sockets: &'a ServiceSockets,
) -> LocalBoxFuture<'a, Result<PreparedService, String>> {
    Box::pin(prepare::<S>(plan, urls, sockets))
}

/// Parses the options of a service from the planned command line and the environment, as its own
/// program does.
async fn prepare<S: ServiceOptions>(
    plan: &SystemPlan,
    urls: &ServiceUrls,
    sockets: &ServiceSockets,
) -> Result<PreparedService, String> {
    let name = sockets.service;
    let mut arguments: Vec<OsString> = vec![name.into()];
    arguments.extend(sockets.arguments().map(OsString::from));
    if name == "userstore" {
        arguments.extend(["--database".into(), plan.database()]);
    }
    arguments.extend(plan.arguments(name, urls));
    let mut options = S::try_parse_from(arguments).map_err(|error| {
        // An error in an environment variable; clap's text begins with `error: ` already.
        let text = error.to_string();
        text.strip_prefix("error: ")
            .unwrap_or(&text)
            .trim_end()
            .to_owned()
    })?;
    let server = options.server_mut();
    // Settings that apply to a process with one server.
    server.listen_edge.clear();
    server.instance = None;
    server.logsink = None;
    let prepared = options.prepare().await;
    prepared.map_err(|error| error.message().to_owned())
}

/// Filter of stderr, unless `RUST_LOG` has directives. Events of calls are in the unified log on
/// stdout and are not repeated on stderr; events about that log itself are shown, since they might
/// not reach it.
fn is_for_the_terminal(metadata: &Metadata<'_>) -> bool {
    match *metadata.level() {
        Level::ERROR => true,
        Level::WARN => {
            let of_the_runtime = metadata.target() == "rpc";
            metadata.target().starts_with(OF_THE_SINK)
                || of_the_runtime && metadata.fields().field("rpc.method").is_none()
        }
        _ => false,
    }
}

/// Installs the log of the process: stderr, and the export to the log sink.
fn start_log(sink: &str, plan: &SystemPlan, keys: IdentityKeys) -> Result<LogExporter> {
    let client = Client::new(sink)?.identity(keys);
    let mut builder = LogExporter::builder(client).spool(plan.data.log_spool("up"));
    if let Some(filter) = env::var_os("RPC_SHIP_LOG").filter(|filter| !filter.is_empty()) {
        let filtered = match filter.to_str() {
            Some(filter) => builder.filter(filter),
            None => Err(Error::new(
                Code::InvalidArgument,
                "the filter is not valid UTF-8",
            )),
        };
        builder = filtered.map_err(|error| caused_by("RPC_SHIP_LOG", &error))?;
    }
    let exporter = builder.start()?;
    let plain = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let lines = fmt::layer()
        .with_writer(|| Stderr)
        // The layer would report a closed stderr on stderr, and panic.
        .log_internal_errors(false)
        .with_ansi(!plain && io::stderr().is_terminal());
    let lines = match plan.stderr_filter.understood() {
        Some(_) => lines.with_filter(plan.stderr_filter.build()).boxed(),
        None => lines.with_filter(filter_fn(is_for_the_terminal)).boxed(),
    };
    let shipped = filter_fn(|metadata| !metadata.target().starts_with(OF_THE_SINK));
    tracing_subscriber::registry()
        .with(lines)
        .with(exporter.layer().with_filter(shipped))
        .init();
    Ok(exporter)
}

#[cfg(test)]
mod tests {
    use fibpro::endpoints::SERVICES;

    use super::*;

    #[test]
    fn each_service_can_be_prepared() {
        for service in &SERVICES {
            assert!(preparation(service.name).is_some(), "{}", service.name);
        }
    }
}

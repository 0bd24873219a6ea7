//! All services in this process: a server with its own port for each, and one log for all.

use std::env;
use std::io::{self, IsTerminal as _};
use std::time::Duration;

use fibpro::serve::logsink::ShutdownTasks;
use fibpro::serve::{
    PreparedService, ServiceOptions, compute_worker, controller, gatekeeper, logsink, pricing,
    userstore,
};
use rpc_runtime::BoundServer;
use rpc_runtime::logs::{LogExporter, dropped};
use rpc_runtime::{Client, IdentityKeys, Result};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt};

use super::plan::{OPERATOR, Plan, ServiceUrls};
use super::ready;
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
    name: &'static str,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<Result<()>>,
    closing: ShutdownTasks,
}

impl InProcess {
    pub(super) fn new(plan: &Plan) -> Result<Self, CommandError> {
        let keys = IdentityKeys::from_file(plan.data.identity_key())
            .map_err(|error| CommandError::Service(error.message().to_owned()))?;
        Ok(Self {
            keys,
            running: Vec::new(),
            exporter: None,
        })
    }

    /// Starts a service, and returns its addresses when it is ready.
    pub(super) async fn start(
        &mut self,
        name: &'static str,
        plan: &Plan,
        urls: &ServiceUrls,
    ) -> Result<Vec<String>, String> {
        let prepared = match name {
            "logsink" => return self.start_logsink(name, plan, urls).await,
            "userstore" => prepare::<userstore::UserStoreOptions>(name, plan, urls).await,
            "pricing" => prepare::<pricing::PricingOptions>(name, plan, urls).await,
            "compute_worker" => {
                prepare::<compute_worker::ComputeWorkerOptions>(name, plan, urls).await
            }
            "controller" => prepare::<controller::ControllerOptions>(name, plan, urls).await,
            "gatekeeper" => prepare::<gatekeeper::GatekeeperOptions>(name, plan, urls).await,
            _ => return Err(format!("unknown service `{name}`")),
        };
        let PreparedService { server, closing } = prepared?;
        // The exporter is shared, so each server reports the count of the process.
        let bound = server.dropped_logs(dropped).bind().await;
        let bound: BoundServer = bound.map_err(|error| error.message().to_owned())?;
        let listeners = bound.urls();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(async move {
            bound.serve(until(stopped)).await;
            Ok(())
        });
        self.wait(name, listeners, stop, serving, closing).await
    }

    /// Starts the log sink. Its port is bound first, so the other services can export from their
    /// first event on.
    async fn start_logsink(
        &mut self,
        name: &'static str,
        plan: &Plan,
        urls: &ServiceUrls,
    ) -> Result<Vec<String>, String> {
        let address = plan.address(name);
        let taken = |error: io::Error| match error.kind() {
            io::ErrorKind::AddrInUse => {
                format!("{name} cannot listen on {address}: {error}; another process listens there")
            }
            _ => format!("{name} cannot listen on {address}: {error}"),
        };
        let listener = TcpListener::bind(&address).await.map_err(taken)?;
        let url = format!("http://{}", listener.local_addr().map_err(taken)?);
        let exporter = start_log(&url, plan, self.keys.clone());
        self.exporter = Some(exporter.map_err(|error| error.message().to_owned())?);
        let PreparedService { server, closing } =
            prepare::<logsink::LogSinkOptions>(name, plan, urls).await?;
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(server.serve(listener, until(stopped)));
        self.wait(name, vec![url], stop, serving, closing).await
    }

    async fn wait(
        &mut self,
        name: &'static str,
        listeners: Vec<String>,
        stop: oneshot::Sender<()>,
        serving: JoinHandle<Result<()>>,
        closing: ShutdownTasks,
    ) -> Result<Vec<String>, String> {
        self.running.push(RunningService {
            name,
            stop: Some(stop),
            serving,
            closing,
        });
        let Some(running) = self.running.last_mut() else {
            return Ok(listeners);
        };
        let url = listeners.first().map(String::as_str).unwrap_or_default();
        let ended = tokio::select! {
            ready = ready::wait(name, url) => return ready.map(|()| listeners),
            ended = &mut running.serving => ended,
        };
        // It has ended, so there is nothing to stop.
        self.running.pop();
        Err(match ended {
            Ok(Err(error)) => error.message().to_owned(),
            _ => format!("{name} ended before it was ready"),
        })
    }

    pub(super) async fn stop(&mut self) -> Result<(), String> {
        let mut outcome = Ok(());
        while let Some(mut running) = self.running.pop() {
            let name = running.name;
            if name == "logsink" {
                // All other services have ended: their last records are sent while the log sink
                // still runs.
                if let Some(exporter) = self.exporter.take() {
                    exporter.shutdown(LOG_TIMEOUT).await;
                }
            }
            running.closing.begin();
            // The receiver is gone only if the service has ended already.
            let _ = running.stop.take().map(|stop| stop.send(()));
            let served = match running.serving.await {
                Ok(served) => served.map_err(|error| error.message().to_owned()),
                Err(error) => Err(error.to_string()),
            };
            let closed = running.closing.finish().await;
            let closed = closed.map_err(|error| error.message().to_owned());
            outcome = outcome.and(
                served
                    .and(closed)
                    .map_err(|error| format!("{name}: {error}")),
            );
        }
        outcome
    }
}

async fn until(stopped: oneshot::Receiver<()>) {
    // A dropped sender stops the service as well.
    let _ = stopped.await;
}

/// Parses the options of a service from the planned command line and the environment, as its own
/// program does.
async fn prepare<S: ServiceOptions>(
    name: &str,
    plan: &Plan,
    urls: &ServiceUrls,
) -> Result<PreparedService, String> {
    let mut arguments = vec![name.into(), "--listen".into(), plan.address(name).into()];
    match name {
        "userstore" => arguments.extend(["--database".into(), plan.database()]),
        "gatekeeper" => arguments.extend(["--operator".into(), plan.address(OPERATOR).into()]),
        _ => {}
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

/// Filter of stderr, unless `RUST_LOG` is set. Events of calls are in the unified log on stdout and
/// are not repeated on stderr; events about that log itself are shown, since they might not reach
/// it.
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
fn start_log(sink: &str, plan: &Plan, keys: IdentityKeys) -> Result<LogExporter> {
    let client = Client::new(sink)?.identity(keys);
    let mut builder = LogExporter::builder(client).spool(plan.data.log_spool("up"));
    if let Ok(filter) = env::var("RPC_SHIP_LOG") {
        builder = builder.filter(&filter)?;
    }
    let exporter = builder.start()?;
    let plain = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let lines = fmt::layer()
        .with_writer(io::stderr)
        // The layer would report a closed stderr on stderr, and panic.
        .log_internal_errors(false)
        .with_ansi(!plain && io::stderr().is_terminal());
    let lines = match EnvFilter::try_from_default_env() {
        Ok(filter) => lines.with_filter(filter).boxed(),
        Err(_) => lines.with_filter(filter_fn(is_for_the_terminal)).boxed(),
    };
    let shipped = filter_fn(|metadata| !metadata.target().starts_with(OF_THE_SINK));
    tracing_subscriber::registry()
        .with(lines)
        .with(exporter.layer().with_filter(shipped))
        .init();
    Ok(exporter)
}

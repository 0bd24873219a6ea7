//! `fibpro up`: all of FibPro, in this process or in one for each service.
//!
//! Services start in the order of their dependencies, the log sink first, and stop in reverse
//! order, so that the last records of each are stored.

mod banner;
mod children;
mod data;
mod in_process;
mod output;
mod plan;
mod process_spec;
mod ready;
mod replicas;
mod sockets;
mod supervisor;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;

use fibpro::output::unbuffered_stdout;
use fibpro::process::{print_note, whole_number};
use fibpro::serve::userstore::secret;
use rpc_runtime::env_option::{named, variable};
use rpc_runtime::{ProcessSignal, ProcessSignals, Secret};
use tokio_util::sync::CancellationToken;

use self::children::ChildProcesses;
use self::in_process::InProcess;
use self::plan::{ServiceUrls, SystemPlan};
use self::replicas::Replicas;
use self::sockets::ServiceSockets;
use super::CommandError;

/// Run all services, until Ctrl-C
///
/// Prints all addresses and commands to try, and then the log of all services.
#[derive(Debug, clap::Args)]
pub(crate) struct UpOptions {
    /// Run each service as a process, and restart one that exits
    #[arg(long)]
    processes: bool,

    /// Base of the ports: the gatekeeper has base + 1, its operator listener base + 11; 0 selects
    /// free ports
    #[arg(long, value_name = "PORT", default_value_t = 9000, value_parser = clap::value_parser!(u16).range(..=65_524))]
    base_port: u16,

    /// Listen on Unix sockets in the data folder, which only this user can open; the gatekeeper's
    /// shop keeps its port
    #[arg(long)]
    unix: bool,

    /// Number of replicas of a service, such as `pricing=2,compute_worker=3`; those after the first
    /// have free ports
    #[arg(long, value_name = "SERVICE=N", value_delimiter = ',', value_parser = Replicas::parse)]
    replicas: Vec<Replicas>,

    /// Time for each service to finish its calls when all stop; then its process is killed
    /// [default: 45 more than the lame duck]
    #[arg(long, value_name = "SECONDS", value_parser = whole_number(1..=86_400, "a whole number of seconds"))]
    stop_timeout: Option<u64>,

    /// Folder of the users, the logs and the identity key of the services
    #[arg(long, value_name = "FOLDER", default_value = "fibpro-data")]
    data_dir: PathBuf,

    /// Users of a new database: a JSON list of {"username", "password", "credit", "roles"}; by
    /// default those of the tutorial
    #[arg(long, env = variable("FIBPRO_USERS"), value_name = "FILE")]
    users: Option<PathBuf>,

    /// Database of the users: sqlite://PATH, or postgres://USER:PASSWORD@HOST/NAME (better by the
    /// variable: other users of this machine can read command lines) [default: a file in the data
    /// folder]
    #[arg(long, env = variable("FIBPRO_DATABASE"), hide_env_values = true, value_name = "URL", value_parser = named(secret))]
    database: Option<Secret<String>>,
}

pub(crate) async fn run(options: UpOptions) -> Result<(), CommandError> {
    let mut signals = ProcessSignals::with_hangup()?;
    let plan = SystemPlan::new(&options).map_err(CommandError::Service)?;
    for note in plan.stderr_filter.notes() {
        print_note(note);
    }
    for variable in plan::ignored_variables() {
        print_note(format_args!(
            "`fibpro up` does not use the variable {variable}: it sets this itself"
        ));
    }
    let mut services = Services::new(&plan, options.processes)?;
    // A service that is being started has files open, so its start is finished or ended in order,
    // and not cut.
    let order = CancellationToken::new();
    let outcome = {
        let mut begun = pin!(start_and_wait(&plan, &mut services, &order));
        tokio::select! {
            outcome = &mut begun => Ok(outcome),
            signal = signals.next() => {
                print_note(format_args!("{signal}: stopping; send it again to exit at once"));
                order.cancel();
                tokio::select! {
                    outcome = begun => Ok(outcome),
                    second = signals.next() => Err(second),
                }
            }
        }
    };
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(second) => return Err(kill(&mut services, second).await),
    };
    let stopped = tokio::select! {
        stopped = services.stop() => stopped,
        signal = signals.next() => return Err(kill(&mut services, signal).await),
    };
    outcome.and(stopped).map_err(CommandError::Service)
}

/// Kills all services at once. Returns the error of the command.
async fn kill(services: &mut Services, signal: ProcessSignal) -> CommandError {
    services.kill().await;
    let text = format!("ended by a second {signal} before all calls were done");
    CommandError::Service(text)
}

/// Starts all services, and waits for the order to stop, which also ends the start.
async fn start_and_wait(
    plan: &SystemPlan,
    services: &mut Services,
    order: &CancellationToken,
) -> Result<(), String> {
    // All of them before a service starts, so that a taken port leaves nothing behind.
    let (urls, sockets) = sockets::bind(plan).await?;
    for sockets in sockets {
        if order.is_cancelled() {
            return Ok(());
        }
        services.start(plan, &urls, sockets, order).await?;
    }
    if !order.is_cancelled() {
        let banner = banner::text(plan, &urls, &services.processes());
        // Not buffered, since the log follows on the same output. An output that fails does not
        // stop the services, and one that blocks does not keep signals from being received.
        let written = tokio::task::spawn_blocking(move || {
            unbuffered_stdout().and_then(|mut out| out.write_all(banner.as_bytes()))
        });
        let written = tokio::select! {
            written = written => written.map_err(io::Error::other).flatten(),
            () = order.cancelled() => Ok(()),
        };
        if let Err(error) = written {
            print_note(format_args!("cannot write to standard output: {error}"));
        }
    }
    order.cancelled().await;
    Ok(())
}

/// The running services in the order of their start.
enum Services {
    InProcess(InProcess),
    ChildProcesses(ChildProcesses),
}

impl Services {
    fn new(plan: &SystemPlan, processes: bool) -> Result<Self, CommandError> {
        Ok(if processes {
            Self::ChildProcesses(ChildProcesses::new()?)
        } else {
            Self::InProcess(InProcess::new(plan)?)
        })
    }

    /// Starts a service, and returns when it is ready, or when the order to stop has ended its
    /// start. After an error, the caller stops those that run.
    async fn start(
        &mut self,
        plan: &SystemPlan,
        urls: &ServiceUrls,
        sockets: ServiceSockets,
        order: &CancellationToken,
    ) -> Result<(), String> {
        match self {
            Self::InProcess(inside) => inside.start(plan, urls, sockets, order).await,
            Self::ChildProcesses(children) => children.start(plan, urls, sockets, order).await,
        }
    }

    /// Returns the process ids of the services, where each has a process.
    fn processes(&self) -> Vec<(Arc<str>, u32)> {
        match self {
            Self::InProcess(_) => Vec::new(),
            Self::ChildProcesses(children) => children.processes(),
        }
    }

    /// Drains the services one after the other, in reverse order.
    async fn stop(&mut self) -> Result<(), String> {
        match self {
            Self::InProcess(inside) => inside.stop().await,
            Self::ChildProcesses(children) => children.stop().await,
        }
    }

    /// Kills all services at once.
    async fn kill(&mut self) {
        match self {
            // They end with this process.
            Self::InProcess(_) => {}
            Self::ChildProcesses(children) => children.kill().await,
        }
    }
}

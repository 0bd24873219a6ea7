//! One service as a process: its command line, its start, its output.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd as _, RawFd};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use command_fds::{CommandFdExt as _, FdMapping};
use fibpro::output::unbuffered_stdout;
use fibpro::process::print_note;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::output::{StderrTail, forward_lines};
use super::plan::{ServiceUrls, SystemPlan};
use super::ready;
use super::sockets::ServiceSockets;

/// Timeout for a process to print its listen address, or a line about its progress.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Number of the first inherited socket in a child, as systemd has it.
const FIRST_SOCKET: RawFd = 3;

/// Timeout for standard output to take the rest of the log of a process that has exited.
const OUTPUT_TIMEOUT: Duration = Duration::from_secs(5);

/// Environment variables that are meant for this process and are not passed to its children.
const NOT_INHERITED: [&str; 10] = [
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_PID",
    "RPC_LISTEN",
    "RPC_LISTEN_EDGE",
    "RPC_INSTANCE",
    "RPC_LOGSINK",
    "RPC_LOG_SPOOL",
    "FIBPRO_DATABASE",
    "FIBPRO_OPERATOR",
];

/// The command line of a service, for its first start and its restarts.
pub(super) struct ProcessSpec {
    /// Name of the service.
    service: &'static str,
    /// Name of the replica.
    pub(super) name: Arc<str>,
    program: PathBuf,
    /// Passed to each process, which is known to the other services by them.
    sockets: ServiceSockets,
    arguments: Vec<OsString>,
    database: Option<OsString>,
    /// `RUST_LOG` of the process.
    stderr_filter: String,
}

/// A child process.
pub(super) struct Child {
    process: tokio::process::Child,
    /// Standard input of the process, which exits when it is closed; so it also exits when this
    /// process dies.
    stdin: Option<ChildStdin>,
    stdout: JoinHandle<()>,
    /// Receives a value when the process has printed its addresses.
    listening: oneshot::Receiver<()>,
    stderr: StderrTail,
}

impl ProcessSpec {
    pub(super) fn new(
        sockets: ServiceSockets,
        program: PathBuf,
        plan: &SystemPlan,
        urls: &ServiceUrls,
    ) -> Self {
        let (service, name) = (sockets.service, Arc::clone(&sockets.name));
        let mut arguments = plan.arguments(service, urls);
        if service != "logsink" {
            arguments.extend(["--logsink".into(), urls.of("logsink").into()]);
            arguments.extend(["--log-spool".into(), plan.data.log_spool(&name).into()]);
        }
        // Less severe events are in the log on stdout, except those of the log sink about that log.
        let default = if service == "logsink" {
            "warn"
        } else {
            "error"
        };
        let stderr_filter = plan.stderr_filter.understood().unwrap_or(default);
        Self {
            service,
            name,
            program,
            stderr_filter: stderr_filter.to_owned(),
            sockets,
            arguments,
            database: (service == "userstore").then(|| plan.database()),
        }
    }

    /// Returns the URL of the first listener.
    pub(super) fn url(&self) -> &str {
        self.sockets.url()
    }

    /// Starts the process. Dropping the child kills it.
    pub(super) async fn spawn(&mut self) -> Result<Child, String> {
        let (service, name) = (self.service, &self.name);
        self.sockets.bind_lost().await?;
        let out = unbuffered_stdout()
            .map_err(|error| format!("cannot open standard output for {name}: {error}"))?;
        let mut process = self
            .command()
            .and_then(|mut command| command.spawn())
            .map_err(|error| format!("{name} cannot be started: {error}"))?;
        let (Some(stdout), Some(stderr)) = (process.stdout.take(), process.stderr.take()) else {
            return Err(format!(
                "internal error: {name} was started without pipes for its output"
            ));
        };
        let (heard, listening) = oneshot::channel();
        let listeners = self.sockets.sockets.len();
        let mut stdout = BufReader::new(stdout);
        let stdout = tokio::spawn(async move {
            if skip_addresses(service, listeners, &mut stdout).await {
                // The receiver is gone if the process is being stopped.
                let _ = heard.send(());
                forward_lines(stdout, out).await;
            }
        });
        Ok(Child {
            stdin: process.stdin.take(),
            process,
            stdout,
            listening,
            stderr: StderrTail::of(Arc::clone(name), stderr),
        })
    }

    /// Returns the command of the process: this program, which announces the sockets to itself and
    /// then serves.
    fn command(&self) -> io::Result<Command> {
        let mut mappings = Vec::new();
        for ((_, socket), child_fd) in self.sockets.sockets.iter().zip(FIRST_SOCKET..) {
            let parent_fd = socket.as_fd().try_clone_to_owned()?;
            mappings.push(FdMapping {
                parent_fd,
                child_fd,
            });
        }
        let mut command = Command::new(&self.program);
        command.args(["activate", &mappings.len().to_string(), "--"]);
        command.arg(&self.program);
        command.args(["serve", "--end-with-stdin", self.service]);
        command.args(self.sockets.arguments());
        command.fd_mappings(mappings).map_err(io::Error::other)?;
        command.args(&self.arguments);
        for variable in NOT_INHERITED {
            command.env_remove(variable);
        }
        if let Some(database) = &self.database {
            command.env("FIBPRO_DATABASE", database);
        }
        command.env("RUST_LOG", &self.stderr_filter);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C is delivered to this process only, which stops the children in order.
            .process_group(0)
            .kill_on_drop(true);
        Ok(command)
    }
}

/// Reads the lines with the listen addresses from the output; returns false if it ends before.
async fn skip_addresses(
    service: &str,
    mut missing: usize,
    stdout: &mut BufReader<ChildStdout>,
) -> bool {
    let begin = format!("{service} listening on ");
    let mut line = String::new();
    while missing > 0 {
        line.clear();
        // An output that cannot be read counts as ended.
        if stdout.read_line(&mut line).await.unwrap_or(0) == 0 {
            return false;
        }
        if line.starts_with(&begin) {
            missing -= 1;
        }
    }
    true
}

impl Child {
    /// Waits until the process is ready. Call it once; dropping the future changes nothing.
    pub(super) async fn ready(&mut self, spec: &ProcessSpec) -> Result<(), String> {
        let name = &*spec.name;
        let listening = self.stderr.while_heard(TIMEOUT, &mut self.listening);
        match listening.await {
            Some(Ok(())) => {}
            Some(Err(_)) => return Err(self.died(name).await),
            None => {
                let seconds = TIMEOUT.as_secs();
                return Err(format!(
                    "{name} did not report its listen address, and no progress within {seconds} s"
                ));
            }
        }
        tokio::select! {
            ready = ready::wait(name, spec.url()) => ready,
            reason = self.died(name) => Err(reason),
        }
    }

    pub(super) fn id(&self) -> Option<u32> {
        self.process.id()
    }

    /// Waits until the process exits, and returns the reason as far as it is known.
    pub(super) async fn died(&mut self, name: &str) -> String {
        let status = self.process.wait().await;
        ending(name, status.ok(), self.stderr.last().await)
    }

    /// Closes its stdin, and waits for its exit and the end of its output. Kills it when it has not
    /// exited within `limit`. Returns what went wrong.
    ///
    /// # Cancellation
    ///
    /// Its stdin is closed already, so the process exits on its own.
    pub(super) async fn end(&mut self, name: &str, limit: Duration) -> Result<(), String> {
        self.stdin = None;
        let Ok(status) = timeout(limit, self.process.wait()).await else {
            self.kill().await;
            let text = format!("{name} did not stop within {limit:?} and was killed");
            print_note(&text);
            return Err(text);
        };
        // A forwarding task that panicked has no further output.
        if timeout(OUTPUT_TIMEOUT, &mut self.stdout).await.is_err() {
            print_note(format_args!(
                "standard output takes no more of the log of {name}: the rest is skipped, and its records are in the log \
                 store"
            ));
        }
        match status {
            Ok(status) if status.success() => Ok(()),
            status => Err(ending(name, status.ok(), self.stderr.last().await)),
        }
    }

    pub(super) async fn kill(&mut self) {
        // The process may have exited already.
        let _ = self.process.kill().await;
    }
}

/// Returns why a process exited: its own error line, or its exit status.
fn ending(name: &str, status: Option<ExitStatus>, reported: Option<String>) -> String {
    match (reported, status) {
        (Some(reported), _) if reported.starts_with(name) => reported,
        (Some(reported), _) => format!("{name}: {reported}"),
        (None, Some(status)) => format!("{name} ended: {status}"),
        (None, None) => format!("{name} ended"),
    }
}

//! Restarts one child process until it is told to stop.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use fibpro::process::print_note;
use rpc_runtime::backoff::{ExponentialBackoff, Jitter};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::process_spec::{Child, ProcessSpec};

/// Delay before an exited child is restarted. Its callers wait meanwhile, so it is much shorter
/// than their timeouts.
const RESTART_BACKOFF: ExponentialBackoff = ExponentialBackoff::new(
    Duration::from_millis(100),
    Duration::from_secs(2),
    Jitter::None,
);

/// Uptime of a child after which its next exit counts as the first one again.
const STEADY: Duration = Duration::from_secs(60);

/// A command to a supervisor. A later one is stronger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum SupervisorCommand {
    Run,
    Stop,
    Kill,
}

/// The task that supervises a child.
pub(super) struct Supervisor {
    pub(super) name: Arc<str>,
    /// Process id of the child at the start.
    pub(super) id: u32,
    command: watch::Sender<SupervisorCommand>,
    task: JoinHandle<Result<(), String>>,
}

impl Supervisor {
    /// Supervises a child, which has `stop_timeout` to exit when it is told to stop.
    pub(super) fn start(spec: ProcessSpec, child: Child, stop_timeout: Duration) -> Self {
        let (command, commands) = watch::channel(SupervisorCommand::Run);
        Self {
            name: Arc::clone(&spec.name),
            id: child.id().unwrap_or_default(),
            command,
            task: tokio::spawn(supervise(spec, child, commands, stop_timeout)),
        }
    }

    /// Stops the child, and waits for its exit.
    pub(super) async fn end(&mut self) -> Result<(), String> {
        self.command.send_replace(SupervisorCommand::Stop);
        self.ended().await
    }

    /// Kills the child; [`ended`](Self::ended) waits for its exit.
    pub(super) fn kill(&self) {
        self.command.send_replace(SupervisorCommand::Kill);
    }

    pub(super) async fn ended(&mut self) -> Result<(), String> {
        match (&mut self.task).await {
            Ok(outcome) => outcome,
            Err(error) => Err(format!("{}: {error}", self.name)),
        }
    }
}

/// Returns the error of a stop: each reason for which a service did not stop as it should.
pub(super) fn all_stopped(failed: &[String]) -> Result<(), String> {
    if failed.is_empty() {
        return Ok(());
    }
    Err(failed.join("; "))
}

/// The notes about restarts. A child that fails at each start for the same reason is noted after 1,
/// 2, 4, 8, … restarts.
#[derive(Debug, Default)]
struct RestartNotes {
    reason: String,
    repeats: u64,
}

impl RestartNotes {
    /// Returns whether the next restart for this reason is noted.
    fn is_due(&mut self, reason: &str) -> bool {
        if self.reason != reason {
            reason.clone_into(&mut self.reason);
            self.repeats = 0;
        }
        self.repeats += 1;
        self.repeats.is_power_of_two()
    }
}

/// The restarts of a child.
#[derive(Debug, Default)]
struct Restarts {
    total: u64,
    /// Those since the child last ran for longer than [`STEADY`].
    consecutive: u32,
    notes: RestartNotes,
}

impl Restarts {
    /// Counts and notes a restart. Returns the delay before it.
    fn count(&mut self, reason: &str) -> Duration {
        self.total += 1;
        self.consecutive = self.consecutive.saturating_add(1);
        let pause = RESTART_BACKOFF.delay(self.consecutive);
        if self.notes.is_due(reason) {
            let total = self.total;
            print_note(format_args!("{reason}; restart {total} in {pause:?}"));
        }
        pause
    }
}

/// Waits for this command, or a stronger one. A dropped sender is a command to stop.
async fn wait_for_command(
    commands: &mut watch::Receiver<SupervisorCommand>,
    command: SupervisorCommand,
) {
    // The returned reference holds a lock.
    drop(commands.wait_for(|now| *now >= command).await);
}

/// Restarts the child whenever it exits, until a command to stop.
async fn supervise(
    mut spec: ProcessSpec,
    mut child: Child,
    mut commands: watch::Receiver<SupervisorCommand>,
    stop_timeout: Duration,
) -> Result<(), String> {
    let name = Arc::clone(&spec.name);
    let mut restarts = Restarts::default();
    let last = loop {
        let since = Instant::now();
        let reason = tokio::select! {
            reason = child.died(&name) => reason,
            () = wait_for_command(&mut commands, SupervisorCommand::Stop) => break child,
        };
        if since.elapsed() > STEADY {
            restarts = Restarts {
                total: restarts.total,
                ..Restarts::default()
            };
        }
        child = match restart(&mut spec, &mut restarts, &mut commands, reason).await {
            ControlFlow::Continue(child) => child,
            ControlFlow::Break(Some(child)) => break child,
            ControlFlow::Break(None) => return Ok(()),
        };
    };
    // Closes the sockets here, so that those of the child are the last ones: when it has closed
    // them, callers are refused and do not wait.
    drop(spec);
    end(&name, last, commands, stop_timeout).await
}

/// Starts the process again until it is ready. Breaks at a command to stop, with the child that was
/// being started, if any.
async fn restart(
    spec: &mut ProcessSpec,
    restarts: &mut Restarts,
    commands: &mut watch::Receiver<SupervisorCommand>,
    mut reason: String,
) -> ControlFlow<Option<Child>, Child> {
    loop {
        let pause = restarts.count(&reason);
        tokio::select! {
            () = sleep(pause) => {}
            // No child runs at this moment.
            () = wait_for_command(commands, SupervisorCommand::Stop) => {
                return ControlFlow::Break(None);
            }
        }
        let mut child = match spec.spawn().await {
            Ok(child) => child,
            Err(error) => {
                reason = error;
                continue;
            }
        };
        let ready = tokio::select! {
            ready = child.ready(spec) => ready,
            () = wait_for_command(commands, SupervisorCommand::Stop) => {
                return ControlFlow::Break(Some(child));
            }
        };
        match ready {
            Ok(()) => {
                let (name, url) = (&spec.name, spec.url());
                let id = child.id().unwrap_or_default();
                print_note(format_args!("{name} is back on {url}, process {id}"));
                return ControlFlow::Continue(child);
            }
            Err(error) => reason = error,
        }
    }
}

async fn end(
    name: &str,
    mut child: Child,
    mut commands: watch::Receiver<SupervisorCommand>,
    stop_timeout: Duration,
) -> Result<(), String> {
    tokio::select! {
        biased;
        () = wait_for_command(&mut commands, SupervisorCommand::Kill) => {}
        outcome = child.end(name, stop_timeout) => return outcome,
    }
    child.kill().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_that_repeats_is_noted_less_and_less() {
        let mut notes = RestartNotes::default();
        let due = |reason: &str, notes: &mut RestartNotes| {
            (1..=20).filter(|_| notes.is_due(reason)).count()
        };
        assert_eq!(due("no key", &mut notes), 5);
        assert_eq!(due("killed", &mut notes), 5);
        // Two reasons in turn are two pieces of news each time.
        assert!((0..10).all(|turn| notes.is_due(if turn % 2 == 0 { "a" } else { "b" })));
    }

    #[test]
    fn each_service_that_did_not_stop_is_named() {
        assert_eq!(all_stopped(&[]), Ok(()));
        let failed = ["pricing was killed", "userstore was killed"].map(str::to_owned);
        let text = all_stopped(&failed).unwrap_err();
        assert_eq!(text, "pricing was killed; userstore was killed");
    }
}

//! Background tasks of a server, and its work at the stop.

use std::any::Any;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backoff::{ExponentialBackoff, Jitter};
use crate::context::{Context, ServerWork, Shutdown};
use crate::middleware::BoxFuture;
use crate::server::panic::CatchPanic;

/// The delay before a failed task is started again.
const BACKOFF: ExponentialBackoff = ExponentialBackoff::new(
    Duration::from_secs(1),
    Duration::from_secs(30),
    Jitter::Equal,
);

/// Time after which a task counts as one that works: a failure after it is the first in a row.
const HEALTHY: Duration = Duration::from_secs(60);

/// The time to wait for tasks that are dropped. One that blocks its thread takes longer.
const DROP_TIME: Duration = Duration::from_millis(200);

/// The least time for the work at the stop. The calls may have used up the drain timeout.
const MIN_HOOK_TIME: Duration = Duration::from_secs(1);

/// The result of a background task: `()`, or a `Result` whose error is logged.
pub trait TaskOutcome {
    #[doc(hidden)]
    fn into_result(self) -> Result<(), String>;
}

impl TaskOutcome for () {
    fn into_result(self) -> Result<(), String> {
        Ok(())
    }
}

impl<E: fmt::Display> TaskOutcome for Result<(), E> {
    fn into_result(self) -> Result<(), String> {
        // With the causes of an error that has them.
        self.map_err(|error| format!("{error:#}"))
    }
}

/// A task to start, as often as it fails.
pub(crate) struct BackgroundTask {
    pub(super) name: String,
    pub(super) run: Box<dyn Fn(Shutdown) -> BoxFuture<Result<(), String>> + Send + Sync>,
}

/// Work at the end of a stop.
pub(crate) struct ShutdownHook {
    pub(super) name: String,
    pub(super) run: Box<dyn FnOnce() -> BoxFuture<Result<(), String>> + Send>,
}

/// The work of a server beside its calls.
#[derive(Default)]
pub(crate) struct Background {
    pub(super) tasks: Vec<BackgroundTask>,
    pub(super) hooks: Vec<ShutdownHook>,
}

impl fmt::Debug for Background {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tasks = self.tasks.iter().map(|task| &task.name);
        let hooks = self.hooks.iter().map(|hook| &hook.name);
        f.debug_list().entries(tasks.chain(hooks)).finish()
    }
}

impl Background {
    /// Warns that nothing of it is started.
    pub(crate) fn warn_if_dropped(&self, server: &str) {
        if !(self.tasks.is_empty() && self.hooks.is_empty()) {
            tracing::warn!(target: "rpc", server, "background tasks and shutdown work are not started: only a server with listeners runs them");
        }
    }

    /// Starts the tasks, each in the current context.
    pub(crate) fn start(self, work: &Arc<Work>) -> RunningTasks {
        let mut tasks = JoinSet::new();
        let names = self.tasks.iter().map(|task| task.name.clone()).collect();
        for task in self.tasks {
            let shutdown = Shutdown::new(Arc::<Work>::clone(work));
            tasks.spawn(Context::current().scope(run(task, shutdown)));
        }
        RunningTasks {
            names,
            tasks,
            hooks: self.hooks,
        }
    }
}

/// Runs a task until it is done or the server stops.
async fn run(task: BackgroundTask, shutdown: Shutdown) {
    let name = &*task.name;
    let mut failures = 0;
    loop {
        let started = Instant::now();
        // The closure may panic as well.
        let outcome = CatchPanic::new(async { (task.run)(shutdown.clone()).await }).await;
        let Err(error) = outcome.unwrap_or_else(|panic| Err(format!("{panic:#}"))) else {
            tracing::debug!(target: "rpc", task = name, "background task ended");
            return;
        };
        if shutdown.is_requested() {
            tracing::error!(target: "rpc", task = name, error, "background task failed at the stop of the server");
            return;
        }
        failures = if started.elapsed() < HEALTHY {
            failures + 1
        } else {
            1
        };
        let delay = BACKOFF.delay(failures);
        tracing::error!(target: "rpc", task = name, error, failures, ?delay, "background task failed; starting it again");
        tokio::select! {
            () = sleep(delay) => {}
            () = shutdown.requested() => return,
        }
    }
}

/// The running tasks of a server. Dropping it drops them.
pub(crate) struct RunningTasks {
    names: Vec<String>,
    tasks: JoinSet<()>,
    hooks: Vec<ShutdownHook>,
}

impl RunningTasks {
    /// Waits for the tasks until `end`, drops the others, and then does the work at the stop.
    pub(crate) async fn finish(self, end: Instant) {
        let Self {
            names,
            mut tasks,
            hooks,
        } = self;
        let all = async { while tasks.join_next().await.is_some() {} };
        if timeout(end.saturating_duration_since(Instant::now()), all)
            .await
            .is_err()
        {
            let left = tasks.len();
            tracing::warn!(target: "rpc", left, tasks = names.join(", "), "drain timeout reached: dropping `left` of the background tasks");
            tasks.abort_all();
            let all = async { while tasks.join_next().await.is_some() {} };
            if timeout(DROP_TIME, all).await.is_err() {
                tracing::error!(target: "rpc", left = tasks.len(), "`left` of the background tasks block their threads and cannot be dropped; the stop goes on without them");
            }
        }
        let end = end.max(Instant::now() + MIN_HOOK_TIME);
        for ShutdownHook { name, run } in hooks.into_iter().rev() {
            let work = CatchPanic::new(async { run().await });
            match timeout(end.saturating_duration_since(Instant::now()), work).await {
                Ok(Ok(Ok(()))) => {}
                Ok(Ok(Err(error))) => {
                    tracing::error!(target: "rpc", name, error, "shutdown work failed");
                }
                Ok(Err(panic)) => {
                    tracing::error!(target: "rpc", name, error = format!("{panic:#}"), "shutdown work failed");
                }
                Err(_) => {
                    tracing::warn!(target: "rpc", name, "drain timeout reached: dropping the shutdown work");
                }
            }
        }
    }
}

/// The tasks of handlers, and the stop of the server.
pub(crate) struct Work {
    stopping: CancellationToken,
    /// Tasks that may outlive their call.
    tasks: TaskTracker,
}

impl Work {
    pub(crate) fn new(tasks: TaskTracker) -> Arc<Self> {
        Arc::new(Self {
            stopping: CancellationToken::new(),
            tasks,
        })
    }

    /// Tells all work that the server stops.
    pub(crate) fn stop(&self) {
        self.stopping.cancel();
    }
}

impl ServerWork for Work {
    fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }

    fn stopping(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(self.stopping.clone().cancelled_owned())
    }

    fn begin_task(&self) -> Box<dyn Any + Send> {
        Box::new(self.tasks.token())
    }
}

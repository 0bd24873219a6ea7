//! The progress of a call: whether its handler has begun, and which calls it has made.

use std::any::Any;

use super::{Context, Progress};
use crate::error::{Error, Execution};

/// Access of the client and the server to the progress of a call.
impl Context {
    /// Records that the handler begins; see [`Progress::begin`].
    pub(crate) fn begin(&self) -> bool {
        self.progress().is_none_or(Progress::begin)
    }

    /// Refuses the call if its handler has not begun; see [`Progress::refuse`].
    pub(crate) fn refuse(&self) -> bool {
        self.progress().is_some_and(Progress::refuse)
    }

    /// Records an outgoing call, which may be executed from now on.
    pub(crate) fn call_begins(&self) {
        if let Some(progress) = self.progress() {
            progress.call_begins();
        }
    }

    /// Records that an outgoing call was not executed.
    pub(crate) fn call_not_executed(&self) {
        if let Some(progress) = self.progress() {
            progress.call_not_executed();
        }
    }

    /// Counts a task of a handler, which may make calls until it ends, like a call.
    pub(crate) fn begin_task(&self) -> Option<RunningTask> {
        // A layer may run the handler itself in a task.
        let is_of_handler = self.progress().is_some_and(Progress::has_begun);
        is_of_handler.then(|| {
            self.call_begins();
            let work = self.server_info().and_then(|server| server.work());
            RunningTask {
                context: self.clone(),
                _task: work.map(|work| work.begin_task()),
            }
        })
    }

    /// Corrects an error that states that nothing was done, if a call of this context may have been
    /// executed.
    pub(crate) fn correct_execution(&self, error: &mut Error) {
        if error.is_not_executed() && self.has_called() {
            error.set_execution(Execution::Unknown);
        }
    }

    /// Decides whether an error of the handler means that nothing was done. That of a dependency
    /// that did nothing does, if no other call of the handler may have been executed.
    pub(crate) fn settle_execution(&self, error: &mut Error) {
        if error.execution() == Execution::DependencySafeToRepeat {
            // The dependency does not know what else this handler does.
            error.set_execution(Execution::Unknown);
        } else if error.execution() == Execution::DependencyNotExecuted {
            error.set_execution(if self.has_called() {
                Execution::Unknown
            } else {
                Execution::NotExecuted
            });
        }
    }

    pub(super) fn has_called(&self) -> bool {
        self.progress().is_some_and(Progress::has_called)
    }

    fn progress(&self) -> Option<&Progress> {
        Some(&self.call()?.progress)
    }
}

/// A task of a handler, for which the stop of the server waits. When it is dropped, only the calls
/// that the task has made count.
pub(crate) struct RunningTask {
    context: Context,
    /// The guard that the stop of the server waits for.
    _task: Option<Box<dyn Any + Send>>,
}

impl Drop for RunningTask {
    fn drop(&mut self) {
        self.context.call_not_executed();
    }
}

//! The attempts of one call, for the handle of the call.

use std::sync::Mutex;

use crate::error::Error;
use crate::sync::MutexExt as _;

/// The attempts of a call so far.
#[derive(Debug, Default)]
pub(crate) struct AttemptLog(Mutex<AttemptState>);

/// The state of a call.
#[derive(Debug, Clone, Default)]
pub(crate) struct AttemptState {
    /// The number of attempts that have begun.
    pub(crate) begun: u32,
    /// Whether one of them is running.
    pub(crate) is_running: bool,
    /// Whether one that has ended may have been executed.
    pub(crate) maybe_executed: bool,
    /// The error of the last attempt that has ended.
    pub(crate) last_error: Option<Error>,
}

impl AttemptLog {
    /// Records that an attempt begins.
    pub(crate) fn begin(&self) {
        let mut state = self.0.lock_unpoisoned();
        state.begun += 1;
        state.is_running = true;
    }

    /// Records the end of an attempt. `sent` is 2 for an attempt with a hedge.
    pub(crate) fn end(&self, sent: u32, error: Option<&Error>) {
        let mut state = self.0.lock_unpoisoned();
        state.begun += sent.saturating_sub(1);
        state.is_running = false;
        state.maybe_executed |= error.is_none_or(|error| sent > 1 || !error.is_not_executed());
        state.last_error = error.cloned();
    }

    pub(crate) fn state(&self) -> AttemptState {
        self.0.lock_unpoisoned().clone()
    }
}

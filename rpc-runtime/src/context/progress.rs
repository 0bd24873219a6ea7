//! The progress of a call in its server, from which it follows whether a failed call has done
//! nothing.

use std::panic::Location;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

use crate::sync::MutexExt as _;

/// A line that returned an error.
#[derive(Clone, Copy)]
pub(super) struct ErrorLocation {
    pub(super) location: &'static Location<'static>,
    /// The variant of the error. `None` for a `?`, which converts it.
    pub(super) variant: Option<u64>,
}

/// The progress of a call. Belongs to the context that the server creates for the call; contexts
/// that are derived from it refer to it.
#[derive(Default)]
pub(super) struct Progress {
    /// Whether the handler has begun, once it is decided. `false` if the call has ended before, so
    /// the handler must not begin any more.
    has_begun: OnceLock<bool>,
    /// The number of calls that the handler has made and that may have been executed, and of its
    /// tasks that run.
    calls: AtomicU32,
    /// The last line of the handler at which it has returned an error.
    error_location: Mutex<Option<ErrorLocation>>,
}

impl Progress {
    /// Records that the handler begins. Returns `false` if the call has been refused, so that the
    /// handler must not run.
    pub(super) fn begin(&self) -> bool {
        *self.has_begun.get_or_init(|| true)
    }

    /// Refuses the call if its handler has not begun, and returns whether it is refused.
    pub(super) fn refuse(&self) -> bool {
        !*self.has_begun.get_or_init(|| false)
    }

    pub(super) fn has_begun(&self) -> bool {
        self.has_begun.get() == Some(&true)
    }

    /// Records an outgoing call, which may be executed from now on.
    pub(super) fn call_begins(&self) {
        self.calls.fetch_add(1, Ordering::AcqRel);
    }

    /// Records that an outgoing call was not executed.
    pub(super) fn call_not_executed(&self) {
        self.calls.fetch_sub(1, Ordering::AcqRel);
    }

    pub(super) fn set_error_location(&self, location: ErrorLocation) {
        *self.error_location.lock_unpoisoned() = Some(location);
    }

    pub(super) fn error_location(&self) -> Option<ErrorLocation> {
        *self.error_location.lock_unpoisoned()
    }

    /// Returns whether a call that the handler has made may have been executed.
    pub(super) fn has_called(&self) -> bool {
        self.calls.load(Ordering::Acquire) > 0
    }
}

#[cfg(test)]
mod tests {
    use crate::context::Context;
    use crate::error::{Code, Error, Execution};
    use crate::request_id::RequestId;

    fn context() -> Context {
        Context::for_request(RequestId::random())
    }

    fn settled(context: &Context, execution: Execution) -> Execution {
        let error = Error::without_location(Code::Unavailable, "why");
        let mut error = error.with_execution(execution);
        context.settle_execution(&mut error);
        error.execution()
    }

    #[test]
    fn a_handler_begins_or_is_refused() {
        let begun = context();
        assert!(begun.begin() && !begun.refuse() && begun.begin());
        let refused = context();
        assert!(refused.refuse() && !refused.begin() && refused.refuse());
    }

    #[test]
    fn derived_contexts_share_the_progress() {
        let context = context();
        let derived = context.with_baggage("a", "b").unwrap();
        let twice = derived.with_deadline(std::time::Instant::now());
        assert!(twice.begin() && !context.refuse());
        twice.call_begins();
        let settled = settled(&context, Execution::DependencyNotExecuted);
        assert_eq!(settled, Execution::Unknown);
    }

    #[test]
    fn only_calls_that_may_have_run_count() {
        use Execution::{DependencyNotExecuted, NotExecuted, Unknown};
        let context = context();
        context.call_begins();
        context.call_not_executed();
        assert_eq!(settled(&context, DependencyNotExecuted), NotExecuted);
        context.call_begins();
        assert_eq!(settled(&context, DependencyNotExecuted), Unknown);
        // A statement of the handler stands.
        assert_eq!(settled(&context, NotExecuted), NotExecuted);
        assert_eq!(settled(&context, Unknown), Unknown);
    }
}

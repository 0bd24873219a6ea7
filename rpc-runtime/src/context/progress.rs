//! The progress of a call in its server, from which it follows whether a failed call has done
//! nothing.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

/// The handler has not begun.
const PENDING: u8 = 0;
/// The handler has begun.
const BEGUN: u8 = 1;
/// The call has ended before its handler began, so the handler must not begin any more.
const REFUSED: u8 = 2;

/// The progress of a call. Belongs to the context that the server creates for the call; contexts
/// that are derived from it refer to it.
#[derive(Default)]
pub(super) struct Progress {
    stage: AtomicU8,
    /// The number of calls that the handler has made and that may have been executed.
    calls: AtomicU32,
}

impl Progress {
    /// Records that the handler begins. Returns `false` if the call has been refused, so that the
    /// handler must not run.
    pub(super) fn begin(&self) -> bool {
        self.advance(BEGUN) != REFUSED
    }

    /// Refuses the call if its handler has not begun, and returns whether it is refused.
    pub(super) fn refuse(&self) -> bool {
        self.advance(REFUSED) != BEGUN
    }

    /// Advances a pending call, and returns the stage before.
    fn advance(&self, stage: u8) -> u8 {
        let order = (Ordering::AcqRel, Ordering::Acquire);
        self.stage
            .compare_exchange(PENDING, stage, order.0, order.1)
            .unwrap_or_else(|stage| stage)
    }

    /// Records an outgoing call, which may be executed from now on.
    pub(super) fn call_begins(&self) {
        self.calls.fetch_add(1, Ordering::AcqRel);
    }

    /// Records that an outgoing call was not executed.
    pub(super) fn call_not_executed(&self) {
        self.calls.fetch_sub(1, Ordering::AcqRel);
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

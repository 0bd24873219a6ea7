//! The time limits of a model: an operation that is not done when it is polled may exceed its
//! limit.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use shuttle::future::yield_now;
use shuttle::rand::{Rng as _, thread_rng};

use super::held_claim::STORE_TIMEOUT;

/// The number of limits that are still exceeded in this run of the model.
static TIMEOUTS: AtomicUsize = AtomicUsize::new(0);

/// Sets the number of limits that are exceeded from now on.
pub(super) fn set_timeouts(number: usize) {
    TIMEOUTS.store(number, Ordering::SeqCst);
}

/// Returns the result of the operation, or `None` if it takes longer than `limit`.
///
/// A longer limit than that of a single operation is not exceeded: every request arrives in time.
pub(super) async fn within<T>(limit: Duration, operation: impl Future<Output = T>) -> Option<T> {
    let mut operation = pin!(operation);
    poll_fn(|cx| {
        let polled = operation.as_mut().poll(cx).map(Some);
        let left = TIMEOUTS.load(Ordering::SeqCst);
        if polled.is_pending() && limit == STORE_TIMEOUT && left > 0 {
            if thread_rng().gen_ratio(1, 4) {
                TIMEOUTS.store(left - 1, Ordering::SeqCst);
                return Poll::Ready(None);
            }
            // The limit may also be exceeded later.
            cx.waker().wake_by_ref();
        }
        polled
    })
    .await
}

/// Waits before the next attempt.
pub(super) async fn pause(_: Duration) {
    yield_now().await;
}

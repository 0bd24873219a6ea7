//! The time limits of operations of the store. The models replace this file, because their timers
//! never expire.

use std::time::Duration;

/// Returns the result of the operation, or `None` if it takes longer than `limit`.
pub(super) async fn within<T>(limit: Duration, operation: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(limit, operation).await.ok()
}

/// Waits before the next attempt.
pub(super) async fn pause(delay: Duration) {
    tokio::time::sleep(delay).await;
}

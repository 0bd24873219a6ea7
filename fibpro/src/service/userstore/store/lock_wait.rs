//! Waiting for a lock that another process holds on the database.
//!
//! SQLite can wait by itself, but each attempt of a caller would wait anew: three attempts of 2 s
//! and the delays between them are 7 s.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Timeout for a lock that another process holds while the database is opened or closed.
pub(super) const LOCK_TIMEOUT: Duration = Duration::from_secs(2);

/// Timeout for a lock. With two more attempts after [`RETRY_WHEN_BUSY`](super::error), a caller has
/// an error within 2 s.
const FIRST_TIMEOUT: Duration = Duration::from_millis(600);

/// Timeout while the database is known to be locked.
const LOCKED_TIMEOUT: Duration = Duration::from_millis(100);

/// Longest pause between two attempts.
const MAX_PAUSE: Duration = Duration::from_millis(25);

/// Knows whether another process has the database locked.
#[derive(Debug, Default)]
pub(super) struct LockState {
    is_locked: AtomicBool,
}

impl LockState {
    /// Begins to wait for a lock.
    pub(super) fn begin(&self) -> LockWait<'_> {
        let timeout = if self.is_locked.load(Ordering::Relaxed) {
            LOCKED_TIMEOUT
        } else {
            FIRST_TIMEOUT
        };
        LockWait {
            state: self,
            deadline: Instant::now() + timeout,
            pause: Duration::from_millis(1),
        }
    }
}

/// One wait for a lock.
#[derive(Debug)]
pub(super) struct LockWait<'a> {
    state: &'a LockState,
    deadline: Instant,
    pause: Duration,
}

impl LockWait<'_> {
    /// Notes that the lock was free.
    pub(super) fn succeeded(&self) {
        self.state.is_locked.store(false, Ordering::Relaxed);
    }

    /// Pauses before another attempt. Returns `false` when the timeout has passed.
    pub(super) async fn again(&mut self) -> bool {
        if Instant::now() >= self.deadline {
            self.state.is_locked.store(true, Ordering::Relaxed);
            return false;
        }
        let end = (Instant::now() + self.pause).min(self.deadline);
        self.pause = (self.pause * 2).min(MAX_PAUSE);
        tokio::time::sleep_until(end).await;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns how long a locked database is waited for. The clock is paused, so it is exact.
    async fn waited(state: &LockState) -> Duration {
        let start = Instant::now();
        let mut wait = state.begin();
        while wait.again().await {}
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn three_attempts_end_within_two_seconds() {
        let state = LockState::default();
        let mut total = Duration::ZERO;
        for attempt in 0..3 {
            if attempt > 0 {
                // The retry delay and the largest jitter of a client.
                total += super::super::error::RETRY_WHEN_BUSY + Duration::from_millis(50);
            }
            total += waited(&state).await;
        }
        assert!(total <= Duration::from_secs(2), "{total:?}");
        assert!(total >= Duration::from_secs(1), "{total:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_lock_that_is_released_is_waited_for_again() {
        let state = LockState::default();
        let first = waited(&state).await;
        let later = waited(&state).await;
        assert!(
            later < first && later > Duration::ZERO,
            "{first:?} {later:?}"
        );
        state.begin().succeeded();
        assert_eq!(waited(&state).await, first);
    }
}

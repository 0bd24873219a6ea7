//! Turns of operations that run at the same time, and a short wait where none is given back.
//!
//! A busy database gives turns back all the time, and waiting for one of them is worth while. If
//! none is given back, as when a synchronous standby is missing, all callers would wait for their
//! whole deadline.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

/// Time without progress after which a waiting operation fails.
const STALL: Duration = Duration::from_millis(600);

/// The same for an operation that begins to wait while there is no progress.
const KNOWN_STALL: Duration = Duration::from_millis(100);

/// A number of turns.
#[derive(Debug)]
pub(super) struct Turns {
    free: Arc<Semaphore>,
    /// When an operation last succeeded, or began without waiting.
    progress: Mutex<Instant>,
}

/// The right to run now. Dropping it lets the next operation run.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Arc<Turns>,
    _permit: OwnedSemaphorePermit,
}

impl Turns {
    pub(super) fn new(count: usize) -> Arc<Self> {
        Arc::new(Self {
            free: Arc::new(Semaphore::new(count)),
            progress: Mutex::new(Instant::now()),
        })
    }

    /// Waits for a turn. Returns `None` if there is no progress.
    pub(super) async fn take(self: &Arc<Self>) -> Option<Turn> {
        if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
            self.note_progress();
            return Some(self.turn(permit));
        }
        let begin = Instant::now();
        let patience = match begin - self.last_progress() >= STALL {
            true => KNOWN_STALL,
            false => STALL,
        };
        let mut waiting = pin!(Arc::clone(&self.free).acquire_owned());
        loop {
            let end = begin.max(self.last_progress()) + patience;
            if Instant::now() >= end {
                return None;
            }
            tokio::select! {
                biased;
                permit = &mut waiting => return permit.ok().map(|permit| self.turn(permit)),
                () = sleep_until(end) => {}
            }
        }
    }

    fn turn(self: &Arc<Self>, permit: OwnedSemaphorePermit) -> Turn {
        Turn {
            turns: Arc::clone(self),
            _permit: permit,
        }
    }

    fn last_progress(&self) -> Instant {
        *self.progress.lock()
    }

    fn note_progress(&self) {
        *self.progress.lock() = Instant::now();
    }
}

impl Turn {
    /// Notes that the operation did not fail because of a lock: those that wait have a reason to
    /// wait on.
    pub(super) fn note_progress(&self) {
        self.turns.note_progress();
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    /// Returns how long an operation waits that gets no turn.
    async fn refused_after(turns: &Arc<Turns>) -> Duration {
        let begin = Instant::now();
        assert!(turns.take().await.is_none());
        begin.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn without_progress_an_operation_fails_soon() {
        let turns = Turns::new(2);
        // The time without operations before is no stall.
        advance(Duration::from_secs(60)).await;
        let held = (turns.take().await.unwrap(), turns.take().await.unwrap());
        assert_eq!(refused_after(&turns).await, STALL);
        assert_eq!(refused_after(&turns).await, KNOWN_STALL);
        drop(held);
        let _again = turns.take().await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_database_is_waited_for() {
        let turns = Turns::new(1);
        let running = turns.take().await.unwrap();
        let waiting = tokio::spawn({
            let turns = Arc::clone(&turns);
            async move { turns.take().await.is_some() }
        });
        for _ in 0..20 {
            advance(STALL / 2).await;
            running.note_progress();
        }
        drop(running);
        assert!(waiting.await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn operations_that_fail_at_a_lock_are_no_progress() {
        let turns = Turns::new(1);
        let mut running = turns.take().await.unwrap();
        let mut waiting: Vec<_> = (0..100)
            .map(|_| {
                let turns = Arc::clone(&turns);
                tokio::spawn(async move { turns.take().await })
            })
            .collect();
        // Each in turn holds it for a third of the time.
        let mut in_turn = waiting.drain(..2);
        for next in &mut in_turn {
            advance(STALL / 3).await;
            drop(running);
            running = next.await.unwrap().unwrap();
        }
        drop(in_turn);
        let refused = waiting.pop().unwrap().await.unwrap();
        assert!(refused.is_none());
        drop(running);
    }
}

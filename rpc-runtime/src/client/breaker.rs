//! The circuit breaker of an address: rejects calls after repeated failures, then probes whether
//! the address has recovered.
//!
//! Hand-written because no well-kept crate has one, and this one must share its probe with the load
//! balancer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

use crate::sync::MutexExt as _;

/// The number of consecutive failures that opens the breaker.
const CONSECUTIVE_FAILURES: u32 = 5;

/// The number of last outcomes over which the failure rate is taken. Each takes one bit.
const WINDOW: u32 = 20;

/// The time for which the breaker first stays open. Doubles with each failed probe, up to
/// [`MAX_OPEN`].
const MIN_OPEN: Duration = Duration::from_millis(500);

/// The maximum time for which the breaker stays open, and so the longest time until a recovered
/// server is noticed.
const MAX_OPEN: Duration = Duration::from_secs(5);

/// The circuit breaker of one address.
///
/// Opens after five consecutive failures, or when half of the last twenty attempts failed. Rejects
/// calls while it is open. Then admits one call as a probe, which closes it or opens it again.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    /// Whether the breaker is open or one of the last outcomes is a failure. While it is `false`, a
    /// call costs an atomic read and no lock.
    has_failures: AtomicBool,
    state: Mutex<BreakerState>,
}

#[derive(Debug, Default)]
struct BreakerState {
    phase: BreakerPhase,
    consecutive_failures: u32,
    /// The last outcomes, the newest in the lowest bit. 1 is a failure.
    outcomes: u32,
    /// The number of bits in `outcomes` that are in use.
    recorded: u32,
    /// The time for which the breaker was last opened.
    wait: Duration,
}

#[derive(Debug, Default, Clone, Copy)]
enum BreakerPhase {
    #[default]
    Closed,
    Open {
        until: Instant,
    },
    /// The probe is in flight.
    Probing,
}

/// The decision of a breaker about an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BreakerAdmission {
    /// The breaker is closed; the attempt may be sent.
    Allowed,
    /// The attempt may be sent as the probe. Its outcome must be reported, even if it is cancelled.
    Probe,
    /// The attempt may not be sent. Holds the time until the next probe, zero while one is in
    /// flight.
    Rejected(Duration),
}

/// The outcome of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BreakerOutcome {
    Success,
    Failure,
    /// The attempt was dropped without a result.
    Cancelled,
}

/// A change of the breaker that is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transition {
    Opened { wait: Duration },
    Closed,
}

impl Breaker {
    /// Whether an attempt would be admitted now.
    pub(super) fn admits(&self) -> bool {
        if !self.has_failures.load(Ordering::Acquire) {
            return true;
        }
        match self.lock().phase {
            BreakerPhase::Closed => true,
            BreakerPhase::Open { until } => until <= Instant::now(),
            BreakerPhase::Probing => false,
        }
    }

    /// Decides about an attempt. Turns the first attempt after the open time into the probe.
    pub(super) fn admit(&self) -> BreakerAdmission {
        if !self.has_failures.load(Ordering::Acquire) {
            return BreakerAdmission::Allowed;
        }
        let mut state = self.lock();
        match state.phase {
            BreakerPhase::Closed => BreakerAdmission::Allowed,
            BreakerPhase::Probing => BreakerAdmission::Rejected(Duration::ZERO),
            BreakerPhase::Open { until } => {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    state.phase = BreakerPhase::Probing;
                    BreakerAdmission::Probe
                } else {
                    BreakerAdmission::Rejected(left)
                }
            }
        }
    }

    /// Records the outcome of an attempt that was admitted with `admission`.
    pub(super) fn report(
        &self,
        admission: BreakerAdmission,
        outcome: BreakerOutcome,
    ) -> Option<Transition> {
        if outcome != BreakerOutcome::Failure && !self.has_failures.load(Ordering::Acquire) {
            return None;
        }
        let mut state = self.lock();
        let change = match (admission, outcome) {
            (BreakerAdmission::Probe, BreakerOutcome::Success) => {
                *state = BreakerState::default();
                Some(Transition::Closed)
            }
            (BreakerAdmission::Probe, BreakerOutcome::Failure) => Some(state.open()),
            (BreakerAdmission::Probe, BreakerOutcome::Cancelled) => {
                // The next attempt becomes the probe.
                state.phase = BreakerPhase::Open {
                    until: Instant::now(),
                };
                None
            }
            (_, BreakerOutcome::Cancelled) => None,
            (_, outcome) => state.record(outcome == BreakerOutcome::Failure),
        };
        self.has_failures
            .store(state.has_failures(), Ordering::Release);
        change
    }

    fn lock(&self) -> MutexGuard<'_, BreakerState> {
        self.state.lock_unpoisoned()
    }
}

impl BreakerState {
    fn record(&mut self, failed: bool) -> Option<Transition> {
        // Attempts that were admitted before the breaker opened do not count.
        if !matches!(self.phase, BreakerPhase::Closed) {
            return None;
        }
        self.consecutive_failures = if failed {
            self.consecutive_failures + 1
        } else {
            0
        };
        self.outcomes = (self.outcomes << 1 | u32::from(failed)) & ((1 << WINDOW) - 1);
        self.recorded = (self.recorded + 1).min(WINDOW);
        let half = self.recorded == WINDOW && self.outcomes.count_ones() * 2 >= WINDOW;
        (self.consecutive_failures >= CONSECUTIVE_FAILURES || half).then(|| self.open())
    }

    fn open(&mut self) -> Transition {
        let wait = (self.wait * 2).clamp(MIN_OPEN, MAX_OPEN);
        *self = Self {
            phase: BreakerPhase::Open {
                until: Instant::now() + wait,
            },
            wait,
            ..Self::default()
        };
        Transition::Opened { wait }
    }

    fn has_failures(&self) -> bool {
        !matches!(self.phase, BreakerPhase::Closed) || self.outcomes != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use BreakerAdmission::{Allowed, Probe, Rejected};
    use BreakerOutcome::{Cancelled, Failure, Success};

    /// Returns a breaker that five consecutive failures have just opened.
    fn opened() -> Breaker {
        let breaker = Breaker::default();
        for _ in 1..CONSECUTIVE_FAILURES {
            assert_eq!(breaker.admit(), Allowed);
            assert_eq!(breaker.report(Allowed, Failure), None);
        }
        let wait = MIN_OPEN;
        assert_eq!(
            breaker.report(Allowed, Failure),
            Some(Transition::Opened { wait })
        );
        breaker
    }

    #[tokio::test(start_paused = true)]
    async fn five_consecutive_failures_open_and_a_probe_closes() {
        let breaker = opened();
        assert_eq!(breaker.admit(), Rejected(MIN_OPEN));
        assert!(!breaker.admits());
        tokio::time::advance(MIN_OPEN).await;
        assert!(breaker.admits());
        assert_eq!(breaker.admit(), Probe);
        assert_eq!(breaker.admit(), Rejected(Duration::ZERO), "one at a time");
        assert_eq!(breaker.report(Probe, Success), Some(Transition::Closed));
        assert_eq!(breaker.admit(), Allowed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_probe_doubles_the_wait_up_to_its_maximum() {
        let breaker = opened();
        let mut waits = Vec::new();
        for _ in 0..5 {
            tokio::time::advance(MAX_OPEN).await;
            assert_eq!(breaker.admit(), Probe);
            if let Some(Transition::Opened { wait }) = breaker.report(Probe, Failure) {
                waits.push(wait.as_millis());
            }
        }
        assert_eq!(waits, [1000, 2000, 4000, 5000, 5000]);
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_cancelled_probe_the_next_attempt_is_one() {
        let breaker = opened();
        tokio::time::advance(MIN_OPEN).await;
        assert_eq!(breaker.admit(), Probe);
        assert_eq!(breaker.report(Probe, Cancelled), None);
        assert_eq!(breaker.admit(), Probe);
    }

    #[tokio::test(start_paused = true)]
    async fn ten_failures_of_twenty_open() {
        let breaker = Breaker::default();
        let mut opened = None;
        for attempt in 0..WINDOW {
            assert_eq!(opened, None, "attempt {attempt}");
            let outcome = [Failure, Success][attempt as usize % 2];
            opened = breaker.report(Allowed, outcome);
        }
        assert!(
            matches!(opened, Some(Transition::Opened { .. })),
            "{opened:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn occasional_failures_are_forgotten() {
        let breaker = Breaker::default();
        for _ in 0..50 {
            for _ in 0..4 {
                assert_eq!(breaker.report(Allowed, Failure), None);
            }
            for _ in 0..WINDOW {
                assert_eq!(breaker.report(Allowed, Success), None);
            }
            assert!(!breaker.has_failures.load(Ordering::Relaxed));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_admitted_before_the_opening_do_not_count() {
        let breaker = opened();
        assert_eq!(breaker.report(Allowed, Success), None);
        assert_eq!(breaker.report(Allowed, Failure), None);
        assert_eq!(breaker.admit(), Rejected(MIN_OPEN));
    }
}

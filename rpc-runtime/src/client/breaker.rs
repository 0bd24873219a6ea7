//! A circuit breaker: an address that fails again and again is left alone for a while, and then asked once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// So many failures in a row open it.
const CONSECUTIVE_FAILURES: u32 = 5;

/// How many of the last outcomes the share of failures is taken from. One bit each.
const WINDOW: u32 = 20;

/// How long it stays open at first; doubles with each probe that fails.
const MIN_OPEN: Duration = Duration::from_millis(500);

/// How long it stays open at most: so late can a server that is back be noticed.
const MAX_OPEN: Duration = Duration::from_secs(5);

/// The breaker of one address. It opens after five failures in a row, or when half of the last twenty attempts failed;
/// refuses while it is open; then lets one call through and follows its outcome.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    /// Whether there is anything to look at. While there is not, a call costs one read and no lock.
    has_failures: AtomicBool,
    state: Mutex<BreakerState>,
}

#[derive(Debug, Default)]
struct BreakerState {
    phase: BreakerPhase,
    consecutive_failures: u32,
    /// The last outcomes, the newest in the lowest bit; 1 is a failure.
    outcomes: u32,
    /// How many bits of it hold an outcome.
    recorded: u32,
    /// How long it was open the last time.
    wait: Duration,
}

#[derive(Debug, Default, Clone, Copy)]
enum BreakerPhase {
    #[default]
    Closed,
    Open {
        until: Instant,
    },
    /// One call is on its way to find out.
    Probing,
}

/// What a breaker says to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BreakerAdmission {
    /// Go.
    Allowed,
    /// Go: on this call depends whether others may follow. It must be reported or abandoned.
    Probe,
    /// Not before so much time has passed; zero while a probe is on its way.
    Rejected(Duration),
}

/// What an attempt says of the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BreakerOutcome {
    Success,
    Failure,
    /// The attempt was dropped: nothing is known.
    Cancelled,
}

/// What became of the breaker, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transition {
    Opened { wait: Duration },
    Closed,
}

impl Breaker {
    /// Whether a call would be let through now.
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

    /// Lets a call through, or does not.
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

    /// Takes in how an attempt ended that was let through by `admission`.
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
                // The next call may ask.
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
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BreakerState {
    fn record(&mut self, failed: bool) -> Option<Transition> {
        // Calls from before it opened say nothing new.
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

    /// A breaker that five failures in a row have opened just now.
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
    async fn five_failures_in_a_row_open_it_and_one_probe_closes_it() {
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
    async fn a_probe_that_fails_doubles_the_wait_up_to_its_end() {
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
    async fn a_probe_that_is_dropped_leaves_the_question_to_the_next() {
        let breaker = opened();
        tokio::time::advance(MIN_OPEN).await;
        assert_eq!(breaker.admit(), Probe);
        assert_eq!(breaker.report(Probe, Cancelled), None);
        assert_eq!(breaker.admit(), Probe);
    }

    #[tokio::test(start_paused = true)]
    async fn half_of_the_last_twenty_open_it() {
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
    async fn a_failure_now_and_then_is_forgotten() {
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
    async fn who_was_let_through_before_it_opened_changes_nothing() {
        let breaker = opened();
        assert_eq!(breaker.report(Allowed, Success), None);
        assert_eq!(breaker.report(Allowed, Failure), None);
        assert_eq!(breaker.admit(), Rejected(MIN_OPEN));
    }
}

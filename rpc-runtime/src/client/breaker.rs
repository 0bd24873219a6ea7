//! A circuit breaker: an address that fails again and again is left alone for a while, and then asked once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// So many failures in a row open it.
const IN_A_ROW: u32 = 5;

/// How many of the last outcomes the share of failures is taken from. One bit each.
const WINDOW: u32 = 20;

/// How long it stays open at first; doubles with each probe that fails.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// How long it stays open at most: so late can a server that is back be noticed.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The breaker of one address. It opens after five failures in a row, or when half of the last twenty attempts failed;
/// refuses while it is open; then lets one call through and follows its outcome.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    /// Whether there is anything to look at. While there is not, a call costs one read and no lock.
    troubled: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    phase: Phase,
    in_a_row: u32,
    /// The last outcomes, the newest in the lowest bit; 1 is a failure.
    outcomes: u32,
    /// How many bits of it hold an outcome.
    known: u32,
    /// How long it was open the last time.
    wait: Duration,
}

#[derive(Debug, Default, Clone, Copy)]
enum Phase {
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
pub(super) enum Admission {
    /// Go.
    Free,
    /// Go: on this call depends whether others may follow. It must be reported or abandoned.
    Probe,
    /// Not before so much time has passed; zero while a probe is on its way.
    Refused(Duration),
}

/// What an attempt says of the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Success,
    Failure,
    /// The attempt was dropped: nothing is known.
    Abandoned,
}

/// What became of the breaker, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Opened { wait: Duration },
    Closed,
}

impl Breaker {
    /// Whether a call would be let through now.
    pub(super) fn admits(&self) -> bool {
        if !self.troubled.load(Ordering::Acquire) {
            return true;
        }
        match self.lock().phase {
            Phase::Closed => true,
            Phase::Open { until } => until <= Instant::now(),
            Phase::Probing => false,
        }
    }

    /// Lets a call through, or does not.
    pub(super) fn admit(&self) -> Admission {
        if !self.troubled.load(Ordering::Acquire) {
            return Admission::Free;
        }
        let mut state = self.lock();
        match state.phase {
            Phase::Closed => Admission::Free,
            Phase::Probing => Admission::Refused(Duration::ZERO),
            Phase::Open { until } => {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    state.phase = Phase::Probing;
                    Admission::Probe
                } else {
                    Admission::Refused(left)
                }
            }
        }
    }

    /// Takes in how an attempt ended that was let through by `admission`.
    pub(super) fn report(&self, admission: Admission, outcome: Outcome) -> Option<Change> {
        if outcome != Outcome::Failure && !self.troubled.load(Ordering::Acquire) {
            return None;
        }
        let mut state = self.lock();
        let change = match (admission, outcome) {
            (Admission::Probe, Outcome::Success) => {
                *state = State::default();
                Some(Change::Closed)
            }
            (Admission::Probe, Outcome::Failure) => Some(state.open()),
            (Admission::Probe, Outcome::Abandoned) => {
                // The next call may ask.
                state.phase = Phase::Open {
                    until: Instant::now(),
                };
                None
            }
            (_, Outcome::Abandoned) => None,
            (_, outcome) => state.record(outcome == Outcome::Failure),
        };
        self.troubled.store(state.in_trouble(), Ordering::Release);
        change
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn record(&mut self, failed: bool) -> Option<Change> {
        // Calls from before it opened say nothing new.
        if !matches!(self.phase, Phase::Closed) {
            return None;
        }
        self.in_a_row = if failed { self.in_a_row + 1 } else { 0 };
        self.outcomes = (self.outcomes << 1 | u32::from(failed)) & ((1 << WINDOW) - 1);
        self.known = (self.known + 1).min(WINDOW);
        let half = self.known == WINDOW && self.outcomes.count_ones() * 2 >= WINDOW;
        (self.in_a_row >= IN_A_ROW || half).then(|| self.open())
    }

    fn open(&mut self) -> Change {
        let wait = (self.wait * 2).clamp(FIRST_WAIT, LONGEST_WAIT);
        *self = Self {
            phase: Phase::Open {
                until: Instant::now() + wait,
            },
            wait,
            ..Self::default()
        };
        Change::Opened { wait }
    }

    fn in_trouble(&self) -> bool {
        !matches!(self.phase, Phase::Closed) || self.outcomes != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Admission::{Free, Probe, Refused};
    use Outcome::{Abandoned, Failure, Success};

    /// A breaker that five failures in a row have opened just now.
    fn opened() -> Breaker {
        let breaker = Breaker::default();
        for _ in 1..IN_A_ROW {
            assert_eq!(breaker.admit(), Free);
            assert_eq!(breaker.report(Free, Failure), None);
        }
        let wait = FIRST_WAIT;
        assert_eq!(breaker.report(Free, Failure), Some(Change::Opened { wait }));
        breaker
    }

    #[tokio::test(start_paused = true)]
    async fn five_failures_in_a_row_open_it_and_one_probe_closes_it() {
        let breaker = opened();
        assert_eq!(breaker.admit(), Refused(FIRST_WAIT));
        assert!(!breaker.admits());
        tokio::time::advance(FIRST_WAIT).await;
        assert!(breaker.admits());
        assert_eq!(breaker.admit(), Probe);
        assert_eq!(breaker.admit(), Refused(Duration::ZERO), "one at a time");
        assert_eq!(breaker.report(Probe, Success), Some(Change::Closed));
        assert_eq!(breaker.admit(), Free);
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_fails_doubles_the_wait_up_to_its_end() {
        let breaker = opened();
        let mut waits = Vec::new();
        for _ in 0..5 {
            tokio::time::advance(LONGEST_WAIT).await;
            assert_eq!(breaker.admit(), Probe);
            if let Some(Change::Opened { wait }) = breaker.report(Probe, Failure) {
                waits.push(wait.as_millis());
            }
        }
        assert_eq!(waits, [1000, 2000, 4000, 5000, 5000]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_is_dropped_leaves_the_question_to_the_next() {
        let breaker = opened();
        tokio::time::advance(FIRST_WAIT).await;
        assert_eq!(breaker.admit(), Probe);
        assert_eq!(breaker.report(Probe, Abandoned), None);
        assert_eq!(breaker.admit(), Probe);
    }

    #[tokio::test(start_paused = true)]
    async fn half_of_the_last_twenty_open_it() {
        let breaker = Breaker::default();
        let mut opened = None;
        for attempt in 0..WINDOW {
            assert_eq!(opened, None, "attempt {attempt}");
            let outcome = [Failure, Success][attempt as usize % 2];
            opened = breaker.report(Free, outcome);
        }
        assert!(matches!(opened, Some(Change::Opened { .. })), "{opened:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_now_and_then_is_forgotten() {
        let breaker = Breaker::default();
        for _ in 0..50 {
            for _ in 0..4 {
                assert_eq!(breaker.report(Free, Failure), None);
            }
            for _ in 0..WINDOW {
                assert_eq!(breaker.report(Free, Success), None);
            }
            assert!(!breaker.troubled.load(Ordering::Relaxed));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_let_through_before_it_opened_changes_nothing() {
        let breaker = opened();
        assert_eq!(breaker.report(Free, Success), None);
        assert_eq!(breaker.report(Free, Failure), None);
        assert_eq!(breaker.admit(), Refused(FIRST_WAIT));
    }
}

//! The rule before the outlier policy, for comparison: a circuit breaker for each address.

use std::time::Duration;

use crate::outlier::Outcome;
use crate::simulation::{Call, Policy, Scenario};

const CONSECUTIVE_FAILURES: u32 = 5;
const WINDOW: u32 = 20;
const MIN_OPEN: Duration = Duration::from_millis(500);
const MAX_OPEN: Duration = Duration::from_secs(5);

#[derive(Debug, Default, Clone)]
struct Breaker {
    in_flight: usize,
    consecutive_failures: u32,
    /// The last outcomes, the newest in the lowest bit. 1 is a failure.
    outcomes: u32,
    recorded: u32,
    wait: Duration,
    /// The time until which it is open. `None` if it is closed.
    open_until: Option<Duration>,
    /// The time at which the probe in flight began.
    probe: Option<Duration>,
}

impl Breaker {
    fn admits(&self, now: Duration) -> bool {
        self.probe.is_none() && self.open_until.is_none_or(|until| until <= now)
    }

    fn admit(&mut self, now: Duration) {
        self.in_flight += 1;
        if self.open_until.is_some() {
            self.probe = Some(now);
        }
    }

    fn record(&mut self, is_probe: bool, failed: bool, now: Duration) {
        if is_probe && !failed {
            let in_flight = self.in_flight;
            *self = Self {
                in_flight,
                ..Self::default()
            };
        } else if is_probe {
            self.open(now);
        } else if self.open_until.is_none() {
            self.consecutive_failures = if failed {
                self.consecutive_failures + 1
            } else {
                0
            };
            self.outcomes = (self.outcomes << 1 | u32::from(failed)) & ((1 << WINDOW) - 1);
            self.recorded = (self.recorded + 1).min(WINDOW);
            let half = self.recorded == WINDOW && self.outcomes.count_ones() * 2 >= WINDOW;
            if half || self.consecutive_failures >= CONSECUTIVE_FAILURES {
                self.open(now);
            }
        }
    }

    fn open(&mut self, now: Duration) {
        let wait = (self.wait * 2).clamp(MIN_OPEN, MAX_OPEN);
        *self = Self {
            in_flight: self.in_flight,
            wait,
            open_until: Some(now + wait),
            ..Self::default()
        };
    }
}

/// The breakers of each client.
pub(crate) struct Breakers(Vec<Vec<Breaker>>);

impl Breakers {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let client = vec![Breaker::default(); scenario.replicas.len()];
        Self(vec![client; scenario.clients])
    }
}

impl Policy for Breakers {
    fn choose(&mut self, client: usize, now: Duration) -> Option<usize> {
        let breakers = &mut self.0[client];
        let count = breakers.len();
        let first = fastrand::usize(..count);
        let second = (first + fastrand::usize(1..count)) % count;
        let admitted = |index: &usize| breakers[*index].admits(now);
        let drawn = [first, second].into_iter().filter(admitted);
        let chosen = drawn
            .min_by_key(|index| breakers[*index].in_flight)
            .or_else(|| (first..first + count).map(|n| n % count).find(admitted))?;
        breakers[chosen].admit(now);
        Some(chosen)
    }

    fn ended(&mut self, call: &Call, outcome: Outcome, now: Duration) {
        let breaker = &mut self.0[call.client][call.replica];
        breaker.in_flight -= 1;
        let is_probe = breaker.probe == Some(call.started);
        match outcome {
            Outcome::Failure => breaker.record(is_probe, true, now),
            Outcome::Success | Outcome::Error | Outcome::Busy(_) => {
                breaker.record(is_probe, false, now);
            }
            // The next call is the probe.
            Outcome::Deadline | Outcome::Canceled if is_probe => breaker.probe = None,
            Outcome::Deadline | Outcome::Canceled => {}
        }
    }
}

//! The health of one address: what the outcomes of its attempts have shown.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, AtomicU64, AtomicUsize};
use std::time::Duration;

use super::average::Average;

/// The longest time for which an address gets no attempt.
pub(crate) const MAX_WAIT: Duration = Duration::from_millis(800);

/// The time from the failure that makes an address suspect to its first probe. It doubles with each
/// probe, up to [`MAX_WAIT`].
const MIN_WAIT: Duration = Duration::from_millis(200);

/// The number of times that the time between probes doubles.
const MAX_DOUBLINGS: u32 = 2;

/// The share of failures from which an address is suspect: that of five failures in a row.
pub(super) const SUSPECT: f32 = 0.5;

/// The share of failures after the first success of a suspect address. Three more failures in a row
/// make it suspect again.
const RECOVERED: f32 = 0.25;

/// The number of deadlines in a row, without any response between them, that count as failures.
/// Fewer may come from callers with short deadlines.
const DEADLINES: u32 = 3;

/// The weight of one outcome in the share of failures and in the share of errors.
const FAILURE_WEIGHT: f32 = 1.0 / 7.0;
const ERROR_WEIGHT: f32 = 1.0 / 16.0;

/// The number of responses over which the usual time is taken, on average.
const TIME_SAMPLES: u16 = 16;

/// The outcome of a request, as far as it is evidence about the server at the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The server responded with a result.
    Success,
    /// The server responded with an error of its handler or of a dependency.
    Error,
    /// The server, or a proxy in front of it, responded that it has no capacity for the next time.
    Busy(Duration),
    /// The connection could not be opened or broke, or the response was that of a server that is
    /// unavailable.
    Failure,
    /// The deadline passed before the response was complete.
    Deadline,
    /// The caller left before the response was complete.
    Canceled,
}

/// The health of one address.
///
/// Each value is an atomic of its own: a response of a healthy server costs a few reads and one
/// write. An update that gets lost because two attempts end at once delays a decision by an
/// attempt.
#[derive(Debug, Default)]
pub(crate) struct Health {
    /// The number of attempts in flight.
    in_flight: AtomicUsize,
    /// The share of requests that failed. It changes by failures and responses, not by time.
    failures: Average,
    /// The share of responses that are errors.
    errors: Average,
    /// The usual time of a response: the average of the binary logarithms of the microseconds.
    time: Average,
    /// The number of responses in the usual time, up to [`TIME_SAMPLES`].
    timed: AtomicU16,
    /// The number of deadlines since the last response.
    deadlines: AtomicU32,
    /// Whether the address is ejected: it gets probes only. Set by the choice, cleared by a
    /// success.
    ejected: AtomicBool,
    /// The time of the next probe, and the position in the times between probes. Only those of a
    /// suspect address are valid.
    next_probe_us: AtomicU64,
    probes: AtomicU32,
    /// The time until which the server is busy; 0 if it has never been.
    busy_until_us: AtomicU64,
}

impl Health {
    pub(crate) fn attempt_started(&self) {
        self.in_flight.fetch_add(1, Relaxed);
    }

    pub(crate) fn attempt_ended(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Relaxed)
    }

    /// Records the outcome of a request that took `elapsed`. Returns whether the address was
    /// ejected until now and has recovered.
    ///
    /// `now` is the time since any fixed moment, which is the same for all addresses.
    pub(crate) fn record(&self, outcome: Outcome, elapsed: Duration, now: Duration) -> bool {
        let time = log2_us(elapsed);
        match outcome {
            Outcome::Success => {
                self.errors.forget(ERROR_WEIGHT);
                let recovered = self.responded();
                self.took(time);
                return recovered;
            }
            Outcome::Error | Outcome::Busy(_) => {
                // An error that comes quickly does not make a server fast.
                self.took_at_least(time);
                self.errors.add(1.0, ERROR_WEIGHT);
                if let Outcome::Busy(delay) = outcome {
                    let until = now + delay.min(MAX_WAIT);
                    self.busy_until_us.fetch_max(micros(until), Relaxed);
                    // Busy is not failing: the failures before it are neither more nor fewer.
                    self.deadlines.store(0, Relaxed);
                } else {
                    return self.responded();
                }
            }
            Outcome::Failure => self.failed(FAILURE_WEIGHT, 0, now),
            Outcome::Deadline => self.expired(time, now),
            Outcome::Canceled => self.took_at_least(time),
        }
        false
    }

    /// Returns whether the address has neither failures nor a time until which it is busy.
    pub(super) fn is_clean(&self) -> bool {
        self.failures.get() == 0.0 && self.busy_until_us.load(Relaxed) == 0
    }

    pub(super) fn is_busy(&self, now: Duration) -> bool {
        self.busy_until_us.load(Relaxed) > micros(now)
    }

    /// The share of requests that failed.
    pub(super) fn failures(&self) -> f32 {
        self.failures.get()
    }

    /// The share of responses that are errors.
    pub(super) fn errors(&self) -> f32 {
        self.errors.get()
    }

    /// The binary logarithm of the usual time of a response. `None` before the first one.
    pub(super) fn usual_time(&self) -> Option<f32> {
        (self.timed.load(Relaxed) > 0).then(|| self.time.get())
    }

    /// The number of responses in the usual time, as a share of those that make it certain.
    pub(super) fn time_certainty(&self) -> f32 {
        f32::from(self.timed.load(Relaxed)) / f32::from(TIME_SAMPLES)
    }

    /// Takes the probe of a suspect address if it is due. One caller gets it.
    ///
    /// The next probe is due after a time that does not depend on the end of this one, so a slow
    /// probe holds nothing back.
    pub(super) fn take_probe(&self, now: Duration) -> bool {
        let due = self.next_probe_us.load(Relaxed);
        let now_us = micros(now);
        if due > now_us {
            return false;
        }
        let probes = self.probes.load(Relaxed);
        let next = now_us + micros(jittered(wait(probes + 1)));
        let taken = self
            .next_probe_us
            .compare_exchange(due, next, Relaxed, Relaxed)
            .is_ok();
        if taken {
            self.probes.store(probes.saturating_add(1), Relaxed);
        }
        taken
    }

    pub(super) fn is_ejected(&self) -> bool {
        self.ejected.load(Relaxed)
    }

    /// Sets whether the address is ejected. Returns whether that is a change.
    pub(super) fn set_ejected(&self, ejected: bool) -> bool {
        self.ejected.swap(ejected, Relaxed) != ejected
    }

    /// Records a failure. `probes` is the position in the times between probes at which they begin.
    fn failed(&self, weight: f32, probes: u32, now: Duration) {
        let suspect = self.failures.get() >= SUSPECT;
        self.failures.add(1.0, weight);
        if !suspect && self.failures.get() >= SUSPECT {
            self.probes.store(probes, Relaxed);
            let next = now + jittered(wait(probes));
            self.next_probe_us.store(micros(next), Relaxed);
        }
    }

    /// Records that a deadline passed after the time `time`.
    fn expired(&self, time: f32, now: Duration) {
        // No server responds sooner than it usually does.
        let was_soon = self.usual_time().is_some_and(|usual| time < usual);
        self.took_at_least(time);
        if was_soon {
            return;
        }
        let in_a_row = self.deadlines.fetch_add(1, Relaxed) + 1;
        if in_a_row >= DEADLINES {
            // All of them are failures; the first ones were not counted until now. A probe costs
            // its caller the whole deadline, so the first one is late.
            self.failed(SUSPECT + FAILURE_WEIGHT, MAX_DOUBLINGS, now);
        }
    }

    fn responded(&self) -> bool {
        if self.deadlines.load(Relaxed) != 0 {
            self.deadlines.store(0, Relaxed);
        }
        let failures = self.failures.get();
        if failures == 0.0 {
            return false;
        }
        if failures >= SUSPECT {
            self.failures.set(RECOVERED);
            // It may be another process now.
            self.timed.store(0, Relaxed);
        } else {
            self.failures.forget(FAILURE_WEIGHT);
        }
        self.set_ejected(false)
    }

    /// Adds a time to the usual one. The first times have the same weight.
    fn took(&self, time: f32) {
        let timed = self.timed.load(Relaxed);
        if timed < TIME_SAMPLES {
            self.timed.store(timed + 1, Relaxed);
        }
        let samples = f32::from((timed + 1).min(TIME_SAMPLES));
        self.time.add(time, 1.0 / samples);
    }

    /// Records a time after which there was no result yet. As the first time it would make a server
    /// fast that responds quickly with errors only.
    fn took_at_least(&self, time: f32) {
        if self.usual_time().is_some_and(|usual| time > usual) {
            self.took(time);
        }
    }
}

/// The time from one probe to the next, after `probes` of them.
fn wait(probes: u32) -> Duration {
    (MIN_WAIT * 2_u32.pow(probes.min(MAX_DOUBLINGS))).min(MAX_WAIT)
}

/// Shortens a time by up to a quarter, so that the clients of a server do not probe it at once.
fn jittered(wait: Duration) -> Duration {
    wait.mul_f32(1.0 - fastrand::f32() / 4.0)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// The binary logarithm of a time in microseconds, above 0.
fn log2_us(time: Duration) -> f32 {
    (time.as_secs_f32() * 1e6).max(2.0).log2()
}

#[cfg(test)]
mod tests;

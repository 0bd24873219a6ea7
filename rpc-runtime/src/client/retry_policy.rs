//! The retry policy of a client: number of attempts, backoff and budget.

use std::time::Duration;

use crate::backoff::{ExponentialBackoff, Jitter};

/// The retry policy of a [`Client`](super::Client).
///
/// A failed attempt is retried only if a second execution does no harm:
///
/// | Method | Retried errors |
/// | --- | --- |
/// | `idempotent`, `no_side_effects` or with an idempotency key | `unavailable`; `resource_exhausted` with a retry delay from the server |
/// | any other | `unavailable`, if the call was not executed: it was not sent, or the server says so ([`Error::is_not_executed`](crate::Error::is_not_executed)) |
///
/// The first five attempts that a server did not process (`GOAWAY`, `REFUSED_STREAM`) count neither
/// as attempts nor against the budget: nothing is wrong with the server.
///
/// A call is not retried after `deadline_exceeded` or `canceled`, or after its deadline. It is also
/// not retried if a service further down the chain has used up its retries for the same failure:
/// three attempts in each of three services would be 27.
///
/// The delay before attempt *n* is random between zero and `min` × 2ⁿ⁻², at most `max` ("full
/// jitter"), so that the clients of a recovering server do not all return at the same time. A retry
/// delay from the server replaces it; the client waits for that delay plus a jitter of at most
/// `min`.
///
/// ```
/// use std::time::Duration;
/// use rpc_runtime::{Client, RetryPolicy};
///
/// let policy = RetryPolicy::default()
///     .attempts(5)
///     .backoff(Duration::from_millis(20), Duration::from_secs(2));
/// let client = Client::new("http://127.0.0.1:8080")?.retry(policy);
/// # drop(client);
/// # Ok::<(), rpc_runtime::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    pub(super) attempts: u32,
    backoff: ExponentialBackoff,
    pub(super) budget_percent: u32,
}

/// Three attempts, delays from 50 ms to 1 s, and a budget of 20 % of the calls.
impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 3,
            backoff: full_jitter(Duration::from_millis(50), Duration::from_secs(1)),
            budget_percent: 20,
        }
    }
}

impl RetryPolicy {
    /// Returns a policy without retries and hedges.
    #[must_use]
    pub fn off() -> Self {
        Self::default().attempts(1)
    }

    /// Sets the maximum number of attempts of a call, including the first one and hedges. 0 counts
    /// as 1.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// Sets the upper bound of the first delay, and the upper bound of all delays. The bound
    /// doubles with each attempt from `min` up to `max`.
    #[must_use]
    pub fn backoff(mut self, min: Duration, max: Duration) -> Self {
        self.backoff = full_jitter(min, max);
        self
    }

    /// Sets the retry budget: the number of retries and hedges that each 100 calls of the client
    /// add. A new client starts with a budget of 10; the budget never exceeds 100.
    #[must_use]
    pub fn budget_percent(mut self, percent: u32) -> Self {
        self.budget_percent = percent;
        self
    }

    /// Returns the delay after attempt number `attempt`, counted from 1. `retry_after` is the delay
    /// that the server asks for, `jitter` a random number from 0 to 1.
    pub(super) fn delay(
        &self,
        attempt: u32,
        retry_after: Option<Duration>,
        jitter: f64,
    ) -> Duration {
        match retry_after {
            // Saturates at a delay that no deadline allows.
            Some(delay) => delay.saturating_add(self.backoff.delay_at(1, jitter)),
            None => self.backoff.delay_at(attempt, jitter),
        }
    }
}

fn full_jitter(min: Duration, max: Duration) -> ExponentialBackoff {
    ExponentialBackoff::new(min, max, Jitter::Full)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_delay_doubles_up_to_its_maximum() {
        let policy = RetryPolicy::default();
        let bounds: Vec<_> = (1..8)
            .map(|attempt| policy.delay(attempt, None, 1.0).as_millis())
            .collect();
        assert_eq!(bounds, [50, 100, 200, 400, 800, 1000, 1000]);
        assert_eq!(policy.delay(3, None, 0.0), Duration::ZERO);
        assert_eq!(policy.delay(3, None, 0.5), 100 * MS);
    }

    #[test]
    fn no_number_of_attempts_and_no_delay_overflows() {
        let policy = RetryPolicy::default().backoff(Duration::MAX, Duration::MAX);
        assert!(policy.delay(u32::MAX, None, 0.25) > Duration::from_secs(1));
        let policy = RetryPolicy::default();
        assert_eq!(policy.delay(u32::MAX, None, 1.0), Duration::from_secs(1));
        assert_eq!(policy.delay(1, Some(Duration::MAX), 1.0), Duration::MAX);
    }

    #[test]
    fn a_retry_delay_of_the_server_is_kept() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.delay(1, Some(300 * MS), 0.0), 300 * MS);
        assert_eq!(policy.delay(7, Some(300 * MS), 1.0), 350 * MS);
    }

    #[test]
    fn zero_attempts_count_as_one() {
        assert_eq!(RetryPolicy::default().attempts(0), RetryPolicy::off());
    }
}

//! How a client retries: how often, and how long it waits in between.

use std::time::Duration;

/// The rules by which a [`Client`](super::Client) retries.
///
/// A failed attempt is repeated only where that cannot do harm:
///
/// | the method is | retried after |
/// | --- | --- |
/// | `idempotent`, `no_side_effects`, an idempotency key | `unavailable`; `resource_exhausted` of a server that says when to come back |
/// | anything else | `unavailable` of a connection that did not come about: not one byte was sent |
///
/// Never after `deadline_exceeded` and `canceled`, never past the deadline of the call, and not when a service further
/// down says that the fault has had its retries already: three tries in each of three layers would be twenty-seven.
///
/// The wait before attempt *n* is drawn between zero and `first` × 2ⁿ⁻², at most `longest` ("full jitter"), so that the
/// clients of a server that comes back do not arrive together. A server that says how long to wait is obeyed: its time
/// passes first, then a jitter of at most `first`.
///
/// ```
/// use std::time::Duration;
/// use rpc_runtime::{Client, RetryPolicy};
///
/// let patient = RetryPolicy::default().attempts(5).backoff(Duration::from_millis(20), Duration::from_secs(2));
/// let client = Client::new("http://127.0.0.1:8080")?.retry(patient);
/// # drop(client);
/// # Ok::<(), rpc_runtime::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    pub(super) attempts: u32,
    first: Duration,
    longest: Duration,
    pub(super) budget_percent: u32,
}

/// Three attempts, waits from 50 ms up to 1 s, and a budget of 20 % of the calls.
impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 3,
            first: Duration::from_millis(50),
            longest: Duration::from_secs(1),
            budget_percent: 20,
        }
    }
}

impl RetryPolicy {
    /// No retries at all.
    #[must_use]
    pub fn off() -> Self {
        Self::default().attempts(1)
    }

    /// How often a call is sent at most, the first time and hedges included; 0 counts as 1.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// The upper end of the first wait, which doubles with each attempt up to `longest`.
    #[must_use]
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.first = first;
        self.longest = longest;
        self
    }

    /// How many retries and hedges there may be for each hundred calls of this client, beside ten that it has from
    /// the start. At most a hundred of them are saved up.
    #[must_use]
    pub fn budget_percent(mut self, percent: u32) -> Self {
        self.budget_percent = percent;
        self
    }

    /// The wait behind attempt number `attempt`, from 1. `fraction` is the jitter, from 0 to 1; `asked` is what the
    /// server asks for.
    pub(super) fn wait(&self, attempt: u32, asked: Option<Duration>, fraction: f64) -> Duration {
        let fraction = fraction.clamp(0.0, 1.0);
        match asked {
            // As long as a `Duration` can be; the deadline is nearer than that.
            Some(asked) => asked.saturating_add(self.first.min(self.longest).mul_f64(fraction)),
            None => {
                let doubled = 2_u32.saturating_pow(attempt.saturating_sub(1));
                let most = self.first.saturating_mul(doubled).min(self.longest);
                most.mul_f64(fraction)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_wait_doubles_up_to_its_end() {
        let policy = RetryPolicy::default();
        let most: Vec<_> = (1..8)
            .map(|attempt| policy.wait(attempt, None, 1.0).as_millis())
            .collect();
        assert_eq!(most, [50, 100, 200, 400, 800, 1000, 1000]);
        assert_eq!(policy.wait(3, None, 0.0), Duration::ZERO);
        assert_eq!(policy.wait(3, None, 0.5), 100 * MS);
    }

    #[test]
    fn no_number_of_attempts_and_no_wait_overflows() {
        let policy = RetryPolicy::default().backoff(Duration::MAX, Duration::MAX);
        assert!(policy.wait(u32::MAX, None, 0.25) > Duration::from_secs(1));
        let policy = RetryPolicy::default();
        assert_eq!(policy.wait(u32::MAX, None, 1.0), Duration::from_secs(1));
        assert_eq!(policy.wait(1, Some(Duration::MAX), 1.0), Duration::MAX);
    }

    #[test]
    fn a_server_that_asks_for_time_gets_it() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.wait(1, Some(300 * MS), 0.0), 300 * MS);
        assert_eq!(policy.wait(7, Some(300 * MS), 1.0), 350 * MS);
    }

    #[test]
    fn once_is_the_least() {
        assert_eq!(RetryPolicy::default().attempts(0), RetryPolicy::off());
    }
}

//! Exponential backoff: the delays between the attempts of something that fails.

use std::time::Duration;

/// A delay that doubles with each failure in a row, from a minimum to a maximum.
///
/// ```
/// use std::time::Duration;
/// use rpc_runtime::backoff::{ExponentialBackoff, Jitter};
///
/// let backoff = ExponentialBackoff::new(Duration::from_millis(100), Duration::from_secs(1), Jitter::None);
/// let delays: Vec<_> = (1..=5).map(|failures| backoff.delay(failures).as_millis()).collect();
/// assert_eq!(delays, [100, 200, 400, 800, 1000]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExponentialBackoff {
    min: Duration,
    max: Duration,
    jitter: Jitter,
}

/// The random part of a delay. Jitter keeps clients apart that have failed at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Jitter {
    /// No random part.
    None,
    /// One half of the delay is fixed, and the other half is random.
    Equal,
    /// The whole delay is random, from zero to the full delay.
    Full,
}

impl ExponentialBackoff {
    /// Creates a backoff whose first full delay is `min` and whose longest one is `max`.
    ///
    /// If `min` is larger than `max`, every full delay is `max`.
    #[must_use]
    pub const fn new(min: Duration, max: Duration, jitter: Jitter) -> Self {
        Self { min, max, jitter }
    }

    /// Returns the delay after this many failures in a row, with random jitter. 0 counts as 1.
    #[must_use]
    pub fn delay(&self, failures: u32) -> Duration {
        self.delay_at(failures, fastrand::f64())
    }

    /// Returns the delay after this many failures in a row. `random` is the jitter, from 0 to 1.
    pub(crate) fn delay_at(&self, failures: u32, random: f64) -> Duration {
        let factor = 2_u32.saturating_pow(failures.saturating_sub(1));
        let full = self.min.saturating_mul(factor).min(self.max);
        match self.jitter {
            Jitter::None => full,
            Jitter::Equal => full / 2 + share(full / 2, random),
            Jitter::Full => share(full, random),
        }
    }
}

fn share(delay: Duration, fraction: f64) -> Duration {
    let seconds = delay.as_secs_f64() * fraction.clamp(0.0, 1.0);
    // A float may round the longest durations up to one that is too long to be a `Duration`.
    Duration::try_from_secs_f64(seconds).unwrap_or(delay)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn backoff(jitter: Jitter) -> ExponentialBackoff {
        ExponentialBackoff::new(100 * MS, 1000 * MS, jitter)
    }

    #[test]
    fn the_full_delay_doubles_up_to_its_maximum() {
        for jitter in [Jitter::None, Jitter::Equal, Jitter::Full] {
            let delays: Vec<_> = (0..7)
                .map(|failures| backoff(jitter).delay_at(failures, 1.0).as_millis())
                .collect();
            assert_eq!(delays, [100, 100, 200, 400, 800, 1000, 1000], "{jitter:?}");
        }
    }

    #[test]
    fn jitter_takes_its_part_of_the_delay() {
        assert_eq!(backoff(Jitter::None).delay_at(3, 0.0), 400 * MS);
        assert_eq!(backoff(Jitter::Equal).delay_at(3, 0.0), 200 * MS);
        assert_eq!(backoff(Jitter::Equal).delay_at(3, 0.5), 300 * MS);
        assert_eq!(backoff(Jitter::Full).delay_at(3, 0.0), Duration::ZERO);
        assert_eq!(backoff(Jitter::Full).delay_at(3, 0.25), 100 * MS);
        let drawn = backoff(Jitter::Equal).delay(1);
        assert!((50 * MS..=100 * MS).contains(&drawn), "{drawn:?}");
    }

    #[test]
    fn no_number_of_failures_and_no_delay_overflows() {
        assert_eq!(backoff(Jitter::Full).delay_at(u32::MAX, 1.0), 1000 * MS);
        let longest = ExponentialBackoff::new(Duration::MAX, Duration::MAX, Jitter::Full);
        assert_eq!(longest.delay_at(u32::MAX, 1.0), Duration::MAX);
        assert!(longest.delay_at(u32::MAX, 0.25) > Duration::from_secs(1));
        let reversed = ExponentialBackoff::new(1000 * MS, 100 * MS, Jitter::None);
        assert_eq!(reversed.delay(1), 100 * MS);
    }
}

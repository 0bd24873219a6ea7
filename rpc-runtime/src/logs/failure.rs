//! What follows from the failure of a batch.

use std::time::Duration;

use crate::error::{Code, Error};

/// The wait behind the first failure, and the longest one.
const MIN_DELAY: Duration = Duration::from_millis(100);
const MAX_DELAY: Duration = Duration::from_secs(5);

/// How often a single record is sent before it counts as refused, where the sink answers and does not say that the
/// record is invalid. With the waits in between that is more than a minute, so a sink that is only busy has its time.
pub(super) const MAX_SINGLE_RECORD_ATTEMPTS: u32 = 20;

/// Why a batch was not taken, as far as it matters for what is done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// The records have nothing to do with it: nobody is there, or we may not.
    Unavailable,
    /// It takes too long; a smaller batch might not.
    Timeout,
    /// The sink is in trouble, maybe for what is in the batch: a smaller one finds out.
    SinkError,
    /// A record of the batch is invalid.
    InvalidRecord,
}

impl FailureKind {
    pub(super) fn of(error: &Error) -> Self {
        match error.code() {
            Code::InvalidArgument => Self::InvalidRecord,
            Code::DeadlineExceeded => Self::Timeout,
            Code::Unavailable
            | Code::Canceled
            | Code::Unauthenticated
            | Code::PermissionDenied
            | Code::Unimplemented
            | Code::NotFound => Self::Unavailable,
            _ => Self::SinkError,
        }
    }
}

/// How long to wait behind so many failures in a row: half of it for certain, and half by chance, so that the servers
/// of a sink that comes back do not arrive together. `asked` is what the sink itself says.
pub(super) fn delay(failures: u32, asked: Option<Duration>, fraction: f64) -> Duration {
    let factor = 1u32 << failures.saturating_sub(1).min(16);
    let full = MIN_DELAY.saturating_mul(factor).min(MAX_DELAY);
    let drawn = full / 2 + (full / 2).mul_f64(fraction.clamp(0.0, 1.0));
    drawn.max(asked.unwrap_or_default().min(Duration::from_secs(60)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_a_sink_that_asks_for_more_gets_it() {
        let ms = Duration::from_millis;
        assert_eq!(delay(1, None, 0.0), ms(50));
        assert_eq!(delay(1, None, 1.0), ms(100));
        assert_eq!(delay(3, None, 1.0), ms(400));
        assert_eq!(delay(1000, None, 1.0), MAX_DELAY);
        assert_eq!(delay(1, Some(ms(3000)), 0.5), ms(3000));
        assert_eq!(delay(1, Some(Duration::MAX), 0.5), Duration::from_secs(60));
    }

    #[test]
    fn only_an_invalid_record_is_the_batchs_own_fault() {
        let invalid: Vec<_> = Code::all()
            .filter(|code| {
                FailureKind::of(&Error::unlocated(*code, "")) == FailureKind::InvalidRecord
            })
            .collect();
        assert_eq!(invalid, [Code::InvalidArgument]);
    }
}

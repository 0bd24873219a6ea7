//! Classification of failed batches, and the delay before the next attempt.

use std::time::Duration;

use crate::backoff::{ExponentialBackoff, Jitter};
use crate::error::{Code, Error};

/// Delays between attempts. Jitter keeps the servers of a sink that recovers from calling all at
/// once.
const BACKOFF: ExponentialBackoff = ExponentialBackoff::new(
    Duration::from_millis(100),
    Duration::from_secs(5),
    Jitter::Equal,
);

/// Limit of the delay that a sink can ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// Attempts to send a single record before it is dropped as refused, if the sink responds with
/// errors other than `invalid_argument`. With the delays this takes more than a minute, long enough
/// for a busy sink to recover.
pub(super) const MAX_SINGLE_RECORD_ATTEMPTS: u32 = 20;

/// Reason why a batch was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// The sink cannot be reached or denies access; the content of the batch does not matter.
    Unavailable,
    /// The call took too long; a smaller batch may succeed.
    Timeout,
    /// The sink failed, possibly because of a record in the batch; smaller batches isolate it.
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

/// Returns the delay after `failures` consecutive failures. `fraction` is the jitter, from 0 to 1;
/// `retry_after` is the minimum delay that the sink asked for.
pub(super) fn delay(failures: u32, retry_after: Option<Duration>, fraction: f64) -> Duration {
    let drawn = BACKOFF.delay_at(failures, fraction);
    drawn.max(retry_after.unwrap_or_default().min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_a_limit_and_honour_retry_after() {
        let ms = Duration::from_millis;
        assert_eq!(delay(1, None, 0.0), ms(50));
        assert_eq!(delay(1, None, 1.0), ms(100));
        assert_eq!(delay(3, None, 1.0), ms(400));
        assert_eq!(delay(1000, None, 1.0), Duration::from_secs(5));
        assert_eq!(delay(1, Some(ms(3000)), 0.5), ms(3000));
        assert_eq!(delay(1, Some(Duration::MAX), 0.5), Duration::from_secs(60));
    }

    #[test]
    fn only_invalid_argument_means_an_invalid_record() {
        let invalid: Vec<_> = Code::all()
            .filter(|code| {
                FailureKind::of(&Error::without_location(*code, "")) == FailureKind::InvalidRecord
            })
            .collect();
        assert_eq!(invalid, [Code::InvalidArgument]);
    }
}

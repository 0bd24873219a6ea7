//! Admission of calls: authorization, rate limits, and the concurrency limit.
//!
//! A call is rejected at once or after a bounded wait, and never after its work has begun.

mod gate;
pub(crate) mod policy;
mod rate;
mod rate_limit_store;

use std::time::Duration;

pub(crate) use gate::{Gate, OwnedPermit, Permit};
pub use rate::RateLimit;
pub(crate) use rate::{Limiter, apply as apply_rates};

use self::gate::AdmitError;
use crate::context::Context;
use crate::error::{Code, Error};
use crate::observe::Rejection;
use crate::server::call::service::Route;

/// The delay after which a rejected caller may retry, in milliseconds. A range, so that retries are
/// spread.
const RETRY_MS: std::ops::RangeInclusive<u64> = 50..=150;

/// A call that was not admitted.
pub(crate) struct Rejected {
    pub(crate) error: Error,
    /// Set if the server rejected the call because of its limits.
    pub(crate) rejection: Option<Rejection>,
}

impl From<Error> for Rejected {
    fn from(error: Error) -> Self {
        Self {
            error,
            rejection: None,
        }
    }
}

/// Admits a call.
///
/// # Errors
///
/// `permission_denied` for a caller that the policy does not allow, `resource_exhausted` for a
/// caller above its rate limit, `unavailable` if too many calls run and wait, `deadline_exceeded`
/// if the deadline passes in the queue.
pub(crate) async fn enter<'g>(
    gate: &'g Gate,
    route: &Route,
    context: &Context,
) -> Result<Option<Permit<'g>>, Rejected> {
    route.access.check(route, context)?;
    if let Some(limiter) = &route.rate {
        let within = limiter.check(route, context);
        within.map_err(|error| refused(error, Rejection::RateLimit))?;
    }
    if route.is_builtin() {
        // A full server still reports its status.
        return Ok(None);
    }
    match gate.enter(context.deadline()).await {
        Ok(permit) => Ok(Some(permit)),
        // Counted as overload, since the call would have been admitted with a free slot.
        Err(AdmitError::Late) => Err(refused(Error::deadline_exceeded(), Rejection::Overload)),
        Err(AdmitError::Busy) => Err(refused(busy(), Rejection::Overload)),
    }
}

fn busy() -> Error {
    Error::without_location(
        Code::Unavailable,
        "the server is overloaded: its limits of running and queued calls are reached; the call was not begun, retry later",
    )
    .with_retry_after(Duration::from_millis(fastrand::u64(RETRY_MS)))
}

fn refused(error: Error, rejection: Rejection) -> Rejected {
    Rejected {
        error,
        rejection: Some(rejection),
    }
}

//! Who is let in, and when: authorization, the rate of each caller, the number of calls that run at one time.
//!
//! What is refused here is refused at once, or after a short wait that is bounded, and never with work that is begun.

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

/// When a caller that was turned away may come back, in milliseconds: a range, so that they do not all come at once.
const RETRY_MS: std::ops::RangeInclusive<u64> = 50..=150;

/// Why a call is not let in.
pub(crate) struct Rejected {
    pub(crate) error: Error,
    /// Where it is no fault of the call's.
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

/// Lets a call in.
///
/// # Errors
///
/// `permission_denied` for a caller that may not call the method, `resource_exhausted` for one that calls too often,
/// `unavailable` where too many calls run and wait already, `deadline_exceeded` for a call whose time passes meanwhile.
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
        // A server that is full still says how it is.
        return Ok(None);
    }
    match gate.enter(context.deadline()).await {
        Ok(permit) => Ok(Some(permit)),
        // It would have been begun, had there been a place.
        Err(AdmitError::Late) => Err(refused(Error::deadline_exceeded(), Rejection::Overload)),
        Err(AdmitError::Busy) => Err(refused(busy(), Rejection::Overload)),
    }
}

fn busy() -> Error {
    Error::without_location(
        Code::Unavailable,
        "the server is busy: as many calls run and wait as it takes at one time; the call was not begun",
    )
    .with_retry_after(Duration::from_millis(fastrand::u64(RETRY_MS)))
}

fn refused(error: Error, rejection: Rejection) -> Rejected {
    Rejected {
        error,
        rejection: Some(rejection),
    }
}

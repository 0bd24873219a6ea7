//! Who is let in, and when: authorization, the rate of each caller, the number of calls that run at one time.
//!
//! What is refused here is refused at once, or after a short wait that is bounded, and never with work that is begun.

mod gate;
mod pairs;
mod rate;

use std::time::Duration;

pub(crate) use gate::{Gate, OwnedPermit, Permit};
pub use rate::RateLimit;
pub(super) use rate::{Limiter, apply as apply_rates};

use self::gate::Shut;
use super::service::Route;
use crate::context::Context;
use crate::error::{Code, Error};
use crate::observe::Rejection;

/// When a caller that was turned away may come back, in milliseconds: a range, so that they do not all come at once.
const RETRY_MS: std::ops::RangeInclusive<u64> = 50..=150;

/// Why a call is not let in.
pub(super) struct Refused {
    pub(super) error: Error,
    /// Where it is no fault of the call's.
    pub(super) rejection: Option<Rejection>,
}

impl From<Error> for Refused {
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
pub(super) async fn enter<'g>(
    gate: &'g Gate,
    route: &Route,
    context: &Context,
) -> Result<Option<Permit<'g>>, Refused> {
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
        Err(Shut::Late) => Err(refused(Error::deadline_exceeded(), Rejection::Overload)),
        Err(Shut::Busy) => Err(refused(busy(), Rejection::Overload)),
    }
}

fn busy() -> Error {
    Error::without_location(
        Code::Unavailable,
        "the server is busy: as many calls run and wait as it takes at one time; the call was not begun",
    )
    .with_retry_after(Duration::from_millis(fastrand::u64(RETRY_MS)))
}

fn refused(error: Error, rejection: Rejection) -> Refused {
    Refused {
        error,
        rejection: Some(rejection),
    }
}

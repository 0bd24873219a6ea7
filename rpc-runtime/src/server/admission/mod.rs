//! Admission of calls: authorization, rate limits, and the concurrency limit.
//!
//! A call is rejected at once or after a bounded wait, and never after its work has begun.

pub mod authentication;
mod gate;
pub(crate) mod plain;
pub(crate) mod policy;
mod rate;
mod rate_limit_key;
mod rate_limit_store;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) use gate::{Gate, OwnedPermit, Permit};
pub use rate::RateLimit;
pub(crate) use rate::{Limiter, RateRules};

use self::authentication::{Authentication, Refused, Required};
use self::gate::AdmitError;
use self::policy::Access;
use crate::context::Context;
use crate::error::{Code, Error};
use crate::observe::Rejection;

/// The delay after which a caller may retry that an overloaded server has rejected, in
/// milliseconds. A slot becomes free as soon as a call ends. A range, so that retries are spread.
const OVERLOAD_RETRY_MS: std::ops::RangeInclusive<u64> = 50..=150;

/// The admission rules of one method, or of plain HTTP routes.
pub(crate) struct AdmissionRules<'r> {
    /// The full name of the method, or `http` and the route, for texts.
    pub(crate) name: &'r str,
    /// The path of the method, by which a rate limit counts.
    pub(crate) path: &'static str,
    pub(crate) access: &'r Access,
    pub(crate) rate: &'r RateRules,
    /// The user that a call at an edge listener needs.
    pub(crate) user: Required,
    /// Built-in methods do not count against the limit of running calls.
    pub(crate) is_builtin: bool,
}

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

impl From<Refused> for Rejected {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Full(error) => rejected(error, Rejection::Overload),
            Refused::Guessing(error) => rejected(error, Rejection::RateLimit),
            Refused::Credentials(error) => error.into(),
        }
    }
}

/// Admits a call, and authenticates its user.
///
/// # Errors
///
/// `unauthenticated` for a caller without valid credentials, `permission_denied` for a caller that
/// the policy does not allow, `resource_exhausted` for a caller above its rate limit and for a peer
/// that tries too many credentials, `unavailable` if too many calls run and wait,
/// `deadline_exceeded` if the deadline passes in the queue.
pub(crate) async fn enter<'g>(
    gate: &'g Gate,
    authentication: &Authentication,
    rules: &AdmissionRules<'_>,
    context: &Context,
) -> Result<Option<Permit<'g>>, Rejected> {
    if authentication.applies(context, rules.user) {
        // Boxed, so that it does not enlarge the future of every call.
        return Box::pin(enter_as_user(gate, authentication, rules, context)).await;
    }
    rules.check(context)?;
    if rules.is_builtin {
        // A full server still reports its status.
        return Ok(None);
    }
    gate.enter(context.deadline()).await.map(Some).map_err(full)
}

/// Admits a call whose user is not known yet. The work of authentication takes a place, and the
/// rules are those of the user.
async fn enter_as_user<'g>(
    gate: &'g Gate,
    authentication: &Authentication,
    rules: &AdmissionRules<'_>,
    context: &Context,
) -> Result<Option<Permit<'g>>, Rejected> {
    authentication.check_peer(context)?;
    let permit = gate.enter(context.deadline()).await.map_err(full)?;
    authentication.run(context, rules.user).await?;
    rules.check(context)?;
    Ok(Some(permit))
}

impl AdmissionRules<'_> {
    /// Checks the policy and the rate limit.
    fn check(&self, context: &Context) -> Result<(), Rejected> {
        self.access.check(self.name, context)?;
        let within = self.rate.check(self.name, self.path, context);
        within.map_err(|error| rejected(error, Rejection::RateLimit))
    }
}

/// Returns the rejection of a call that got no slot.
fn full(why: AdmitError) -> Rejected {
    overloaded(
        why,
        "the server is overloaded: its limits of running and queued calls are reached; the call was not begun, retry later",
    )
}

/// Admits a request again that has given up its slot in the meantime.
///
/// # Errors
///
/// As [`enter`], without a statement that nothing was done.
pub(crate) async fn enter_again(
    gate: Arc<Gate>,
    deadline: Option<Instant>,
) -> Result<OwnedPermit, Rejected> {
    let entered = gate.enter(deadline).await;
    let permit = entered.map_err(|why| {
        overloaded(why, "the server is overloaded, and the body of the request arrived too slowly to keep its place; retry later")
    })?;
    Ok(permit.into_owned(Arc::clone(&gate)))
}

/// Returns the rejection of a call without a slot.
fn overloaded(why: AdmitError, text: &'static str) -> Rejected {
    let error = match why {
        // Counted as overload, since the call would have been admitted with a free slot.
        AdmitError::Late => Error::deadline_exceeded(),
        AdmitError::Busy => {
            let delay = Duration::from_millis(fastrand::u64(OVERLOAD_RETRY_MS));
            Error::without_location(Code::Unavailable, text).with_retry_after(delay)
        }
    };
    rejected(error, Rejection::Overload)
}

fn rejected(error: Error, rejection: Rejection) -> Rejected {
    Rejected {
        error,
        rejection: Some(rejection),
    }
}

//! Rate limits by caller and method.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use governor::clock::{Clock as _, DefaultClock};
use governor::{Quota, RateLimiter};

use super::policy::Callers;
use super::rate_limit_key::{RateLimitCaller, RateLimitKey};
use super::rate_limit_store::RateLimitStore;
use crate::context::Context;
use crate::error::{Code, Error};
use crate::sync::MutexExt as _;

/// The maximum number of (caller, method) pairs that one limit tracks; further pairs share one
/// allowance. About 1 MiB. As many are tracked of callers that are known by their address only.
const MAX_PAIRS: usize = 10_000;

/// The interval at which a full store is cleared of idle callers.
const PURGE_INTERVAL: Duration = Duration::from_secs(1);

/// The maximum time in which a burst is regained: a century. `governor` multiplies without a check
/// of overflow.
const MAX_REFILL_TIME: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Limits how often each caller may call each method: a number of calls in a period. By default the
/// burst is the same number.
///
/// A caller is the user of the call ([`Context::principal`](crate::Context::principal)), whichever
/// server calls for it. For a call without a user it is a server in an environment with all its
/// instances, identified by its trusted source. A caller without both is the address from which it
/// calls ([`Context::peer_address`](crate::Context::peer_address)), IPv6 by /64. Those whose
/// address is not known are one. Calls above the limit fail with `resource_exhausted` and a retry
/// delay. Memory is bounded: beyond 10,000 active pairs of caller and method, further ones share
/// one allowance; so do further addresses beyond 10,000, apart from users and servers.
///
/// A limit may be for some callers only: [`callers`](Self::callers).
///
/// A plain HTTP route ([`Server::http`](crate::Server::http)) is named by `http` and its path as in
/// the router, such as `http /login`. All others, named by `http`, are one method.
///
/// ```
/// use rpc_runtime::{Callers, RateLimit, Server};
///
/// // For every method that has no separate limit, and for plain HTTP routes. Built-in methods are
/// // not limited.
/// let server = Server::new("userstore").rate_limit(RateLimit::per_second(500).burst(1000));
/// # drop(server);
/// // For one method.
/// let logins = RateLimit::per_minute(10).method("fibpro.v1.UserStore/Verify");
/// # drop(logins);
/// // By role: each user of the free plan, then each other user, then each address of a stranger.
/// let server = Server::new("maps")
///     .rate_limit(RateLimit::per_minute(10).callers(Callers::roles(["free"])))
///     .rate_limit(RateLimit::per_second(50).callers(Callers::users()))
///     .rate_limit(RateLimit::per_minute(5));
/// # drop(server);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a limit has no effect until it is set on a server"]
pub struct RateLimit {
    calls: u32,
    per: Duration,
    burst: u32,
    methods: Vec<String>,
    /// All callers if `None`.
    callers: Option<Callers>,
}

impl RateLimit {
    /// Allows this many calls per second.
    pub fn per_second(calls: u32) -> Self {
        Self::per(calls, Duration::from_secs(1))
    }

    /// Allows this many calls per minute.
    pub fn per_minute(calls: u32) -> Self {
        Self::per(calls, Duration::from_secs(60))
    }

    fn per(calls: u32, per: Duration) -> Self {
        Self {
            calls,
            per,
            burst: calls,
            methods: Vec::new(),
            callers: None,
        }
    }

    /// Sets the maximum number of calls at once, after an idle time. Defaults to the number of
    /// calls per period.
    pub fn burst(mut self, calls: u32) -> Self {
        self.burst = calls;
        self
    }

    /// Applies the limit to this method only, given by its full name: `fibpro.v1.UserStore/Verify`,
    /// or to plain HTTP routes: `http /login`. May be called several times.
    pub fn method(mut self, name: impl Into<String>) -> Self {
        self.methods.push(name.into());
        self
    }

    /// Applies the limit to these callers only, such as users with a role:
    /// `Callers::roles(["free"])`. Each of them has an allowance of its own.
    ///
    /// One limit applies to a call: of those that name the method, the first one added whose
    /// callers include the caller, or else the one for all callers; without both, the same of those
    /// for all methods.
    pub fn callers(mut self, callers: impl Into<Callers>) -> Self {
        self.callers = Some(callers.into()).filter(|callers| *callers != Callers::anyone());
        self
    }

    /// The methods that the limit names; empty for a general limit.
    pub(crate) fn methods(&self) -> &[String] {
        &self.methods
    }

    /// Converts to the form of the crate `governor`, which counts in nanoseconds: the rate is at
    /// most one call per nanosecond, and the largest bursts are reduced to [`MAX_REFILL_TIME`].
    fn quota(&self) -> Option<Quota> {
        let apart = self.per.checked_div(self.calls)?;
        let apart = apart.max(Duration::from_nanos(1));
        let most = MAX_REFILL_TIME.as_nanos() / apart.as_nanos();
        let burst = self.burst.min(u32::try_from(most).unwrap_or(u32::MAX));
        Some(Quota::with_period(apart)?.allow_burst(NonZeroU32::new(burst)?))
    }
}

/// The limits of a method, or of plain HTTP routes. The first that is for a caller applies.
#[derive(Debug, Default, Clone)]
pub(crate) struct RateRules(Vec<Arc<Limiter>>);

impl RateRules {
    /// Adds a limit: one for some callers after the others of that kind, and before the one for
    /// all. Returns whether there was one for the same callers already.
    pub(crate) fn add(&mut self, limiter: Arc<Limiter>) -> bool {
        let is_twice = self.0.iter().any(|other| other.callers == limiter.callers);
        let is_general = |other: &Arc<Limiter>| other.callers.is_none();
        let general = self.0.iter().position(is_general);
        let end = self.0.len();
        let at = general.filter(|_| limiter.callers.is_some()).unwrap_or(end);
        self.0.insert(at, limiter);
        is_twice
    }

    /// Adds the limits that apply to callers without one.
    pub(crate) fn extend(&mut self, others: &Self) {
        self.0.extend(others.0.iter().map(Arc::clone));
    }

    /// # Errors
    ///
    /// `resource_exhausted`, with the time after which a call is let in.
    pub(crate) fn check(
        &self,
        name: &str,
        path: &'static str,
        context: &Context,
    ) -> Result<(), Error> {
        let mut limiters = self.0.iter();
        match limiters.find(|limiter| limiter.is_for(context)) {
            Some(limiter) => limiter.check(name, path, context),
            None => Ok(()),
        }
    }
}

type Allowances = RateLimiter<RateLimitKey, RateLimitStore<RateLimitKey>, DefaultClock>;

/// The allowances of all callers under one limit.
pub(crate) struct Limiter {
    limiter: Allowances,
    /// Those of callers that are known by their address only. They are kept apart, because a
    /// stranger with many addresses must not make users share one allowance.
    strangers: Allowances,
    callers: Option<Callers>,
    calls: u32,
    per: Duration,
    /// The earliest time of the next clearing.
    next_purge: Mutex<Instant>,
}

impl Limiter {
    /// # Errors
    ///
    /// `invalid_argument` for a limit that allows no calls.
    pub(crate) fn new(limit: &RateLimit) -> Result<Self, Error> {
        let quota = limit.quota().ok_or_else(|| {
            let field = if limit.calls == 0 { "calls" } else { "burst" };
            let text = format!(
                "the rate limit allows no calls: `{field}` is 0; use at least 1, or `Policy::deny` to deny a method"
            );
            Error::without_location(Code::InvalidArgument, text)
        })?;
        let allowances = || {
            let store = RateLimitStore::new(MAX_PAIRS);
            RateLimiter::new(quota, store, DefaultClock::default())
        };
        Ok(Self {
            limiter: allowances(),
            strangers: allowances(),
            callers: limit.callers.clone(),
            calls: limit.calls,
            per: limit.per,
            next_purge: Mutex::new(Instant::now()),
        })
    }

    fn is_for(&self, context: &Context) -> bool {
        let callers = self.callers.as_ref();
        callers.is_none_or(|callers| callers.include(context.source(), || context.principal()))
    }

    fn check(&self, name: &str, path: &'static str, context: &Context) -> Result<(), Error> {
        let pair = RateLimitKey {
            caller: RateLimitCaller::of(context),
            path,
        };
        let allowances = match pair.caller {
            RateLimitCaller::Address(_) => &self.strangers,
            _ => &self.limiter,
        };
        let Err(too_early) = allowances.check_key(&pair) else {
            return Ok(());
        };
        self.purge();
        let text = format!(
            "{} calls {name} more often than {} times in {:?}; retry later",
            pair.caller, self.calls, self.per
        );
        let wait = too_early.wait_time_from(allowances.clock().now());
        Err(Error::without_location(Code::ResourceExhausted, text)
            // Callers read whole milliseconds; 0 would mean an immediate retry.
            .with_retry_after(wait.max(Duration::from_millis(1))))
    }

    /// Removes callers that have been idle for so long that their whole allowance is available
    /// again.
    fn purge(&self) {
        if self.limiter.len() < MAX_PAIRS && self.strangers.len() < MAX_PAIRS {
            return;
        }
        let now = Instant::now();
        let mut next = self.next_purge.lock_unpoisoned();
        if *next <= now {
            *next = now + PURGE_INTERVAL;
            self.limiter.retain_recent();
            self.strangers.retain_recent();
        }
    }
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Limiter({} in {:?})", self.calls, self.per)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::{Principal, Source};

    fn pair(caller: usize) -> RateLimitKey {
        let source = Source::new(&format!("s{caller}"), "prod", "1").unwrap();
        RateLimitKey {
            caller: RateLimitCaller::Server(Arc::new(source)),
            path: "/a.B/C",
        }
    }

    #[test]
    fn instances_share_a_limit_and_environments_do_not() {
        let of = |text: &str| RateLimitKey {
            caller: RateLimitCaller::Server(Arc::new(text.parse().unwrap())),
            path: "/a.B/C",
        };
        assert_eq!(of("web@prod/1"), of("web@prod/2"));
        assert_ne!(of("web@prod/1"), of("web@dev/1"));
        let other = RateLimitKey {
            path: "/a.B/D",
            ..of("web@prod/1")
        };
        assert_ne!(of("web@prod/1"), other);
    }

    #[test]
    fn a_user_is_limited_whichever_server_calls() {
        let of = |source: &str, user: Option<&str>| {
            let propagated = crate::context::Propagated {
                source: Some(Arc::new(source.parse().unwrap())),
                principal: user.map(|user| Principal::new(user).with_role(source)),
                ..crate::context::Propagated::default()
            };
            RateLimitKey {
                caller: RateLimitCaller::of(&Context::builder(propagated).build()),
                path: "/a.B/C",
            }
        };
        assert_eq!(of("web@prod/1", Some("zoë")), of("app@dev/1", Some("zoë")));
        assert_ne!(of("web@prod/1", Some("zoë")), of("web@prod/1", Some("zoe")));
        assert_ne!(of("web@prod/1", Some("web")), of("web@prod/1", None));
        assert_eq!(of("web@prod/1", None), of("web@prod/2", None));
    }

    #[test]
    fn many_callers_are_limited_in_bounded_memory() {
        let limiter = Limiter::new(&RateLimit::per_minute(1)).unwrap();
        let let_in = (0..20_000)
            .filter(|n| limiter.limiter.check_key(&pair(*n)).is_ok())
            .count();
        assert_eq!(
            let_in,
            MAX_PAIRS + 1,
            "one each, and one for all the others"
        );
        assert_eq!(limiter.limiter.len(), MAX_PAIRS);
        assert!(limiter.limiter.check_key(&pair(0)).is_err());
    }

    #[test]
    fn many_addresses_take_no_allowance_of_users() {
        let limiter = Limiter::new(&RateLimit::per_minute(1)).unwrap();
        let of = |address: [u8; 4]| {
            let peer = crate::context::PeerInfo {
                address: Some((address, 1).into()),
                ..crate::context::PeerInfo::default()
            };
            let stranger = Context::builder(crate::context::Propagated::default());
            let stranger = stranger.peer(peer).untrusted_caller().build();
            limiter.check("a.B/C", "/a.B/C", &stranger)
        };
        let let_in = (0..2 * MAX_PAIRS).filter(|n| {
            let n = u32::try_from(*n).unwrap();
            of(n.to_be_bytes()).is_ok()
        });
        assert_eq!(let_in.count(), MAX_PAIRS + 1);
        assert_eq!(limiter.strangers.len(), MAX_PAIRS);
        for user in 0..10 {
            assert!(limiter.limiter.check_key(&pair(user)).is_ok(), "{user}");
        }
    }

    #[test]
    fn idle_callers_are_removed() {
        // Every caller regains the whole allowance after 2 ns.
        let limit = RateLimit {
            per: Duration::from_nanos(2),
            ..RateLimit::per_second(1)
        };
        let limiter = Limiter::new(&limit).unwrap();
        for n in 0..MAX_PAIRS {
            assert!(limiter.limiter.check_key(&pair(n)).is_ok());
        }
        limiter.purge();
        assert!(
            limiter.limiter.len() < MAX_PAIRS,
            "{}",
            limiter.limiter.len()
        );
    }

    #[test]
    fn a_limit_that_allows_no_calls_is_none() {
        for (limit, field) in [
            (RateLimit::per_second(0), "`calls`"),
            (RateLimit::per_minute(0).burst(1), "`calls`"),
            (RateLimit::per_second(5).burst(0), "`burst`"),
        ] {
            let error = Limiter::new(&limit).unwrap_err();
            assert!(error.message().contains(field), "{error}");
        }
    }

    #[test]
    fn the_largest_values_are_no_limit() {
        for limit in [
            RateLimit::per_minute(1).burst(u32::MAX),
            RateLimit::per_minute(u32::MAX),
            RateLimit::per_second(u32::MAX),
            RateLimit::per_second(1).burst(u32::MAX),
        ] {
            let limiter = Limiter::new(&limit).unwrap();
            assert!(limiter.limiter.check_key(&pair(1)).is_ok(), "{limit:?}");
        }
        let limiter = Limiter::new(&RateLimit::per_minute(1).burst(u32::MAX)).unwrap();
        assert!((0..1000).all(|_| limiter.limiter.check_key(&pair(1)).is_ok()));
    }
}

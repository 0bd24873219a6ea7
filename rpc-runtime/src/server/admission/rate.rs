//! How often each caller may call each method.

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use governor::clock::{Clock as _, DefaultClock};
use governor::{Quota, RateLimiter};

use super::rate_limit_store::{RateLimitKey, RateLimitStore};
use crate::context::{Context, Source};
use crate::error::{Code, Error};
use crate::server::call::method_name;
use crate::server::call::service::Route;
use crate::sync::MutexExt as _;

/// The most pairs of caller and method that one limit remembers; further ones share one allowance. About 1 MiB.
const PAIRS: usize = 10_000;

/// How often a full memory is looked through for callers that have been quiet.
const TIDY: Duration = Duration::from_secs(1);

/// How often each caller may call each method: a number in a time, and as many at once (a burst) as that number unless
/// said.
///
/// A caller is a server in an environment, all its instances together, as far as it is believed; all unknown ones, such
/// as those at an edge, are one caller. What comes too often ends in `resource_exhausted` with the time to wait.
/// Memory is bounded: when 10,000 pairs of caller and method are busy at one time, further ones share one allowance.
///
/// ```
/// use rpc_runtime::{RateLimit, Server};
///
/// // Every method, unless there is a limit of its own; what is built in has none.
/// let server = Server::new("userstore").rate_limit(RateLimit::per_second(500).burst(1000));
/// # drop(server);
/// // One method.
/// let logins = RateLimit::per_minute(10).method("fibpro.v1.UserStore/Verify");
/// # drop(logins);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a limit does nothing before a server has it"]
pub struct RateLimit {
    calls: u32,
    per: Duration,
    burst: u32,
    methods: Vec<String>,
}

impl RateLimit {
    /// So many calls a second.
    pub fn per_second(calls: u32) -> Self {
        Self::per(calls, Duration::from_secs(1))
    }

    /// So many calls a minute.
    pub fn per_minute(calls: u32) -> Self {
        Self::per(calls, Duration::from_secs(60))
    }

    fn per(calls: u32, per: Duration) -> Self {
        Self {
            calls,
            per,
            burst: calls,
            methods: Vec::new(),
        }
    }

    /// So many calls at once, after a time without any.
    pub fn burst(mut self, calls: u32) -> Self {
        self.burst = calls;
        self
    }

    /// Holds for this method only, named as on the wire: `fibpro.v1.UserStore/Verify`. May be called several times.
    pub fn method(mut self, name: impl Into<String>) -> Self {
        self.methods.push(name.into());
        self
    }

    fn quota(&self) -> Option<Quota> {
        let apart = self.per.checked_div(self.calls)?;
        Some(Quota::with_period(apart)?.allow_burst(NonZeroU32::new(self.burst)?))
    }
}

/// Gives each route its limit: one of its own, or the general one.
///
/// # Errors
///
/// `failed_precondition` for a method that no route has or that has two limits, and for two general limits;
/// `invalid_argument` for a limit of no call at all.
pub(crate) fn apply(
    limits: Vec<RateLimit>,
    server: &str,
    routes: &mut HashMap<&'static str, Route>,
) -> Result<(), Error> {
    let twice = |what: &str| {
        let text = format!("the server {server} has two rate limits for {what}; make them one");
        Error::without_location(Code::FailedPrecondition, text)
    };
    let mut general = None;
    for limit in limits {
        let limiter = Limiter::new(&limit).ok_or_else(|| {
            let text =
                format!("a rate limit of {server} lets nobody call; `Policy::deny` does that");
            Error::without_location(Code::InvalidArgument, text)
        })?;
        let limiter = Arc::new(limiter);
        for name in &limit.methods {
            let path = method_name::resolve(routes, name, &format!("a rate limit of {server}"))?;
            if let Some(route) = routes.get_mut(path)
                && route.rate.replace(Arc::clone(&limiter)).is_some()
            {
                return Err(twice(name));
            }
        }
        if limit.methods.is_empty() && general.replace(limiter).is_some() {
            return Err(twice("all methods"));
        }
    }
    for route in routes.values_mut() {
        if route.rate.is_none() && !route.is_builtin() {
            route.rate.clone_from(&general);
        }
    }
    Ok(())
}

/// The allowances of all callers under one limit.
pub(crate) struct Limiter {
    limiter: RateLimiter<RateLimitKey, RateLimitStore, DefaultClock>,
    calls: u32,
    per: Duration,
    /// When the memory may be looked through next.
    tidy: Mutex<Instant>,
}

impl Limiter {
    fn new(limit: &RateLimit) -> Option<Self> {
        Some(Self {
            limiter: RateLimiter::new(
                limit.quota()?,
                RateLimitStore::new(PAIRS),
                DefaultClock::default(),
            ),
            calls: limit.calls,
            per: limit.per,
            tidy: Mutex::new(Instant::now()),
        })
    }

    /// # Errors
    ///
    /// `resource_exhausted`, with the time after which a call is let in.
    pub(crate) fn check(&self, route: &Route, context: &Context) -> Result<(), Error> {
        let pair = RateLimitKey {
            caller: context.source_arc().cloned(),
            path: route.method().path,
        };
        let Err(too_early) = self.limiter.check_key(&pair) else {
            return Ok(());
        };
        self.tidy_up();
        let caller = pair.caller.as_deref();
        let text = format!(
            "{} calls {} more often than {} times in {:?}",
            caller.map_or("an unknown caller", Source::server),
            route.method().full_name(),
            self.calls,
            self.per
        );
        let wait = too_early.wait_time_from(self.limiter.clock().now());
        Err(Error::without_location(Code::ResourceExhausted, text)
            // Whole milliseconds are what callers read; zero of them would be at once.
            .with_retry_after(wait.max(Duration::from_millis(1))))
    }

    /// Forgets callers that have been quiet for so long that they have their whole allowance again.
    fn tidy_up(&self) {
        if self.limiter.len() < PAIRS {
            return;
        }
        let now = Instant::now();
        let mut next = self.tidy.lock_unpoisoned();
        if *next <= now {
            *next = now + TIDY;
            self.limiter.retain_recent();
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

    fn pair(caller: usize) -> RateLimitKey {
        let source = Source::new(&format!("s{caller}"), "prod", "1").unwrap();
        RateLimitKey {
            caller: Some(Arc::new(source)),
            path: "/a.B/C",
        }
    }

    #[test]
    fn instances_of_a_server_are_one_caller_and_environments_are_not() {
        let of = |text: &str| RateLimitKey {
            caller: Some(Arc::new(text.parse().unwrap())),
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
    fn a_million_callers_fill_no_memory_and_nobody_is_without_a_limit() {
        let limiter = Limiter::new(&RateLimit::per_minute(1)).unwrap();
        let let_in = (0..20_000)
            .filter(|n| limiter.limiter.check_key(&pair(*n)).is_ok())
            .count();
        assert_eq!(let_in, PAIRS + 1, "one each, and one for all the others");
        assert_eq!(limiter.limiter.len(), PAIRS);
        assert!(limiter.limiter.check_key(&pair(0)).is_err());
    }

    #[test]
    fn quiet_callers_make_room() {
        // A billionth of a second later everybody has the whole allowance again.
        let limit = RateLimit {
            per: Duration::from_nanos(2),
            ..RateLimit::per_second(1)
        };
        let limiter = Limiter::new(&limit).unwrap();
        for n in 0..PAIRS {
            assert!(limiter.limiter.check_key(&pair(n)).is_ok());
        }
        limiter.tidy_up();
        assert!(limiter.limiter.len() < PAIRS, "{}", limiter.limiter.len());
    }

    #[test]
    fn a_limit_of_nothing_is_none() {
        assert!(Limiter::new(&RateLimit::per_second(0)).is_none());
        assert!(Limiter::new(&RateLimit::per_second(5).burst(0)).is_none());
    }
}

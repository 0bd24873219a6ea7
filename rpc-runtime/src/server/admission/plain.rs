//! The admission rules of plain HTTP routes.
//!
//! A rule is for one route, or for all others: `http /metrics`, `http`. Callers make up paths, so
//! that rules go by routes and not by paths.

use std::collections::HashMap;
use std::sync::Arc;

use super::authentication::Required;
use super::policy::{Access, Callers};
use super::{AdmissionRules, Limiter, RateRules};
use crate::error::{Code, Error};

/// The name of all plain HTTP routes that have no rule of their own.
pub(crate) const ALL: &str = "http";

/// Returns the route that a rule names: its pattern, or an empty text for all others. `None` if the
/// rule names a method.
pub(crate) fn route_of(name: &str) -> Option<&str> {
    let rest = name.strip_prefix(ALL)?;
    if rest.is_empty() {
        return Some(rest);
    }
    rest.strip_prefix(' ')
}

/// Returns the error for a plain route that `setting` names and the server does not have.
pub(crate) fn unknown(route: &str, setting: &str) -> Error {
    let text = format!(
        "{setting} names plain HTTP routes that the server does not have: `{}`; write `http` for all of them, or \
         `http` and the path of one as in its router, such as `http /metrics`",
        format!("{ALL} {route}").trim_end()
    );
    Error::without_location(Code::FailedPrecondition, text)
}

/// The rules of the plain HTTP routes of a server.
#[derive(Debug, Default)]
pub(crate) struct PlainRules {
    /// The rules of all routes without their own, and of the fallback.
    access: Access,
    rate: RateRules,
    anonymous: bool,
    /// By pattern.
    routes: HashMap<String, RouteRules>,
}

/// The rules that name one route.
#[derive(Debug, Default)]
struct RouteRules {
    /// The name of the route in the rules, such as `http /metrics`.
    name: String,
    access: Option<Access>,
    rate: RateRules,
    anonymous: bool,
}

impl PlainRules {
    /// Denies all routes that no rule of the policy names.
    pub(crate) fn deny(&mut self) {
        self.access = Access::Undeclared;
    }

    /// Returns whether the policy has no rule for any plain route. With a rule for some, the others
    /// are denied on purpose: axum does not tell whether there are others.
    pub(crate) fn is_undeclared(&self) -> bool {
        let has_rule = self.routes.values().any(|own| own.access.is_some());
        matches!(self.access, Access::Undeclared) && !has_rule
    }

    /// Sets the callers of a route; of all others if `route` is empty.
    pub(crate) fn allow(&mut self, route: &str, callers: Callers) {
        let access = Access::AllowList(callers);
        if route.is_empty() {
            self.access = access;
        } else {
            self.route(route).access = Some(access);
        }
    }

    /// Adds a rate limit of a route; of all others if `route` is empty. Returns whether there was
    /// one for the same callers already.
    pub(crate) fn limit(&mut self, route: &str, limiter: Arc<Limiter>) -> bool {
        if route.is_empty() {
            self.rate.add(limiter)
        } else {
            self.route(route).rate.add(limiter)
        }
    }

    /// Serves a route to callers without credentials; all others if `route` is empty.
    pub(crate) fn allow_anonymous(&mut self, route: &str) {
        if route.is_empty() {
            self.anonymous = true;
        } else {
            self.route(route).anonymous = true;
        }
    }

    /// Returns the names of the routes that the policy opens to anyone and that need credentials;
    /// `is_shown` gets the pattern of a route, `None` of all others.
    pub(crate) fn need_credentials(
        &self,
        is_shown: impl Fn(Option<&str>) -> bool,
    ) -> impl Iterator<Item = &str> {
        let others = self.access.is_for_anyone() && !self.anonymous && is_shown(None);
        let own = self.routes.iter().filter(move |(route, own)| {
            let access = own.access.as_ref();
            access.is_some_and(Access::is_for_anyone)
                && !own.anonymous
                && !self.anonymous
                && is_shown(Some(route))
        });
        let own = own.map(|(_, own)| own.name.as_str());
        others.then_some(ALL).into_iter().chain(own)
    }

    /// Adds the rate limits that apply without one of a route, when all others are added.
    pub(crate) fn limit_others(&mut self, general: &RateRules) {
        self.rate.extend(general);
        for own in self.routes.values_mut() {
            own.rate.extend(&self.rate);
        }
    }

    /// Returns the rules of a request. `route` is the pattern of its route; `label` names a request
    /// without rules of its own in texts.
    pub(crate) fn of<'r>(&'r self, route: Option<&str>, label: &'r str) -> AdmissionRules<'r> {
        let own = route.and_then(|route| self.routes.get(route));
        let access = own.and_then(|own| own.access.as_ref());
        let is_anonymous = self.anonymous || own.is_some_and(|own| own.anonymous);
        AdmissionRules {
            name: own.map_or(label, |own| &own.name),
            // Each route that a limit names has its own limiter.
            path: ALL,
            access: access.unwrap_or(&self.access),
            rate: own.map_or(&self.rate, |own| &own.rate),
            user: if is_anonymous {
                Required::Optional
            } else {
                Required::User
            },
            is_builtin: false,
        }
    }

    fn route(&mut self, route: &str) -> &mut RouteRules {
        self.routes
            .entry(route.to_owned())
            .or_insert_with(|| RouteRules {
                name: format!("{ALL} {route}"),
                ..RouteRules::default()
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Context;
    use crate::server::RateLimit;

    #[test]
    fn a_rule_names_a_route_or_a_method() {
        for (name, route) in [
            ("http", Some("")),
            ("http /metrics", Some("/metrics")),
            ("http /files/{name}", Some("/files/{name}")),
            ("http  /x", Some(" /x")),
            ("https /x", None),
            ("http/x", None),
            ("http.v1.Web/Get", None),
            ("fibpro.v1.Pricing/Pay", None),
            ("", None),
        ] {
            assert_eq!(route_of(name), route, "{name}");
        }
    }

    #[test]
    fn the_rule_of_a_route_goes_before_that_of_all() {
        let mut rules = PlainRules::default();
        let allows = |rules: &PlainRules, route| {
            let rules = rules.of(route, "http GET");
            rules.access.check(rules.name, &Context::default()).is_ok()
        };
        assert!(allows(&rules, Some("/a")) && allows(&rules, None));
        rules.deny();
        assert!(rules.is_undeclared());
        assert!(!allows(&rules, Some("/a")) && !allows(&rules, None));
        rules.allow("/a", Callers::anyone());
        assert!(!rules.is_undeclared());
        assert!(allows(&rules, Some("/a")) && !allows(&rules, Some("/b")) && !allows(&rules, None));
        rules.allow("", Callers::anyone());
        rules.allow("/b", Callers::from("web"));
        assert!(allows(&rules, Some("/c")) && !allows(&rules, Some("/b")) && allows(&rules, None));
        assert_eq!(rules.of(Some("/b"), "http GET").name, "http /b");
        assert_eq!(rules.of(Some("/c"), "http GET").name, "http GET");
    }

    #[test]
    fn each_limited_route_has_an_allowance() {
        let mut rules = PlainRules::default();
        let limiter = || Arc::new(Limiter::new(&RateLimit::per_minute(1)).unwrap());
        assert!(!rules.limit("/a", limiter()));
        let mut general = RateRules::default();
        assert!(!general.add(limiter()));
        rules.limit_others(&general);
        let passes = |route| {
            let rules = rules.of(route, "http GET");
            let within = rules
                .rate
                .check(rules.name, rules.path, &Context::default());
            within.is_ok()
        };
        assert!(passes(Some("/a")) && !passes(Some("/a")));
        assert!(passes(Some("/b")));
        assert!(!passes(Some("/c")) && !passes(None), "all others share one");
    }
}

//! The plain HTTP routes of a server: the routers of the application, merged, and the question
//! which paths they have.
//!
//! axum does not list the routes of a router. A copy of it with a probe in place of each handler
//! tells whether a route matches, by which pattern, and for which callers.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::pin;
use std::task::{self, Poll};

use axum::body::Body;
use axum::extract::MatchedPath;
use http::header::ALLOW;
use tower_layer::layer_fn;
use tower_service::Service;

use super::admission::AdmissionRules;
use super::admission::plain::PlainRules;
use super::call::access::HttpAccess;
use crate::error::{Code, Error};
use crate::server::panic;

/// The merged routers of an application, and the rules of the server about them.
pub(crate) struct PlainRoutes {
    router: axum::Router,
    /// The same routes, with a probe in place of each handler and fallback.
    probes: axum::Router,
    /// The same, without the fallback.
    routes: axum::Router,
    /// Whether the application handles the paths without a route itself.
    has_fallback: bool,
    pub(crate) rules: PlainRules,
}

/// The route of a request, before the request is routed.
pub(crate) struct FoundRoute {
    /// The callers that its router serves.
    pub(crate) access: HttpAccess,
    /// The pattern of the route; `None` for the fallback, and within a nested service.
    pattern: Option<MatchedPath>,
}

impl FoundRoute {
    pub(crate) fn pattern(&self) -> Option<&str> {
        self.pattern.as_ref().map(MatchedPath::as_str)
    }
}

impl PlainRoutes {
    /// Merges routers. `None` without any.
    ///
    /// # Errors
    ///
    /// `failed_precondition` if two of them have the same route, or a fallback each.
    pub(crate) fn merge(routers: Vec<(HttpAccess, axum::Router)>) -> Result<Option<Self>, Error> {
        let probes = routers.iter().map(|(access, router)| {
            let access = *access;
            router.clone().layer(layer_fn(move |_| Probe(Some(access))))
        });
        let probes: Vec<_> = probes.collect();
        let routers = routers.into_iter().map(|(_, router)| router);
        let (Some(router), Some(probes)) = (merge(routers)?, merge(probes)?) else {
            return Ok(None);
        };
        Ok(Some(Self {
            has_fallback: has_fallback(&router),
            router,
            routes: probes.clone().fallback_service(Probe(None)),
            probes,
            rules: PlainRules::default(),
        }))
    }

    pub(crate) fn router(&self) -> &axum::Router {
        &self.router
    }

    /// Returns the route of a request, or the fallback.
    ///
    /// # Errors
    ///
    /// `internal` if axum does not tell, so that it is not known who may call the route.
    pub(crate) fn find(&self, uri: &http::Uri) -> Result<FoundRoute, Error> {
        match probe(&self.probes, uri.clone()) {
            Poll::Ready(Some(found)) => Ok(found),
            Poll::Ready(None) | Poll::Pending => Err(Error::without_location(
                Code::Internal,
                "internal error: the router does not tell the route of the request",
            )),
        }
    }

    /// Returns the rules of a request; `label` stands for a route without a name.
    pub(crate) fn rules<'r>(&'r self, found: &FoundRoute, label: &'r str) -> AdmissionRules<'r> {
        self.rules.of(found.pattern(), label)
    }

    /// Returns whether a route matches the path of a request; the fallback does not count.
    pub(crate) fn has_route(&self, uri: &http::Uri) -> bool {
        // A probe is ready at once. If axum were not, the application decides about the request.
        !matches!(probe(&self.routes, uri.clone()), Poll::Ready(None))
    }

    /// Returns the verbs of the route of a path, as in the header `allow`; `None` for one that
    /// takes all.
    pub(crate) fn verbs(&self, uri: &http::Uri) -> Option<String> {
        // axum lists the others in the response to a verb that no route has.
        let verb = http::Method::from_bytes(b"PROBE").ok()?;
        let Poll::Ready(response) = ask(&self.routes, verb, uri.clone()) else {
            return None;
        };
        let verbs = response.headers().get(ALLOW)?;
        verbs.to_str().ok().map(str::to_owned)
    }

    /// Returns whether the application has neither a route for a path nor a fallback.
    pub(crate) fn is_unknown(&self, uri: &http::Uri) -> bool {
        !self.has_fallback && !self.has_route(uri)
    }

    /// Returns whether there is a route with this pattern, as in the router.
    pub(crate) fn has_pattern(&self, pattern: &str) -> bool {
        let Ok(uri) = pattern.parse() else {
            return false;
        };
        match probe(&self.routes, uri) {
            Poll::Ready(Some(found)) => found.pattern() == Some(pattern),
            _ => false,
        }
    }

    /// Checks that no route has the HTTP path of a method, whatever the names of the captures.
    ///
    /// # Errors
    ///
    /// `failed_precondition` for a route that can never be reached.
    pub(crate) fn check_http_paths(
        &self,
        shapes: impl Iterator<Item = String>,
    ) -> Result<(), Error> {
        for shape in shapes {
            let Ok(Poll::Ready(Some(found))) = shape.parse().map(|uri| probe(&self.routes, uri))
            else {
                continue;
            };
            let is_same = found.pattern().is_some_and(|pattern| {
                let mut parts = pattern.split('/').zip(shape.split('/'));
                pattern.split('/').count() == shape.split('/').count()
                    && !pattern.contains("{*")
                    && parts.all(|(one, other)| one == other || one.starts_with('{'))
            });
            if is_same {
                return Err(hidden(found.pattern().unwrap_or_default()));
            }
        }
        Ok(())
    }

    /// Checks that no route is hidden by one of the server's own paths.
    ///
    /// # Errors
    ///
    /// `failed_precondition` for a route that can never be reached.
    pub(crate) fn check_reachable<'a>(
        &self,
        own_paths: impl Iterator<Item = &'a str>,
    ) -> Result<(), Error> {
        let mut hidden: Vec<_> = own_paths.filter(|path| self.has_pattern(path)).collect();
        if hidden.is_empty() {
            return Ok(());
        }
        hidden.sort_unstable();
        Err(self::hidden(&hidden.join(", ")))
    }
}

fn hidden(routes: &str) -> Error {
    let text = format!(
        "the plain route {routes} can never be reached: the path is reserved for a method or a probe of the server itself; give the route another one"
    );
    Error::without_location(Code::FailedPrecondition, text)
}

/// Merges routers; `None` without any.
fn merge(routers: impl IntoIterator<Item = axum::Router>) -> Result<Option<axum::Router>, Error> {
    let mut routers = routers.into_iter();
    let Some(first) = routers.next() else {
        return Ok(None);
    };
    // axum reports an overlap by a panic only, which the default hook would print.
    panic::install_hook();
    let merged = routers.try_fold(first, |merged, next| {
        panic::catch(|| merged.merge(next)).map_err(|panic| overlap(&panic))
    });
    merged.map(Some)
}

/// Returns whether a router has a fallback of its own, which axum tells only by a failed merge.
fn has_fallback(router: &axum::Router) -> bool {
    let (router, other) = (router.clone(), axum::Router::new());
    let other = other.fallback_service(Probe(None));
    panic::install_hook();
    panic::catch_report(|| router.merge(other)).is_none()
}

/// Asks a router of probes for the route of a path.
fn probe(probes: &axum::Router, uri: http::Uri) -> Poll<Option<FoundRoute>> {
    ask(probes, http::Method::GET, uri).map(|mut response| {
        let found = response.extensions_mut().remove::<Found>();
        found.map(|Found(access, pattern)| FoundRoute { access, pattern })
    })
}

/// Sends a request to a router of probes.
fn ask(probes: &axum::Router, verb: http::Method, uri: http::Uri) -> Poll<http::Response<Body>> {
    let mut request = http::Request::new(Body::empty());
    *request.method_mut() = verb;
    *request.uri_mut() = uri;
    let response = pin!(probes.clone().call(request));
    let mut context = task::Context::from_waker(task::Waker::noop());
    response.poll(&mut context).map(|response| match response {
        Ok(response) => response,
        Err(never) => match never {},
    })
}

/// The report of a probe.
#[derive(Clone)]
struct Found(HttpAccess, Option<MatchedPath>);

/// A handler that reports the pattern of its route, and the callers of its router; a fallback
/// without them reports nothing.
#[derive(Clone)]
struct Probe(Option<HttpAccess>);

impl Service<axum::extract::Request> for Probe {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: axum::extract::Request) -> Self::Future {
        let mut response = http::Response::new(Body::empty());
        if let Some(access) = self.0 {
            let pattern = request.extensions_mut().remove::<MatchedPath>();
            response.extensions_mut().insert(Found(access, pattern));
        }
        ready(Ok(response))
    }
}

fn overlap(panic: &Error) -> Error {
    let text = panic.message();
    let text = text.split_once(": ").map_or(text, |(_, text)| text);
    Error::without_location(
        Code::FailedPrecondition,
        format!("two routers of `Server::http` cannot be merged: {text}"),
    )
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::{any, get, post};

    use super::*;

    fn routes(routers: impl Into<Vec<Router>>) -> PlainRoutes {
        let routers = routers.into().into_iter();
        let routers = routers.map(|router| (HttpAccess::Signed, router));
        PlainRoutes::merge(routers.collect()).unwrap().unwrap()
    }

    fn has(routes: &PlainRoutes, path: &str) -> bool {
        routes.has_route(&path.parse().unwrap())
    }

    async fn unreachable() -> &'static str {
        panic!("a handler must not run")
    }

    #[test]
    fn routes_of_all_routers_match_and_fallbacks_do_not() {
        let one = Router::new()
            .route("/one", get(unreachable))
            .fallback(unreachable);
        let two = Router::new()
            .route("/two/{id}", post(async || ""))
            .nest("/three", Router::new().route("/x", any(async || "")))
            .nest_service("/four", Router::new());
        let routes = routes([one, two]);
        for path in ["/one", "/two/7", "/three/x", "/four", "/four/x"] {
            assert!(has(&routes, path), "{path}");
        }
        for path in ["/", "/one/x", "/two", "/three", "/a.B/C"] {
            assert!(!has(&routes, path), "{path}");
        }
    }

    #[test]
    fn only_a_path_without_route_and_fallback_is_unknown() {
        let unknown =
            |router: Router, path: &str| routes([router]).is_unknown(&path.parse().unwrap());
        let page = || Router::new().route("/page", get(unreachable));
        for (router, expected) in [
            (page(), true),
            (
                page().merge(Router::new().route("/x", get(unreachable))),
                true,
            ),
            (page().layer(layer_fn(|inner| inner)), true),
            (Router::new().nest("/a", page()), true),
            (page().fallback(unreachable), false),
            (
                page().fallback(unreachable).layer(layer_fn(|inner| inner)),
                false,
            ),
            (page().merge(Router::new().fallback(unreachable)), false),
            (page().fallback_service(Router::new()), false),
            (page().route("/{*rest}", get(unreachable)), false),
            (page().nest_service("/other", Router::new()), false),
            (
                Router::new().nest("/other", page().fallback(unreachable)),
                false,
            ),
        ] {
            assert_eq!(unknown(router.clone(), "/other/x"), expected, "{router:?}");
        }
        // Another verb of a route is no unknown path.
        assert!(!unknown(page(), "/page"));
    }

    #[test]
    fn overlapping_routers_are_rejected() {
        let hello = || Router::new().route("/hello", get(async || ""));
        let other = || Router::new().fallback(async || "");
        for pair in [[hello(), hello()], [other(), other()]] {
            let error = merge(pair).err().unwrap();
            assert_eq!(error.code(), Code::FailedPrecondition);
            assert!(error.message().contains("`Server::http`"), "{error}");
        }
        // Two verbs of one path, and one fallback, are no overlap.
        routes([hello(), Router::new().route("/hello", post(async || ""))]);
        routes([hello(), other()]);
    }

    #[test]
    fn only_a_route_of_the_very_path_is_hidden() {
        let check =
            |router: Router| routes([router]).check_reachable(["/healthz", "/a.B/C"].into_iter());
        for path in ["/healthz", "/a.B/C"] {
            for route in [get(async || ""), post(async || ""), any(async || "")] {
                let error = check(Router::new().route(path, route)).unwrap_err();
                assert_eq!(error.code(), Code::FailedPrecondition);
                assert!(error.message().contains(path), "{error}");
            }
        }
        let nested = Router::new().nest("/a.B", Router::new().route("/C", get(async || "")));
        assert!(check(nested).is_err());
        for pattern in [
            "/{*rest}",
            "/a.B/{method}",
            "/a.B/D",
            "/healthz/x",
            "/Healthz",
        ] {
            check(Router::new().route(pattern, get(async || ""))).unwrap();
        }
        check(Router::new().fallback(async || "")).unwrap();
    }
}

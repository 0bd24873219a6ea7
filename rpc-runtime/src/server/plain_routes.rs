//! The plain HTTP routes of a server: the routers of the application, merged, and the question
//! which paths they have.
//!
//! axum does not list the routes of a router. A copy of it with a probe in place of each handler
//! tells whether a route matches, and by which pattern.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::pin;
use std::task::{self, Poll};

use axum::body::Body;
use axum::extract::MatchedPath;
use http::request;
use tower_layer::layer_fn;
use tower_service::Service;

use super::call::panic;
use crate::error::{Code, Error};

/// The merged routers of an application.
pub(crate) struct PlainRoutes {
    router: axum::Router,
    /// The same routes, with a probe in place of each handler.
    probes: axum::Router,
}

impl PlainRoutes {
    /// Merges routers. `None` without any.
    ///
    /// # Errors
    ///
    /// `failed_precondition` if two of them have the same route, or a fallback each.
    pub(crate) fn merge(routers: Vec<axum::Router>) -> Result<Option<Self>, Error> {
        let mut routers = routers.into_iter();
        let Some(first) = routers.next() else {
            return Ok(None);
        };
        if routers.len() > 0 {
            // axum reports an overlap by a panic only, which the default hook would print.
            panic::install_hook();
        }
        let router = routers.try_fold(first, |merged, next| {
            panic::catch(|| merged.merge(next)).map_err(|panic| overlap(&panic))
        })?;
        let probes = router
            .clone()
            .layer(layer_fn(|_| PatternReporter { is_route: true }))
            .fallback_service(PatternReporter { is_route: false });
        Ok(Some(Self { router, probes }))
    }

    pub(crate) fn router(&self) -> &axum::Router {
        &self.router
    }

    /// Returns whether a route matches the path of a request; the fallback does not count.
    pub(crate) fn has_route(&self, head: &request::Parts) -> bool {
        self.probe(head.uri.path()).is_some()
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
        let mut hidden: Vec<_> = own_paths
            .filter(|path| self.probe(path).is_some_and(|pattern| pattern == *path))
            .collect();
        if hidden.is_empty() {
            return Ok(());
        }
        hidden.sort_unstable();
        Err(Error::without_location(
            Code::FailedPrecondition,
            format!(
                "the plain route {} can never be reached: the path is reserved for a method or a probe of the server itself; give the route another one",
                hidden.join(", ")
            ),
        ))
    }

    /// Returns the pattern of the route that matches a path; empty if axum does not tell it.
    fn probe(&self, path: &str) -> Option<String> {
        let mut request = http::Request::new(Body::empty());
        *request.uri_mut() = path.parse().ok()?;
        let answer = pin!(self.probes.clone().call(request));
        let mut context = task::Context::from_waker(task::Waker::noop());
        match answer.poll(&mut context) {
            Poll::Ready(Ok(mut response)) => {
                let matched = response.extensions_mut().remove::<Matched>();
                matched.map(|Matched(pattern)| pattern)
            }
            // A probe is ready at once. If axum were not, the application decides about the
            // request.
            Poll::Pending => Some(String::new()),
        }
    }
}

/// The pattern of the route that a probe stands for.
#[derive(Clone)]
struct Matched(String);

/// A handler that reports the pattern of its route.
#[derive(Clone)]
struct PatternReporter {
    is_route: bool,
}

impl Service<axum::extract::Request> for PatternReporter {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: axum::extract::Request) -> Self::Future {
        let mut response = http::Response::new(Body::empty());
        if self.is_route {
            let pattern = request.extensions().get::<MatchedPath>();
            let pattern = pattern.map_or("", MatchedPath::as_str).to_owned();
            response.extensions_mut().insert(Matched(pattern));
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
        PlainRoutes::merge(routers.into()).unwrap().unwrap()
    }

    fn has(routes: &PlainRoutes, path: &str) -> bool {
        let (head, ()) = http::Request::get(path).body(()).unwrap().into_parts();
        routes.has_route(&head)
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
    fn overlapping_routers_are_rejected() {
        let hello = || Router::new().route("/hello", get(async || ""));
        let other = || Router::new().fallback(async || "");
        for pair in [[hello(), hello()], [other(), other()]] {
            let error = PlainRoutes::merge(pair.into()).err().unwrap();
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

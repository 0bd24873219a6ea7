//! The HTTP paths of methods, in addition to their own: `#[rpc(get = "/users/{id}")]`.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::Method as Verb;

use super::call::parameters::Captures;
use super::call::service::Route;
use crate::error::{Code, Error};

/// The HTTP paths of the methods of a server.
#[derive(Default)]
pub(crate) struct HttpPaths {
    /// Of two paths that match and have a method for the verb, the first counts: it has text where
    /// the other has a capture.
    paths: Vec<HttpPath>,
}

/// The methods that match a path, at most one for each verb.
#[derive(Clone, Copy)]
pub(crate) struct HttpMatch<'p> {
    get: Option<&'p HttpMethod>,
    post: Option<&'p HttpMethod>,
}

/// A path and its methods.
struct HttpPath {
    segments: Vec<Segment>,
    get: Option<HttpMethod>,
    post: Option<HttpMethod>,
}

/// A method at a path.
pub(crate) struct HttpMethod {
    pub(crate) route: Arc<Route>,
    /// Those of the method's own path, whose captures may have other names than those of another
    /// method.
    segments: Vec<Segment>,
}

/// A part of a path between slashes. Text is before a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    Text(&'static str),
    /// The name of an argument.
    Capture(&'static str),
}

fn segments(path: &'static str) -> Vec<Segment> {
    let parts = path.trim_start_matches('/').split('/');
    let segment = |part: &'static str| {
        let capture = part.strip_prefix('{');
        match capture.and_then(|name| name.strip_suffix('}')) {
            Some(name) => Segment::Capture(name),
            None => Segment::Text(part),
        }
    };
    parts.map(segment).collect()
}

/// Returns a path with the same text and equal captures, in the form of a route of axum.
fn shape(segments: &[Segment]) -> String {
    let parts = segments.iter().enumerate();
    let parts = parts.map(|(index, segment)| match segment {
        Segment::Text(text) => format!("/{text}"),
        Segment::Capture(_) => format!("/{{c{index}}}"),
    });
    parts.collect()
}

impl HttpPaths {
    /// Collects the paths of routes.
    ///
    /// # Errors
    ///
    /// `failed_precondition` if two methods have one path for the same verb.
    pub(crate) fn new<'r>(routes: impl Iterator<Item = &'r Arc<Route>>) -> Result<Self, Error> {
        let mut paths: BTreeMap<String, HttpPath> = BTreeMap::new();
        for route in routes {
            let method = route.method();
            for (path, is_get) in [(method.http_get, true), (method.http_post, false)] {
                let Some(path) = path else {
                    continue;
                };
                let segments = segments(path);
                let entry = paths.entry(shape(&segments)).or_insert(HttpPath {
                    segments: segments.clone(),
                    get: None,
                    post: None,
                });
                let bound = HttpMethod {
                    route: Arc::clone(route),
                    segments,
                };
                let slot = if is_get {
                    &mut entry.get
                } else {
                    &mut entry.post
                };
                if let Some(other) = slot.replace(bound) {
                    let mut names = [method.full_name(), other.route.method().full_name()];
                    names.sort_unstable();
                    let verb = if is_get { "GET" } else { "POST" };
                    let text = format!(
                        "{} and {} have the same HTTP path {verb} {path}; change one of them",
                        names[0], names[1]
                    );
                    return Err(Error::without_location(Code::FailedPrecondition, text));
                }
            }
        }
        let mut paths: Vec<_> = paths.into_values().collect();
        paths.sort_by(|one, other| one.segments.cmp(&other.segments));
        Ok(Self { paths })
    }

    /// Returns the paths in the form of routes of axum.
    pub(crate) fn shapes(&self) -> impl Iterator<Item = String> {
        self.paths.iter().map(|path| shape(&path.segments))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// Returns the methods that match a path. A method for one verb hides none for another:
    /// `POST /users/me` is of `POST /users/{id}` beside `GET /users/me`.
    pub(crate) fn find(&self, path: &str) -> Option<HttpMatch<'_>> {
        let mut paths = self.paths.iter().filter(|known| known.matches(path));
        let first = paths.next()?.methods();
        Some(
            paths
                .map(HttpPath::methods)
                .fold(first, |found, next| HttpMatch {
                    get: found.get.or(next.get),
                    post: found.post.or(next.post),
                }),
        )
    }
}

impl HttpPath {
    fn matches(&self, path: &str) -> bool {
        let Some(rest) = path.strip_prefix('/') else {
            return false;
        };
        let mut parts = rest.split('/');
        let is_match = self.segments.iter().all(|segment| match segment {
            Segment::Text(text) => parts.next() == Some(*text),
            Segment::Capture(_) => parts.next().is_some_and(|part| !part.is_empty()),
        });
        is_match && parts.next().is_none()
    }

    fn methods(&self) -> HttpMatch<'_> {
        HttpMatch {
            get: self.get.as_ref(),
            post: self.post.as_ref(),
        }
    }
}

impl<'p> HttpMatch<'p> {
    /// Returns the method for a verb.
    pub(crate) fn of(&self, verb: &Verb) -> Option<&'p HttpMethod> {
        match *verb {
            Verb::GET => self.get,
            Verb::POST => self.post,
            _ => None,
        }
    }

    /// Returns the path of the method for a verb, or of all methods if it has none.
    pub(crate) fn methods(&self, verb: &Verb) -> impl Iterator<Item = &'static str> {
        let called = self.of(verb);
        let others = [self.get, self.post].into_iter().flatten();
        let others = others.filter(move |_| called.is_none());
        called
            .into_iter()
            .chain(others)
            .map(|bound| bound.route.method().path)
    }

    /// Returns the verbs, the own path and the declared path of each method.
    pub(crate) fn declared(
        &self,
    ) -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
        let get = self.get.map(|bound| bound.route.method());
        let get = get.and_then(|method| Some(("GET", method.path, method.http_get?)));
        let post = self.post.map(|bound| bound.route.method());
        let post = post.and_then(|method| Some(("POST", method.path, method.http_post?)));
        get.into_iter().chain(post)
    }

    /// Returns the verbs, as in the header `allow`.
    pub(crate) fn allowed(&self) -> &'static str {
        match (self.get, self.post) {
            (Some(_), Some(_)) => "GET, POST",
            (Some(_), None) => "GET",
            _ => "POST",
        }
    }
}

impl HttpMethod {
    /// Returns the values of the captures of a path that matches, with their escapes.
    pub(crate) fn captures(&self, path: &str) -> Captures {
        let parts = path.trim_start_matches('/').split('/');
        let parts = self.segments.iter().zip(parts);
        let captures = parts.filter_map(|(segment, part)| match segment {
            Segment::Text(_) => None,
            Segment::Capture(name) => Some((*name, part.to_owned())),
        });
        captures.collect()
    }
}

//! The targets of web pages of other origins: methods and plain routes, by their verbs.

use std::collections::HashSet;
use std::sync::Arc;

use http::{Method as Verb, Uri};

use crate::descriptor::full_name;
use crate::error::{Code, Error, Result};
use crate::protocol::connect;
use crate::server::call::exposure::Exposure;
use crate::server::call::method_name;
use crate::server::plain_routes::PlainRoutes;
use crate::server::routes::RouteTable;
use crate::text::suggest;

const SETTING: &str = "`Cors::only`";

/// The verbs of a path that the server does not have, and of a plain route that takes all: a page
/// may read what the response says.
const ANY: &str = "GET,HEAD,POST,PUT,PATCH,DELETE";

/// The methods and plain routes that pages may call.
pub(super) struct PageTargets {
    /// `None` for all.
    only: Option<Only>,
    routes: Arc<RouteTable>,
    plain: Option<Arc<PlainRoutes>>,
}

/// The names of [`Cors::only`](crate::Cors::only).
struct Only {
    named: Exposure,
    /// HTTP paths of methods, as they are declared.
    http_paths: HashSet<String>,
}

/// The methods or the plain route of a path.
enum Target<'t> {
    /// The path of a method.
    Method(&'t str, &'static str),
    /// The HTTP path of methods: the verbs, the method's own path and the declared one of each.
    Http(Vec<(&'static str, &'static str, &'static str)>),
    /// A plain route with its pattern; `None` for the fallback.
    Plain(Option<String>),
    Unknown,
}

impl PageTargets {
    /// Reads names; without any list pages may call everything.
    ///
    /// # Errors
    ///
    /// `failed_precondition` for a name that the server does not have, and for an empty list.
    pub(super) fn new(
        names: Option<&[String]>,
        routes: &Arc<RouteTable>,
        plain: Option<&Arc<PlainRoutes>>,
    ) -> Result<Self> {
        let only = names.map(|names| Only::new(names, routes, plain.map(|plain| &**plain)));
        Ok(Self {
            only: only.transpose()?,
            routes: Arc::clone(routes),
            plain: plain.cloned(),
        })
    }

    /// Returns whether pages may call everything.
    pub(super) fn are_all(&self) -> bool {
        self.only.is_none()
    }

    /// Returns whether pages may send a request.
    pub(super) fn include(&self, verb: &Verb, uri: &Uri) -> bool {
        let Some(only) = &self.only else {
            return true;
        };
        match self.find(uri) {
            Target::Method(path, _) => only.named.has_method(path),
            Target::Http(methods) => {
                let has_verb = |verbs: &str| verbs.split(',').any(|known| known == verb.as_str());
                let is_known = methods.iter().any(|(verbs, ..)| has_verb(verbs));
                let mut called = methods
                    .iter()
                    .filter(|(verbs, ..)| !is_known || has_verb(verbs));
                called.any(|(_, path, declared)| only.has_http(path, declared))
            }
            Target::Plain(pattern) => only.named.has_route(pattern.as_deref()),
            Target::Unknown => false,
        }
    }

    /// Returns the verbs by which pages may call a path, as in a header.
    pub(super) fn verbs(&self, uri: &Uri) -> String {
        match self.find(uri) {
            Target::Method(_, verbs) => verbs.to_owned(),
            Target::Http(methods) => {
                let is_included = |path: &str, declared: &str| {
                    let only = self.only.as_ref();
                    only.is_none_or(|only| only.has_http(path, declared))
                };
                let included = methods
                    .iter()
                    .filter(|(_, path, declared)| is_included(path, declared));
                let verbs: Vec<_> = included.map(|(verbs, ..)| *verbs).collect();
                verbs.join(",")
            }
            Target::Plain(_) => {
                let verbs = self.plain.as_ref().and_then(|plain| plain.verbs(uri));
                verbs.unwrap_or_else(|| ANY.to_owned())
            }
            Target::Unknown => ANY.to_owned(),
        }
    }

    /// Finds the methods or the route of a path, as the dispatch of requests does.
    fn find<'t>(&self, uri: &'t Uri) -> Target<'t> {
        let path = uri.path();
        let own = self.routes.get(path);
        if let Some(route) = own.or_else(|| self.routes.builtin(path)) {
            let has_get = connect::allows_get(route.method());
            return Target::Method(path, if has_get { "GET,POST" } else { "POST" });
        }
        if let Some(http) = self.routes.http(path) {
            return Target::Http(http.declared().collect());
        }
        match &self.plain {
            Some(plain) if !method_name::is_path(path) || plain.has_route(uri) => {
                let found = plain.find(uri).ok();
                Target::Plain(found.and_then(|found| found.pattern().map(str::to_owned)))
            }
            _ => Target::Unknown,
        }
    }
}

impl Only {
    fn new(names: &[String], routes: &RouteTable, plain: Option<&PlainRoutes>) -> Result<Self> {
        let paths: Vec<_> = routes.paths().collect();
        let has_pattern = |pattern: &str| {
            plain.is_some_and(|plain| pattern.is_empty() || plain.has_pattern(pattern))
        };
        let mut http_paths = HashSet::new();
        let mut others = Vec::new();
        for name in names {
            if routes.declared_paths().any(|path| path == name) {
                http_paths.insert(name.clone());
            } else if !name.starts_with('/') || method_name::is_path(name) {
                others.push(with_package(name, &paths)?);
            } else if has_pattern(name) {
                others.push(format!("http {name}"));
            } else {
                return Err(unknown_path(name, routes.declared_paths()));
            }
        }
        let named = if others.is_empty() && !http_paths.is_empty() {
            Exposure::default()
        } else {
            Exposure::new(&others, &paths, has_pattern, SETTING)?
        };
        Ok(Self { named, http_paths })
    }

    fn has_http(&self, path: &str, declared: &str) -> bool {
        self.named.has_method(path) || self.http_paths.contains(declared)
    }
}

/// Adds the package to the name of a service or method without one. A name that no service has
/// stays as it is.
///
/// # Errors
///
/// `failed_precondition` if several services have the name.
fn with_package(name: &str, paths: &[&'static str]) -> Result<String> {
    let full = full_name(name);
    let (service, method) = match full.split_once('/') {
        Some((service, method)) => (service, Some(method)),
        None => (full, None),
    };
    let services = paths
        .iter()
        .filter_map(|path| full_name(path).split_once('/'));
    let mut services: Vec<_> = services.map(|(service, _)| service).collect();
    services.sort_unstable();
    services.dedup();
    if services.contains(&service) {
        return Ok(full.to_owned());
    }
    services.retain(|full| full.rsplit('.').next() == Some(service));
    match (services.as_slice(), method) {
        ([], _) => Ok(full.to_owned()),
        ([service], None) => Ok((*service).to_owned()),
        ([service], Some(method)) => Ok(format!("{service}/{method}")),
        (several, _) => {
            let text = format!(
                "{SETTING} names {name}, and several services have this name: {}; write the full one",
                several.join(", ")
            );
            Err(Error::without_location(Code::FailedPrecondition, text))
        }
    }
}

fn unknown_path<'p>(path: &str, declared: impl Iterator<Item = &'p str> + Clone) -> Error {
    let nearest = suggest(path, declared, str::to_lowercase);
    let advice = nearest.map_or_else(
        || {
            "write the path of a plain route, or of `#[rpc(get = \"…\")]`, as it is declared"
                .to_owned()
        },
        |nearest| format!("did you mean {nearest}?"),
    );
    let text = format!("{SETTING} names the unknown path {path}; {advice}");
    Error::without_location(Code::FailedPrecondition, text)
}

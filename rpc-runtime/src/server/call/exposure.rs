//! The services and plain routes that one listener shows.

use std::collections::HashSet;

use super::method_name;
use crate::error::{Code, Error, Result};
use crate::server::admission::plain;
use crate::text::suggest;

/// The services, methods and plain routes that a listener shows. All others are not found there.
#[derive(Debug, Default)]
pub(crate) struct Exposure {
    /// The paths of methods.
    methods: HashSet<&'static str>,
    /// The patterns of plain routes.
    routes: HashSet<String>,
    /// Whether all plain routes are shown.
    has_all_routes: bool,
}

impl Exposure {
    /// Reads the names of services, methods and plain routes in a setting. `paths` are those of the
    /// methods of the server; `has_route` tells whether it has the plain route of a pattern, or any
    /// with an empty one.
    ///
    /// # Errors
    ///
    /// `failed_precondition` for a name that the server does not have, and without names.
    pub(crate) fn new(
        names: &[String],
        paths: &[&'static str],
        has_route: impl Fn(&str) -> bool,
        setting: &str,
    ) -> Result<Self> {
        let mut all = Self::default();
        let paths = || paths.iter().copied();
        for name in names {
            if let Some(route) = plain::route_of(name) {
                if !has_route(route) {
                    return Err(plain::unknown(route, setting));
                }
                all.add_route(route);
                continue;
            }
            let of_service: Vec<_> = paths()
                .filter(|path| service_of(path) == Some(name))
                .collect();
            if !of_service.is_empty() {
                all.methods.extend(of_service);
                continue;
            }
            if name.trim_start_matches('/').contains('/') {
                let path = method_name::resolve(paths(), name, setting)?;
                all.methods.insert(path);
                continue;
            }
            return Err(unknown_service(name, paths(), setting));
        }
        if names.is_empty() {
            let text = format!(
                "{setting} is empty, so it would allow nothing; name a service, or `http /metrics`"
            );
            return Err(Error::without_location(Code::FailedPrecondition, text));
        }
        Ok(all)
    }

    fn add_route(&mut self, route: &str) {
        if route.is_empty() {
            self.has_all_routes = true;
        } else {
            self.routes.insert(route.to_owned());
        }
    }

    pub(crate) fn has_method(&self, path: &str) -> bool {
        self.methods.contains(path)
    }

    /// Returns whether the plain route with this pattern is shown; `None` is the fallback.
    pub(crate) fn has_route(&self, pattern: Option<&str>) -> bool {
        self.has_all_routes || pattern.is_some_and(|pattern| self.routes.contains(pattern))
    }
}

/// Returns the service in the path of a method.
fn service_of(path: &'static str) -> Option<&'static str> {
    path.trim_start_matches('/')
        .split_once('/')
        .map(|(service, _)| service)
}

fn unknown_service(name: &str, paths: impl Iterator<Item = &'static str>, setting: &str) -> Error {
    let mut services: Vec<_> = paths.filter_map(service_of).collect();
    services.sort_unstable();
    services.dedup();
    let nearest = suggest(name, services.iter().copied(), str::to_lowercase);
    let advice = nearest.map_or_else(
        || format!("the server has {}", services.join(", ")),
        |service| format!("did you mean {service}?"),
    );
    let text = format!("{setting} names the unknown service {name}; {advice}");
    Error::without_location(Code::FailedPrecondition, text)
}

//! The route table of a server, and the checks of its services, policy and rate limits.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio_util::task::TaskTracker;

use super::admission::policy::{Access, Policy};
use super::admission::{Limiter, RateLimit, RateRules, plain};
use super::call::layers::{ResolvedLayers, ServerLayer, ServerLayers};
use super::call::method_name;
use super::call::service::{Route, Routes};
use super::http_paths::{HttpMatch, HttpPaths};
use super::idempotency::{IdempotencyHandler, IdempotencyStore, key_argument};
use super::limits::Limits;
use super::plain_routes::PlainRoutes;
use crate::builtin;
use crate::context::Source;
use crate::descriptor::{MethodDescriptor, ServiceDescriptor};
use crate::error::{Code, Error};
use crate::middleware::Layer;
use crate::observe::Observers;

/// The routes of a server by path.
pub(crate) struct RouteTable {
    routes: HashMap<&'static str, Arc<Route>>,
    /// Built-in routes, served to trusted callers only.
    builtin: HashMap<&'static str, Arc<Route>>,
    /// The HTTP paths of methods; `None` without any.
    http_paths: Option<HttpPaths>,
}

impl RouteTable {
    /// Returns the route of a path, which is compared byte by byte.
    pub(crate) fn get(&self, path: &str) -> Option<&Arc<Route>> {
        self.routes.get(path)
    }

    /// Returns the built-in route of a path, which only trusted callers may use.
    pub(crate) fn builtin(&self, path: &str) -> Option<&Arc<Route>> {
        self.builtin.get(path)
    }

    /// Returns the methods with an idempotency key whose callers may have no user.
    pub(crate) fn unscoped_keys(
        &self,
        has_users: bool,
    ) -> impl Iterator<Item = &'static MethodDescriptor> {
        let routes = self.routes.values();
        routes
            .filter(move |route| !has_users || route.anonymous)
            .map(|route| route.method())
            .filter(|method| key_argument(method).is_some() && !method.key_is_shared)
    }

    /// Returns the methods that the policy opens to anyone and that need credentials at an edge.
    pub(crate) fn need_credentials(&self) -> impl Iterator<Item = &'static MethodDescriptor> {
        let routes = self.routes.values();
        routes
            .filter(|route| route.access.is_for_anyone() && !route.anonymous)
            .map(|route| route.method())
    }

    /// Returns the methods of an HTTP path. A path of the form of a method is never one.
    pub(crate) fn http(&self, path: &str) -> Option<HttpMatch<'_>> {
        let paths = self.http_paths.as_ref()?;
        if method_name::is_path(path) {
            return None;
        }
        paths.find(path)
    }

    /// Returns the HTTP paths of methods, in the form of routes of axum.
    pub(crate) fn http_shapes(&self) -> impl Iterator<Item = String> {
        self.http_paths.iter().flat_map(HttpPaths::shapes)
    }

    /// Returns the HTTP paths of methods, as they are declared.
    pub(crate) fn declared_paths(&self) -> impl Iterator<Item = &'static str> + Clone {
        let methods = self.routes.values().map(|route| route.method());
        methods.flat_map(|method| [method.http_get, method.http_post].into_iter().flatten())
    }

    pub(crate) fn paths(&self) -> impl Iterator<Item = &'static str> {
        self.routes.keys().copied()
    }

    pub(crate) fn builtin_paths(&self) -> impl Iterator<Item = &'static str> {
        self.builtin.keys().copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.routes.len()
    }
}

/// Builds a [`RouteTable`] and checks settings against it.
pub(crate) struct RouteTableBuilder {
    routes: HashMap<&'static str, Route>,
    /// The paths of the built-in routes.
    builtin: HashSet<&'static str>,
    services: Vec<&'static ServiceDescriptor>,
    /// The layers of the services, by the paths of their methods.
    layers: HashMap<&'static str, Vec<Arc<dyn Layer>>>,
    source: Arc<Source>,
}

impl RouteTableBuilder {
    /// Adds the methods of all services, with their `Ping`.
    ///
    /// # Errors
    ///
    /// `failed_precondition` if two methods have one path, and for a layer of an unknown method.
    pub(crate) fn new(services: Vec<Routes>, source: &Arc<Source>) -> Result<Self, Error> {
        let mut table = Self {
            routes: HashMap::new(),
            builtin: HashSet::new(),
            services: Vec::new(),
            layers: HashMap::new(),
            source: Arc::clone(source),
        };
        for service in services {
            let Routes {
                service,
                routes,
                layers,
            } = service;
            let layers = ResolvedLayers::new(service, layers)?;
            table.services.push(service);
            for route in routes.into_iter().chain(ping_route(service, source)) {
                let path = route.method().path;
                table.layers.insert(path, layers.of(&route));
                if table.routes.insert(path, route).is_some() {
                    let text = format!(
                        "the service {} was added twice: two methods have the path {path}",
                        service.full_name
                    );
                    return Err(Error::without_location(Code::FailedPrecondition, text));
                }
            }
        }
        Ok(table)
    }

    pub(crate) fn methods(&self) -> impl Iterator<Item = &'static MethodDescriptor> {
        self.routes.values().map(Route::method)
    }

    /// Returns the length of the longest path.
    pub(crate) fn longest_path(&self) -> usize {
        let methods = self.routes.values().map(Route::method);
        let paths = methods.flat_map(|method| {
            let http = [method.http_get, method.http_post];
            http.into_iter().flatten().chain([method.path])
        });
        paths.map(str::len).max().unwrap_or_default()
    }

    /// The descriptors of all services.
    pub(crate) fn services(&self) -> &[&'static ServiceDescriptor] {
        &self.services
    }

    /// Adds a built-in service. The server's own routes take precedence over those of the same
    /// path.
    pub(crate) fn add_builtin(&mut self, service: Routes) {
        let Routes {
            service, routes, ..
        } = service;
        if self
            .services
            .iter()
            .all(|own| own.full_name != service.full_name)
        {
            self.services.push(service);
        }
        for route in routes.into_iter().chain(ping_route(service, &self.source)) {
            let path = route.method().path;
            if !self.routes.contains_key(path) {
                self.routes.insert(path, route.into_builtin());
                self.builtin.insert(path);
            }
        }
    }

    /// Sets the access rule of each route. Rules may also name built-in methods, and plain HTTP
    /// routes.
    ///
    /// # Errors
    ///
    /// `failed_precondition` for a rule of an unknown method or route, and for two rules of one of
    /// them.
    pub(crate) fn apply_policy(
        &mut self,
        policy: Policy,
        mut plain: Option<&mut PlainRoutes>,
    ) -> Result<(), Error> {
        let server = self.source.server();
        if let Some(plain) = &mut plain {
            plain.rules.deny();
        }
        for route in self.routes.values_mut().filter(|route| !route.is_builtin()) {
            route.access = Access::Undeclared;
        }
        let mut declared = HashSet::new();
        for (name, callers) in policy.into_rules() {
            let setting = format!("the policy of {server}");
            let route = plain::route_of(&name);
            let target = match route {
                Some(_) => name.as_str(),
                None => method_name::resolve(self.routes.keys().copied(), &name, &setting)?,
            };
            if !declared.insert(target.to_owned()) {
                let text = format!("the policy of {server} has two rules for {name}; merge them");
                return Err(Error::without_location(Code::FailedPrecondition, text));
            }
            if let Some(route) = route {
                named_plain(plain.as_deref_mut(), route, &setting)?
                    .rules
                    .allow(route, callers);
            } else if let Some(route) = self.routes.get_mut(target) {
                route.access = Access::AllowList(callers);
            }
        }
        self.warn_of_undeclared();
        if plain.is_some_and(|plain| plain.rules.is_undeclared()) {
            tracing::warn!(
                target: "rpc",
                "the policy of {server} denies all plain HTTP routes, because no rule names one; add a rule for each, or \
                 for `http`"
            );
        }
        Ok(())
    }

    fn warn_of_undeclared(&self) {
        let undeclared = self
            .routes
            .values()
            .filter(|route| matches!(route.access, Access::Undeclared));
        let mut undeclared: Vec<_> = undeclared.map(|route| route.method().full_name()).collect();
        if !undeclared.is_empty() {
            undeclared.sort_unstable();
            tracing::warn!(
                target: "rpc",
                "the policy of {} denies the methods that no rule names: {}; add a rule for each",
                self.source.server(),
                undeclared.join(", ")
            );
        }
    }

    /// Sets the rate limit of each route: the one that names its method, or the general one.
    ///
    /// # Errors
    ///
    /// `failed_precondition` for an unknown method or route, one with two limits of the same
    /// callers, and two such general limits; `invalid_argument` for a limit that allows no call.
    pub(crate) fn apply_rate_limits(
        &mut self,
        limits: Vec<RateLimit>,
        mut plain: Option<&mut PlainRoutes>,
    ) -> Result<(), Error> {
        let server = self.source.server();
        let twice = |what: &str| {
            let text = format!(
                "the server {server} has two rate limits for {what} and the same callers; merge them"
            );
            Error::without_location(Code::FailedPrecondition, text)
        };
        let mut general = RateRules::default();
        for limit in limits {
            let limiter = Arc::new(Limiter::new(&limit)?);
            for name in limit.methods() {
                let setting = format!("a rate limit of {server}");
                if let Some(route) = plain::route_of(name) {
                    let plain = named_plain(plain.as_deref_mut(), route, &setting)?;
                    // Its own, because all plain routes of one limiter share an allowance.
                    let limiter = Arc::new(Limiter::new(&limit)?);
                    if plain.rules.limit(route, limiter) {
                        return Err(twice(name));
                    }
                    continue;
                }
                let path = method_name::resolve(self.routes.keys().copied(), name, &setting)?;
                if let Some(route) = self.routes.get_mut(path)
                    && route.rate.add(Arc::clone(&limiter))
                {
                    return Err(twice(name));
                }
            }
            if limit.methods().is_empty() && general.add(limiter) {
                return Err(twice("all methods"));
            }
        }
        for route in self.routes.values_mut() {
            if !route.is_builtin() {
                route.rate.extend(&general);
            }
        }
        if let Some(plain) = plain {
            plain.rules.limit_others(&general);
        }
        Ok(())
    }

    /// Serves the named methods and plain HTTP routes to callers without credentials.
    ///
    /// # Errors
    ///
    /// `failed_precondition` for an unknown method or route.
    pub(crate) fn apply_anonymous(
        &mut self,
        names: &[String],
        mut plain: Option<&mut PlainRoutes>,
    ) -> Result<(), Error> {
        let setting = format!("`allow_anonymous` of {}", self.source.server());
        for name in names {
            if let Some(route) = plain::route_of(name) {
                let plain = named_plain(plain.as_deref_mut(), route, &setting)?;
                plain.rules.allow_anonymous(route);
                continue;
            }
            let path = method_name::resolve(self.routes.keys().copied(), name, &setting)?;
            if let Some(route) = self.routes.get_mut(path) {
                route.anonymous = true;
            }
        }
        Ok(())
    }

    /// Gives the methods with an idempotency key a shared handler. A server without such a method
    /// creates no store.
    pub(crate) fn apply_idempotency(
        &mut self,
        store: Option<Arc<dyn IdempotencyStore>>,
        observers: &Observers,
        tasks: &TaskTracker,
        limits: &Limits,
    ) {
        let mut keyed = self
            .routes
            .values_mut()
            .filter(|route| key_argument(route.method()).is_some())
            .peekable();
        if keyed.peek().is_none() {
            return;
        }
        let handler = IdempotencyHandler::new(store, observers.clone(), tasks.clone(), limits);
        let handler = Arc::new(handler);
        for route in keyed {
            route.idempotency = Some(Arc::clone(&handler));
        }
    }

    /// Puts the layers of the server around each route, and those of its service inside of them.
    pub(crate) fn apply_layers(&mut self, layers: &[ServerLayer]) {
        let layers = ServerLayers::new(layers);
        for (path, route) in &mut self.routes {
            let own = self.layers.get(path).map_or(&[][..], Vec::as_slice);
            layers.apply(route, own);
        }
    }

    /// Builds the table.
    ///
    /// # Errors
    ///
    /// `failed_precondition` if two methods have one HTTP path.
    pub(crate) fn build(self) -> Result<RouteTable, Error> {
        let (builtin, routes): (HashMap<_, _>, HashMap<_, _>) = self
            .routes
            .into_iter()
            .map(|(path, route)| (path, Arc::new(route)))
            .partition(|(path, _)| self.builtin.contains(path));
        let http_paths = HttpPaths::new(routes.values())?;
        Ok(RouteTable {
            routes,
            builtin,
            http_paths: (!http_paths.is_empty()).then_some(http_paths),
        })
    }
}

/// Returns the plain HTTP routes, which `setting` names by the pattern of one of them, or all
/// without one.
///
/// # Errors
///
/// `failed_precondition` for an unknown route.
fn named_plain<'p>(
    plain: Option<&'p mut PlainRoutes>,
    route: &str,
    setting: &str,
) -> Result<&'p mut PlainRoutes, Error> {
    let known = plain.filter(|plain| route.is_empty() || plain.has_pattern(route));
    known.ok_or_else(|| plain::unknown(route, setting))
}

/// Returns the route of a service's `Ping`; `None` with `ping = false`.
fn ping_route(service: &'static ServiceDescriptor, source: &Arc<Source>) -> Option<Route> {
    let (method, handler) = builtin::ping_handler(service, source)?;
    Some(Route::new(method, handler).into_builtin())
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Mutex;

    use super::*;
    use crate::sync::MutexExt as _;

    /// Collects log lines.
    #[derive(Clone, Default)]
    struct LogBuffer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for LogBuffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock_unpoisoned().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn methods_without_a_rule_are_logged_at_start() {
        static METHODS: [MethodDescriptor; 4] = [
            MethodDescriptor::new("a.B", "zap", "Zap", "/a.B/Zap"),
            MethodDescriptor::new("a.B", "get", "Get", "/a.B/Get"),
            MethodDescriptor::new("a.B", "put", "Put", "/a.B/Put"),
            MethodDescriptor::new("a.B", "ping", "Ping", "/a.B/Ping"),
        ];
        let response = |_| -> crate::middleware::BoxFuture<_> {
            let error = Error::without_location(Code::Unimplemented, "");
            Box::pin(std::future::ready(error.into()))
        };
        let mut table =
            RouteTableBuilder::new(Vec::new(), &Arc::new("bank@prod/1".parse().unwrap())).unwrap();
        for method in &METHODS[..3] {
            table
                .routes
                .insert(method.path, Route::new(method, response));
        }
        let ping = Route::new(&METHODS[3], response).into_builtin();
        table.routes.insert("/a.B/Ping", ping);
        let log = LogBuffer::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            table
                .apply_policy(Policy::new().allow("a.B/Put", "web"), None)
                .unwrap();
        });
        let text = String::from_utf8(log.0.lock_unpoisoned().clone()).unwrap();
        assert!(
            text.contains(
                "policy of bank denies the methods that no rule names: a.B/Get, a.B/Zap;"
            ),
            "{text}"
        );
        assert!(matches!(
            table.routes["/a.B/Ping"].access,
            Access::Unrestricted
        ));
    }
}

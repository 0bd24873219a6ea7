//! What all connections of one server share.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::admission::policy::{self, Policy};
use super::admission::{self, Gate, RateLimit};
use super::call::faults::FaultInjection;
use super::call::service::{Route, Routes, Service as _};
use super::call::stack;
use super::call::trust::Trust;
use super::idempotency::{self, IdempotencyStore};
use super::limits::Limits;
use super::process::lifecycle::{Lifecycle, ReadinessCheck};
use super::transport::peers::PeerLimiter;
use crate::builtin::{self, DroppedLogs};
use crate::context::{Context, RequestId, ServerInfo, Source};
use crate::descriptor::{MethodDescriptor, ServiceDescriptor};
use crate::error::{Code, Error};
use crate::flags::Flags;
use crate::identity::{IdentityKeys, Verifier};
use crate::logs;
use crate::middleware::{Layers, Request, Response};
use crate::observe::{CallStart, CallTrace, Observers, ServerMetrics};

/// The parts of a server that its connections share.
pub(crate) struct ServerInner {
    routes: HashMap<&'static str, Arc<Route>>,
    /// What every server answers, to those who are believed.
    builtin: HashMap<&'static str, Arc<Route>>,
    /// By full name.
    services: HashMap<&'static str, &'static ServiceDescriptor>,
    faults: FaultInjection,
    server_info: Arc<ServerInfo>,
    environment: Arc<str>,
    limits: Limits,
    layers: Layers,
    observers: Observers,
    fallback: Option<axum::Router>,
    lifecycle: Lifecycle,
    verifier: Option<Verifier>,
    /// One place a running call.
    gate: Arc<Gate>,
    /// One permit an open connection.
    connections: Arc<Semaphore>,
    /// Whose they are.
    peers: Arc<PeerLimiter>,
    /// Work that outlives its call.
    tasks: TaskTracker,
}

/// What a [`ServerInner`] is made from.
pub(crate) struct ServerConfig {
    pub(crate) services: Vec<Routes>,
    pub(crate) source: Source,
    pub(crate) version: Option<&'static str>,
    pub(crate) limits: Limits,
    pub(crate) layers: Layers,
    pub(crate) observers: Observers,
    pub(crate) checks: Vec<ReadinessCheck>,
    pub(crate) fallback: Option<axum::Router>,
    pub(crate) identity: Option<IdentityKeys>,
    pub(crate) policy: Option<Policy>,
    pub(crate) rates: Vec<RateLimit>,
    pub(crate) dropped_logs: Option<DroppedLogs>,
    pub(crate) flags: Flags,
    /// Whether it fails on purpose when it is asked to.
    pub(crate) allow_faults: bool,
    pub(crate) idempotency: Option<Arc<dyn IdempotencyStore>>,
}

impl ServerInner {
    /// # Errors
    ///
    /// `failed_precondition` when two services answer on one path, or a policy or rate limit does not fit the services.
    pub(crate) fn new(config: ServerConfig) -> Result<Arc<Self>, Error> {
        let source = Arc::new(config.source);
        let first = config.services.first().map(|first| first.service.version);
        let version = config.version.or(first).unwrap_or_default();
        let mut routes: HashMap<_, Route> = HashMap::new();
        let mut services = HashMap::new();
        for Routes {
            service,
            routes: methods,
        } in config.services
        {
            services.insert(service.full_name, service);
            let ping = ping_route(service, &source);
            for route in methods.into_iter().chain(ping) {
                let path = route.method().path;
                if routes.insert(path, route).is_some() {
                    return Err(Error::without_location(
                        Code::FailedPrecondition,
                        format!(
                            "the service {} was added twice: two methods answer on {path}",
                            service.full_name
                        ),
                    ));
                }
            }
        }
        let is_log_sink = routes
            .values()
            .any(|route| route.method().service == logs::SERVICE);
        let metrics = Arc::new(ServerMetrics::new(routes.values().map(Route::method)));
        let status = builtin::status_service(&source, version, &metrics, config.dropped_logs);
        let flags = builtin::server_flag_service(&config.flags);
        let (status, flags) = (status.into_routes(), flags.into_routes());
        for own in [&status, &flags] {
            services.entry(own.service.full_name).or_insert(own.service);
        }
        let builtin: HashSet<_> = [status, flags]
            .into_iter()
            .flat_map(|own| {
                let ping = ping_route(own.service, &source);
                own.routes.into_iter().chain(ping)
            })
            .filter_map(|route| {
                let path = route.method().path;
                // A server that has the service itself answers by that, whoever asks.
                let vacant = !routes.contains_key(path);
                vacant.then(|| {
                    routes.insert(path, route.into_builtin());
                    path
                })
            })
            .collect();
        // Rules may name what every server answers, too.
        if let Some(policy) = config.policy {
            policy::apply(policy, source.server(), &mut routes)?;
        }
        admission::apply_rates(config.rates, source.server(), &mut routes)?;
        let outgoing = Arc::clone(metrics.outgoing());
        let observers = config.observers.with(metrics);
        let tasks = TaskTracker::new();
        let cap = config.limits.deadline_cap;
        idempotency::apply(
            config.idempotency,
            routes.values_mut(),
            &observers,
            &tasks,
            cap,
        );
        let (builtin, routes) = routes
            .into_iter()
            .map(|(path, route)| (path, Arc::new(route)))
            .partition(|(path, _)| builtin.contains(path));
        config.flags.start(source.as_str());
        Ok(Arc::new(Self {
            routes,
            builtin,
            services,
            faults: FaultInjection::new(config.allow_faults),
            environment: source.environment().into(),
            server_info: Arc::new(
                ServerInfo::new(source, config.identity.clone(), config.flags)
                    .with_is_log_sink(is_log_sink)
                    .with_client_metrics(outgoing),
            ),
            connections: Arc::new(Semaphore::new(
                config.limits.connections.min(Semaphore::MAX_PERMITS),
            )),
            peers: PeerLimiter::new(config.limits.connections_per_peer),
            gate: Arc::new(Gate::new(&config.limits)),
            limits: config.limits,
            layers: config.layers,
            observers,
            fallback: config.fallback,
            lifecycle: Lifecycle::new(config.checks),
            verifier: config.identity.map(Verifier::new),
            tasks,
        }))
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn source(&self) -> &Arc<Source> {
        self.server_info.source()
    }

    /// What the calls that it handles share.
    pub(crate) fn server_info(&self) -> &Arc<ServerInfo> {
        &self.server_info
    }

    pub(crate) fn environment(&self) -> &Arc<str> {
        &self.environment
    }

    pub(crate) fn fallback(&self) -> Option<&axum::Router> {
        self.fallback.as_ref()
    }

    /// A service of this server by its full name.
    pub(super) fn service(&self, full_name: &str) -> Option<&'static ServiceDescriptor> {
        self.services.get(full_name).copied()
    }

    pub(super) fn services(&self) -> impl Iterator<Item = &'static ServiceDescriptor> + Clone {
        self.services.values().copied()
    }

    pub(super) fn faults(&self) -> &FaultInjection {
        &self.faults
    }

    pub(super) fn lifecycle(&self) -> &Lifecycle {
        &self.lifecycle
    }

    /// What checks the signatures of calls, where the server has keys.
    pub(super) fn verifier(&self) -> Option<&Verifier> {
        self.verifier.as_ref()
    }

    /// What the calls of handlers are signed with.
    pub(crate) fn identity(&self) -> Option<&IdentityKeys> {
        self.verifier().map(Verifier::keys)
    }

    /// Whether the application's own router answers on this path.
    pub(super) fn is_plain(&self, path: &str) -> bool {
        self.fallback.is_some() && self.route(path).is_none() && self.builtin(path).is_none()
    }

    pub(super) fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    pub(super) fn connections(&self) -> &Arc<Semaphore> {
        &self.connections
    }

    pub(super) fn peers(&self) -> &Arc<PeerLimiter> {
        &self.peers
    }

    pub(crate) fn paths(&self) -> impl Iterator<Item = &'static str> {
        self.routes.keys().copied()
    }

    /// The route of a path, which must be the method's own to the letter.
    pub(crate) fn route(&self, path: &str) -> Option<&Arc<Route>> {
        self.routes.get(path)
    }

    /// The route of what every server answers; only for those who are believed.
    pub(crate) fn builtin(&self, path: &str) -> Option<&Arc<Route>> {
        self.builtin.get(path)
    }

    pub(super) fn layers(&self) -> &Layers {
        &self.layers
    }

    pub(super) fn observers(&self) -> &Observers {
        &self.observers
    }

    pub(super) fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// Runs a call. The error of the answer is what may leave the process.
    pub(crate) async fn call(
        self: &Arc<Self>,
        route: &Arc<Route>,
        request: Request,
        trust: Trust,
    ) -> Response {
        let id = request.context().id().copied();
        let mut response = stack::run(self, route, request).await;
        if let Some(error) = response.error_mut() {
            self.sanitize_for_wire(error, Some(route.method()), id, trust);
        }
        response
    }

    /// The error for a message over the limit, on every road.
    pub(crate) fn too_large(&self) -> Error {
        let limit = self.limits.message_bytes;
        let text = format!(
            "the message is larger than {limit} bytes, which is the most that this server takes"
        );
        Error::without_location(Code::ResourceExhausted, text)
    }

    /// Answers a call that is refused before its handler is reached.
    pub(crate) fn refuse(
        &self,
        method: Option<&'static MethodDescriptor>,
        context: &Context,
        error: Error,
        trust: Trust,
    ) -> Response {
        let call = CallStart {
            trace: CallTrace::of(Some(self.server_info.flags()), None, || None),
            ..CallStart::server(method, context)
        };
        let mut response = Response::from(error);
        self.observers.start(call).end(&response);
        if let Some(error) = response.error_mut() {
            self.sanitize_for_wire(error, method, context.id().copied(), trust);
        }
        response
    }

    pub(super) fn sanitize_for_wire(
        &self,
        error: &mut Error,
        method: Option<&'static MethodDescriptor>,
        id: Option<RequestId>,
        trust: Trust,
    ) {
        let id = id.unwrap_or_else(RequestId::random);
        match trust {
            Trust::Edge => error.redact_for_edge(id),
            Trust::Internal => {
                let (service, method) =
                    method.map_or(("", ""), |method| (method.service, method.full_name()));
                error.sanitize_for_wire(self.source().as_str(), method, service);
                error.set_request_id(id);
            }
        }
    }
}

/// Returns the route of a service's `Ping`; `None` with `ping = false`.
fn ping_route(service: &'static ServiceDescriptor, source: &Arc<Source>) -> Option<Route> {
    let (method, handler) = builtin::ping_handler(service, source)?;
    Some(Route::new(method, handler).into_builtin())
}

impl fmt::Debug for ServerInner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerInner")
            .field("source", self.source())
            .field("routes", &self.routes.len())
            .finish_non_exhaustive()
    }
}

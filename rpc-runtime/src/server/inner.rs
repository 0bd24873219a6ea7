//! The state that all connections of one server share.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, request};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::admission::authentication::{Authentication, Authenticator};
use super::admission::policy::Policy;
use super::admission::{Gate, RateLimit};
use super::call::access::HttpAccess;
use super::call::exposure::Exposure;
use super::call::faults::FaultInjection;
use super::call::layers::ServerLayer;
use super::call::method_name;
use super::call::proxies::TrustedProxies;
use super::call::refusals::PeerRefusals;
use super::call::service::{Routes, Service as _};
use super::call::trust::Peer;
use super::call::web_page::OwnHosts;
use super::cors::{Cors, CorsHeaders};
use super::http_layers::{self, ApplyHttpLayer, HttpService};
use super::idempotency::IdempotencyStore;
use super::limits::Limits;
use super::memory::MessageMemory;
use super::plain_routes::PlainRoutes;
use super::process::lifecycle::{Lifecycle, ReadinessCheck};
use super::process::tasks::Work;
use super::routes::{RouteTable, RouteTableBuilder};
use super::transport::peers::PeerLimiter;
use crate::builtin::{self, DroppedLogs};
use crate::context::{DEFAULT_ENVIRONMENT, ServerInfo, Source};
use crate::descriptor::MethodDescriptor;
use crate::error::{Code, Error};
use crate::flags::Flags;
use crate::identity::{IdentityKeys, Verifier};
use crate::logs;
use crate::observe::{Observer, Observers, ServerMetrics, TracingObserver};

/// The parts of a server that its connections share.
pub(crate) struct ServerInner {
    routes: Arc<RouteTable>,
    faults: FaultInjection,
    server_info: Arc<ServerInfo>,
    environment: Arc<str>,
    limits: Limits,
    observers: Observers,
    plain: Option<Arc<PlainRoutes>>,
    http_layers: Option<HttpService>,
    /// The same, inside the layer for pages of other origins.
    page_layers: Option<HttpService>,
    cors: Option<Arc<CorsHeaders>>,
    hosts: OwnHosts,
    proxies: TrustedProxies,
    refusals: PeerRefusals,
    lifecycle: Lifecycle,
    verifier: Option<Verifier>,
    authentication: Authentication,
    /// One permit for each running call.
    gate: Arc<Gate>,
    /// One permit for each open connection.
    connections: Arc<Semaphore>,
    /// The open connections of each peer, and the memory for its messages.
    peers: Arc<PeerLimiter>,
    memory: Arc<MessageMemory>,
    /// Tasks that may outlive their call.
    tasks: TaskTracker,
    work: Arc<Work>,
}

/// The configuration of a [`ServerInner`].
pub(crate) struct ServerConfig {
    pub(crate) name: String,
    pub(crate) environment: String,
    /// The instance; derived from the addresses if not set.
    pub(crate) instance: Option<String>,
    /// The version; that of the first service if not set.
    pub(crate) version: Option<&'static str>,
    pub(crate) services: Vec<Routes>,
    pub(crate) limits: Limits,
    pub(crate) layers: Vec<ServerLayer>,
    pub(crate) observers: Vec<Arc<dyn Observer>>,
    pub(crate) checks: Vec<ReadinessCheck>,
    /// The routers of plain HTTP, and their callers.
    pub(crate) plain: Vec<(HttpAccess, axum::Router)>,
    pub(crate) http_layers: Vec<ApplyHttpLayer>,
    /// The web pages that may call the server.
    pub(crate) cors: Option<Cors>,
    /// Names of the server, in addition to that of the machine.
    pub(crate) hosts: Vec<String>,
    /// Whether some of them, or of the addresses, were given and not found.
    pub(crate) has_given_hosts: bool,
    /// The addresses of its listeners.
    pub(crate) addresses: Vec<IpAddr>,
    /// The networks of trusted proxies.
    pub(crate) proxies: Vec<String>,
    pub(crate) identity: Option<IdentityKeys>,
    pub(crate) authenticators: Vec<Arc<dyn Authenticator>>,
    /// The methods and plain HTTP routes that need no user.
    pub(crate) anonymous: Vec<String>,
    pub(crate) policy: Option<Policy>,
    pub(crate) rates: Vec<RateLimit>,
    pub(crate) dropped_logs: Option<DroppedLogs>,
    pub(crate) flags: Flags,
    /// Whether fault injection is enabled.
    pub(crate) allow_faults: bool,
    pub(crate) idempotency: Option<Arc<dyn IdempotencyStore>>,
}

impl ServerConfig {
    /// Returns the defaults.
    pub(crate) fn new(name: String) -> Self {
        Self {
            name,
            environment: DEFAULT_ENVIRONMENT.to_owned(),
            instance: None,
            version: None,
            services: Vec::new(),
            limits: Limits::default(),
            layers: Vec::new(),
            observers: vec![Arc::new(TracingObserver)],
            checks: Vec::new(),
            plain: Vec::new(),
            http_layers: Vec::new(),
            cors: None,
            hosts: Vec::new(),
            has_given_hosts: false,
            addresses: Vec::new(),
            proxies: Vec::new(),
            identity: None,
            authenticators: Vec::new(),
            anonymous: Vec::new(),
            policy: None,
            rates: Vec::new(),
            dropped_logs: None,
            flags: Flags::new(),
            allow_faults: false,
            idempotency: None,
        }
    }
}

impl ServerInner {
    /// Builds the shared state.
    ///
    /// # Errors
    ///
    /// `failed_precondition` if two methods have one path, if a policy or rate limit does not match
    /// the services, or if the routers of plain HTTP overlap. `invalid_argument` for limits, rate
    /// limits and settings of the idempotency store with which no call could be served.
    pub(crate) fn new(config: ServerConfig, source: Source) -> Result<Arc<Self>, Error> {
        let source = Arc::new(source);
        let first = config.services.first().map(|first| first.service.version);
        let version = config.version.or(first).unwrap_or_default();
        let mut routes = RouteTableBuilder::new(config.services, &source)?;
        let is_log_sink = routes
            .methods()
            .any(|method| method.service == logs::SERVICE);
        let metrics = Arc::new(ServerMetrics::new(routes.methods()));
        let status = builtin::status_service(&source, version, &metrics, config.dropped_logs);
        routes.add_builtin(status.into_routes());
        routes.add_builtin(builtin::server_flag_service(&config.flags).into_routes());
        let mut plain = PlainRoutes::merge(config.plain)?;
        if let Some(policy) = config.policy {
            routes.apply_policy(policy, plain.as_mut())?;
        }
        routes.apply_rate_limits(config.rates, plain.as_mut())?;
        routes.apply_anonymous(&config.anonymous, plain.as_mut())?;
        let outgoing = Arc::clone(metrics.outgoing());
        let connections = Arc::clone(metrics.connections());
        let observers = Observers::new(config.observers).with(metrics);
        let tasks = TaskTracker::new();
        let work = Work::new(tasks.clone());
        config.limits.check(routes.longest_path())?;
        if let Some(store) = &config.idempotency {
            store.check()?;
        }
        routes.apply_idempotency(config.idempotency, &observers, &tasks, &config.limits);
        routes.apply_layers(&config.layers);
        config.flags.start(source.as_str());
        let memory = MessageMemory::new(&config.limits);
        let faults = FaultInjection::new(config.allow_faults, &source, routes.services());
        let routes = Arc::new(routes.build()?);
        let plain = plain.map(Arc::new);
        let cors = config.cors;
        let cors = cors.map(|cors| cors.into_layer(&routes, plain.as_ref()));
        let (cors, cors_headers) = cors.transpose()?.unzip();
        let http_layers = http_layers::apply(config.http_layers);
        // Outermost, so that a page may read what the other layers respond.
        let page_layers = cors.map(|cors| http_layers::around(http_layers.as_ref(), cors));
        Ok(Arc::new(Self {
            faults,
            routes,
            environment: source.environment().into(),
            server_info: Arc::new(
                ServerInfo::new(source, config.identity.clone(), config.flags)
                    .with_is_log_sink(is_log_sink)
                    .with_client_metrics(outgoing)
                    .with_work(Arc::<Work>::clone(&work)),
            ),
            connections: Arc::new(Semaphore::new(
                config.limits.connections.min(Semaphore::MAX_PERMITS),
            )),
            peers: PeerLimiter::new(config.limits.connections_per_peer, &memory, connections),
            memory,
            gate: Arc::new(Gate::new(&config.limits)),
            authentication: Authentication::new(config.authenticators, &config.limits),
            limits: config.limits,
            observers,
            plain,
            http_layers,
            page_layers,
            cors: cors_headers.map(Arc::new),
            hosts: OwnHosts::new(config.hosts, config.addresses, config.has_given_hosts),
            proxies: TrustedProxies::parse(&config.proxies)?,
            refusals: PeerRefusals::default(),
            lifecycle: Lifecycle::new(config.checks),
            verifier: config.identity.map(Verifier::new),
            tasks,
            work,
        }))
    }

    pub(super) fn authentication(&self) -> &Authentication {
        &self.authentication
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn source(&self) -> &Arc<Source> {
        self.server_info.source()
    }

    /// Returns the state that the contexts of its calls refer to.
    pub(crate) fn server_info(&self) -> &Arc<ServerInfo> {
        &self.server_info
    }

    pub(crate) fn environment(&self) -> &Arc<str> {
        &self.environment
    }

    /// Returns the routes of plain HTTP.
    pub(crate) fn plain_routes(&self) -> Option<&PlainRoutes> {
        self.plain.as_deref()
    }

    /// Returns the HTTP layers, with the rest of the server inside, for a request that pages of
    /// other origins may send or for any other.
    pub(crate) fn http_layers(&self, is_for_pages: bool) -> Option<&HttpService> {
        if is_for_pages {
            self.page_layers.as_ref()
        } else {
            self.http_layers.as_ref()
        }
    }

    /// Returns the headers that let web pages read responses to this peer; `None` on a listener
    /// that refuses the requests of web pages.
    pub(super) fn cors(&self, peer: &Peer) -> Option<&Arc<CorsHeaders>> {
        let serves_pages = !peer.may_be_trusted() || self.verifier.is_some();
        self.cors.as_ref().filter(|_| serves_pages)
    }

    /// Returns the hosts by which callers address the server.
    pub(crate) fn hosts(&self) -> &OwnHosts {
        &self.hosts
    }

    /// Returns whether a proxy may state the addresses of its clients by the PROXY protocol.
    pub(super) fn is_trusted_proxy(&self, address: IpAddr) -> bool {
        self.proxies.is_empty() || self.proxies.include(address)
    }

    /// Returns the peer of a request whose peer is a trusted proxy.
    pub(super) fn behind_proxy(&self, peer: &Peer, headers: &HeaderMap) -> Option<Peer> {
        if self.proxies.is_empty() {
            return None;
        }
        let proxy = peer.address()?;
        if !self.proxies.forward(proxy.ip(), headers) {
            return None;
        }
        let client = self.proxies.client(proxy, headers);
        Some(peer.behind_proxy((client != proxy).then_some(client)))
    }

    /// Checks that each route of plain HTTP can be reached. `probes` are the paths of the probes; a
    /// mounted router has neither probes nor built-in methods.
    ///
    /// # Errors
    ///
    /// `failed_precondition` for a route at the path of a method or of a probe.
    pub(crate) fn check_plain_routes(&self, probes: Option<&[&'static str]>) -> Result<(), Error> {
        let Some(plain) = &self.plain else {
            return Ok(());
        };
        let builtin = self.routes.builtin_paths().filter(|_| probes.is_some());
        let probes = probes.into_iter().flatten().copied();
        let shapes = self.routes.http_shapes();
        plain.check_http_paths(shapes)?;
        plain.check_reachable(self.routes.paths().chain(builtin).chain(probes))
    }

    /// Checks that callers at an edge listener do not share the results of methods with an
    /// idempotency key. `shown` is what the listener shows, if that is not everything.
    ///
    /// # Errors
    ///
    /// `failed_precondition` for a method whose callers have no user.
    pub(crate) fn check_keys(&self, shown: Option<&Exposure>) -> Result<(), Error> {
        let has_users = self.authentication.has_authenticators();
        let is_shown = |path: &str| shown.is_none_or(|shown| shown.has_method(path));
        let shared = self.routes.unscoped_keys(has_users);
        let mut shared = shared.filter(|method| is_shown(method.path));
        let Some(method) = shared.next() else {
            return Ok(());
        };
        let text = format!(
            "{} has an idempotency key, and its callers at an edge listener have no user, so that one could get the \
             result of another: authenticate them (`Server::authenticate`), or state that the key is for all callers \
             (`#[rpc(idempotency_key(shared))]`)",
            method.full_name()
        );
        Err(Error::without_location(Code::FailedPrecondition, text))
    }

    /// Warns of what the policy opens to anyone, while an edge listener asks for credentials.
    /// `shown` is what the listener shows, if that is not everything.
    pub(crate) fn warn_of_credentials(&self, shown: Option<&Exposure>) {
        if !self.authentication.has_authenticators() {
            return;
        }
        let methods = self.routes.need_credentials();
        let methods = methods.filter(|one| shown.is_none_or(|shown| shown.has_method(one.path)));
        let mut names: Vec<_> = methods.map(MethodDescriptor::full_name).collect();
        if let Some(plain) = &self.plain {
            let is_shown = |route: Option<&str>| shown.is_none_or(|shown| shown.has_route(route));
            names.extend(plain.rules.need_credentials(is_shown));
        }
        if names.is_empty() {
            return;
        }
        names.sort_unstable();
        tracing::warn!(
            target: "rpc",
            "the policy of {} allows anyone to call {}, but callers at an edge listener need credentials: name what needs \
             none in `Server::allow_anonymous`, and allow the rest to `Callers::users()`",
            self.source().server(),
            names.join(", ")
        );
    }

    /// Returns the log of the peers and web pages that are refused.
    pub(super) fn refusals(&self) -> &PeerRefusals {
        &self.refusals
    }

    pub(super) fn faults(&self) -> &FaultInjection {
        &self.faults
    }

    pub(super) fn lifecycle(&self) -> &Lifecycle {
        &self.lifecycle
    }

    /// Returns the verifier of call signatures, if the server has keys.
    pub(super) fn verifier(&self) -> Option<&Verifier> {
        self.verifier.as_ref()
    }

    /// Returns the keys that sign the calls of handlers.
    pub(crate) fn identity(&self) -> Option<&IdentityKeys> {
        self.verifier().map(Verifier::keys)
    }

    /// Returns whether a request is for a plain HTTP route: neither for a method, nor, unless there
    /// is a route for it, for a path that looks like one.
    pub(super) fn is_plain(&self, head: &request::Parts) -> bool {
        let path = head.uri.path();
        self.plain.as_ref().is_some_and(|plain| {
            self.routes.get(path).is_none()
                && self.routes.builtin(path).is_none()
                && self.routes.http(path).is_none()
                && (!method_name::is_path(path) || plain.has_route(&head.uri))
        })
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

    /// Returns the memory for messages.
    pub(crate) fn memory(&self) -> &Arc<MessageMemory> {
        &self.memory
    }

    pub(crate) fn routes(&self) -> &RouteTable {
        &self.routes
    }

    pub(super) fn observers(&self) -> &Observers {
        &self.observers
    }

    pub(super) fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// Returns what tells the work of the server of its stop.
    pub(super) fn work(&self) -> &Arc<Work> {
        &self.work
    }
}

impl fmt::Debug for ServerInner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerInner")
            .field("source", self.source())
            .field("routes", &self.routes.len())
            .finish_non_exhaustive()
    }
}

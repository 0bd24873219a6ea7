//! A server: services, listeners, limits, layers, observers. What a service needs in production is on by default.

mod admission;
mod call;
pub mod idempotency;
pub(crate) mod inner;
mod limits;
mod log_throttle;
mod options;
mod process;
mod routes;
mod transport;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

pub use admission::RateLimit;
pub use admission::policy::{Callers, Policy};
pub use call::service::{RouteBuilder, Routes, Service};
pub use call::trust::Trust;
pub use limits::Limits;
pub use options::{LogFormat, ServerOptions};
pub use process::bound::BoundServer;

use self::idempotency::IdempotencyStore;
use self::process::lifecycle::ReadinessCheck;
use self::process::run;
use self::transport::listen::SOCKET_MODE;
use crate::builtin::DroppedLogs;
use crate::context::DEFAULT_ENVIRONMENT;
use crate::error::{Error, Result};
use crate::flags::Flags;
use crate::identity::IdentityKeys;
use crate::logs::{LogExportOptions, LogExporterBuilder};
use crate::middleware::Layer;
use crate::observe::{Observer, TracingObserver};

/// A server of one or several services.
///
/// Already there without a word: request ids, deadlines, panic isolation, limits and timers (see [`Limits`]), a log
/// line and counters for each call ([`crate::status`]), `/healthz` and `/readyz`, graceful drain.
///
/// ```no_run
/// use rpc_runtime::prelude::*;
///
/// #[rpc_service]
/// trait Greeter {
///     async fn greet(&self, name: &str) -> Result<String>;
/// }
///
/// struct English;
///
/// impl Greeter for English {
///     async fn greet(&self, name: &str) -> Result<String> {
///         Ok(format!("Hello {name}"))
///     }
/// }
///
/// # async fn main_() -> Result<()> {
/// Server::new("greeter").listen("127.0.0.1:8080").add(GreeterServer::new(English)).run().await
/// # }
/// ```
#[must_use = "a server does nothing before `run` or `serve`"]
pub struct Server {
    name: String,
    environment: String,
    instance: Option<String>,
    version: Option<&'static str>,
    listen: Vec<(String, Trust)>,
    trust: Option<Trust>,
    services: Vec<Routes>,
    layers: Vec<Arc<dyn Layer>>,
    observers: Vec<Arc<dyn Observer>>,
    limits: Limits,
    checks: Vec<ReadinessCheck>,
    socket_mode: u32,
    log_format: LogFormat,
    fallback: Option<axum::Router>,
    identity: Option<IdentityKeys>,
    /// Read where the server starts, in place of `identity`.
    identity_file: Option<PathBuf>,
    policy: Option<Policy>,
    rates: Vec<RateLimit>,
    dropped_logs: Option<DroppedLogs>,
    flags: Flags,
    flags_file: Option<PathBuf>,
    /// What was wrong with a flag that was set before the start.
    flags_refused: Option<Error>,
    allow_faults: bool,
    log_exporter: Option<LogExporterBuilder>,
    /// What the operator says of the same; it wins.
    log_export_options: LogExportOptions,
    /// The log of the process, where it was started before `run`.
    log: Option<Result<run::ProcessLog>>,
    idempotency: Option<Arc<dyn IdempotencyStore>>,
}

impl Server {
    /// A server by its name, such as `logsink`: the name that callers see in errors and logs.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            environment: DEFAULT_ENVIRONMENT.to_owned(),
            instance: None,
            version: None,
            listen: Vec::new(),
            trust: None,
            services: Vec::new(),
            layers: Vec::new(),
            observers: vec![Arc::new(TracingObserver)],
            limits: Limits::default(),
            checks: Vec::new(),
            socket_mode: SOCKET_MODE,
            log_format: LogFormat::default(),
            fallback: None,
            identity: None,
            identity_file: None,
            policy: None,
            rates: Vec::new(),
            dropped_logs: None,
            flags: Flags::new(),
            flags_file: None,
            flags_refused: None,
            allow_faults: false,
            log_exporter: None,
            log_export_options: LogExportOptions::default(),
            log: None,
            idempotency: None,
        }
    }

    /// Listens for other services on `address`: `127.0.0.1:9002`, where port 0 takes a free one, or a Unix socket such
    /// as `unix:/run/logsink.sock`. May be said more than once.
    ///
    /// Without keys (see [`identity`](Self::identity)) an internal listener answers peers on this host only, and whoever
    /// may open a Unix socket is believed; see [`socket_mode`](Self::socket_mode). A socket's file that a killed server
    /// left behind is replaced, one that somebody listens on is not; a lock on `PATH.lock` tells them apart, and that
    /// file stays.
    #[allow(
        clippy::needless_pass_by_value,
        reason = "a builder that takes literals and addresses alike"
    )]
    pub fn listen(mut self, address: impl ToString) -> Self {
        self.listen.push((address.to_string(), Trust::Internal));
        self
    }

    /// Listens for the outside world on `address`: nothing that a caller says of its request is believed, and errors
    /// go out without details.
    #[allow(clippy::needless_pass_by_value, reason = "as for `listen`")]
    pub fn listen_edge(mut self, address: impl ToString) -> Self {
        self.listen.push((address.to_string(), Trust::Edge));
        self
    }

    /// Who may connect to its Unix sockets: the mode of their files, of which the bits for writing count. `0o600` unless
    /// said: the user that the server runs as, and nobody else.
    pub fn socket_mode(mut self, mode: u32) -> Self {
        self.socket_mode = mode;
        self
    }

    /// Whom [`serve`](Self::serve) (internal unless said) and [`into_router`](Self::into_router) (edge unless said)
    /// take their callers for.
    pub fn trust(mut self, trust: Trust) -> Self {
        self.trust = Some(trust);
        self
    }

    /// Makes the server one of those that know each other by these keys.
    ///
    /// Its internal listeners then answer signed calls, from whatever address, and everybody else with
    /// `unauthenticated`, peers on this host included; what its handlers call is signed without another word. An edge
    /// looks at no signature. What no service has, plain routes of [`http`](Self::http), keeps to the rule without keys.
    ///
    /// A signature covers the head of the request and its body, is meant for one service, and is good for one call
    /// within 30 s; the clocks of the hosts must not differ by more. It proves that the caller has the key and not
    /// which of your servers it is: give the key to nobody who may not be each of them.
    ///
    /// ```no_run
    /// # use rpc_runtime::{IdentityKeys, Server};
    /// let keys = IdentityKeys::from_file("/run/secrets/rpc-identity")?;
    /// let server = Server::new("pricing").listen("0.0.0.0:9004").identity(keys);
    /// # drop(server);
    /// # Ok::<(), rpc_runtime::Error>(())
    /// ```
    pub fn identity(mut self, keys: IdentityKeys) -> Self {
        self.identity = Some(keys);
        self
    }

    /// Says who may call which method. Without a policy everybody may whom the listener lets in.
    ///
    /// Checked where the server starts: `failed_precondition` for a rule that names no method of its services.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = Some(policy);
        self
    }

    /// Limits how often each caller may call each method; none is set unless asked for. Called several times for
    /// limits of several methods.
    ///
    /// Checked where the server starts, as [`policy`](Self::policy).
    pub fn rate_limit(mut self, limit: RateLimit) -> Self {
        self.rates.push(limit);
        self
    }

    /// Fails calls on purpose when their request asks for it, by the header `x-rpc-fault` or by
    /// [`Context::with_faults`](crate::Context::with_faults): for tests of whole systems and for the rehearsal of bad days.
    /// Off unless said. [`FaultPlan`](crate::faults::FaultPlan) says what can be asked for.
    ///
    /// ```text
    /// curl -H 'content-type: application/json' -H 'x-rpc-fault: pricing.pay=unavailable;p=0.5' \
    ///     http://127.0.0.1:9006/fibpro.v1.Controller/Generate -d '{"n": 3}'
    /// ```
    ///
    /// The plan travels with the request, and the server that answers a method decides: a fault of `pricing.pay` comes from
    /// pricing, inside of its observation, its limits and its layers, and stands in its log as `fault injected`. A server
    /// that is not named passes the plan on, whether it allows faults or not. One that is named and does not allow them
    /// answers `failed_precondition`: whoever asks for a fault is not to take its absence for a good sign.
    ///
    /// An edge never looks at a plan; it leaves it out and counts it in the log.
    pub fn allow_faults(mut self) -> Self {
        self.allow_faults = true;
        self
    }

    /// Keeps the results of methods with an idempotency key in this store, see [`crate::idempotency`]. Unless said, in a
    /// [`MemoryStore`](crate::idempotency::MemoryStore), where the server has such a method.
    pub fn idempotency_store(mut self, store: impl IdempotencyStore) -> Self {
        self.idempotency = Some(Arc::new(store));
        self
    }

    /// The environment that it runs in; `prod` unless said.
    pub fn environment(mut self, environment: impl Into<String>) -> Self {
        self.environment = environment.into();
        self
    }

    /// Which instance of the server it is. Unless said, its first address, or its process id where it has none.
    pub fn instance(mut self, instance: impl Into<String>) -> Self {
        self.instance = Some(instance.into());
        self
    }

    /// The version that it says it has, in [`rpc.v1.Status`](crate::status): of a server without a service of its own,
    /// `env!("CARGO_PKG_VERSION")` as a rule. Unless said, that of its first service.
    pub fn version(mut self, version: &'static str) -> Self {
        self.version = Some(version);
        self
    }

    /// Adds a service.
    #[allow(
        clippy::should_implement_trait,
        reason = "a service is added to a server, not a number"
    )]
    pub fn add(mut self, service: impl Service) -> Self {
        self.services.push(service.into_routes());
        self
    }

    /// Adds a layer inside those that are there. See [`crate::middleware`].
    pub fn layer(mut self, layer: impl Layer) -> Self {
        self.layers.push(Arc::new(layer));
        self
    }

    /// Adds an observer of calls. See [`crate::observe`].
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observers.push(Arc::new(observer));
        self
    }

    /// Leaves out the log line a call, and every observer that was added before.
    pub fn without_observers(mut self) -> Self {
        self.observers.clear();
        self
    }

    /// Sets the limits and timers.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Adds something that the server must have before it is ready, such as a connection to a store or a cache that is
    /// warm. Until then, and whenever the check fails later, `GET /readyz` is answered with 503; calls are answered all
    /// the same.
    ///
    /// Checks run when somebody asks, one after the other and never twice at a time. Together they have a second, and
    /// their outcome holds for a quarter of one. PeerLimiter that are not believed are not told which of them failed.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicBool, Ordering};
    ///
    /// use rpc_runtime::{Code, Server, fail};
    ///
    /// let warm = Arc::new(AtomicBool::new(false));
    /// let seen = warm.clone();
    /// let server = Server::new("pricing").ready("cache", move || {
    ///     let warm = seen.load(Ordering::Relaxed);
    ///     async move { if warm { Ok(()) } else { fail!(Code::Unavailable, "still reading prices") } }
    /// });
    /// # drop(server);
    /// ```
    pub fn ready<F, Fut>(mut self, name: impl Into<String>, check: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<()>> + Send + 'static,
    {
        self.checks.push(ReadinessCheck::new(name.into(), check));
        self
    }

    /// Lets [`rpc.v1.Status`](crate::status) tell how many records of the server's log were not kept: `count` is what
    /// whoever keeps them has dropped since the start. It is asked with each status and must not block.
    ///
    /// A server that [`run`](Self::run) runs and whose log it ships tells [`logs::dropped`](crate::logs::dropped) by
    /// itself; a program that starts its own [`LogExporter`](crate::logs::LogExporter) calls `dropped_logs(rpc_runtime::logs::dropped)`.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicU64, Ordering};
    /// use rpc_runtime::Server;
    ///
    /// let dropped = Arc::new(AtomicU64::new(0)); // the appender of the log has the other half
    /// let server = Server::new("greeter").dropped_logs(move || dropped.load(Ordering::Relaxed));
    /// # drop(server);
    /// ```
    pub fn dropped_logs(mut self, count: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        self.dropped_logs = Some(Box::new(count));
        self
    }

    /// Installs the subscriber now that [`run`](Self::run) would install, for a program that has something to log
    /// before, and the hook by which a caught panic is logged with its place. No subscriber is installed where there is one. The format and the shipping are to be set before; what is wrong with
    /// the latter is an error of `run`.
    pub fn start_log(mut self) -> Self {
        self.log = Some(run::start_log(&mut self));
        self
    }

    /// How [`run`](Self::run) writes the log, where it installs a subscriber.
    pub fn log_format(mut self, format: LogFormat) -> Self {
        self.log_format = format;
        self
    }

    /// Where [`run`](Self::run) sends the events of this process, beside its own log; see [`crate::logs`].
    ///
    /// Without a word of the program or the operator (`--logsink`) nothing is sent. A server that is a log sink itself
    /// sends nothing.
    ///
    /// ```
    /// use rpc_runtime::{Client, Server, logs::LogExporter};
    ///
    /// let sink = Client::new("http://127.0.0.1:9002")?;
    /// let server = Server::new("pricing").export_logs(LogExporter::builder(sink).spool("/var/lib/pricing/log-spool"));
    /// # drop(server);
    /// # Ok::<(), rpc_runtime::Error>(())
    /// ```
    pub fn export_logs(mut self, log_exporter: LogExporterBuilder) -> Self {
        self.log_exporter = Some(log_exporter);
        self
    }

    /// Answers plain HTTP requests whose path no service has; `/healthz` and `/readyz` are the server's own.
    ///
    /// A handler has the [`Context`](crate::Context) of its request, believed as far as the peer is, and
    /// [`default_deadline`](Limits::default_deadline) for its answer's head; a panic is an answer, and a request is
    /// observed as `http GET` and the like. Layers are for calls and are not around it; the limits of bodies are axum's.
    ///
    /// ```
    /// use rpc_runtime::{Context, Server, axum::{Router, routing::get}};
    ///
    /// let routes = Router::new().route("/hello", get(async || Context::current().request_id().to_owned()));
    /// let server = Server::new("greeter").http(routes);
    /// # drop(server);
    /// ```
    pub fn http(mut self, router: axum::Router) -> Self {
        self.fallback = Some(router);
        self
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("name", &self.name)
            .field("environment", &self.environment)
            .field("listen", &self.listen)
            .field(
                "services",
                &self
                    .services
                    .iter()
                    .map(|routes| routes.service.full_name)
                    .collect::<Vec<_>>(),
            )
            .finish_non_exhaustive()
    }
}

//! A server: services, listeners, limits, layers and observers. The defaults are fit for
//! production.

mod admission;
mod call;
mod cors;
pub mod env_option;
mod http_layers;
mod http_paths;
pub mod idempotency;
pub(crate) mod inner;
mod limits;
mod listening;
mod memory;
mod middleware;
mod options;
mod panic;
pub(crate) mod peer_key;
mod plain_routes;
mod prefixed_options;
mod process;
mod routes;
mod tls_listeners;
#[cfg(feature = "tls")]
mod tls_settings;
#[cfg(feature = "otel")]
mod trace_settings;
mod transport;

use std::fmt;
use std::sync::Arc;

pub use admission::policy::{Callers, Policy};
pub use admission::{RateLimit, authentication};
pub use call::access::HttpAccess;
pub use call::peer_origin::PeerAddress;
#[cfg(feature = "client")]
pub(crate) use call::request_stream::request_broken;
pub use call::service::{LayeredService, RouteBuilder, Routes, Service};
pub(crate) use call::trust::ErrorScope;
pub use call::trust::Trust;
pub use call::web_page::foreign_page;
pub use cors::Cors;
pub use http_layers::HttpService;
pub use limits::Limits;
pub use options::ServerOptions;
pub use prefixed_options::PrefixedServerOptions;
pub use process::bound::BoundServer;
pub use process::log::LogFormat;
pub use process::log_filter::LogFilter;
pub use process::signals::{ProcessSignal, ProcessSignals};
pub use process::tasks::TaskOutcome;
pub use tls_listeners::TlsListeners;
#[cfg(feature = "_fuzz")]
pub(crate) use transport::fuzzing::{client_behind_proxies, parse_proxy_header, serve_in_memory};
#[cfg(unix)]
pub use transport::listen::ActivationSocket;
pub use transport::listen::accept::{Accept, ConnectionPeer};
pub use transport::listen::settings::ListenOptions;
#[cfg(feature = "tls")]
pub use transport::tls::ServerTlsConfig;

use self::admission::authentication::Authenticator;
use self::idempotency::IdempotencyStore;
use self::inner::ServerConfig;
use self::process::config::ProcessConfig;
use self::process::lifecycle::ReadinessCheck;
use crate::error::Result;
use crate::identity::IdentityKeys;
use crate::logs::LogExporterBuilder;
use crate::observe::Observer;

/// A server of one or several services.
///
/// Enabled by default: request IDs, deadlines, panic isolation, limits and timeouts (see
/// [`Limits`]), a log line and counters for each call ([`crate::status`]), `/healthz` and
/// `/readyz`, graceful drain.
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
    /// The configuration of the running server.
    config: ServerConfig,
    /// The settings for starting and running it.
    process: ProcessConfig,
}

impl Server {
    /// Creates a server with a name, such as `logsink`, which callers see in errors and logs.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            config: ServerConfig::new(name.into()),
            process: ProcessConfig::default(),
        }
    }

    /// Adds a name by which callers address the server, such as `pricing.test`. Its internal
    /// listeners without keys serve requests whose `Host` is loopback, one of their own addresses,
    /// the name of the machine, or such a name; see [`Trust::Internal`]. With keys they take calls
    /// that were signed for the address of the connection or such a name, and a mounted router
    /// those for such a name. May be called repeatedly, and adds to the names of `--host-name`.
    ///
    /// A name has no port, and counts for every port. It may be an address, such as one that a
    /// container's host forwards. The start fails for anything else.
    pub fn host(mut self, name: impl Into<String>) -> Self {
        self.config.hosts.push(name.into());
        self
    }

    /// Sets how much callers are trusted. Defaults to internal for [`serve`](Self::serve) and edge
    /// for [`into_router`](Self::into_router).
    pub fn trust(mut self, trust: Trust) -> Self {
        self.process.trust = Some(trust);
        self
    }

    /// Authenticates calls to and from this server with the given keys.
    ///
    /// Its internal listeners then accept signed calls from any address and reject all others with
    /// `unauthenticated`, including those of peers on this host. Calls that its handlers make are
    /// signed. An edge listener ignores signatures. [`HttpAccess`] decides which plain routes serve
    /// unsigned requests.
    ///
    /// A signature covers the head and the body of one request to one service, and is valid once
    /// and for 30 s; the clocks of the hosts must not differ by more. It proves that the caller has
    /// the key, not which server it is: a holder of the key can act as any of your servers.
    ///
    /// ```no_run
    /// # use rpc_runtime::{IdentityKeys, Server};
    /// let keys = IdentityKeys::from_file("/run/secrets/rpc-identity")?;
    /// let server = Server::new("pricing").listen("0.0.0.0:9004").identity(keys);
    /// # drop(server);
    /// # Ok::<(), rpc_runtime::Error>(())
    /// ```
    pub fn identity(mut self, keys: IdentityKeys) -> Self {
        self.config.identity = Some(keys);
        self
    }

    /// Authenticates the users of calls at edge listeners; see
    /// [`crate::authentication`]. May be called repeatedly: the authenticators are asked one after
    /// another, until one finds its kind of credentials.
    ///
    /// Calls without credentials are refused, except of the methods that
    /// [`allow_anonymous`](Self::allow_anonymous) names.
    pub fn authenticate(mut self, authenticator: impl Authenticator) -> Self {
        self.config.authenticators.push(Arc::new(authenticator));
        self
    }

    /// Serves a method to callers without credentials as well, given by its full name, such as
    /// `shop.v1.Catalog/List`, or plain HTTP routes, such as `http /login`, or `http` for all of
    /// them. Wrong credentials are refused there too.
    ///
    /// Checked when the server starts, like [`policy`](Self::policy).
    pub fn allow_anonymous(mut self, method: impl Into<String>) -> Self {
        self.config.anonymous.push(method.into());
        self
    }

    /// Sets which callers may call which method. Without a policy, every caller that the listener
    /// accepts may call every method.
    ///
    /// Checked when the server starts: `failed_precondition` for a rule that names an unknown
    /// method.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.config.policy = Some(policy);
        self
    }

    /// Limits how often each caller may call each method. By default there is no limit. May be
    /// called repeatedly, with limits of different methods and of different callers.
    ///
    /// Checked when the server starts, like [`policy`](Self::policy).
    pub fn rate_limit(mut self, limit: RateLimit) -> Self {
        self.config.rates.push(limit);
        self
    }

    /// Enables fault injection: a call fails on purpose if its request carries a plan, set by the
    /// header `x-rpc-fault` or by [`Context::with_faults`](crate::Context::with_faults). For tests
    /// of whole systems and failure drills. Disabled by default. See
    /// [`FaultPlan`](crate::faults::FaultPlan) for the syntax.
    ///
    /// ```text
    /// curl -H 'content-type: application/json' -H 'x-rpc-fault: pricing.pay=unavailable;p=0.5' \
    ///     http://127.0.0.1:9006/fibpro.v1.Controller/Generate -d '{"n": 3}'
    /// ```
    ///
    /// The plan is forwarded with the request, and the server of the named method applies it: a
    /// fault of `pricing.pay` is injected by pricing, inside its observers, limits and layers, and
    /// is logged as `fault injected`. Servers that the plan does not name forward it, even with
    /// fault injection disabled. A named server with fault injection disabled returns
    /// `failed_precondition`, because an ignored fault would look like a passed test.
    ///
    /// An edge listener ignores and removes the plan of a request, and logs how often it did so.
    pub fn allow_faults(mut self) -> Self {
        self.config.allow_faults = true;
        self
    }

    /// Sets the store for the results of methods with an idempotency key; see
    /// [`crate::idempotency`]. Defaults to a [`MemoryStore`](crate::idempotency::MemoryStore) if
    /// the server has such a method.
    pub fn idempotency_store(mut self, store: impl IdempotencyStore) -> Self {
        self.config.idempotency = Some(Arc::new(store));
        self
    }

    /// Sets the environment that the server runs in. Defaults to `prod`.
    pub fn environment(mut self, environment: impl Into<String>) -> Self {
        self.config.environment = environment.into();
        self
    }

    /// Sets the name of this instance of the server. Defaults to its first TCP address, or to
    /// the process ID if it has only Unix sockets.
    pub fn instance(mut self, instance: impl Into<String>) -> Self {
        self.config.instance = Some(instance.into());
        self
    }

    /// Sets the version that [`rpc.v1.Status`](crate::status) reports. Defaults to the version of
    /// the first service; a server without services usually sets `env!("CARGO_PKG_VERSION")`.
    pub fn version(mut self, version: &'static str) -> Self {
        self.config.version = Some(version);
        self
    }

    /// Adds a service.
    #[allow(
        clippy::should_implement_trait,
        reason = "not the addition of two values that `std::ops::Add` means"
    )]
    pub fn add(mut self, service: impl Service) -> Self {
        self.config.services.push(service.into_routes());
        self
    }

    /// Adds an observer of calls. See [`crate::observe`].
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.config.observers.push(Arc::new(observer));
        self
    }

    /// Removes the observer that logs each call, and every observer added before.
    pub fn without_observers(mut self) -> Self {
        self.config.observers.clear();
        self
    }

    /// Sets the limits and timeouts.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.config.limits = limits;
        self
    }

    /// Adds a readiness check, such as an open connection to a store or a warm cache. While a check
    /// fails, `GET /readyz` returns 503. Calls are served regardless.
    ///
    /// Checks run on requests of `/readyz`, one after another and never concurrently. All checks
    /// together time out after 1 s, and their outcome is cached for 250 ms. A request waits 100 ms
    /// for them and then gets the outcome of the run before, so that probes of any patience see
    /// one. Only trusted peers receive the reason of a failure.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicBool, Ordering};
    ///
    /// use rpc_runtime::{Code, Server, fail};
    ///
    /// let warm = Arc::new(AtomicBool::new(false)); let seen = warm.clone(); let server =
    /// Server::new("pricing").ready("cache", move || {     let warm = seen.load(Ordering::Relaxed);
    /// async move { if warm { Ok(()) } else { fail!(Code::Unavailable, "still reading prices") } }
    /// });
    /// # drop(server);
    /// ```
    pub fn ready<F, Fut>(mut self, name: impl Into<String>, check: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<()>> + Send + 'static,
    {
        self.config
            .checks
            .push(ReadinessCheck::new(name.into(), check));
        self
    }

    /// Sets the number of lost log records that [`rpc.v1.Status`](crate::status) reports. `count`
    /// returns the number since the start; it is called for each status and must not block.
    ///
    /// If [`run`](Self::run) exports the log, it reports [`logs::dropped`](crate::logs::dropped) by
    /// default. A program that starts its own [`LogExporter`](crate::logs::LogExporter) calls
    /// `dropped_logs(rpc_runtime::logs::dropped)`.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicU64, Ordering};
    /// use rpc_runtime::Server;
    ///
    /// let dropped = Arc::new(AtomicU64::new(0)); // the log appender increments a clone
    /// let server = Server::new("greeter").dropped_logs(move || dropped.load(Ordering::Relaxed));
    /// # drop(server);
    /// ```
    pub fn dropped_logs(mut self, count: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        self.config.dropped_logs = Some(Box::new(count));
        self
    }

    /// Installs the tracing subscriber and the panic hook early, so that the program can log before
    /// [`run`](Self::run). The hook adds the location to the log of a caught panic. An existing
    /// subscriber is kept. Call this after setting the log format and the export options; `run`
    /// reports any error in the export options.
    pub fn start_log(mut self) -> Self {
        let log = self.process.start_log();
        self.process.log = Some(log);
        self
    }

    /// Sets the format in which [`run`](Self::run) writes the log, if it installs the subscriber.
    pub fn log_format(mut self, format: LogFormat) -> Self {
        self.process.log_format = format;
        self
    }

    /// Exports the events of this process to a log sink while [`run`](Self::run) runs, in addition
    /// to the log on stderr; see [`crate::logs`].
    ///
    /// By default nothing is exported, unless the operator sets `--logsink`. A log sink never
    /// exports its own log.
    ///
    /// ```
    /// use rpc_runtime::{Client, Server, logs::LogExporter};
    ///
    /// let sink = Client::new("http://127.0.0.1:9002")?; let server =
    /// Server::new("pricing").export_logs(LogExporter::builder(sink).spool("/var/lib/pricing/log-spool"));
    /// # drop(server);
    /// # Ok::<(), rpc_runtime::Error>(())
    /// ```
    pub fn export_logs(mut self, log_exporter: LogExporterBuilder) -> Self {
        self.process.log_exporter = Some(log_exporter);
        self
    }

    /// Serves plain HTTP requests whose path belongs to no service; `/healthz` and `/readyz` stay
    /// with the server. May be called repeatedly: the routers are merged.
    ///
    /// Checked when the server starts: `failed_precondition` if two routers have the same route or
    /// a fallback each, and for a route that can never be reached, because a method or a probe has
    /// its path. A path of the form `/package.Service/Method` without a route is an unknown method,
    /// for which the fallback of a router is not asked.
    ///
    /// At an internal listener of a server with keys, only signed requests are served, as with
    /// [`HttpAccess::Signed`]; [`http_for`](Self::http_for) sets other callers.
    ///
    /// A handler runs in the [`Context`](crate::Context) of its request; `x-rpc-*` headers count
    /// only from trusted callers. It has [`default_deadline`](Limits::default_deadline) to return
    /// the head of its response, or less if the caller sends `connect-timeout-ms`. A panic becomes
    /// an error response. Observers see the request as `http GET` and the like. Layers do not
    /// apply; the limits of bodies are those of axum. The extension [`PeerAddress`] of a request
    /// has the address of the peer.
    ///
    /// The limits of running calls, [rate limits](Self::rate_limit) and the [policy](Self::policy)
    /// apply as to methods. In settings, the name of a route is `http` and its path as in the
    /// router, such as `http /metrics`; `http` alone stands for all others. A response whose length
    /// is not known counts as running until its end.
    ///
    /// A response with a status from 400 may have the [`Error`](crate::Error) that it reports in
    /// its extensions. The log line of the request then has the services that the error passed. It
    /// is not sent.
    ///
    /// ```
    /// use rpc_runtime::{Context, Server, axum::{Router, routing::get}};
    ///
    /// let routes = Router::new().route("/hello", get(async ||
    /// Context::current().request_id().to_owned())); let server =
    /// Server::new("greeter").http(routes);
    /// # drop(server);
    /// ```
    pub fn http(self, router: axum::Router) -> Self {
        self.http_for(HttpAccess::default(), router)
    }

    /// Serves plain HTTP requests as [`http`](Self::http) does, for certain callers.
    ///
    /// The signature of a plain request covers its body, which the server reads and verifies before
    /// the handler runs; it may have up to [`message_bytes`](Limits::message_bytes).
    ///
    /// ```
    /// use rpc_runtime::{HttpAccess, Server, axum::{Router, routing::get}};
    ///
    /// let metrics = Router::new().route("/metrics", get(async || "calls 7"));
    /// let server = Server::new("greeter").http_for(HttpAccess::Internal, metrics);
    /// # drop(server);
    /// ```
    pub fn http_for(mut self, access: HttpAccess, router: axum::Router) -> Self {
        self.config.plain.push((access, router));
        self
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("name", &self.config.name)
            .field("environment", &self.config.environment)
            .field("listen", &self.process.listen)
            .field(
                "services",
                &self
                    .config
                    .services
                    .iter()
                    .map(|routes| routes.service.full_name)
                    .collect::<Vec<_>>(),
            )
            .finish_non_exhaustive()
    }
}

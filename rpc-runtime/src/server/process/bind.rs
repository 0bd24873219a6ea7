//! From a server as it was described to one that runs: its addresses are bound, its parts are checked and put together.

use std::sync::Arc;

use tokio::net::TcpListener;

use super::bound::BoundServer;
use super::run;
use crate::context::{Context, ServerInfo, Source};
use crate::error::{Code, Error, Result};
use crate::flags::{self as declared, Flags};
use crate::identity::IdentityKeys;
use crate::logs;
use crate::middleware::Layers;
use crate::observe::Observers;
use crate::registry;
use crate::server::call::dispatch;
use crate::server::inner::{ServerConfig, ServerInner};
use crate::server::transport::listen::Listener;
use crate::server::{Server, Trust};

impl Server {
    /// Binds the addresses, so that a caller knows them before the first call.
    ///
    /// # Errors
    ///
    /// `invalid_argument` for what is no address, `unavailable` for one that is taken, `failed_precondition` when two
    /// linked services have one full name or two flags one name, one service was added twice, a policy or rate limit
    /// names a method that no service has, or the identity key file or the flags file cannot be read;
    /// `invalid_argument` or `not_found` for a flag that is refused.
    pub async fn bind(mut self) -> Result<BoundServer> {
        let addresses = std::mem::take(&mut self.listen);
        if addresses.is_empty() {
            return Err(Error::without_location(
                Code::InvalidArgument,
                format!(
                    "the server {} has no address; call `listen` first",
                    self.name
                ),
            ));
        }
        let mut listeners = Vec::new();
        for (address, trust) in addresses {
            let listener = Listener::bind(&self.name, &address, self.socket_mode).await?;
            listeners.push((listener, trust));
        }
        check_registry()?;
        let inner = self.into_inner(&listeners)?;
        Ok(BoundServer::new(inner, listeners))
    }

    /// Binds, prints where it listens, and serves until SIGINT or SIGTERM; then stops as [`BoundServer::serve`] says.
    ///
    /// Installs a `tracing` subscriber (to stderr, filtered by `RUST_LOG`, and to a log sink where one is named, see
    /// [`export_logs`](Self::export_logs)) where none is set. When the last call is done, what is left of the log has 5 s to
    /// get to the sink. A second signal ends the process at once. SIGHUP reads the key file of [`identity`](Self::identity) again.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind); `invalid_argument` for a log sink that is no URL, `failed_precondition` for a log spool
    /// that cannot be used.
    pub async fn run(self) -> Result<()> {
        run::run(self, std::future::pending()).await
    }

    /// As [`run`](Self::run), and stops in the same way when `stop` is done: for a process that is told to go by something
    /// else than a signal, such as the end of its standard input.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub async fn run_until(self, stop: impl Future<Output = ()> + Send) -> Result<()> {
        run::run(self, stop).await
    }

    /// The context of what is done for the server before it is bound, such as opening its store: no request, and this
    /// server as the source of log lines. Tasks that are spawned in it with [`spawn`](crate::spawn) keep it.
    ///
    /// A process with one server that is [`run`](Self::run) does not need it. One with several has no other way to
    /// know whose line it was. Flags and keys are those of [`BoundServer::context`], which has the server's address as well; here
    /// the instance is what [`instance`](Self::instance) says, or the first address as it was given.
    ///
    /// ```
    /// # use rpc_runtime::{Context, Result, Server};
    /// # async fn example() -> Result<()> {
    /// let server = Server::new("pricing").listen("127.0.0.1:9004");
    /// let opening = server.context()?.scope(async {
    ///     let server = Context::current().server().map(ToString::to_string);
    ///     assert_eq!(server.as_deref(), Some("pricing@prod/127.0.0.1:9004"));
    /// });
    /// opening.await;
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Runtime::new()?.block_on(example())?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `invalid_argument` when name, environment or instance are none.
    pub fn context(&self) -> Result<Context> {
        let first = self.listen.first().map(|(address, _)| address.as_str());
        let address = first.filter(|address| !address.starts_with("unix:"));
        let process = std::process::id().to_string();
        let instance = self.instance.as_deref().or(address).unwrap_or(&process);
        let source = self.source(instance)?;
        let server_info = ServerInfo::new(Arc::new(source), None, Flags::new());
        Ok(Context::for_server(Arc::new(
            server_info.with_is_log_sink(self.is_log_sink()),
        )))
    }

    fn source(&self, instance: &str) -> Result<Source> {
        Source::new(&self.name, &self.environment, instance).map_err(|invalid| {
            let text = format!(
                "name `{}`, environment `{}`, instance `{instance}`: {invalid}",
                self.name, self.environment
            );
            Error::without_location(Code::InvalidArgument, text)
        })
    }

    /// Serves on a listener until `shutdown` is done, then stops as [`BoundServer::serve`] says. Does nothing unasked.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind).
    ///
    /// # Cancellation
    ///
    /// Dropping the future ends all connections and drops the calls that run on them.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<()> {
        let trust = self.trust.unwrap_or(Trust::Internal);
        let listeners = vec![(Listener::Tcp(listener), trust)];
        check_registry()?;
        let inner = self.into_inner(&listeners)?;
        BoundServer::new(inner, listeners).serve(shutdown).await;
        Ok(())
    }

    /// The services as an axum router, to be mounted in an application of your own.
    ///
    /// The calls run through the same onion. Timers, connection limits and the trust in the listener are the
    /// application's business, so the router takes every caller for an outside one unless [`trust`](Self::trust) says
    /// otherwise. It has neither `/healthz` and `/readyz` nor [`rpc.v1.Status`](crate::status): several routers may stand
    /// in one application.
    ///
    /// # Errors
    ///
    /// `failed_precondition` as [`bind`](Self::bind).
    pub fn into_router(self) -> Result<axum::Router> {
        let trust = self.trust.unwrap_or(Trust::Edge);
        check_registry()?;
        let inner = self.into_inner(&[])?;
        Ok(dispatch::router(inner, trust))
    }

    /// Whether it is a log sink.
    pub(crate) fn is_log_sink(&self) -> bool {
        let mut services = self.services.iter();
        services.any(|routes| routes.service.full_name == logs::SERVICE)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn into_inner(
        mut self,
        listeners: &[(Listener, Trust)],
    ) -> Result<Arc<ServerInner>> {
        let flags = self.take_flags()?;
        let instance = match self.instance.take() {
            Some(instance) => instance,
            None => default_instance(listeners),
        };
        let source = self.source(&instance)?;
        let identity = match self.identity_file {
            Some(file) => Some(IdentityKeys::from_file(file)?),
            None => self.identity,
        };
        ServerInner::new(ServerConfig {
            services: self.services,
            source,
            version: self.version,
            limits: self.limits,
            layers: Layers::new(self.layers),
            observers: Observers::new(self.observers),
            checks: self.checks,
            fallback: self.fallback,
            identity,
            policy: self.policy,
            rates: self.rates,
            dropped_logs: self.dropped_logs,
            flags,
            allow_faults: self.allow_faults,
            idempotency: self.idempotency,
        })
    }
}

/// The first address. The path of a socket may be longer than a name and have any character, so a server without an
/// address is known by its process.
fn default_instance(listeners: &[(Listener, Trust)]) -> String {
    let mut addresses = listeners
        .iter()
        .filter_map(|(listener, _)| listener.address());
    match addresses.next() {
        Some(address) => address.to_string(),
        None if listeners.is_empty() => "local".to_owned(),
        None => std::process::id().to_string(),
    }
}

/// Two traits with one full name would be told apart by nobody: not by a caller, not by a tool. In process, where a
/// client is made for one implementation, it does not matter.
fn check_registry() -> Result<()> {
    if let Some((a, b)) = registry::duplicate() {
        return Err(Error::without_location(
            Code::FailedPrecondition,
            format!(
                "two traits have the full name {}: one in {} and one in {}; give one of them another `package` or `name`",
                a.full_name, a.module, b.module
            ),
        ));
    }
    declared::check()
}

//! Turns a configured server into a running one: binds its addresses, checks its configuration and
//! assembles its parts.

use std::net::SocketAddr;
use std::sync::Arc;

use super::bound::BoundServer;
use super::config::TlsOptions;
use crate::context::{Context, ServerInfo, Source};
use crate::error::{Code, Error, Result};
use crate::flags::{self as declared, Flags};
use crate::identity::IdentityKeys;
use crate::logs;
use crate::option_name::option_name;
use crate::registry;
use crate::server::call::dispatch;
use crate::server::call::exposure::Exposure;
use crate::server::call::web_page::OwnHost;
use crate::server::inner::{ServerConfig, ServerInner};
use crate::server::transport::listen::accept::Accept;
use crate::server::transport::listen::settings::{ListenOptions, ListenerSettings};
use crate::server::transport::listen::{self, BoundListener, Listener};
use crate::server::transport::tls::{ServerTls, ServerTlsConfig};
use crate::server::{Server, Trust};

impl Server {
    /// Binds the addresses, without accepting connections yet. Use it to learn the port of an
    /// address with port 0.
    ///
    /// A service manager may have bound an address: a socket that this process has inherited by
    /// `LISTEN_FDS` (systemd's socket activation) is used if it has exactly the configured address.
    ///
    /// # Errors
    ///
    /// - `invalid_argument`: an address or host is missing or invalid, or a flag's value is
    ///   invalid.
    /// - `not_found`: a flag does not exist.
    /// - `unavailable`: an address is in use or cannot be bound.
    /// - `failed_precondition`: two linked services or two flags have the same name, a service was
    ///   added twice, a policy or rate limit names an unknown method, the routers of plain HTTP
    ///   overlap or have a route that cannot be reached, the identity key file or the flags file
    ///   cannot be read, a listener shows something that the server does not have, or an inherited
    ///   descriptor is not a listening socket.
    ///
    /// A certificate or key file of a TLS listener that cannot be read is `failed_precondition`,
    /// and one that is not valid `invalid_argument`.
    pub async fn bind(mut self) -> Result<BoundServer> {
        let addresses = self.process.take_addresses()?;
        if addresses.is_empty() {
            return Err(Error::without_location(
                Code::InvalidArgument,
                format!(
                    "server {} has no address; call `listen` or `listen_edge` first",
                    self.config.name
                ),
            ));
        }
        let listeners = self.open(addresses).await?;
        self.into_bound(listeners)
    }

    /// Checks the configuration and assembles the server of these listeners.
    fn into_bound(mut self, listeners: Vec<(Listener, ListenOptions)>) -> Result<BoundServer> {
        check_registry()?;
        let lame_duck = self.process.lame_duck;
        let tls_options = std::mem::take(&mut self.process.tls_options);
        let certificate_option = tls_options.certificate_option();
        let of_option = tls_options.listeners.unwrap_or_default();
        let own_tls = self.process.tls.take();
        let load = |config: ServerTlsConfig| {
            let loaded = ServerTls::load(config);
            loaded.map_err(|error| named(Some(certificate_option), error))
        };
        let config = tls_options.config()?;
        let config = config.map(|config| config.or_clients_of(own_tls.as_ref()));
        let option_tls = config.map(load).transpose()?;
        // Not read if it is not used: its files may be absent then.
        let needs_own =
            |at: &ListenOptions| option_tls.is_none() || !TlsOptions::include(of_option, at.trust);
        let own_tls = own_tls.filter(|_| listeners.iter().any(|(_, at)| needs_own(at)));
        let own_tls = own_tls.map(ServerTls::load).transpose()?;
        let default_tls = |trust: Trust| {
            let option_tls = option_tls
                .as_ref()
                .filter(|_| TlsOptions::include(of_option, trust));
            option_tls.or(own_tls.as_ref()).cloned()
        };
        let background = std::mem::take(&mut self.process.background);
        let inner = self.into_inner(&listeners)?;
        let bound = listeners.into_iter().map(|(listener, mut options)| {
            let exposure = exposure(&options, &inner)?;
            if options.trust == Trust::Edge {
                inner.check_keys(exposure.as_ref())?;
                inner.warn_of_credentials(exposure.as_ref());
            }
            let tls = match options.tls.take() {
                Some(own) => Some(ServerTls::load(own)?),
                None => default_tls(options.trust).filter(|_| listener.takes_default_tls()),
            };
            let proxy_protocol = options.proxy_protocol;
            let settings = ListenerSettings::new(options.trust, tls, proxy_protocol, exposure);
            Ok(BoundListener {
                listener,
                settings: Arc::new(settings),
            })
        });
        let bound = bound.collect::<Result<_>>()?;
        Ok(BoundServer::new(inner, bound, lame_duck, background))
    }

    /// Takes the inherited sockets of the addresses, and binds the other addresses.
    async fn open(&self, addresses: Vec<ListenOptions>) -> Result<Vec<(Listener, ListenOptions)>> {
        let mut found = Vec::new();
        for at in addresses {
            let inherited = listen::take_inherited(&at.address).await?;
            found.push((at, inherited));
        }
        if self.process.takes_all_sockets {
            let rest = listen::take_inherited_rest()?;
            if !rest.is_empty() {
                return replace_addresses(&self.config.name, found, rest);
            }
        }
        let mut listeners = Vec::new();
        for (at, inherited) in found {
            let listener = match inherited {
                Some(listener) => listener,
                None => {
                    let mode = self.process.socket_mode;
                    let bound = Listener::bind(&self.config.name, &at.address, mode).await;
                    bound.map_err(|error| named(at.option, error))?
                }
            };
            listeners.push((listener, at));
        }
        Ok(listeners)
    }

    /// Returns a context for work before the server is bound, such as opening its store. It has no
    /// request, and log lines in it have this server as their source. Tasks spawned in it with
    /// [`spawn`](crate::spawn) keep it.
    ///
    /// Use it in a process with several servers, so that each log line names its server. Its
    /// instance is that of [`instance`](Self::instance), or the first address as it was configured.
    /// Its flags have their default values, and it has no keys; [`BoundServer::context`] has those
    /// of the server.
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
    /// `invalid_argument` if the name, environment or instance is not valid.
    pub fn context(&self) -> Result<Context> {
        let first = self.process.listen.first().map(|at| at.address.as_str());
        let address = first.filter(|address| !address.starts_with("unix:"));
        let process = std::process::id().to_string();
        let instance = self
            .config
            .instance
            .as_deref()
            .or(address)
            .unwrap_or(&process);
        let source = self.source(instance)?;
        let server_info = ServerInfo::new(Arc::new(source), None, Flags::new());
        Ok(Context::for_server(Arc::new(
            server_info.with_is_log_sink(self.is_log_sink()),
        )))
    }

    fn source(&self, instance: &str) -> Result<Source> {
        let Self { config, process } = self;
        Source::new(&config.name, &config.environment, instance).map_err(|invalid| {
            let text = format!(
                "name `{}`, environment `{}`, instance `{instance}`: {invalid}",
                config.name, config.environment
            );
            let error = Error::without_location(Code::InvalidArgument, text);
            if Source::new("server", &config.environment, "1").is_err() {
                named(process.environment_option, error)
            } else if Source::new("server", "prod", instance).is_err() {
                named(process.instance_option, error)
            } else {
                error
            }
        })
    }

    /// Serves on a listener until `shutdown` completes, then stops as described at
    /// [`BoundServer::serve`]. A listener is a socket of tokio, or anything else that accepts
    /// connections; see [`Accept`]. The addresses of the server are not bound.
    ///
    /// Unlike [`run`](Self::run), it prints nothing and installs no subscriber and no signal
    /// handlers.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind).
    ///
    /// # Cancellation
    ///
    /// Dropping the future closes all connections and drops their running calls.
    pub async fn serve(
        self,
        listener: impl Accept,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<()> {
        let trust = self.process.trust.unwrap_or(Trust::Internal);
        let listener = Listener::Any(Box::new(listener));
        let options = ListenOptions::new("the listener of `serve`".to_owned(), trust);
        let bound = self.into_bound(vec![(listener, options)])?;
        bound.serve(shutdown).await;
        Ok(())
    }

    /// Returns the services as an axum router, to be mounted in another application.
    ///
    /// Calls run through the same middleware stack. The application is responsible for timeouts and
    /// limits of connections. The router treats every caller as untrusted ([`Trust::Edge`]); change
    /// this with [`trust`](Self::trust). It does not include `/healthz`, `/readyz` and
    /// [`rpc.v1.Status`](crate::status), so that one application can mount several routers.
    ///
    /// The server does not know the peers of the application. Add a
    /// [`PeerAddress`](crate::PeerAddress) to each request where limits shall go by it, such as
    /// that of wrong credentials; [`trusted_proxies`](Self::trusted_proxies) then count too.
    ///
    /// With keys ([`identity`](Self::identity)) and [`Trust::Internal`], the router takes calls
    /// that were signed for a host of [`host`](Self::host). Without one it takes calls for any
    /// host, as it does not know the addresses of its connections, and logs a warning: a server of
    /// another system to which one of your servers sends a signed call can pass that call on to the
    /// router.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind), except the errors of addresses.
    pub fn into_router(self) -> Result<axum::Router> {
        let trust = self.process.trust.unwrap_or(Trust::Edge);
        check_registry()?;
        if self.process.identity_file.is_none() {
            check_cors(&self.config, [trust].into_iter())?;
        }
        let inner = self.into_inner(&[])?;
        if trust == Trust::Internal && inner.verifier().is_some() && !inner.hosts().are_given() {
            tracing::warn!(
                target: "rpc",
                "a mounted router takes calls that were signed for any host; name its hosts by `Server::host`"
            );
        }
        if trust == Trust::Edge {
            inner.check_keys(None)?;
            inner.warn_of_credentials(None);
        }
        Ok(dispatch::router(inner, trust))
    }

    /// Returns whether the server has the log sink service.
    pub(crate) fn is_log_sink(&self) -> bool {
        let mut services = self.config.services.iter();
        services.any(|routes| routes.service.full_name == logs::SERVICE)
    }

    pub(crate) fn name(&self) -> &str {
        &self.config.name
    }

    /// Checks the configuration and assembles the parts of the server.
    pub(crate) fn into_inner(
        mut self,
        listeners: &[(Listener, ListenOptions)],
    ) -> Result<Arc<ServerInner>> {
        self.process.background.warn_if_dropped(&self.config.name);
        self.read_flags()?;
        let instance = match self.config.instance.take() {
            Some(instance) => instance,
            None => default_instance(listeners),
        };
        let source = self.source(&instance)?;
        if let Some(file) = self.process.identity_file {
            let keys = IdentityKeys::from_file(file);
            let prefixed = self.process.prefixed_options;
            let option = option_name!(prefixed, "identity-key-file (RPC_IDENTITY_KEY_FILE)");
            let option = Some(option);
            self.config.identity = Some(keys.map_err(|error| named(option, error))?);
        }
        let trusts = listeners.iter().map(|(_, options)| options.trust);
        check_cors(&self.config, trusts)?;
        self.config.addresses = addresses(listeners).map(|address| address.ip()).collect();
        self.config.has_given_hosts = !self.config.hosts.is_empty();
        for host in std::mem::take(&mut self.config.hosts) {
            match host.parse() {
                Ok(OwnHost::Name(name)) => self.config.hosts.push(name),
                Ok(OwnHost::Address(address)) => self.config.addresses.push(address),
                Err(problem) => {
                    let text = format!("`Server::host`: {problem}");
                    return Err(Error::without_location(Code::InvalidArgument, text));
                }
            }
        }
        self.config.hosts.extend(machine_names());
        let inner = ServerInner::new(self.config, source)?;
        let probes = (!listeners.is_empty()).then_some(&dispatch::PROBE_PATHS[..]);
        inner.check_plain_routes(probes)?;
        Ok(inner)
    }
}

/// Returns what a listener shows, if that is not everything.
fn exposure(options: &ListenOptions, inner: &ServerInner) -> Result<Option<Exposure>> {
    let Some(names) = &options.only else {
        return Ok(None);
    };
    let routes = inner.routes();
    let paths: Vec<_> = routes.paths().chain(routes.builtin_paths()).collect();
    let has_route = |pattern: &str| {
        let plain = inner.plain_routes();
        plain.is_some_and(|plain| pattern.is_empty() || plain.has_pattern(pattern))
    };
    let setting = format!("`only` of the listener on {}", options.address);
    Exposure::new(names, &paths, has_route, &setting).map(Some)
}

/// Lets inherited sockets take the place of the addresses, none of which they are bound to.
///
/// # Errors
///
/// `failed_precondition` if the settings of the addresses differ, so those of the sockets are
/// unknown.
fn replace_addresses(
    server: &str,
    addresses: Vec<(ListenOptions, Option<Listener>)>,
    sockets: Vec<Listener>,
) -> Result<Vec<(Listener, ListenOptions)>> {
    let mut all = addresses.iter().map(|(at, _)| at);
    // A server without addresses has been rejected.
    let first = all.next().cloned();
    let options = first.unwrap_or_else(|| ListenOptions::new(String::new(), Trust::Edge));
    if all.any(|other| !other.is_same_kind(&options)) {
        let sockets: Vec<_> = sockets.iter().map(Listener::url).collect();
        let text = format!(
            "{server} has inherited {} (LISTEN_FDS), and its addresses have different settings, so it is not \
             known whether to trust its peers; configure exactly its address, as an internal or an edge listener",
            sockets.join(", ")
        );
        return Err(Error::without_location(Code::FailedPrecondition, text));
    }
    let mut listeners = Vec::new();
    for (at, inherited) in addresses {
        match inherited {
            Some(listener) => listeners.push((listener, at)),
            None => tracing::info!(
                target: "rpc",
                "inherited sockets (LISTEN_FDS) take the place of the address {}", at.address
            ),
        }
    }
    let sockets = sockets.into_iter();
    listeners.extend(sockets.map(|socket| (socket, options.clone())));
    Ok(listeners)
}

/// Adds the option that caused an error, if an option has set the value.
fn named(option: Option<&str>, error: Error) -> Error {
    match option {
        Some(option) => error.caused_by_option(option),
        None => error,
    }
}

/// Returns the first TCP address, the process ID if there are only Unix sockets, or `local` without
/// listeners. A socket path is not used: it may be too long for an instance name or have invalid
/// characters.
fn default_instance(listeners: &[(Listener, ListenOptions)]) -> String {
    match addresses(listeners).next() {
        Some(address) => address.to_string(),
        None if listeners.is_empty() => "local".to_owned(),
        None => std::process::id().to_string(),
    }
}

fn addresses(listeners: &[(Listener, ListenOptions)]) -> impl Iterator<Item = SocketAddr> {
    listeners
        .iter()
        .filter_map(|(listener, _)| listener.address())
}

/// Returns the name of the machine, with and without its domain: callers on it may address the
/// server by them.
#[cfg(unix)]
fn machine_names() -> Vec<String> {
    let uname = rustix::system::uname();
    let name = uname.nodename().to_string_lossy();
    let short = name.split('.').next().unwrap_or_default();
    let mut names = vec![name.clone().into_owned(), short.to_owned()];
    names.retain(|name| !name.is_empty());
    names
}

#[cfg(not(unix))]
fn machine_names() -> Vec<String> {
    Vec::new()
}

/// Checks that pages of other origins can call the server: one that serves its own host without
/// keys refuses them.
///
/// # Errors
///
/// `failed_precondition` if all listeners are such.
fn check_cors(config: &ServerConfig, trusts: impl ExactSizeIterator<Item = Trust>) -> Result<()> {
    let is_in_vain = config.cors.is_some() && config.identity.is_none() && trusts.len() > 0;
    let mut trusts = trusts;
    if is_in_vain && trusts.all(|trust| trust == Trust::Internal) {
        return Err(Error::without_location(
            Code::FailedPrecondition,
            "`Server::cors` has no effect: without keys an internal listener refuses requests of web pages; use \
             `Server::listen_edge`",
        ));
    }
    Ok(())
}

/// Rejects duplicate names of linked services and flags. Callers and tools could not distinguish
/// two services with the same full name. Local clients do not need this check: each is created for
/// one implementation.
fn check_registry() -> Result<()> {
    if let Some((a, b)) = registry::duplicate() {
        return Err(Error::without_location(
            Code::FailedPrecondition,
            format!(
                "two services have the full name {}, in {} and in {}; change the `package` or `name` of one of them",
                a.full_name, a.module, b.module
            ),
        ));
    }
    declared::check()
}

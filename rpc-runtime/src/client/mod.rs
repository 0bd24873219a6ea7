//! The client side of a call: targets, middleware, timeouts, retries.

mod attempt;
mod balance;
mod budget;
mod builder;
mod call;
mod ended;
mod endpoint;
mod handle;
mod hedge;
mod json;
mod outbound;
mod outlier;
mod response_stream;
mod retry;
mod retry_policy;
mod stack;
#[cfg(feature = "tls")]
mod tls_settings;
pub(crate) mod transport;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use builder::ClientBuilder;
pub(crate) use call::prepare;
pub use call::{Call, Reply};
pub use handle::CallHandle;
pub use retry_policy::RetryPolicy;
#[cfg(feature = "tls")]
pub use transport::ClientTlsConfig;
#[cfg(feature = "otel")]
pub(crate) use transport::{Collected, Collector, CollectorConfig};

use self::balance::Balancer;
use self::budget::Budget;
use self::transport::{ConnectOptions, Transport};
use crate::compression::Compression;
use crate::context::{DEFAULT_ENVIRONMENT, Source};
use crate::discovery::{Addresses, Discover};
use crate::error::{Code, Error, Origin, Result};
use crate::identity::IdentityKeys;
use crate::middleware::{BoxFuture, InnerService, Layer, Layers, Request, Response};
use crate::observe::{Observer, Observers, TracingObserver};
use crate::protocol::{SendOptions, TrustedServers};

/// The configuration of a generated client: target, timeout, layers. Cloning is cheap.
///
/// Pass it to the `with_client` constructor of a generated client:
///
/// ```
/// use std::time::Duration;
/// use rpc_runtime::{prelude::*, Client};
///
/// #[rpc_service]
/// trait Greeter {
///     async fn greet(&self, name: &str) -> Result<String>;
/// }
///
/// let client = Client::new("http://127.0.0.1:8080")?.timeout(Duration::from_secs(2));
/// let greeter = GreeterClient::with_client(client);
/// # drop(greeter);
/// # Ok::<(), rpc_runtime::Error>(())
/// ```
#[derive(Clone)]
pub struct Client(Arc<ClientInner>);

#[derive(Clone)]
struct ClientInner {
    balancer: Arc<Balancer>,
    /// The caller's identity for calls that are made outside of a server.
    source: Option<Arc<Source>>,
    identity: Option<IdentityKeys>,
    timeout: Duration,
    stream_idle_timeout: Duration,
    /// Layers that run once a call.
    layers: Layers,
    /// Layers that run once an attempt.
    attempt_layers: Layers,
    retry: RetryPolicy,
    budget: Arc<Budget>,
    hedge: Option<Duration>,
    observers: Observers,
    options: SendOptions,
}

impl Client {
    /// The longest time without a message on a stream for which none is set.
    const DEFAULT_STREAM_IDLE_TIMEOUT: Duration = Duration::from_secs(360);
    /// The timeout of a call for which none is set.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

    /// Creates a client of the server at `url`, such as `http://127.0.0.1:9002` or
    /// `unix:/run/logsink.sock`. The connection is made by the first call.
    ///
    /// With identity keys, which in a handler are those of its server, each call is signed, and
    /// sends its context to whatever host is in the URL; without keys only to this host. Use
    /// [`external`](Self::external) for a server of another system.
    ///
    /// # Errors
    ///
    /// `invalid_argument` if `url` is not an absolute `http`, `https` or `unix` URL, or contains
    /// credentials, a query or a fragment; `unimplemented` for `https` without the feature `tls`.
    pub fn new(url: &str) -> Result<Self> {
        Self::connected(url, &ConnectOptions::default())
    }

    /// Does what [`new`](Self::new) does, with options for the connections.
    fn connected(url: &str, connect: &ConnectOptions) -> Result<Self> {
        let transport = Transport::from_url(url, connect).map_err(of_client)?;
        Ok(Self::from_transport(transport))
    }

    /// Creates a client that balances calls between several equivalent servers, such as the
    /// replicas of a service.
    ///
    /// Each attempt goes to the less busy of two servers that are drawn at random; servers that
    /// fail or are slow get fewer. A retry goes to another server than the attempt before it, if
    /// there is one. An address that is listed twice counts once.
    ///
    /// ```
    /// use rpc_runtime::Client;
    ///
    /// let client = Client::from_urls(["http://10.0.0.1:9004", "http://10.0.0.2:9004"])?;
    /// # drop(client);
    /// # Ok::<(), rpc_runtime::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// See [`new`](Self::new), for the first invalid URL; `invalid_argument` for an empty list.
    pub fn from_urls<A: AsRef<str>>(urls: impl IntoIterator<Item = A>) -> Result<Self> {
        Self::connected_to_all(urls.into_iter().collect(), ConnectOptions::default())
    }

    /// Does what [`from_urls`](Self::from_urls) does, with options for the connections.
    fn connected_to_all(addresses: Addresses, connect: ConnectOptions) -> Result<Self> {
        if addresses.is_empty() {
            return Err(of_client(Error::without_location(
                Code::InvalidArgument,
                "the list of server URLs is empty: a client needs at least one",
            )));
        }
        for address in addresses.iter() {
            Transport::from_url(address, &connect).map_err(of_client)?;
        }
        let balancer = Balancer::discovered(Arc::new(addresses), connect);
        Ok(Self::balanced(balancer))
    }

    /// Creates a client that asks `discover` for the addresses of the servers before each attempt.
    /// See [`crate::discovery`].
    ///
    /// An address that is not a valid server URL is skipped, with an error in the log. A call fails
    /// with `unavailable` if no usable address is left.
    pub fn discover(discover: impl Discover) -> Self {
        Self::discovered(Arc::new(discover), ConnectOptions::default())
    }

    /// Does what [`discover`](Self::discover) does, with options for the connections.
    fn discovered(discover: Arc<dyn Discover>, connect: ConnectOptions) -> Self {
        Self::balanced(Balancer::discovered(discover, connect)).internal()
    }

    pub(crate) fn from_transport(transport: Transport) -> Self {
        Self::balanced(Balancer::single(transport))
    }

    fn balanced(balancer: Balancer) -> Self {
        let retry = RetryPolicy::default();
        Self(Arc::new(ClientInner {
            balancer: Arc::new(balancer),
            source: None,
            identity: None,
            timeout: Self::DEFAULT_TIMEOUT,
            stream_idle_timeout: Self::DEFAULT_STREAM_IDLE_TIMEOUT,
            layers: Layers::default(),
            attempt_layers: Layers::default(),
            retry,
            budget: Arc::new(Budget::new(retry.budget_percent)),
            hedge: None,
            observers: Observers::new(vec![Arc::new(TracingObserver)]),
            options: SendOptions::default(),
        }))
    }

    /// Uses HTTP/2 with prior knowledge instead of HTTP/1.1, for servers that require it. A single
    /// call does not get faster.
    ///
    /// The clients of a runtime share the connections to an address. More are opened when all
    /// streams are in use, up to 256.
    ///
    /// Has no effect on `https`, where the version is negotiated, or with a `reqwest` client.
    #[must_use]
    pub fn http2(self) -> Self {
        self.change(|inner| {
            let balancer = inner.balancer.with_settings(|all| all.http2 = true);
            inner.balancer = Arc::new(balancer);
        })
    }

    /// Sets whether requests are compressed and compressed responses accepted. Off by default.
    /// [`Call::compression`] sets it for one call.
    ///
    /// Has no effect on calls within one process.
    #[must_use]
    pub fn compression(self, compression: Compression) -> Self {
        self.change(|inner| inner.options.compression = compression)
    }

    /// Sets whether methods with `#[rpc(no_side_effects)]` are called by HTTP `GET`, so that caches
    /// between client and server can respond. Off by default. [`Call::use_get`] sets it for one
    /// call.
    ///
    /// The arguments are then part of the URL, which proxies and servers log. A call whose
    /// arguments do not fit into a URL of 4 KiB is sent by `POST`. A map that iterates in random
    /// order has a new URL each time; use a `BTreeMap`.
    ///
    /// Has no effect on calls within one process.
    #[must_use]
    pub fn use_get(self, use_get: bool) -> Self {
        self.change(|inner| inner.options.use_get = use_get)
    }

    /// Sets the maximum size of a response in bytes, before and after decompression, 4 MiB
    /// initially. A call with a larger one fails with `resource_exhausted`.
    /// [`Call::message_limit`] sets it for one call.
    ///
    /// The limit of requests is that of the server, `Limits::message_bytes`.
    #[must_use]
    pub fn message_limit(self, bytes: usize) -> Self {
        self.change(|inner| inner.options.message_limit = bytes)
    }

    /// Sets the retry policy and resets the retry budget. Existing clones of the client keep
    /// theirs.
    ///
    /// [`Call::no_retry`] disables retries for one call.
    #[must_use]
    pub fn retry(self, policy: RetryPolicy) -> Self {
        self.change(|inner| {
            inner.retry = policy;
            inner.budget = Arc::new(Budget::new(policy.budget_percent));
        })
    }

    /// Enables hedging: a call of a `no_side_effects` method that has no response after the time
    /// `after` is sent a second time, to another server if there is one. The first attempt that
    /// succeeds or fails for good decides the result; the other attempt is canceled.
    ///
    /// A hedge takes as much of the budget of the [`RetryPolicy`] as a retry does, so slow servers
    /// do not get twice the load. A good value for `after` is the method's p95 latency.
    #[must_use]
    pub fn hedge(self, after: Duration) -> Self {
        self.change(|inner| inner.hedge = Some(after))
    }

    /// Disables the outlier detection of a client with several addresses: each attempt goes to the
    /// less busy of two, whatever the earlier ones have shown.
    ///
    /// By default an address that fails gets fewer attempts, in proportion to its failures. One
    /// that fails five times in a row, or misses three deadlines in a row, and fails more than the
    /// others is ejected: it gets a probe every second at most, until one succeeds. At most half of
    /// the addresses are ejected, and the only address of a client never is.
    ///
    /// Failures are connections that cannot be opened or break, pages of a gateway with the status
    /// 502, 503 or 504, and `unavailable` errors of the server itself. Errors of handlers, errors
    /// that a server passes on from a dependency, and those with a retry delay are not.
    #[must_use]
    pub fn without_outlier_detection(self) -> Self {
        self.change(|inner| {
            let balancer = inner
                .balancer
                .with_settings(|all| all.outlier_detection = false);
            inner.balancer = Arc::new(balancer);
        })
    }

    /// Sets the default timeout of calls without streams, 30 s initially. The timeouts of a method
    /// and of a single call take precedence.
    ///
    /// A call that is made while handling a request also ends at the deadline of that request.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        self.change(|inner| inner.timeout = timeout)
    }

    /// Sets the longest time without a message on a stream, in either direction: 6 minutes
    /// initially, which is longer than that of a server, so that the server ends the stream. A
    /// stream that is idle for longer ends with `deadline_exceeded`. `Duration::MAX` removes the
    /// limit.
    #[must_use]
    pub fn stream_idle_timeout(self, timeout: Duration) -> Self {
        self.change(|inner| inner.stream_idle_timeout = timeout)
    }

    /// Removes the timeout of calls for which neither the method nor the call has one.
    #[must_use]
    pub fn no_timeout(self) -> Self {
        self.timeout(Duration::MAX)
    }

    /// Sets the source of calls that are made outside of a server, for example by a tool or a job.
    /// The source of calls made by a handler is its server.
    #[must_use]
    pub fn source(self, source: Source) -> Self {
        self.change(|inner| inner.source = Some(Arc::new(source)))
    }

    /// Sets the [`source`](Self::source) to this name, in the environment `prod`, with the process
    /// ID as the instance.
    ///
    /// # Errors
    ///
    /// `invalid_argument` if the name has characters that are not allowed in a [`Source`].
    pub fn named(self, name: &str) -> Result<Self> {
        let source = Source::new(name, DEFAULT_ENVIRONMENT, &std::process::id().to_string())
            .map_err(|invalid| {
                Error::without_location(Code::InvalidArgument, invalid.to_string())
            })?;
        Ok(self.source(source))
    }

    /// Signs calls with the given keys, as required by servers with
    /// [`Server::identity`](crate::Server::identity).
    ///
    /// Set it for calls that are made outside of a server: by a tool, or a job that is a process of
    /// its own. The calls of handlers and of [background tasks](crate::Server::task), also in the
    /// scope of [`Context::for_request`](crate::Context::for_request), are signed with the keys of
    /// their server, unless the client has keys. Calls in a plain `tokio::spawn` have no server.
    /// Calls within one process are not signed.
    ///
    /// ```no_run
    /// use rpc_runtime::{Client, IdentityKeys};
    ///
    /// let keys = IdentityKeys::from_file("/run/secrets/rpc-identity")?;
    /// let client = Client::new("http://10.0.0.7:9002")?.identity(keys).named("nightly-job")?;
    /// # drop(client);
    /// # Ok::<(), rpc_runtime::Error>(())
    /// ```
    #[must_use]
    pub fn identity(self, keys: IdentityKeys) -> Self {
        self.change(|inner| inner.identity = Some(keys))
    }

    /// Sends nothing of this system to the server: no source, environment, baggage, trace, request
    /// ID and attempt, no faults, and no signature. For servers of other systems.
    ///
    /// The server then gets the message, the metadata of the call ([`Call::header`]) and the
    /// timeout.
    ///
    /// By default the context is sent with signed calls, to addresses on this host, and to those
    /// that a [`Discover`] returns; other addresses are external. With identity keys all calls are
    /// signed, so a server that has some declares its external clients: without it their servers
    /// receive the source, the environment, the baggage, the trace, the request ID, the number of
    /// hops, and a signature. The signature is for their host: no listener of this system takes it.
    ///
    /// ```
    /// use rpc_runtime::Client;
    ///
    /// let rates = Client::new("http://rates.example")?.external().send_request_id();
    /// # drop(rates);
    /// # Ok::<(), rpc_runtime::Error>(())
    /// ```
    #[must_use]
    pub fn external(self) -> Self {
        self.change(|inner| inner.options.disclosure.servers = TrustedServers::None)
    }

    /// Sends the context of calls to the server whatever its address, signed or not: for a network
    /// in which every server is one of this system.
    #[must_use]
    pub fn internal(self) -> Self {
        self.change(|inner| inner.options.disclosure.servers = TrustedServers::All)
    }

    /// Sends the request ID to [`external`](Self::external) servers as well.
    #[must_use]
    pub fn send_request_id(self) -> Self {
        self.change(|inner| inner.options.disclosure.to_others.request_id = true)
    }

    /// Sends the trace (`traceparent` and `tracestate`) to [`external`](Self::external) servers as
    /// well.
    #[must_use]
    pub fn send_trace(self) -> Self {
        self.change(|inner| inner.options.disclosure.to_others.trace = true)
    }

    /// Adds a layer inside the existing ones. See [`crate::middleware`].
    ///
    /// The layer runs once a call and wraps all of its attempts.
    #[must_use]
    pub fn layer(self, layer: impl Layer) -> Self {
        self.change(|inner| inner.layers = inner.layers.with(Arc::new(layer)))
    }

    /// Adds a layer that runs for each attempt, inside the existing attempt layers. Use it to renew
    /// something for each attempt, such as a token that expires, or to inject faults in tests.
    ///
    /// [`Context::attempt`](crate::Context::attempt) of the request is the number of the attempt.
    #[must_use]
    pub fn attempt_layer(self, layer: impl Layer) -> Self {
        self.change(|inner| inner.attempt_layers = inner.attempt_layers.with(Arc::new(layer)))
    }

    /// Adds an observer of calls. See [`crate::observe`].
    #[must_use]
    pub fn observer(self, observer: impl Observer) -> Self {
        self.change(|inner| inner.observers = inner.observers.with(Arc::new(observer)))
    }

    /// Removes all observers added so far, including the default one that logs each call.
    #[must_use]
    pub fn without_observers(self) -> Self {
        self.change(|inner| inner.observers = Observers::default())
    }

    /// Returns the target in printable form.
    pub(crate) fn target(&self) -> &Arc<str> {
        self.0.balancer.target()
    }

    /// Sets the [`identity`](Self::identity) of a client that has none.
    pub(crate) fn identity_unless_set(self, keys: IdentityKeys) -> Self {
        self.change(|inner| {
            inner.identity.get_or_insert(keys);
        })
    }

    fn change(mut self, change: impl FnOnce(&mut ClientInner)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }
}

/// Marks an error about the addresses of servers: a handler that returns it discloses none.
fn of_client(error: Error) -> Error {
    error.with_origin(Origin::Client)
}

/// The innermost part of the middleware stack: sends the attempts of a call.
impl InnerService for ClientInner {
    fn call(self: Arc<Self>, request: Request) -> BoxFuture<Response> {
        retry::run(self, request)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("target", &self.0.balancer.target())
            .field("timeout", &self.0.timeout)
            .finish_non_exhaustive()
    }
}

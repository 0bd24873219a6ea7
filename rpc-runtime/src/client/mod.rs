//! Clients: where a call goes, through which layers, and how long it may take.

mod balance;
mod breaker;
mod budget;
mod call;
mod hedge;
mod outbound;
mod retry;
mod retry_policy;
mod stack;
pub(crate) mod transport;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use call::prepare;
pub use call::{Call, Reply};
pub use retry_policy::RetryPolicy;

use self::balance::Balancer;
use self::budget::Budget;
use self::transport::Transport;
use crate::context::{DEFAULT_ENVIRONMENT, Source};
use crate::discovery::{Addresses, Discover};
use crate::error::{Code, Error, Result};
use crate::identity::IdentityKeys;
use crate::middleware::{BoxFuture, Endpoint, Layer, Layers, Request, Response};
use crate::observe::{Observer, Observers, TracingLog};

/// How long a call may take when nobody says.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// The settings behind a generated client: target, timeout, layers. Cloning is cheap.
///
/// A generated client takes one by `with_client`:
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
    /// Who calls, outside of any server.
    source: Option<Arc<Source>>,
    identity: Option<IdentityKeys>,
    timeout: Duration,
    /// Around a call.
    layers: Layers,
    /// Around each attempt of it.
    attempt_layers: Layers,
    retry: RetryPolicy,
    budget: Arc<Budget>,
    hedge: Option<Duration>,
    observers: Observers,
}

impl Client {
    /// A client of the server at `url`, such as `http://127.0.0.1:9002` or `unix:/run/logsink.sock`. Connects when the
    /// first call is made.
    ///
    /// # Errors
    ///
    /// `invalid_argument` when `url` is no absolute `http`, `https` or `unix` URL, or carries a user, a query or a fragment;
    /// `unimplemented` for `https` without the feature `tls`.
    pub fn new(url: &str) -> Result<Self> {
        Ok(Self::from_transport(Transport::from_url(url)?))
    }

    /// A client of the server at `url` by way of a `reqwest` client of your own: for proxies, certificates, cookies.
    ///
    /// Switch redirects off in it: a redirected POST becomes a GET.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_reqwest(url: &str, client: reqwest::Client) -> Result<Self> {
        Ok(Self::from_transport(Transport::with_reqwest(url, client)?))
    }

    /// A client of several servers that do the same, such as the replicas of a service. Each attempt goes to the less
    /// busy one of two that are drawn, a second attempt to another one than the first.
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
    /// As [`new`](Self::new), for the first URL that is none; `invalid_argument` for none at all.
    pub fn from_urls<A: AsRef<str>>(urls: impl IntoIterator<Item = A>) -> Result<Self> {
        let addresses: Addresses = urls.into_iter().collect();
        if addresses.is_empty() {
            return Err(Error::unlocated(
                Code::InvalidArgument,
                "a client needs the URL of a server",
            ));
        }
        for address in addresses.iter() {
            Transport::from_url(address)?;
        }
        Ok(Self::discover(addresses))
    }

    /// A client of the servers that `discover` knows of, whenever a call is made. See [`crate::discovery`].
    ///
    /// An address that is no URL of a server is left out, and an error in the log says so; without an address that
    /// works a call is `unavailable`.
    pub fn discover(discover: impl Discover) -> Self {
        Self::balanced(Balancer::discovered(Arc::new(discover)))
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
            timeout: DEFAULT_TIMEOUT,
            layers: Layers::default(),
            attempt_layers: Layers::default(),
            retry,
            budget: Arc::new(Budget::new(retry.budget_percent)),
            hedge: None,
            observers: Observers::new(vec![Arc::new(TracingLog)]),
        }))
    }

    /// Speaks HTTP/2 (prior knowledge) instead of HTTP/1.1. Not faster for single calls; for servers that want it.
    #[must_use]
    pub fn http2(self) -> Self {
        self.change(|inner| {
            let balancer = inner.balancer.with_settings(|all| all.http2 = true);
            inner.balancer = Arc::new(balancer);
        })
    }

    /// How failed attempts are repeated; the budget starts anew. Clones that were made before keep their own.
    ///
    /// [`Call::no_retry`] does without for one call.
    #[must_use]
    pub fn retry(self, policy: RetryPolicy) -> Self {
        self.change(|inner| {
            inner.retry = policy;
            inner.budget = Arc::new(Budget::new(policy.budget_percent));
        })
    }

    /// Sends a call of a method with `no_side_effects` a second time, to another server where there is one, when no
    /// answer has come `after` so much time. The first good answer counts, and the other attempt is cancelled.
    ///
    /// A hedge costs the budget of the [`RetryPolicy`] as much as a retry does, so that slow servers do not get twice
    /// the work. `after` is well chosen where nineteen of twenty calls are answered by then.
    #[must_use]
    pub fn hedge(self, after: Duration) -> Self {
        self.change(|inner| inner.hedge = Some(after))
    }

    /// Goes on sending to a server that fails again and again.
    ///
    /// By default such a server is left alone after five failures in a row, or when half of twenty attempts failed:
    /// calls to it are `unavailable` at once for half a second, then one is let through to find out. The wait doubles
    /// up to five seconds. A failure is a connection that did not come about or broke, and an `unavailable` that does
    /// not come from further down.
    #[must_use]
    pub fn without_circuit_breaker(self) -> Self {
        self.change(|inner| {
            let balancer = inner.balancer.with_settings(|all| all.breaker = false);
            inner.balancer = Arc::new(balancer);
        })
    }

    /// How long a call may take, unless the method or the call says otherwise; 30 s when nobody does.
    /// A deadline of the request that the call is part of always holds as well.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        self.change(|inner| inner.timeout = timeout)
    }

    /// Who calls, for calls that are made outside of any server: a tool, a job. Within a server it is the server.
    #[must_use]
    pub fn source(self, source: Source) -> Self {
        self.change(|inner| inner.source = Some(Arc::new(source)))
    }

    /// [`source`](Self::source) for a tool of this name in the environment `prod`, with its process id as the instance.
    ///
    /// # Errors
    ///
    /// `invalid_argument` when the name has characters that a [`Source`] cannot have.
    pub fn named(self, name: &str) -> Result<Self> {
        let source = Source::new(name, DEFAULT_ENVIRONMENT, &std::process::id().to_string())
            .map_err(|invalid| Error::unlocated(Code::InvalidArgument, invalid.to_string()))?;
        Ok(self.source(source))
    }

    /// Signs the calls with these keys, for servers that take signed calls only
    /// ([`Server::identity`](crate::Server::identity)).
    ///
    /// Needed outside of any server: by a tool, a job, a task that a server starts by itself. What a handler calls is
    /// signed with its own server's keys, unless the client has keys of its own. In one process nothing is signed.
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

    /// Adds a layer inside those that are there. See [`crate::middleware`].
    ///
    /// It is around the call as its caller sees it: it runs once, whatever is retried within.
    #[must_use]
    pub fn layer(self, layer: impl Layer) -> Self {
        self.change(|inner| inner.layers = inner.layers.with(Arc::new(layer)))
    }

    /// Adds a layer around each attempt, inside those that are there: for what must be new each time, such as a token
    /// that expires, and for faults in tests. [`Context::attempt`](crate::Context::attempt) of the request says which
    /// one it is.
    #[must_use]
    pub fn attempt_layer(self, layer: impl Layer) -> Self {
        self.change(|inner| inner.attempt_layers = inner.attempt_layers.with(Arc::new(layer)))
    }

    /// Adds an observer of calls. See [`crate::observe`].
    #[must_use]
    pub fn observer(self, observer: impl Observer) -> Self {
        self.change(|inner| inner.observers = inner.observers.with(Arc::new(observer)))
    }

    /// Leaves out the log line a call, and every observer that was added before.
    #[must_use]
    pub fn without_observers(self) -> Self {
        self.change(|inner| inner.observers = Observers::default())
    }

    /// Where it calls, for people.
    pub(crate) fn target(&self) -> &Arc<str> {
        self.0.balancer.target()
    }

    /// [`identity`](Self::identity) for a client that has no keys yet.
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

/// What stands behind the layers of a call.
impl Endpoint for ClientInner {
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

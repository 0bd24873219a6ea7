//! Clients: where a call goes, through which layers, and how long it may take.

mod call;
mod stack;
pub(crate) mod transport;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use call::prepare;
pub use call::{Call, Reply};

use self::transport::Transport;
use crate::context::{DEFAULT_ENVIRONMENT, Source};
use crate::error::{Code, Error, Result};
use crate::middleware::{Layer, Layers};
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
pub struct Client(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    transport: Arc<Transport>,
    /// Who calls, outside of any server.
    source: Option<Arc<Source>>,
    timeout: Duration,
    layers: Layers,
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
        Ok(Self::over(Transport::to(url)?))
    }

    /// A client of the server at `url` by way of a `reqwest` client of your own: for proxies, certificates, cookies.
    ///
    /// Switch redirects off in it: a redirected POST becomes a GET.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_reqwest(url: &str, client: reqwest::Client) -> Result<Self> {
        Ok(Self::over(Transport::by_reqwest(url, client)?))
    }

    pub(crate) fn over(transport: Transport) -> Self {
        Self(Arc::new(Inner {
            transport: Arc::new(transport),
            source: None,
            timeout: DEFAULT_TIMEOUT,
            layers: Layers::default(),
            observers: Observers::new(vec![Arc::new(TracingLog)]),
        }))
    }

    /// Speaks HTTP/2 (prior knowledge) instead of HTTP/1.1. Not faster for single calls; for servers that want it.
    #[must_use]
    pub fn http2(self) -> Self {
        self.change(|inner| inner.transport = Arc::new(inner.transport.http2()))
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

    /// Adds a layer inside those that are there. See [`crate::middleware`].
    #[must_use]
    pub fn layer(self, layer: impl Layer) -> Self {
        self.change(|inner| inner.layers = inner.layers.with(Arc::new(layer)))
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

    fn change(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("target", &self.0.transport.target())
            .field("timeout", &self.0.timeout)
            .finish_non_exhaustive()
    }
}

//! The builder of a client.

use std::sync::Arc;
use std::time::Duration;

use super::transport::{ClientTlsConfig, ConnectOptions};
use super::{Client, RetryPolicy, of_client};
use crate::compression::Compression;
use crate::context::Source;
use crate::discovery::Discover;
use crate::error::{Code, Error, Result};
use crate::identity::IdentityKeys;
use crate::middleware::Layer;
use crate::observe::Observer;

/// Builds a [`Client`] with all of its options; see [`Client::builder`].
#[must_use = "a builder creates a client in `build`"]
pub struct ClientBuilder {
    targets: Vec<Target>,
    proxy: Option<String>,
    pub(super) tls: Option<ClientTlsConfig>,
    settings: Vec<Box<dyn FnOnce(Client) -> Result<Client> + Send>>,
}

/// The target of the calls.
enum Target {
    Url(String),
    Discover(Arc<dyn Discover>),
}

impl Client {
    /// Returns a builder, for a program that reads its options from elsewhere, and for options that
    /// only a new client can have, such as a proxy.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use rpc_runtime::Client;
    ///
    /// let client = Client::builder()
    ///     .url("http://10.0.0.1:9004")
    ///     .url("http://10.0.0.2:9004")
    ///     .timeout(Duration::from_secs(2))
    ///     .named("nightly-job")
    ///     .build()?;
    /// # drop(client);
    /// # Ok::<(), rpc_runtime::Error>(())
    /// ```
    pub fn builder() -> ClientBuilder {
        ClientBuilder {
            targets: Vec::new(),
            proxy: None,
            tls: None,
            settings: Vec::new(),
        }
    }
}

/// Adds methods that apply the method of [`Client`] with the same name.
macro_rules! settings {
    ($($(#[$attribute:meta])* $name:ident($($argument:ident: $type:ty),*);)*) => {
        $(
            #[doc = concat!("Applies [`Client::", stringify!($name), "`].")]
            $(#[$attribute])*
            pub fn $name(self, $($argument: $type),*) -> Self {
                self.apply(move |client| Ok(client.$name($($argument),*)))
            }
        )*
    };
}

impl ClientBuilder {
    /// Adds the URL of a server, such as `http://127.0.0.1:9002`. With several, calls are balanced
    /// between them, as by [`Client::from_urls`].
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.targets.push(Target::Url(url.into()));
        self
    }

    /// Sets the source of the addresses of the servers, as [`Client::discover`] does.
    pub fn discover(mut self, discover: impl Discover) -> Self {
        self.targets.push(Target::Discover(Arc::new(discover)));
        self
    }

    /// Sends the requests through an HTTP proxy, such as `http://proxy.example:3128` or
    /// `http://USER:PASSWORD@HOST:PORT`.
    ///
    /// `https` requests and HTTP/2 go through a tunnel (`CONNECT`); other `http` requests are
    /// forwarded by the proxy, which reads them. A server on this host that is called through a
    /// proxy gets no context without identity keys or a client certificate.
    ///
    /// The variables `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` have no effect, so that a setting
    /// for other programs does not redirect calls between services. A program that wants them
    /// passes the value on.
    pub fn proxy(mut self, url: impl Into<String>) -> Self {
        self.proxy = Some(url.into());
        self
    }

    /// Applies [`Client::named`]; an invalid name is an error of [`build`](Self::build).
    pub fn named(self, name: impl Into<String>) -> Self {
        let name = name.into();
        self.apply(move |client| client.named(&name))
    }

    settings! {
        http2();
        compression(compression: Compression);
        use_get(use_get: bool);
        message_limit(bytes: usize);
        retry(policy: RetryPolicy);
        hedge(after: Duration);
        without_outlier_detection();
        timeout(timeout: Duration);
        no_timeout();
        stream_idle_timeout(timeout: Duration);
        source(source: Source);
        identity(keys: IdentityKeys);
        external();
        internal();
        send_request_id();
        send_trace();
        layer(layer: impl Layer);
        attempt_layer(layer: impl Layer);
        observer(observer: impl Observer);
        without_observers();
    }

    /// Creates the client.
    ///
    /// # Errors
    ///
    /// `invalid_argument` without a target or with targets of both kinds, for an invalid URL or
    /// name, a `unix:` URL with a proxy, and a certificate file with invalid content;
    /// `failed_precondition` for one that cannot be read; `unimplemented` for `https` without the
    /// feature `tls`.
    pub fn build(self) -> Result<Client> {
        let mut urls = Vec::new();
        let mut discovered = None;
        for target in self.targets {
            match target {
                Target::Url(url) => urls.push(url),
                Target::Discover(discover) if discovered.is_none() => discovered = Some(discover),
                Target::Discover(_) => return Err(invalid("`discover` is given twice")),
            }
        }
        let connect = ConnectOptions::new(self.tls, self.proxy.as_deref()).map_err(of_client)?;
        let client = match (discovered, urls.as_slice()) {
            (None, []) => return Err(invalid("a client needs `url` or `discover`")),
            (Some(_), [_, ..]) => {
                return Err(invalid("`url` and `discover` exclude each other"));
            }
            (Some(discover), []) => Client::discovered(discover, connect),
            (None, [url]) => Client::connected(url, &connect)?,
            (None, urls) => Client::connected_to_all(urls.iter().collect(), connect)?,
        };
        let mut settings = self.settings.into_iter();
        settings.try_fold(client, |client, apply| apply(client))
    }

    fn apply(mut self, apply: impl FnOnce(Client) -> Result<Client> + Send + 'static) -> Self {
        self.settings.push(Box::new(apply));
        self
    }
}

impl std::fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("targets", &self.targets.len())
            .field("settings", &self.settings.len())
            .finish_non_exhaustive()
    }
}

fn invalid(problem: &'static str) -> Error {
    of_client(Error::without_location(Code::InvalidArgument, problem))
}

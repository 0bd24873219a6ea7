//! Opens connections with settings, and remembers the negotiated version of HTTP.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, RwLock};
use std::task::{Context, Poll};
use std::time::Duration;

use ::http::Uri;
use ::http::uri::Authority;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tower_service::Service;

use super::Settings;
use super::stream::ConnectedStream;
use crate::client::transport::limits::HANDSHAKE_TIMEOUT;
use crate::client::transport::tcp::tcp_connector;
use crate::client::transport::tls::ClientTls;
use crate::sync::{MutexExt as _, RwLockExt as _};

/// The default port of `https`, and of `http`.
const HTTPS_PORT: u16 = 443;
const HTTP_PORT: u16 = 80;

/// The time for which a connection with another version of HTTP than expected waits for its
/// requests.
const UNCLAIMED: Duration = Duration::from_secs(1);

/// The number of addresses whose version is remembered. All are forgotten above it; a wrong guess
/// costs no connection.
const REMEMBERED: usize = 1024;

/// A version of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::client::transport) enum HttpVersion {
    Http1,
    Http2,
}

/// The failure of a request that was not sent, because the server has negotiated another version of
/// HTTP. The connection is ready for a request of that version.
#[derive(Debug)]
pub(in crate::client::transport) struct OtherVersion;

impl fmt::Display for OtherVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the server negotiated another version of HTTP; send the request again")
    }
}

impl StdError for OtherVersion {}

/// The reason why a connection could not be opened. It has no source: the text is complete.
#[derive(Debug)]
struct ConnectFailure(String);

impl fmt::Display for ConnectFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for ConnectFailure {}

type BoxError = Box<dyn StdError + Send + Sync>;

/// Opens the connections of one pool. Cloning is cheap.
#[derive(Clone)]
pub(in crate::client::transport) struct Connector(Arc<ConnectorInner>);

struct ConnectorInner {
    settings: Arc<Settings>,
    tcp: HttpConnector,
    /// The versions that servers have negotiated.
    versions: RwLock<HashMap<Authority, HttpVersion>>,
    /// The connections that no request of their version has asked for.
    unclaimed: Mutex<HashMap<(Authority, HttpVersion), Vec<ConnectedStream>>>,
}

impl Connector {
    pub(in crate::client::transport) fn new(settings: Arc<Settings>) -> Self {
        Self(Arc::new(ConnectorInner {
            settings,
            tcp: tcp_connector(),
            versions: RwLock::default(),
            unclaimed: Mutex::default(),
        }))
    }

    /// Returns the version for the next request to a server: the one that it negotiated last.
    pub(in crate::client::transport) fn version(&self, authority: &Authority) -> HttpVersion {
        let versions = self.0.versions.read_unpoisoned();
        // A connection of this kind is opened before a request is written.
        versions.get(authority).copied().unwrap_or_else(|| {
            let tls = self.0.settings.tls.as_ref();
            match tls.is_some_and(ClientTls::is_http1) {
                true => HttpVersion::Http1,
                false => HttpVersion::Http2,
            }
        })
    }

    /// Returns a connection for HTTP/2.
    ///
    /// # Errors
    ///
    /// [`OtherVersion`], or the reason why none could be opened.
    pub(in crate::client::transport) async fn open_http2(
        &self,
        authority: &Authority,
    ) -> Result<ConnectedStream, BoxError> {
        self.open(authority, HttpVersion::Http2).await
    }

    async fn open(
        &self,
        authority: &Authority,
        wanted: HttpVersion,
    ) -> Result<ConnectedStream, BoxError> {
        let key = (authority.clone(), wanted);
        if let Some(stream) = self.take(&key) {
            return Ok(stream);
        }
        let (stream, negotiated) = self.connect(authority, wanted).await?;
        if self.0.settings.tls.is_some() {
            self.remember(authority, negotiated);
        }
        if negotiated == wanted {
            return Ok(stream);
        }
        self.keep((authority.clone(), negotiated), stream);
        Err(OtherVersion.into())
    }

    /// Opens a connection. Returns it with the version of HTTP that is to be used on it.
    async fn connect(
        &self,
        authority: &Authority,
        wanted: HttpVersion,
    ) -> Result<(ConnectedStream, HttpVersion), BoxError> {
        let Settings { key, tls, .. } = &*self.0.settings;
        let port = if tls.is_some() { HTTPS_PORT } else { HTTP_PORT };
        let port = authority.port_u16().unwrap_or(port);
        let host = authority.host();
        let server = format!("{host}:{port}");
        let mut tcp = match &key.proxy {
            None => self.tcp(&server).await?,
            Some(proxy) => {
                let opened = self.tcp(&proxy.authority()).await;
                opened.map_err(|error| {
                    let text = format!("the proxy {proxy} cannot be reached: {error}");
                    BoxError::from(ConnectFailure(text))
                })?
            }
        };
        let is_forwarded = key.proxy.is_some() && tls.is_none() && wanted == HttpVersion::Http1;
        if let Some(proxy) = key.proxy.as_ref().filter(|_| !is_forwarded) {
            let tunnel = proxy.tunnel(&mut tcp, &server);
            in_time(tunnel, || {
                format!("the proxy {proxy} did not respond to CONNECT")
            })
            .await?;
        }
        let Some(tls) = tls else {
            return Ok((ConnectedStream::Plain { tcp, is_forwarded }, wanted));
        };
        let handshake = tls.handshake(host, tcp);
        let silent = || "the server did not respond to the TLS handshake".to_owned();
        let (stream, is_http2) = in_time(handshake, silent).await?;
        let negotiated = match is_http2 {
            true => HttpVersion::Http2,
            false => HttpVersion::Http1,
        };
        Ok((ConnectedStream::Tls(Box::new(stream)), negotiated))
    }

    /// Opens a TCP connection to a host and port.
    async fn tcp(&self, address: &str) -> Result<TcpStream, BoxError> {
        let mut tcp = self.0.tcp.clone();
        let uri = Uri::try_from(format!("http://{address}/"))?;
        poll_fn(|cx| tcp.poll_ready(cx)).await?;
        let opened = tcp.call(uri).await.map_err(|error| {
            let mut cause: &(dyn StdError + 'static) = &error;
            while let Some(source) = cause.source() {
                cause = source;
            }
            ConnectFailure(cause.to_string())
        })?;
        Ok(opened.into_inner())
    }

    fn remember(&self, authority: &Authority, version: HttpVersion) {
        let known = self.0.versions.read_unpoisoned().get(authority).copied();
        if known == Some(version) {
            return;
        }
        let mut versions = self.0.versions.write_unpoisoned();
        if versions.len() >= REMEMBERED {
            versions.clear();
        }
        versions.insert(authority.clone(), version);
    }

    fn take(&self, key: &(Authority, HttpVersion)) -> Option<ConnectedStream> {
        let mut unclaimed = self.0.unclaimed.lock_unpoisoned();
        let streams = unclaimed.get_mut(key)?;
        let stream = streams.pop();
        if streams.is_empty() {
            unclaimed.remove(key);
        }
        stream
    }

    /// Keeps a connection for [`UNCLAIMED`].
    fn keep(&self, key: (Authority, HttpVersion), stream: ConnectedStream) {
        let mut unclaimed = self.0.unclaimed.lock_unpoisoned();
        unclaimed.entry(key.clone()).or_default().push(stream);
        drop(unclaimed);
        let connector = self.clone();
        tokio::spawn(async move {
            sleep(UNCLAIMED).await;
            drop(connector.take(&key));
        });
    }
}

/// Waits for a step of opening a connection.
async fn in_time<T>(
    step: impl Future<Output = Result<T, String>>,
    silent: impl Fn() -> String,
) -> Result<T, ConnectFailure> {
    match timeout(HANDSHAKE_TIMEOUT, step).await {
        Ok(done) => done.map_err(ConnectFailure),
        Err(_) => Err(ConnectFailure(format!(
            "{} within {HANDSHAKE_TIMEOUT:?}",
            silent()
        ))),
    }
}

/// Opens connections for HTTP/1.
impl Service<Uri> for Connector {
    type Response = TokioIo<ConnectedStream>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            let authority = uri.authority().ok_or("the URL has no host")?;
            let stream = connector.open(authority, HttpVersion::Http1).await?;
            Ok(TokioIo::new(stream))
        })
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connector").field(&self.0.settings).finish()
    }
}

//! Requests to a collector of OpenTelemetry, with a pool of their own: they are not calls, so
//! nothing observes or traces them.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::http::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, HeaderMap,
    HeaderName, HeaderValue, RETRY_AFTER, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use ::http::{Method, Request};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use super::connect::{ConnectOptions, Connector};
use super::target::TransportTarget;
use super::tls::{self, ClientTlsConfig};
use crate::error::{Code, Error, Result};

/// The path of traces below the URL of a collector.
const TRACES: &str = "/v1/traces";

/// The largest response that is read, in bytes.
const RESPONSE_LIMIT: usize = 64 << 10;

/// The headers that describe the request itself.
const OWN_HEADERS: [HeaderName; 10] = [
    CONNECTION,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    EXPECT,
    HOST,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// The URL of a collector that takes OTLP over HTTP, and the settings of requests to it.
#[derive(Clone)]
pub(crate) struct CollectorConfig {
    target: TransportTarget,
    headers: HeaderMap,
    tls: Option<ClientTlsConfig>,
}

/// A collector to which requests can be sent.
pub(crate) struct Collector {
    config: CollectorConfig,
    client: Client<Connector, Full<Bytes>>,
}

/// The response of a collector.
pub(crate) struct Collected {
    pub(crate) status: u16,
    /// The time that the collector asks to wait for.
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Bytes,
}

impl CollectorConfig {
    /// # Errors
    ///
    /// `invalid_argument` for an invalid URL and that of a Unix socket, `unimplemented` for `https`
    /// without the feature `tls`.
    pub(crate) fn new(url: &str) -> Result<Self> {
        let target = TransportTarget::parse(url)?;
        if target.is_socket() {
            let text = format!(
                "invalid collector URL `{}`: a collector is not reached by a Unix socket; expected `http://HOST:PORT`",
                target.text()
            );
            return Err(Error::without_location(Code::InvalidArgument, text));
        }
        if target.is_https() && !cfg!(feature = "tls") {
            let text = "a collector at `https` needs the feature `tls` of rpc-runtime";
            return Err(Error::without_location(Code::Unimplemented, text));
        }
        Ok(Self {
            target,
            headers: HeaderMap::new(),
            tls: None,
        })
    }

    /// Sends a header with each request, in place of an earlier one with its name.
    ///
    /// # Errors
    ///
    /// The problem, without the value.
    pub(crate) fn set_header(&mut self, name: &str, value: &[u8]) -> Result<(), String> {
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| "the name of a header is not valid in HTTP".to_owned())?;
        if OWN_HEADERS.contains(&name) {
            return Err(format!("the exporter sets the header `{name}` itself"));
        }
        let mut value = HeaderValue::from_bytes(value).map_err(|_| {
            format!("the value of the header `{name}` has characters that are not valid in HTTP")
        })?;
        value.set_sensitive(true);
        self.headers.insert(name, value);
        Ok(())
    }

    /// Sets the TLS of `https` URLs. By default the authorities of this system are trusted.
    #[cfg(feature = "tls")]
    pub(crate) fn set_tls(&mut self, tls: ClientTlsConfig) {
        self.tls = Some(tls);
    }

    /// Returns the URL in printable form.
    pub(crate) fn target(&self) -> String {
        self.target.text()
    }

    /// Reads the files of the TLS settings. Blocks.
    ///
    /// # Errors
    ///
    /// `failed_precondition` or `invalid_argument`, with the file and the problem.
    pub(crate) fn connect(mut self) -> Result<Collector> {
        let is_https = self.target.is_https();
        let tls = self.tls.take().filter(|_| is_https);
        let tls = if is_https { tls::http1_only(tls) } else { tls };
        let settings = ConnectOptions::new(tls, None)?.settings(is_https)?;
        let connector = Connector::new(Arc::clone(settings.shared()));
        Ok(Collector {
            config: self,
            client: Client::builder(TokioExecutor::new()).build(connector),
        })
    }
}

impl Collector {
    /// Returns the URL in printable form.
    pub(crate) fn target(&self) -> String {
        self.config.target()
    }

    /// Sends an `ExportTraceServiceRequest`.
    ///
    /// # Errors
    ///
    /// The problem, if there is no response.
    pub(crate) async fn send_traces(&self, message: Bytes) -> Result<Collected, String> {
        let target = &self.config.target;
        let uri = target.uri(TRACES, None);
        let uri = uri.map_err(|error| error.to_string())?;
        let mut request = Request::new(Full::new(message));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.clone_from(&self.config.headers);
        headers.insert(HOST, target.host().clone());
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-protobuf"),
        );
        let response = self.client.request(request).await;
        let (head, body) = response.map_err(|error| with_causes(&error))?.into_parts();
        let seconds = head.headers.get(RETRY_AFTER);
        let seconds = seconds.and_then(|value| value.to_str().ok()?.parse().ok());
        let body = Limited::new(body, RESPONSE_LIMIT).collect().await;
        Ok(Collected {
            status: head.status.as_u16(),
            retry_after: seconds.map(Duration::from_secs),
            body: body.map_err(|error| error.to_string())?.to_bytes(),
        })
    }
}

/// Without the headers, which may be credentials.
impl fmt::Debug for CollectorConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Collector({})", self.target.text())
    }
}

/// Formats an error with its causes on one line.
fn with_causes(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

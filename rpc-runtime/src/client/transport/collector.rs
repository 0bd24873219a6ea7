//! Requests to a collector of OpenTelemetry, with a pool of their own: they are not calls, so
//! nothing observes or traces them.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use ::http::header::{CONTENT_TYPE, HOST, RETRY_AFTER};
use ::http::{Method, Request};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use super::target::TransportTarget;
use super::tcp::tcp_connector;
use crate::error::{Code, Error, Result};

/// The path of traces below the URL of a collector.
const TRACES: &str = "/v1/traces";

/// The largest response that is read, in bytes.
const RESPONSE_LIMIT: usize = 64 << 10;

/// A collector that takes OTLP over HTTP.
#[derive(Clone)]
pub(crate) struct Collector {
    target: TransportTarget,
    client: Client<hyper_util::client::legacy::connect::HttpConnector, Full<Bytes>>,
}

/// The response of a collector.
pub(crate) struct Collected {
    pub(crate) status: u16,
    /// The time that the collector asks to wait for.
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Bytes,
}

impl Collector {
    /// # Errors
    ///
    /// `invalid_argument` for an invalid URL, and for a URL that is not of plain `http`.
    pub(crate) fn new(url: &str) -> Result<Self> {
        let target = TransportTarget::parse(url)?;
        if target.is_https() || target.is_socket() {
            let text = format!(
                "invalid collector URL `{}`: only `http://HOST:PORT` is supported; send to a collector on this host",
                target.text()
            );
            return Err(Error::without_location(Code::InvalidArgument, text));
        }
        let client = Client::builder(TokioExecutor::new()).build(tcp_connector());
        Ok(Self { target, client })
    }

    /// Returns the URL in printable form.
    pub(crate) fn target(&self) -> String {
        self.target.text()
    }

    /// Sends an `ExportTraceServiceRequest`.
    ///
    /// # Errors
    ///
    /// The problem, if there is no response.
    pub(crate) async fn send_traces(&self, message: Bytes) -> Result<Collected, String> {
        let uri = self.target.uri(TRACES, None);
        let uri = uri.map_err(|error| error.to_string())?;
        let mut request = Request::new(Full::new(message));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.insert(HOST, self.target.host().clone());
        headers.insert(
            CONTENT_TYPE,
            ::http::HeaderValue::from_static("application/x-protobuf"),
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

impl fmt::Debug for Collector {
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

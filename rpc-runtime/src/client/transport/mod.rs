//! The transports to a server: HTTP over TCP, TLS or a Unix socket, and calls within the process.
//! The rest of the client does not depend on which one is used.

#[cfg(feature = "otel")]
mod collector;
mod connect;
mod evidence;
mod failure;
mod http;
mod http2;
mod http_stream;
mod limits;
mod pool;
mod request_body;
#[cfg(feature = "reqwest")]
mod reqwest;
#[cfg(not(feature = "reqwest"))]
#[path = "reqwest_absent.rs"]
mod reqwest;
mod response_body;
mod streams;
mod target;
mod tcp;
mod timed_connector;
#[cfg(feature = "tls")]
mod tls;
#[cfg(not(feature = "tls"))]
#[path = "tls_absent.rs"]
mod tls;
#[cfg(unix)]
mod unix;
mod unwritten;
mod url;

use std::fmt;
use std::sync::Arc;

#[cfg(feature = "otel")]
pub(crate) use self::collector::{Collected, Collector, CollectorConfig};
pub(crate) use self::connect::ConnectOptions;
pub(super) use self::evidence::is_passed_on;
use self::http::{HttpTransport, are_too_large, response_head_too_large, response_too_large};
use self::target::TransportTarget;
#[cfg(feature = "tls")]
pub use self::tls::ClientTlsConfig;
#[cfg(not(feature = "tls"))]
pub(crate) use self::tls::ClientTlsConfig;
use super::outbound::{OutboundMessages, OutboundRequest};
use super::outlier::Outcome;
use crate::error::Result;
use crate::middleware::{Body, InnerService, Response};
use crate::protocol::connect::ERROR_LIMIT;

/// The transport to one server.
pub(crate) struct Transport {
    kind: TransportKind,
    target: Arc<str>,
}

enum TransportKind {
    Http(Arc<HttpTransport>),
    /// Calls within this process, see `crate::local`.
    Local(Arc<dyn InnerService>),
}

impl Transport {
    /// Creates the transport for a URL.
    pub(super) fn from_url(url: &str, options: &ConnectOptions) -> Result<Self> {
        let target = TransportTarget::parse(url)?;
        Ok(Self::http(HttpTransport::new(target, options)?))
    }

    fn http(transport: HttpTransport) -> Self {
        Self {
            target: transport.target().into(),
            kind: TransportKind::Http(Arc::new(transport)),
        }
    }

    /// Creates a transport to a server in this process.
    pub(crate) fn local(endpoint: Arc<dyn InnerService>) -> Self {
        Self {
            target: "local".into(),
            kind: TransportKind::Local(endpoint),
        }
    }

    pub(super) fn http2(&self) -> Self {
        let kind = match &self.kind {
            TransportKind::Http(kind) => TransportKind::Http(Arc::new(kind.http2())),
            TransportKind::Local(endpoint) => TransportKind::Local(Arc::clone(endpoint)),
        };
        Self {
            kind,
            target: Arc::clone(&self.target),
        }
    }

    /// Returns whether both send to the same server: the same URL, however it is written.
    pub(super) fn is_same_server(&self, other: &Self) -> bool {
        match (&self.kind, &other.kind) {
            (TransportKind::Http(own), TransportKind::Http(other)) => {
                own.target.is_same(&other.target)
            }
            (TransportKind::Local(own), TransportKind::Local(other)) => Arc::ptr_eq(own, other),
            _ => false,
        }
    }

    /// Sends a request. Returns the response, and what it reveals about the server.
    pub(super) async fn send(&self, request: &OutboundRequest) -> (Response, Outcome) {
        let (mut response, outcome) = self.exchange(request).await;
        if let OutboundMessages::Stream(stream) = &request.messages {
            streams::prefer_failure(&mut response, stream);
        }
        (response, outcome)
    }

    async fn exchange(&self, request: &OutboundRequest) -> (Response, Outcome) {
        match &self.kind {
            TransportKind::Http(kind) => kind.send(request).await,
            TransportKind::Local(endpoint) => {
                let response = Arc::clone(endpoint).call(request.to_request()).await;
                let limit = request.options.message_limit;
                // A server in this process cannot become unreachable.
                (self.limited(response, limit), Outcome::Success)
            }
        }
    }

    /// Applies the limits of the client to a response that did not come over the network.
    fn limited(&self, mut response: Response, limit: usize) -> Response {
        let entries = response.headers().iter().chain(response.trailers().iter());
        let own = response.error().into_iter();
        let entries = entries.chain(own.flat_map(|error| error.metadata().iter()));
        if are_too_large(entries.map(|(name, value)| name.len() + value.len())) {
            return response_head_too_large(&self.target).into();
        }
        let (size, limit) = match (response.body(), response.error()) {
            (Some(body), _) => (body.len(), limit),
            // On the wire, details are base64 and are most of a large error.
            (None, Some(error)) => {
                let details = error.details().iter();
                let size = details.map(|detail| detail.value.len() / 3 * 4).sum();
                (size, ERROR_LIMIT)
            }
            (None, None) => (0, limit),
        };
        if size > limit {
            return response_too_large(&self.target, limit).into();
        }
        if let Some(messages) = response.body_mut().and_then(Body::as_stream_mut) {
            let target = Arc::clone(&self.target);
            *messages = std::mem::take(messages).map_messages(move |message| match message {
                Ok(message) if message.len() > limit => Err(response_too_large(&target, limit)),
                message => message,
            });
        }
        response
    }

    /// Returns the target in printable form.
    pub(super) fn target(&self) -> &Arc<str> {
        &self.target
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Transport({})", self.target)
    }
}

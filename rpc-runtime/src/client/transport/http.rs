//! The HTTP transport: hyper for plain `http` and Unix sockets, `reqwest` for `https` and for
//! clients that the application supplies.
//!
//! The client side is the larger part of the cost of a call. With hyper, requests are built from
//! parts that are already parsed, and the pool does nothing about redirects, cookies, proxies and
//! decompression.

use std::error::Error as StdError;
use std::io::{self, ErrorKind};
use std::pin::pin;
use std::time::Duration;

use ::http::header::HOST;
use ::http::response::Parts;
use bytes::Bytes;
use http_body_util::Full;

use super::pool::{PoolKey, with_pool};
use super::reqwest::ReqwestClient;
use super::target::Target;
use crate::client::outbound::OutboundRequest;
use crate::error::{Code, Delivery, Error, Result};
use crate::middleware::{Body, Response};
use crate::protocol::body::{self, BodyReadError};
use crate::protocol::connect::{self, WireResponse};
use crate::protocol::identity;

/// The timeout of opening a connection.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The time for which an idle connection is kept. It is shorter than the idle timeout of the server
/// (60 s), so the server rarely closes a connection on which a request has just been sent.
pub(super) const POOL_IDLE: Duration = Duration::from_secs(50);

/// The maximum size of a response, in bytes.
const MESSAGE_LIMIT: usize = 4 << 20;

/// The transport to one server over HTTP.
pub(super) struct HttpTransport {
    pub(super) target: Target,
    pub(super) client: HttpClient,
}

/// The HTTP client that sends the requests of a transport.
#[derive(Clone)]
pub(super) enum HttpClient {
    Hyper { http2: bool },
    Reqwest(ReqwestClient),
}

impl HttpTransport {
    pub(super) fn new(target: Target) -> Result<Self> {
        let client = if target.is_https() {
            HttpClient::Reqwest(ReqwestClient::https()?)
        } else {
            HttpClient::Hyper { http2: false }
        };
        Ok(Self { target, client })
    }

    /// Returns the URL of the server in printable form.
    pub(super) fn target(&self) -> String {
        self.target.text()
    }

    pub(super) fn http2(&self) -> Self {
        let client = match &self.client {
            HttpClient::Hyper { .. } => HttpClient::Hyper { http2: true },
            // TLS negotiates the version.
            client @ HttpClient::Reqwest(_) => client.clone(),
        };
        Self {
            target: self.target.clone(),
            client,
        }
    }

    pub(super) async fn send(&self, request: &OutboundRequest) -> Response {
        let uri = match self.target.uri(request.method.path) {
            Ok(uri) => uri,
            Err(error) => return error.into(),
        };
        let mut http = connect::write_request(
            uri,
            &request.context,
            &request.metadata,
            request.message.clone(),
        );
        if let Some(keys) = request.context.identity() {
            // Each attempt needs its own signature; the server would reject a second use as a
            // replay.
            identity::sign(keys, request.method, &mut http);
        }
        let received = match &self.client {
            HttpClient::Hyper { http2 } => self.send_with_hyper(*http2, http).await,
            // Boxed to keep the future of calls with hyper small.
            HttpClient::Reqwest(client) => Box::pin(self.send_with_reqwest(client, http)).await,
        };
        match received {
            Ok((parts, body)) => response(connect::read_response(&parts, body, MESSAGE_LIMIT)),
            Err(error) => error.into(),
        }
    }

    async fn send_with_hyper(
        &self,
        http2: bool,
        mut request: ::http::Request<Bytes>,
    ) -> Result<(Parts, Bytes)> {
        let is_socket = self.target.is_socket();
        if !http2 || is_socket {
            // Without the header the pool would format it for each request, and for a Unix socket
            // from the encoded path.
            let host = self.target.host().clone();
            request.headers_mut().insert(HOST, host);
        }
        let key = PoolKey { http2, is_socket };
        let response = with_pool(key, |pool| pool.request(request.map(Full::new)));
        let (parts, body) = response
            .await
            .map_err(|error| self.connection_error(error.is_connect(), &error))?
            .into_parts();
        Ok((parts, self.collect(body).await?))
    }

    pub(super) async fn collect<B>(&self, body: B) -> Result<Bytes>
    where
        B: http_body::Body<Data = Bytes>,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        match body::collect(&mut pin!(body), MESSAGE_LIMIT).await {
            Ok(body) => Ok(body),
            Err(BodyReadError::TooLarge) => Err(Error::without_location(
                Code::ResourceExhausted,
                format!(
                    "the response of {} exceeds the client's limit of {MESSAGE_LIMIT} bytes",
                    self.target.text()
                ),
            )),
            Err(BodyReadError::Broken(error)) => Err(self.connection_error(false, &*error)),
        }
    }

    /// Returns the error for a connection that could not be opened (`connecting`) or failed later.
    pub(super) fn connection_error(
        &self,
        connecting: bool,
        error: &(dyn StdError + 'static),
    ) -> Error {
        let target = self.target.text();
        let cause = root_cause(error);
        if connecting {
            let text = format!("cannot connect to {target}: {cause}");
            return Error::without_location(Code::Unavailable, text)
                .with_delivery(Delivery::Unsent);
        }
        let (code, what) = match ResponseError::from_error(error) {
            None => (
                Code::Unavailable,
                format!("the connection to {target} broke before the response was complete"),
            ),
            Some(ResponseError::NotHttp) => (
                Code::Internal,
                format!("{target} did not respond with valid HTTP"),
            ),
            Some(ResponseError::TooLarge) => (
                Code::ResourceExhausted,
                format!("the response headers of {target} are too large"),
            ),
        };
        let text = format!("{what} ({cause}); the call may have been executed");
        Error::without_location(code, text).with_delivery(Delivery::OutcomeUnknown)
    }
}

/// The reason why a received response cannot be read. Retrying would not help.
enum ResponseError {
    NotHttp,
    TooLarge,
}

impl ResponseError {
    fn from_error(error: &(dyn StdError + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(error) = error.downcast_ref::<hyper::Error>() {
                if error.is_parse_too_large() {
                    return Some(Self::TooLarge);
                }
                if error.is_parse() {
                    return Some(Self::NotHttp);
                }
            }
            // hyper's error for an invalid chunk. TLS errors have another kind.
            if let Some(error) = error.downcast_ref::<io::Error>()
                && error.kind() == ErrorKind::InvalidInput
            {
                return Some(Self::NotHttp);
            }
            next = error.source();
        }
        None
    }
}

/// Converts a response to the form that layers take.
fn response(received: WireResponse) -> Response {
    let mut response = Response::from_result(received.result.map(Body::message));
    *response.headers_mut() = received.headers;
    *response.trailers_mut() = received.trailers;
    response
}

/// Returns the innermost source, such as "connection refused" in "client error (Connect)".
fn root_cause<'e>(mut error: &'e (dyn StdError + 'static)) -> &'e (dyn StdError + 'static) {
    while let Some(source) = error.source() {
        error = source;
    }
    error
}

//! The roads over HTTP: a direct one on hyper for plain `http`, and `reqwest` where its features are needed.
//!
//! The client is the larger half of a call's cost, so the direct road builds a request from parts that are parsed
//! already and hands it to a pool that knows nothing of redirects, cookies, proxies and decompression.

use std::error::Error as StdError;
use std::io::{self, ErrorKind};
use std::pin::pin;
use std::time::Duration;

use ::http::header::HOST;
use ::http::response::Parts;
use bytes::Bytes;
use http_body_util::Full;

use super::pool::{PoolKey, with_pool};
use super::target::Target;
use crate::client::outbound::OutboundRequest;
use crate::error::{Code, Delivery, Error, Result};
use crate::middleware::{Body, Response};
use crate::protocol::body::{self, BodyReadError};
use crate::protocol::connect::{self, WireResponse};
use crate::protocol::identity;

/// How long a connection may take to come about.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a connection is kept for the next call. Shorter than the server's own patience (60 s), so that it is
/// rarely the server that closes first, while a request is on its way.
pub(super) const POOL_IDLE: Duration = Duration::from_secs(50);

/// The largest answer, in bytes.
const MESSAGE_LIMIT: usize = 4 << 20;

/// A road over HTTP to one server.
pub(super) struct HttpTransport {
    target: Target,
    kind: HttpClient,
}

#[derive(Clone)]
enum HttpClient {
    Direct { http2: bool },
    Reqwest(reqwest::Client),
}

impl HttpTransport {
    pub(super) fn new(target: Target) -> Result<Self> {
        let kind = if target.is_https() {
            HttpClient::Reqwest(tls_client()?)
        } else {
            HttpClient::Direct { http2: false }
        };
        Ok(Self { target, kind })
    }

    pub(super) fn with_reqwest(target: Target, client: reqwest::Client) -> Result<Self> {
        if target.is_socket() {
            let text = "a client of your own knows no `unix:` URLs; `Client::new` does";
            return Err(Error::unlocated(Code::InvalidArgument, text));
        }
        Ok(Self {
            target,
            kind: HttpClient::Reqwest(client),
        })
    }

    pub(super) fn http2(&self) -> Self {
        let kind = match &self.kind {
            HttpClient::Direct { .. } => HttpClient::Direct { http2: true },
            // Over TLS the two ends agree on the version by themselves.
            HttpClient::Reqwest(client) => HttpClient::Reqwest(client.clone()),
        };
        Self {
            target: self.target.clone(),
            kind,
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
            // Here and not earlier: each attempt is signed anew, or the second one would be a replay.
            identity::sign(keys, request.method, &mut http);
        }
        let answer = match &self.kind {
            HttpClient::Direct { http2 } => self.send_direct(*http2, http).await,
            // Boxed, so that calls on the direct road have no room for it.
            HttpClient::Reqwest(client) => Box::pin(self.send_with_reqwest(client, http)).await,
        };
        match answer {
            Ok((parts, body)) => response(connect::read_response(&parts, body, MESSAGE_LIMIT)),
            Err(error) => error.into(),
        }
    }

    async fn send_direct(
        &self,
        http2: bool,
        mut request: ::http::Request<Bytes>,
    ) -> Result<(Parts, Bytes)> {
        let is_socket = self.target.is_socket();
        if !http2 || is_socket {
            // The pool would put the header together anew for each request, and for a socket out of what only stands
            // for its path.
            let host = self.target.host().clone();
            request.headers_mut().insert(HOST, host);
        }
        let kind = PoolKey { http2, is_socket };
        let answering = with_pool(kind, |pool| pool.request(request.map(Full::new)));
        let (parts, body) = answering
            .await
            .map_err(|error| self.connection_error(error.is_connect(), &error))?
            .into_parts();
        Ok((parts, self.collect(body).await?))
    }

    async fn send_with_reqwest(
        &self,
        client: &reqwest::Client,
        request: ::http::Request<Bytes>,
    ) -> Result<(Parts, Bytes)> {
        let request = reqwest::Request::try_from(request)
            .map_err(|error| self.connection_error(false, &error))?;
        let answer = client
            .execute(request)
            .await
            .map_err(|error| self.connection_error(error.is_connect(), &error))?;
        let (parts, body) = ::http::Response::<reqwest::Body>::from(answer).into_parts();
        Ok((parts, self.collect(body).await?))
    }

    async fn collect<B>(&self, body: B) -> Result<Bytes>
    where
        B: http_body::Body<Data = Bytes>,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        match body::collect(&mut pin!(body), MESSAGE_LIMIT).await {
            Ok(body) => Ok(body),
            Err(BodyReadError::TooLarge) => Err(Error::unlocated(
                Code::ResourceExhausted,
                format!(
                    "the answer of {} is larger than {MESSAGE_LIMIT} bytes",
                    self.target.text()
                ),
            )),
            Err(BodyReadError::Broken(error)) => Err(self.connection_error(false, &*error)),
        }
    }

    /// The error for a connection that did not come about, or broke.
    fn connection_error(&self, connecting: bool, error: &(dyn StdError + 'static)) -> Error {
        let target = self.target.text();
        let cause = root_cause(error);
        if connecting {
            let text = format!("cannot connect to {target}: {cause}");
            return Error::unlocated(Code::Unavailable, text).with_delivery(Delivery::Unsent);
        }
        let (code, what) = match ResponseError::of(error) {
            None => (
                Code::Unavailable,
                format!("the connection to {target} broke before the answer was complete"),
            ),
            Some(ResponseError::NotHttp) => {
                (Code::Internal, format!("what {target} answered is no HTTP"))
            }
            Some(ResponseError::TooLarge) => (
                Code::ResourceExhausted,
                format!("the head of the answer of {target} is too large"),
            ),
        };
        let text = format!("{what} ({cause}); the call may have been done");
        Error::unlocated(code, text).with_delivery(Delivery::OutcomeUnknown)
    }
}

/// What is wrong with an answer of which something arrived. Another attempt would get the same.
enum ResponseError {
    NotHttp,
    TooLarge,
}

impl ResponseError {
    fn of(error: &(dyn StdError + 'static)) -> Option<Self> {
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
            // How hyper says that a chunk is none. TLS has a kind of its own for what it cannot read.
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

/// What arrived, as layers see it.
fn response(answer: WireResponse) -> Response {
    let mut response = Response::from_result(answer.result.map(Body::message));
    *response.headers_mut() = answer.headers;
    *response.trailers_mut() = answer.trailers;
    response
}

/// The innermost cause: "connection refused" says more than "client error (Connect)".
fn root_cause<'e>(mut error: &'e (dyn StdError + 'static)) -> &'e (dyn StdError + 'static) {
    while let Some(source) = error.source() {
        error = source;
    }
    error
}

#[cfg(feature = "tls")]
fn tls_client() -> Result<reqwest::Client> {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(POOL_IDLE)
        .tcp_nodelay(true)
        .build()
        .map_err(|error| {
            Error::unlocated(Code::Internal, format!("no TLS client: {error}")).with_source(error)
        })
}

#[cfg(not(feature = "tls"))]
fn tls_client() -> Result<reqwest::Client> {
    Err(Error::unlocated(
        Code::Unimplemented,
        "https needs the feature `tls` of rpc-runtime, or a client of your own (`Client::with_reqwest`)",
    ))
}

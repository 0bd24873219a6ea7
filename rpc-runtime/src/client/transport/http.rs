//! The HTTP transport: hyper for HTTP/1 and `h2` for HTTP/2, over TCP, TLS and Unix sockets, and
//! `reqwest` for clients that the application supplies.
//!
//! The client side is the larger part of the cost of a call. With hyper and `h2`, requests are
//! built from parts that are already parsed, and the pool does nothing about redirects, cookies,
//! proxies and decompression.

use std::error::Error as StdError;
use std::sync::Arc;

use ::http::header::{HOST, HeaderMap, HeaderValue, PROXY_AUTHORIZATION, TRANSFER_ENCODING};
use ::http::response::Parts;
use bytes::Bytes;
use hyper::body::Incoming;
use hyper_util::client::legacy::ResponseFuture;

use super::connect::{ConnectOptions, ConnectSettings, HttpVersion, OtherVersion};
use super::evidence;
use super::failure::{NotBegun, ResponseError, cause, is_stream_reset};
use super::http2::{ClientId, ExchangeError, ExchangeOptions, Http2Pool};
use super::pool::{ConfiguredPool, with_pools};
use super::request_body::RequestBody;
use super::reqwest::ReqwestClient;
use super::response_body;
use super::target::TransportTarget;
use super::timed_connector::{SlowConnect, is_cause_of, is_reason};
use super::tls;
use super::unwritten::UnwrittenRequest;
use crate::client::outbound::OutboundRequest;
use crate::client::outlier::Outcome;
use crate::error::{Code, Error, Result};
use crate::middleware::{Body, Response};
use crate::protocol::body::BodyReadError;
use crate::protocol::connect::{self, WireResponse};
use crate::protocol::{QUOTED, printable};

/// The maximum number of headers of a response, and the maximum size of their names and values
/// together, in bytes. They are those of a server.
const HEADER_COUNT: usize = 100;
const HEADER_BYTES: usize = 32 << 10;

/// The number of times that a request is written until a connection is there in time. In a burst of
/// first calls on a busy host, another call may take the connection that this one has opened.
const WRITES: u32 = 10;

/// The number of versions of HTTP that are tried, for servers that change what they negotiate.
const VERSIONS: u32 = 3;

/// The transport to one server over HTTP.
pub(super) struct HttpTransport {
    pub(super) target: TransportTarget,
    pub(super) client: HttpClient,
}

/// The HTTP client that sends the requests of a transport.
#[derive(Clone)]
pub(super) enum HttpClient {
    Http1,
    Http2,
    /// Over TLS, or through a proxy. `http2` is the version without TLS, which negotiates it.
    Configured {
        settings: ConnectSettings,
        http2: bool,
    },
    #[cfg_attr(
        not(feature = "reqwest"),
        allow(
            dead_code,
            reason = "there is no value of this type without the feature"
        )
    )]
    Reqwest(ReqwestClient),
}

/// The part of an exchange in which it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RequestStage {
    /// The connection could not be opened.
    Connecting,
    /// There was no response yet.
    Sending,
    /// The response was not complete.
    Receiving,
}

impl HttpTransport {
    pub(super) fn new(target: TransportTarget, options: &ConnectOptions) -> Result<Self> {
        if target.is_socket() && options.has_proxy() {
            let text = "a proxy does not connect to `unix:` URLs";
            return Err(Error::without_location(Code::InvalidArgument, text));
        }
        let client = if target.is_https() || options.has_proxy() {
            HttpClient::Configured {
                settings: options.settings(target.is_https())?,
                http2: false,
            }
        } else {
            HttpClient::Http1
        };
        Ok(Self { target, client })
    }

    /// Returns whether the server is known to be one of this system: on this host, or one that
    /// gets the certificate of this client.
    pub(super) fn is_known(&self) -> bool {
        match &self.client {
            HttpClient::Configured { settings, .. } => {
                // A proxy has another host.
                let is_this_host = self.target.is_this_host() && !settings.has_proxy();
                is_this_host || settings.has_client_certificate()
            }
            _ => self.target.is_this_host(),
        }
    }

    /// Returns the URL of the server in printable form.
    pub(super) fn target(&self) -> String {
        self.target.text()
    }

    pub(super) fn http2(&self) -> Self {
        let client = match &self.client {
            HttpClient::Http1 | HttpClient::Http2 => HttpClient::Http2,
            HttpClient::Configured { settings, .. } => HttpClient::Configured {
                settings: settings.clone(),
                http2: true,
            },
            client @ HttpClient::Reqwest(_) => client.clone(),
        };
        Self {
            target: self.target.clone(),
            client,
        }
    }

    /// Sends a request. Returns the response, and what it reveals about the server.
    pub(super) async fn send(self: &Arc<Self>, request: &OutboundRequest) -> (Response, Outcome) {
        let (mut writes, mut versions) = (1, 1);
        loop {
            let sent = self.send_once(request).await;
            let error = sent.0.error();
            if error.is_some_and(is_reason::<SlowConnect>) && writes < WRITES {
                writes += 1;
            } else if error.is_some_and(is_reason::<OtherVersion>) && versions < VERSIONS {
                versions += 1;
            } else {
                return sent;
            }
        }
    }

    /// Writes a request with the time that is left to it, and sends it.
    async fn send_once(self: &Arc<Self>, request: &OutboundRequest) -> (Response, Outcome) {
        if request.method.is_streaming() {
            // Boxed to keep the future of other calls small.
            return Box::pin(self.open_stream(request)).await;
        }
        let unwritten = match UnwrittenRequest::new(&self.target, self.is_known(), request) {
            Ok(unwritten) => unwritten,
            Err(error) => return (error.not_executed().into(), Outcome::Canceled),
        };
        let limit = request.options.message_limit;
        let received = match &self.client {
            HttpClient::Http1 => {
                let request = self.with_host(unwritten.write());
                let is_socket = self.target.is_socket();
                let response = with_pools(|pools| pools.http1(is_socket, request));
                self.receive_from_hyper(response, limit).await
            }
            HttpClient::Http2 => {
                let pool = with_pools(|pools| pools.http2(self.target.is_socket()));
                self.send_with_h2(&pool, unwritten).await
            }
            HttpClient::Configured { settings, http2 } => {
                Box::pin(self.send_configured(settings, *http2, unwritten)).await
            }
            // Boxed to keep the future of calls with hyper small.
            HttpClient::Reqwest(client) => {
                Box::pin(self.send_with_reqwest(client, unwritten.write_first(), limit)).await
            }
        };
        match received {
            Ok((parts, body)) => {
                if let Err(error) = self.check_head(&parts.headers) {
                    return (error.into(), Outcome::Error);
                }
                let response = response(connect::read_response(&parts, body, limit));
                let outcome = evidence::of_response(&response);
                (response, outcome)
            }
            Err(error) => {
                let outcome = evidence::without_response(&error);
                (error.into(), outcome)
            }
        }
    }

    /// Sends a request over TLS, in the version of HTTP that the server has negotiated last, or
    /// through a proxy.
    async fn send_configured(
        &self,
        settings: &ConnectSettings,
        http2: bool,
        unwritten: UnwrittenRequest<'_>,
    ) -> Result<(Parts, Bytes)> {
        let (pool, is_http2) = self.configured_pool(settings, http2);
        if is_http2 {
            return self.send_with_h2(&pool.http2(), unwritten).await;
        }
        let limit = unwritten.request.options.message_limit;
        let request = self.write_http1(settings, unwritten);
        self.receive_from_hyper(pool.http1(request), limit).await
    }

    /// Returns the pool for these settings, and whether HTTP/2 is used. `http2` is the version
    /// without TLS.
    pub(super) fn configured_pool(
        &self,
        settings: &ConnectSettings,
        http2: bool,
    ) -> (Arc<ConfiguredPool>, bool) {
        let pool = with_pools(|pools| pools.configured(settings));
        let is_http2 = if self.target.is_https() {
            pool.version(self.target.authority()) == HttpVersion::Http2
        } else {
            http2
        };
        (pool, is_http2)
    }

    /// Writes a request for HTTP/1, with the credentials of a proxy that forwards it.
    pub(super) fn write_http1(
        &self,
        settings: &ConnectSettings,
        unwritten: UnwrittenRequest<'_>,
    ) -> ::http::Request<RequestBody> {
        let mut request = self.with_host(unwritten.write());
        if let Some(credentials) = settings.forwarding_credentials() {
            let headers = request.headers_mut();
            headers.insert(PROXY_AUTHORIZATION, credentials.clone());
        }
        request
    }

    /// Adds the `host` header. Without it the pool would format it for each request, and for a Unix
    /// socket from the encoded path.
    pub(super) fn with_host(
        &self,
        mut request: ::http::Request<RequestBody>,
    ) -> ::http::Request<RequestBody> {
        let host = self.target.host().clone();
        request.headers_mut().insert(HOST, host);
        request
    }

    async fn receive_from_hyper(
        &self,
        response: ResponseFuture,
        limit: usize,
    ) -> Result<(Parts, Bytes)> {
        let (parts, body) = self.head_from_hyper(response).await?.into_parts();
        let body = self.collect(&parts, body, limit).await?;
        Ok((parts, body))
    }

    /// Waits for the head of a response.
    pub(super) async fn head_from_hyper(
        &self,
        response: ResponseFuture,
    ) -> Result<::http::Response<Incoming>> {
        response.await.map_err(|error| {
            if is_cause_of::<SlowConnect>(&error) {
                return unsent(SlowConnect.to_string()).with_source(SlowConnect);
            }
            if is_cause_of::<OtherVersion>(&error) {
                return unsent(OtherVersion.to_string()).with_source(OtherVersion);
            }
            let stage = RequestStage::before_response(error.is_connect());
            self.connection_error(stage, &error)
        })
    }

    async fn send_with_h2(
        &self,
        pool: &Http2Pool,
        mut unwritten: UnwrittenRequest<'_>,
    ) -> Result<(Parts, Bytes)> {
        let options = self.prepare_h2(&mut unwritten)?;
        // Written when there is a stream, which may take a while. Boxed to keep the future of calls
        // over HTTP/1 small.
        let write = move || unwritten.write_first();
        let exchange = Box::pin(pool.send(self.target.authority(), write, options));
        let exchanged = exchange.await;
        exchanged.map_err(|error| self.exchange_error(error, options.limit))
    }

    /// Completes a request for HTTP/2.
    pub(super) fn prepare_h2(
        &self,
        unwritten: &mut UnwrittenRequest<'_>,
    ) -> Result<ExchangeOptions> {
        if self.target.is_socket() {
            // The authority encodes the path of the socket.
            unwritten.uri = self.target.socket_uri(std::mem::take(&mut unwritten.uri))?;
        }
        Ok(ExchangeOptions {
            limit: unwritten.request.options.message_limit,
            deadline: unwritten.request.context.deadline(),
            // Clones of a client share their transport.
            client: ClientId(std::ptr::from_ref(self).addr()),
        })
    }

    /// Returns the error of an exchange over HTTP/2.
    pub(super) fn exchange_error(&self, error: ExchangeError, limit: usize) -> Error {
        match error {
            ExchangeError::Connect(error) if error.is::<OtherVersion>() => {
                unsent(OtherVersion.to_string()).with_source(OtherVersion)
            }
            ExchangeError::Connect(error) => {
                self.connection_error(RequestStage::Connecting, &error)
            }
            ExchangeError::NotBegun(what) => self.not_begun(NotBegun::by_server(what)),
            ExchangeError::Broken(error) => self.connection_error(RequestStage::Receiving, &*error),
            ExchangeError::TooLarge => response_too_large(&self.target(), limit),
        }
    }

    pub(super) async fn collect<B>(&self, parts: &Parts, body: B, limit: usize) -> Result<Bytes>
    where
        B: http_body::Body<Data = Bytes>,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        match response_body::collect(parts, body, limit).await {
            Ok(body) => Ok(body),
            Err(BodyReadError::TooLarge | BodyReadError::NoMemory) => {
                Err(response_too_large(&self.target(), limit))
            }
            Err(BodyReadError::Broken(error)) => {
                Err(self.connection_error(RequestStage::Receiving, &*error))
            }
        }
    }

    /// Checks the head of a response.
    pub(super) fn check_head(&self, headers: &HeaderMap) -> Result<()> {
        if let Some(error) = self.unsupported_coding(headers) {
            return Err(error);
        }
        if headers_too_large(headers) {
            return Err(response_head_too_large(&self.target()));
        }
        Ok(())
    }

    /// Returns the error for a response with a transfer coding other than a single `chunked`, which
    /// hyper would read as that.
    fn unsupported_coding(&self, headers: &HeaderMap) -> Option<Error> {
        let codings = headers.get_all(TRANSFER_ENCODING).iter();
        let codings: Vec<_> = codings.map(HeaderValue::as_bytes).collect();
        match *codings {
            [] => return None,
            [coding] if coding.trim_ascii().eq_ignore_ascii_case(b"chunked") => return None,
            _ => {}
        }
        let target = self.target.text();
        let codings = printable(&codings.join(&b", "[..]), QUOTED);
        let text = format!(
            "{target} did not respond with valid HTTP (the transfer coding is `{codings}` and not a single `chunked`); the call may have been executed"
        );
        Some(Error::without_location(Code::Internal, text))
    }

    /// Returns the error for a call that the server has not begun.
    fn not_begun(&self, NotBegun { what, execution }: NotBegun) -> Error {
        let text = format!("{} {what}; the call was not begun", self.target.text());
        Error::without_location(Code::Unavailable, text).with_execution(execution)
    }

    /// Returns the error for a connection that could not be opened or failed later.
    pub(super) fn connection_error(
        &self,
        stage: RequestStage,
        error: &(dyn StdError + 'static),
    ) -> Error {
        let target = self.target.text();
        let cause = cause(error);
        if stage == RequestStage::Connecting {
            let text = format!("cannot connect to {target}: {cause}");
            return unsent(text);
        }
        if stage == RequestStage::Sending
            && let Some(not_begun) = NotBegun::from_error(error)
        {
            return self.not_begun(not_begun);
        }
        if stage == RequestStage::Sending
            && let Some(refusal) = tls::refusal(error)
        {
            return unsent(format!("cannot connect to {target}: {refusal}"));
        }
        let (code, what) = match ResponseError::from_error(error) {
            None if is_stream_reset(error) => (
                Code::Unavailable,
                format!("{target} reset the stream of the call before the response was complete"),
            ),
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
        Error::without_location(code, text)
    }
}

/// Returns the error for a call that no server has begun.
pub(super) fn unsent(text: String) -> Error {
    Error::without_location(Code::Unavailable, text).not_executed()
}

/// Returns the error for a response above the limit of the client.
pub(super) fn response_too_large(target: &str, limit: usize) -> Error {
    let text = format!("the response of {target} exceeds the client's limit of {limit} bytes");
    Error::without_location(Code::ResourceExhausted, text)
}

/// Returns the error for a response whose headers are above the limits of the client.
pub(super) fn response_head_too_large(target: &str) -> Error {
    let text = format!(
        "the response headers of {target} are too large: at most {HEADER_COUNT} headers, and {HEADER_BYTES} bytes in total"
    );
    Error::without_location(Code::ResourceExhausted, text)
}

/// Returns whether headers are above the limits of the client.
fn headers_too_large(headers: &HeaderMap) -> bool {
    let sizes = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len());
    are_too_large(sizes)
}

/// Returns whether headers with these sizes are above the limits of the client.
pub(super) fn are_too_large(sizes: impl Iterator<Item = usize>) -> bool {
    let (mut count, mut bytes) = (0, 0);
    for size in sizes {
        count += 1;
        bytes += size;
    }
    count > HEADER_COUNT || bytes > HEADER_BYTES
}

impl RequestStage {
    /// Returns the stage of an exchange without a response.
    pub(super) fn before_response(connecting: bool) -> Self {
        if connecting {
            Self::Connecting
        } else {
            Self::Sending
        }
    }
}

/// Converts a response to the form that layers take.
fn response(received: WireResponse) -> Response {
    let mut response = Response::from_result(received.result.map(Body::message));
    *response.headers_mut() = received.headers;
    *response.trailers_mut() = received.trailers;
    response
}

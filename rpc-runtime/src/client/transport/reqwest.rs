//! Sends requests with `reqwest`: for `https`, and for clients that the application supplies.

use ::http::Request;
use ::http::response::Parts;
use bytes::Bytes;

use super::Transport;
use super::http::{HttpClient, HttpTransport, RequestStage};
use super::target::TransportTarget;
use crate::client::Client;
use crate::error::{Code, Error, Result};

/// A `reqwest` client.
#[derive(Clone)]
pub(super) struct ReqwestClient(reqwest::Client);

impl ReqwestClient {
    /// Returns a client for `https` URLs.
    #[cfg(feature = "tls")]
    pub(super) fn https() -> Result<Self> {
        use super::limits::{CONNECT_TIMEOUT, POOL_IDLE};

        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(POOL_IDLE)
            .tcp_nodelay(true)
            .build();
        client.map(Self).map_err(|error| {
            Error::without_location(
                Code::Internal,
                format!("failed to create the TLS client: {error}"),
            )
            .with_source(error)
        })
    }

    #[cfg(not(feature = "tls"))]
    pub(super) fn https() -> Result<Self> {
        Err(Error::without_location(
            Code::Unimplemented,
            "`https` URLs need the feature `tls` of rpc-runtime, or `Client::with_reqwest`",
        ))
    }
}

impl Client {
    /// Creates a client of the server at `url` that sends its requests with the given `reqwest`
    /// client, for example to use a proxy, client certificates or cookies.
    ///
    /// Disable redirects in the `reqwest` client: it turns a redirected POST into a GET, or sends
    /// the message and the context of the call to the other server.
    ///
    /// Needs the feature `reqwest`.
    ///
    /// # Errors
    ///
    /// See [`new`](Self::new). Also `invalid_argument` for a `unix:` URL.
    pub fn with_reqwest(url: &str, client: reqwest::Client) -> Result<Self> {
        let target = TransportTarget::parse(url)?;
        if target.is_socket() {
            let text = "a `reqwest` client does not support `unix:` URLs; use `Client::new`";
            return Err(Error::without_location(Code::InvalidArgument, text));
        }
        let client = HttpClient::Reqwest(ReqwestClient(client));
        let transport = Transport::http(HttpTransport { target, client });
        Ok(Self::from_transport(transport))
    }
}

impl Client {
    /// Creates a client that sends its requests through an HTTP proxy.
    pub(in crate::client) fn through_proxy(url: &str, proxy: &str) -> Result<Self> {
        use super::limits::{CONNECT_TIMEOUT, POOL_IDLE};

        let invalid = |problem: &dyn std::fmt::Display| {
            let shown = crate::text::public_url(proxy);
            let text = format!("invalid proxy URL `{shown}`: {problem}");
            Error::without_location(Code::InvalidArgument, text)
        };
        if !proxy.starts_with("http://") && !proxy.starts_with("https://") {
            return Err(invalid(&"expected `http://HOST:PORT`"));
        }
        let through = reqwest::Proxy::all(proxy).map_err(|error| invalid(&error.without_url()))?;
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .proxy(through)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(POOL_IDLE)
            .tcp_nodelay(true)
            .build();
        let client = client.map_err(|error| invalid(&error.without_url()))?;
        Self::with_reqwest(url, client)
    }
}

impl HttpTransport {
    pub(super) async fn send_with_reqwest(
        &self,
        ReqwestClient(client): &ReqwestClient,
        request: Request<Bytes>,
        limit: usize,
    ) -> Result<(Parts, Bytes)> {
        let request = reqwest::Request::try_from(request)
            .map_err(|error| self.connection_error(RequestStage::Sending, &error))?;
        let response = client.execute(request).await.map_err(|error| {
            let stage = RequestStage::before_response(error.is_connect());
            self.connection_error(stage, &error)
        })?;
        let (parts, body) = ::http::Response::<reqwest::Body>::from(response).into_parts();
        let body = self.collect(&parts, body, limit).await?;
        Ok((parts, body))
    }
}

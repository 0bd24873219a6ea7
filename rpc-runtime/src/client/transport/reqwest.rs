//! Sends requests with a `reqwest` client that the application supplies.

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

impl Client {
    /// Creates a client of the server at `url` that sends its requests with the given `reqwest`
    /// client, for example to use cookies, or TLS of another kind than that of the feature `tls`.
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

//! Opens streams over HTTP.

use std::sync::Arc;

use ::http::response::Parts;
use hyper::body::Incoming;

use super::connect::ConnectSettings;
use super::evidence;
use super::http::{HttpClient, HttpTransport};
use super::http2::Http2Pool;
use super::pool::with_pools;
use super::streams::{self, AnyBody, Boxed};
use super::unwritten::UnwrittenRequest;
use crate::client::outbound::OutboundRequest;
use crate::client::outlier::Outcome;
use crate::error::{Code, Error, Result};
use crate::middleware::Response;

impl HttpTransport {
    /// Sends the request of a method with streams. Returns the response as soon as its head is
    /// there, if the response is a stream.
    pub(super) async fn open_stream(
        self: &Arc<Self>,
        request: &OutboundRequest,
    ) -> (Response, Outcome) {
        let unwritten = match UnwrittenRequest::new(&self.target, self.is_known(), request) {
            Ok(unwritten) => unwritten,
            Err(error) => return (error.not_executed().into(), Outcome::Canceled),
        };
        let (parts, body) = match self.open(unwritten).await {
            Ok(opened) => opened,
            Err(error) => {
                let outcome = evidence::without_response(&error);
                return (error.into(), outcome);
            }
        };
        if let Err(error) = self.check_head(&parts.headers) {
            return (error.into(), Outcome::Error);
        }
        let (limit, is_stream) = (
            request.options.message_limit,
            request.method.server_streaming,
        );
        match streams::read(self, parts, body, limit, is_stream).await {
            Ok(response) => {
                let outcome = evidence::of_response(&response);
                (response, outcome)
            }
            // The server has responded, with an error or not as the protocol demands.
            Err(error) => {
                let response = Response::from(error);
                let outcome = evidence::of_response(&response);
                (response, outcome)
            }
        }
    }

    async fn open(&self, unwritten: UnwrittenRequest<'_>) -> Result<(Parts, AnyBody)> {
        match &self.client {
            HttpClient::Http1 => {
                let request = self.with_host(unwritten.write());
                let is_socket = self.target.is_socket();
                let response = with_pools(|pools| pools.http1(is_socket, request));
                Ok(boxed(self.head_from_hyper(response).await?))
            }
            HttpClient::Http2 => {
                let pool = with_pools(|pools| pools.http2(self.target.is_socket()));
                self.open_with_h2(&pool, unwritten).await
            }
            HttpClient::Configured { settings, http2 } => {
                self.open_configured(settings, *http2, unwritten).await
            }
            HttpClient::Reqwest(_) => {
                let text = "a client of `reqwest` sends and receives no streams: use `Client::new`, or \
                            `Client::builder` for TLS and proxies";
                let error = Error::without_location(Code::Unimplemented, text);
                Err(error.not_executed())
            }
        }
    }

    async fn open_configured(
        &self,
        settings: &ConnectSettings,
        http2: bool,
        unwritten: UnwrittenRequest<'_>,
    ) -> Result<(Parts, AnyBody)> {
        let (pool, is_http2) = self.configured_pool(settings, http2);
        if is_http2 {
            return self.open_with_h2(&pool.http2(), unwritten).await;
        }
        let request = self.write_http1(settings, unwritten);
        Ok(boxed(self.head_from_hyper(pool.http1(request)).await?))
    }

    async fn open_with_h2(
        &self,
        pool: &Http2Pool,
        mut unwritten: UnwrittenRequest<'_>,
    ) -> Result<(Parts, AnyBody)> {
        let options = self.prepare_h2(&mut unwritten)?;
        let write = move || unwritten.write();
        let opened = pool.open(self.target.authority(), write, options).await;
        let (parts, body) = opened.map_err(|error| self.exchange_error(error, options.limit))?;
        Ok((parts, Box::pin(body)))
    }
}

fn boxed(response: ::http::Response<Incoming>) -> (Parts, AnyBody) {
    let (parts, body) = response.into_parts();
    (parts, Box::pin(Boxed(body)))
}

//! Replaces the module `reqwest` without the feature `reqwest`: rejects `https` URLs.

use ::http::Request;
use ::http::response::Parts;
use bytes::Bytes;

use super::http::HttpTransport;
use crate::client::Client;
use crate::error::{Code, Error, Result};

/// A `reqwest` client, which does not exist without the feature `reqwest`.
#[derive(Clone)]
pub(super) enum ReqwestClient {}

impl ReqwestClient {
    pub(super) fn https() -> Result<Self> {
        Err(Error::without_location(
            Code::Unimplemented,
            "`https` URLs need the features `reqwest` and `tls` of rpc-runtime, or `reqwest` with `Client::with_reqwest`",
        ))
    }
}

impl Client {
    /// Rejects a proxy.
    pub(in crate::client) fn through_proxy(_url: &str, _proxy: &str) -> Result<Self> {
        let text = "a proxy needs the feature `reqwest` of rpc-runtime";
        Err(Error::without_location(Code::Unimplemented, text))
    }
}

impl HttpTransport {
    #[allow(clippy::unused_async, reason = "the same signature as with `reqwest`")]
    pub(super) async fn send_with_reqwest(
        &self,
        client: &ReqwestClient,
        _request: Request<Bytes>,
        _limit: usize,
    ) -> Result<(Parts, Bytes)> {
        match *client {}
    }
}

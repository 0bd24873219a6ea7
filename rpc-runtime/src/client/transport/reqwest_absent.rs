//! Replaces the module `reqwest` without the feature `reqwest`.

use ::http::Request;
use ::http::response::Parts;
use bytes::Bytes;

use super::http::HttpTransport;
use crate::error::Result;

/// A `reqwest` client, which does not exist without the feature `reqwest`.
#[derive(Clone)]
pub(super) enum ReqwestClient {}

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

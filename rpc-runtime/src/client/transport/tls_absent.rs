//! Replaces the module `tls` without the feature `tls`: rejects `https` URLs.

use std::convert::Infallible;
use std::error::Error as StdError;

use tokio::net::TcpStream;

use crate::error::{Code, Error, Result};

/// A TLS connection, which does not exist without the feature `tls`.
pub(super) type TlsStream = TcpStream;

/// The TLS configuration of a client, of which there is only the default without the feature
/// `tls`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientTlsConfig(Infallible);

/// The TLS state of a client, which does not exist without the feature `tls`.
#[derive(Debug, Clone)]
pub(super) struct ClientTls(Infallible);

impl ClientTlsConfig {
    pub(super) fn has_client_certificate(&self) -> bool {
        match self.0 {}
    }
}

/// There is no configuration that could be changed.
#[cfg(feature = "otel")]
pub(super) fn http1_only(config: Option<ClientTlsConfig>) -> Option<ClientTlsConfig> {
    config
}

impl ClientTls {
    pub(super) fn load(_: Option<&ClientTlsConfig>) -> Result<Self> {
        Err(Error::without_location(
            Code::Unimplemented,
            "`https` URLs need the feature `tls` of rpc-runtime, or `Client::with_reqwest`",
        ))
    }

    pub(super) fn is_http1(&self) -> bool {
        match self.0 {}
    }

    pub(super) fn generation(&self) -> u64 {
        match self.0 {}
    }

    pub(super) fn refresh_in_background(&self) {
        match self.0 {}
    }

    #[allow(clippy::unused_async, reason = "the same signature as with `tls`")]
    pub(super) async fn handshake(
        &self,
        _: &str,
        _: TcpStream,
    ) -> Result<(TlsStream, bool), String> {
        match self.0 {}
    }
}

/// There is no TLS that could be refused.
pub(super) fn refusal(_: &(dyn StdError + 'static)) -> Option<String> {
    None
}

//! TLS of clients: the settings, with certificates from files, and the handshake.

mod connector;
mod failure;

use std::path::PathBuf;

pub(super) use self::connector::{ClientTls, TlsStream};
pub(super) use self::failure::refusal;
use crate::tls::TlsFiles;

/// The certificates that a client trusts over `https`, and the one that it sends.
///
/// The files are PEM. They are read when the client is built, unless a client with equal settings
/// is in use, and again while it is used, at most twice a second. New calls use new connections
/// when the files have changed; calls that run end on theirs. Files that cannot be used are logged,
/// and the old ones stay in use.
///
/// Clients offer HTTP/2 and HTTP/1.1, and TLS 1.3 and 1.2. Clients with equal configurations share
/// their connections.
///
/// ```no_run
/// use rpc_runtime::{Client, ClientTlsConfig};
///
/// let tls = ClientTlsConfig::new()
///     .root_certificates("/etc/shop/services-ca.crt")
///     .client_certificate("/etc/shop/tls.crt", "/etc/shop/tls.key");
/// let client = Client::builder().url("https://pricing.shop.test:9004").tls(tls).build()?;
/// # drop(client);
/// # Ok::<(), rpc_runtime::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use = "a configuration has no effect until it is set on a client"]
pub struct ClientTlsConfig {
    files: TlsFiles,
    server_name: Option<String>,
    http1: bool,
}

/// Returns a configuration, or the default one, for connections of HTTP/1.1.
#[cfg(feature = "otel")]
#[allow(
    clippy::unnecessary_wraps,
    reason = "the same signature as without the feature `tls`"
)]
pub(super) fn http1_only(config: Option<ClientTlsConfig>) -> Option<ClientTlsConfig> {
    Some(config.unwrap_or_default().http1())
}

impl ClientTlsConfig {
    /// Creates the configuration that `https` URLs have by default: servers need a certificate of
    /// an authority that this system trusts. On Linux, `SSL_CERT_FILE` and `SSL_CERT_DIR` replace
    /// the authorities of the system.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts the certificate authorities in a file, instead of those of the system. Adds to the
    /// files of earlier calls.
    pub fn root_certificates(mut self, file: impl Into<PathBuf>) -> Self {
        self.files.authorities.push(file.into());
        self
    }

    /// Sends a certificate, followed by its intermediates in the file, to servers that ask for one.
    ///
    /// Calls over `https` then count as signed ones: the context of a call is sent to the server,
    /// which trusts it if it verifies the certificates of its callers
    /// ([`ServerTlsConfig::require_client_certificates`](crate::ServerTlsConfig)). The source of
    /// the calls must be the server that the certificate names. Use
    /// [`Client::external`](crate::Client::external) for a server of another system.
    pub fn client_certificate(
        mut self,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        self.files.pair = Some((certificate.into(), key.into()));
        self
    }

    /// Expects the certificate of the server to have this DNS name or IP address, instead of the
    /// host in the URL. For servers that are called by another name or by their address.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Offers HTTP/1.1 only. A call that is alone then takes less CPU time, and a balancer that
    /// distributes connections sees one for each call that runs at once. By default HTTP/2 is
    /// preferred, whose connections serve many calls each, so that there are few handshakes.
    pub fn http1(mut self) -> Self {
        self.http1 = true;
        self
    }

    /// Returns whether HTTP/2 is not offered.
    fn is_http1(&self) -> bool {
        self.http1
    }

    /// Returns whether a certificate is sent to servers that ask for one.
    pub(super) fn has_client_certificate(&self) -> bool {
        self.files.pair.is_some()
    }
}

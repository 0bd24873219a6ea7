//! TLS of listeners: certificates from files, which are read again when they change.

mod acceptor;

use std::path::PathBuf;

pub(crate) use self::acceptor::ServerTls;
use crate::error::Result;
use crate::tls::TlsFiles;
pub(crate) use crate::tls::TlsTexts;

/// The certificate of a TLS listener, and the certificates that it asks its peers for.
///
/// The files are PEM. They are read at the start, when they change, and on SIGHUP. A new pair that
/// cannot be used is logged, and the old one stays in use; open connections keep theirs. Listeners
/// offer HTTP/2 and HTTP/1.1, and TLS 1.3 and 1.2.
///
/// ```no_run
/// use rpc_runtime::{Server, ServerTlsConfig};
///
/// let tls = ServerTlsConfig::new("/etc/shop/tls.crt", "/etc/shop/tls.key");
/// let server = Server::new("shop").listen_edge("0.0.0.0:443").tls(tls);
/// # drop(server);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a configuration has no effect until it is set on a server"]
pub struct ServerTlsConfig {
    files: TlsFiles,
    clients: ClientCertificates,
}

/// Whether a listener asks its peers for a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClientCertificates {
    Ignored,
    Optional,
    Required,
}

impl ServerTlsConfig {
    /// Creates the configuration for a certificate, followed by its intermediates, and its private
    /// key.
    pub fn new(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self {
            files: TlsFiles {
                pair: Some((certificate.into(), key.into())),
                authorities: Vec::new(),
            },
            clients: ClientCertificates::Ignored,
        }
    }

    /// Serves only peers with a client certificate that one of the certificate authorities in
    /// `authorities` has issued. [`Context::peer_certificate`](crate::Context::peer_certificate)
    /// has its names.
    ///
    /// At an internal listener such a peer is trusted like the caller of a signed call, from any
    /// address, and others are not. The certificate must be that of the server which its calls
    /// state as their source; see
    /// [`PeerCertificate::is_of_server`](crate::context::PeerCertificate::is_of_server). So use an
    /// authority that issues certificates to your own services only.
    pub fn require_client_certificates(mut self, authorities: impl Into<PathBuf>) -> Self {
        self.files.authorities.push(authorities.into());
        self.clients = ClientCertificates::Required;
        self
    }

    /// Verifies client certificates as
    /// [`require_client_certificates`](Self::require_client_certificates) does, and serves peers
    /// without one as well: at an edge listener, and for signed calls and plain routes of an
    /// internal one.
    pub fn accept_client_certificates(mut self, authorities: impl Into<PathBuf>) -> Self {
        self.files.authorities.push(authorities.into());
        self.clients = ClientCertificates::Optional;
        self
    }

    /// Takes the demand of client certificates from another configuration, unless this one has its
    /// own.
    pub(crate) fn or_clients_of(mut self, other: Option<&Self>) -> Self {
        if let (ClientCertificates::Ignored, Some(other)) = (self.clients, other) {
            self.clients = other.clients;
            self.files.authorities.clone_from(&other.files.authorities);
        }
        self
    }
}

/// Returns the configuration that options describe.
///
/// # Errors
///
/// Never: see the module without the feature.
pub(crate) fn from_options(
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
) -> Result<ServerTlsConfig> {
    let config = ServerTlsConfig::new(certificate, key);
    Ok(match client_ca {
        Some(authorities) => config.require_client_certificates(authorities),
        None => config,
    })
}

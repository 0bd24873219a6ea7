//! The TLS state of a listener, and its handshakes.

use std::fmt;
use std::io;
use std::sync::{Arc, RwLock};

use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::{ClientCertificates, ServerTlsConfig};
use crate::context::PeerCertificate;
use crate::error::{Code, Error, Result};
use crate::observe::LogThrottle;
use crate::sync::RwLockExt as _;
use crate::text::EscapeControl;
use crate::tls::{HTTP1, HTTP2, TlsTexts, peer_certificate, provider};

/// The TLS state that the connections of a listener share. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct ServerTls(Arc<ServerTlsInner>);

struct ServerTlsInner {
    config: ServerTlsConfig,
    current: RwLock<Loaded>,
    /// The handshakes that failed because of a certificate.
    refused: LogThrottle,
}

/// The content of the files that is in use.
struct Loaded {
    rustls: Arc<rustls::ServerConfig>,
    texts: TlsTexts,
}

impl ServerTls {
    /// Reads the files of a configuration.
    ///
    /// # Errors
    ///
    /// `failed_precondition` or `invalid_argument`, with the file and the problem.
    pub(crate) fn load(config: ServerTlsConfig) -> Result<Self> {
        let texts = config.files.read()?;
        config.files.warn_of_readable_key();
        let rustls = Arc::new(build(&config, &texts)?);
        if let Err(problem) = config.files.check_validity(&texts) {
            tracing::warn!(target: "rpc", "{}; clients will refuse it", problem.message());
        }
        let inner = ServerTlsInner {
            config,
            current: RwLock::new(Loaded { rustls, texts }),
            refused: LogThrottle::default(),
        };
        Ok(Self(Arc::new(inner)))
    }

    /// Returns whether both are clones of one value.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Returns the content of the files that is in use.
    pub(crate) fn texts(&self) -> TlsTexts {
        self.0.current.read_unpoisoned().texts.clone()
    }

    /// Reads the files again. Blocks.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub(crate) fn read(&self) -> Result<TlsTexts> {
        self.0.config.files.read()
    }

    /// Uses the content of the files for new connections.
    ///
    /// # Errors
    ///
    /// `invalid_argument` for content that cannot be used, or a certificate that is not valid now.
    /// The old one stays in use.
    pub(crate) fn apply(&self, texts: &TlsTexts) -> Result<()> {
        let rustls = Arc::new(build(&self.0.config, texts)?);
        self.0.config.files.check_validity(texts)?;
        let texts = texts.clone();
        *self.0.current.write_unpoisoned() = Loaded { rustls, texts };
        Ok(())
    }

    /// Returns the files, for the log.
    pub(crate) fn files(&self) -> String {
        let pair = self.0.config.files.pair.as_ref();
        pair.map_or_else(String::new, |(certificate, key)| {
            format!("{} and {}", certificate.display(), key.display())
        })
    }

    /// Returns whether the listener verifies the certificates of its peers.
    pub(crate) fn verifies_clients(&self) -> bool {
        self.0.config.clients != ClientCertificates::Ignored
    }

    /// Runs the handshake of a connection. The caller must set a timeout.
    ///
    /// # Errors
    ///
    /// The I/O error, which has the reason of rustls in it.
    pub(crate) async fn accept<I>(&self, io: I) -> io::Result<TlsStream<I>>
    where
        I: AsyncRead + AsyncWrite + Unpin,
    {
        let current = Arc::clone(&self.0.current.read_unpoisoned().rustls);
        TlsAcceptor::from(current).accept(io).await
    }

    /// Returns the verified certificate of the peer, if it has sent one.
    ///
    /// # Errors
    ///
    /// An I/O error for a certificate whose names cannot be read.
    pub(crate) fn peer_certificate<I>(
        &self,
        stream: &TlsStream<I>,
    ) -> io::Result<Option<Arc<PeerCertificate>>> {
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let Some(der) = chain.first() else {
            return Ok(None);
        };
        match peer_certificate(der) {
            Some(certificate) => Ok(Some(Arc::new(certificate))),
            None => Err(io::Error::other(
                "the names of the client certificate cannot be read",
            )),
        }
    }

    /// Logs a failed handshake: as a warning if a certificate was the reason, with a count because
    /// peers choose how often.
    pub(crate) fn failed(&self, peer: Option<std::net::SocketAddr>, error: &io::Error) {
        let peer = peer.map(tracing::field::display);
        let reason = EscapeControl(&error.to_string()).to_string();
        if !is_about_certificates(error) {
            tracing::debug!(target: "rpc", peer, reason, "a TLS handshake failed");
        } else if let Some(count) = self.0.refused.record() {
            tracing::warn!(
                target: "rpc",
                peer,
                reason,
                count,
                "a TLS handshake failed because of a certificate; `count` so far"
            );
        }
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServerTls").field(&self.0.config).finish()
    }
}

fn build(config: &ServerTlsConfig, texts: &TlsTexts) -> Result<rustls::ServerConfig> {
    let internal = |error: &dyn fmt::Display| {
        let text = format!("failed to set up TLS: {error}");
        Error::without_location(Code::Internal, text)
    };
    let builder = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| internal(&error))?;
    let builder = if config.clients == ClientCertificates::Ignored {
        builder.with_no_client_auth()
    } else {
        let roots = Arc::new(config.files.parse_authorities(texts)?);
        let mut verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
        if config.clients == ClientCertificates::Optional {
            verifier = verifier.allow_unauthenticated();
        }
        builder.with_client_cert_verifier(verifier.build().map_err(|error| internal(&error))?)
    };
    let Some((chain, key)) = config.files.parse_pair(texts)? else {
        return Err(internal(&"no certificate is configured"));
    };
    let mut built = builder
        .with_single_cert(chain, key)
        .map_err(|error| config.files.invalid_pair(&error))?;
    built.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
    Ok(built)
}

/// Returns whether a certificate is the reason of a failed handshake: that of the peer, or that of
/// this server, which the peer refuses.
fn is_about_certificates(error: &io::Error) -> bool {
    use rustls::AlertDescription::{
        BadCertificate, CertificateExpired, CertificateRevoked, CertificateUnknown, UnknownCA,
        UnsupportedCertificate,
    };
    let reason = error.get_ref().and_then(|error| error.downcast_ref());
    matches!(
        reason,
        Some(
            rustls::Error::NoCertificatesPresented
                | rustls::Error::InvalidCertificate(_)
                | rustls::Error::AlertReceived(
                    BadCertificate
                        | CertificateExpired
                        | CertificateRevoked
                        | CertificateUnknown
                        | UnknownCA
                        | UnsupportedCertificate
                )
        )
    )
}

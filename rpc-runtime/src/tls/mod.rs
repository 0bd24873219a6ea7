//! TLS on rustls, apart from connections: certificates and keys from files, and the names of
//! certificates.

mod names;
mod pem;

use std::sync::{Arc, OnceLock};

use rustls::crypto::{CryptoProvider, aws_lc_rs};

pub(crate) use self::names::peer_certificate;
pub(crate) use self::pem::{TlsFiles, TlsTexts};

/// The HTTP versions that a handshake may select (ALPN), the preferred one first.
pub(crate) const HTTP2: &[u8] = b"h2";
pub(crate) const HTTP1: &[u8] = b"http/1.1";

/// Returns the cryptography of all connections. Not the default of the process, which another crate
/// may set.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(aws_lc_rs::default_provider())))
}

//! Setting TLS for a client.

use super::builder::ClientBuilder;
use super::transport::ClientTlsConfig;

impl ClientBuilder {
    /// Sets the certificates for `https` URLs. `http` and `unix` URLs stay without TLS.
    ///
    /// Needs the feature `tls`.
    pub fn tls(mut self, config: ClientTlsConfig) -> Self {
        self.tls = Some(config);
        self
    }
}

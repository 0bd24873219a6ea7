//! Setting TLS for a server and for a listener.

use super::Server;
use super::transport::listen::settings::ListenOptions;
use super::transport::tls::ServerTlsConfig;

impl Server {
    /// Serves TLS on all TCP listeners that have no configuration of their own
    /// ([`ListenOptions::tls`]), and on the listener of [`serve`](Self::serve). Unix sockets stay
    /// without it. `--tls-cert` and `--tls-key` take precedence.
    ///
    /// Needs the feature `tls`.
    pub fn tls(mut self, config: ServerTlsConfig) -> Self {
        self.process.tls = Some(config);
        self
    }
}

impl ListenOptions {
    /// Serves TLS on this listener.
    ///
    /// Needs the feature `tls`.
    pub fn tls(mut self, config: ServerTlsConfig) -> Self {
        self.tls = Some(config);
        self
    }
}

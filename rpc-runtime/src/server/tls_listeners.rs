//! The value of the option `--tls-listeners`.

use clap::ValueEnum;

/// The listeners that serve TLS with the certificate of `--tls-cert`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
#[non_exhaustive]
pub enum TlsListeners {
    /// All TCP listeners.
    #[default]
    All,
    /// Edge listeners only.
    Edge,
    /// Internal listeners only.
    Internal,
}

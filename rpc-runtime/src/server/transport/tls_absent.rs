//! Replaces the module `tls` without the feature `tls`: no listener has TLS.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use crate::context::PeerCertificate;
use crate::error::{Code, Error, Result};

/// The content of certificate files, which does not exist without the feature `tls`.
pub(crate) type TlsTexts = Infallible;

/// The configuration of a TLS listener, which does not exist without the feature `tls`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerTlsConfig {}

/// The TLS state of a listener, which does not exist without the feature `tls`.
#[derive(Debug, Clone)]
pub(crate) enum ServerTls {}

/// A TLS connection, which does not exist without the feature `tls`.
type TlsStream<I> = I;

impl ServerTlsConfig {
    pub(crate) fn or_clients_of(self, _: Option<&Self>) -> Self {
        match self {}
    }
}

impl ServerTls {
    pub(crate) fn load(config: ServerTlsConfig) -> Result<Self> {
        match config {}
    }

    pub(crate) fn is_same(&self, _: &Self) -> bool {
        match *self {}
    }

    pub(crate) fn texts(&self) -> TlsTexts {
        match *self {}
    }

    pub(crate) fn read(&self) -> Result<TlsTexts> {
        match *self {}
    }

    pub(crate) fn apply(&self, _: &TlsTexts) -> Result<()> {
        match *self {}
    }

    pub(crate) fn files(&self) -> String {
        match *self {}
    }

    pub(crate) fn verifies_clients(&self) -> bool {
        match *self {}
    }

    #[allow(clippy::unused_async, reason = "the same signature as with `tls`")]
    pub(crate) async fn accept<I>(&self, _: I) -> io::Result<TlsStream<I>> {
        match *self {}
    }

    pub(crate) fn peer_certificate<I>(
        &self,
        _: &TlsStream<I>,
    ) -> io::Result<Option<Arc<PeerCertificate>>> {
        match *self {}
    }

    pub(crate) fn failed(&self, _: Option<SocketAddr>, _: &io::Error) {
        match *self {}
    }
}

/// Returns the error for options of TLS.
pub(crate) fn from_options(_: PathBuf, _: PathBuf, _: Option<PathBuf>) -> Result<ServerTlsConfig> {
    Err(Error::without_location(
        Code::Unimplemented,
        "TLS needs the feature `tls` of rpc-runtime",
    ))
}

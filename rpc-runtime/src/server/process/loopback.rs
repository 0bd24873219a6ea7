//! Servers of tests, on free ports.

use std::sync::Arc;

use super::bound::BoundServer;
use crate::server::inner::ServerInner;
use crate::server::transport::listen::settings::ListenOptions;
use crate::server::{Server, Trust};

/// A free port of this host.
const FREE_PORT: &str = "127.0.0.1:0";

impl Server {
    /// Replaces the TCP addresses by free ports on loopback, and adds one to a server without an
    /// address.
    pub(crate) fn on_loopback(mut self) -> Self {
        let listen = &mut self.process.listen;
        for at in listen.iter_mut() {
            if !at.address.starts_with("unix:") {
                FREE_PORT.clone_into(&mut at.address);
            }
        }
        if listen.is_empty() {
            let trust = self.process.trust.unwrap_or(Trust::Internal);
            listen.push(ListenOptions::new(FREE_PORT.to_owned(), trust));
        }
        self
    }
}

impl BoundServer {
    /// Returns a handle that tells whether the server is ready.
    pub(crate) fn readiness(&self) -> Readiness {
        Readiness(Arc::clone(&self.inner))
    }
}

/// A handle to the readiness of a server.
pub(crate) struct Readiness(Arc<ServerInner>);

impl Readiness {
    /// Succeeds if the server is ready to receive calls.
    pub(crate) async fn check(&self) -> Result<(), String> {
        self.0.lifecycle().ready().await
    }
}

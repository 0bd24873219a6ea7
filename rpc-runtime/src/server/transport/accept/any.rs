//! The accept loop of a listener of the program.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;

use super::accept;
use crate::server::inner::ServerInner;
use crate::server::process::lifecycle::Phase;
use crate::server::transport::listen::accept::Accept;
use crate::server::transport::listen::settings::ListenerSettings;
use crate::server::transport::listen::{AcceptLoop, AnyListener};

impl<L: Accept> AnyListener for L {
    fn run(
        self: Box<Self>,
        inner: Arc<ServerInner>,
        settings: Arc<ListenerSettings>,
        phase: watch::Receiver<Phase>,
    ) -> AcceptLoop {
        Box::pin(accept(*self, inner, settings, phase))
    }

    fn address(&self) -> Option<SocketAddr> {
        self.local_address()
    }
}

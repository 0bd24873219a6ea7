//! A listener of the program, whose type is not known.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::watch;

use super::settings::ListenerSettings;
use crate::server::inner::ServerInner;
use crate::server::process::lifecycle::Phase;

/// The accept loop of a listener.
pub(crate) type AcceptLoop = Pin<Box<dyn Future<Output = ()> + Send>>;

/// An [`Accept`](super::accept::Accept) of any type.
pub(crate) trait AnyListener: Send {
    /// Accepts and serves connections.
    fn run(
        self: Box<Self>,
        inner: Arc<ServerInner>,
        settings: Arc<ListenerSettings>,
        phase: watch::Receiver<Phase>,
    ) -> AcceptLoop;

    fn address(&self) -> Option<SocketAddr>;
}

impl fmt::Debug for dyn AnyListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AnyListener").field(&self.address()).finish()
    }
}

//! The signal of a server to its work that it stops.

use std::any::Any;
use std::fmt;
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;

/// Tells work of a server that the server stops. Clones tell the same.
///
/// A background task of a server (`Server::task`) gets it as its argument, a handler from
/// [`Context::shutdown`](crate::Context::shutdown).
///
/// ```
/// use rpc_runtime::Shutdown;
///
/// // Outside of a server, no shutdown is ever requested.
/// assert!(!Shutdown::default().is_requested());
/// ```
#[derive(Clone, Default)]
pub struct Shutdown(Option<Arc<dyn ServerWork>>);

/// The work of a server that is outside of its calls. The server implements it.
pub(crate) trait ServerWork: Send + Sync {
    /// Returns whether the server stops.
    fn is_stopping(&self) -> bool;
    /// Completes when the server stops.
    fn stopping(&self) -> Pin<Box<dyn Future<Output = ()> + Send>>;
    /// Counts a task, for which the stop waits until the value is dropped.
    fn begin_task(&self) -> Box<dyn Any + Send>;
}

impl Shutdown {
    /// Returns that of a server's work. `None` outside of a server.
    pub(super) fn of(work: Option<Arc<dyn ServerWork>>) -> Self {
        Self(work)
    }

    pub(crate) fn new(work: Arc<dyn ServerWork>) -> Self {
        Self(Some(work))
    }

    /// Returns whether the server stops.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.0.as_ref().is_some_and(|work| work.is_stopping())
    }

    /// Completes when the server stops, at once if it does already. Outside of a server it never
    /// completes.
    ///
    /// # Cancellation
    ///
    /// Nothing is lost if the future is dropped, so it fits into `tokio::select!`.
    pub async fn requested(&self) {
        match &self.0 {
            Some(work) => work.stopping().await,
            None => pending().await,
        }
    }
}

impl fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shutdown")
            .field("is_requested", &self.is_requested())
            .finish()
    }
}

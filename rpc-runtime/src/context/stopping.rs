//! The stop of the server, for its handlers.

use super::{Context, Shutdown};

impl Context {
    /// Returns what tells a handler, or its task, that its server stops.
    ///
    /// The server serves its calls to their end, at most for `Limits::drain_timeout`. Work that
    /// would take longer ends early:
    ///
    /// ```
    /// use rpc_runtime::{Context, Result};
    ///
    /// async fn watch(changes: impl AsyncFn() -> u64) -> Result<Option<u64>> {
    ///     let shutdown = Context::current().shutdown();
    ///     tokio::select! {
    ///         change = changes() => Ok(Some(change)),
    ///         () = shutdown.requested() => Ok(None),
    ///     }
    /// }
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    /// # assert_eq!(runtime.block_on(watch(async || 7)).unwrap(), Some(7));
    /// ```
    #[must_use]
    pub fn shutdown(&self) -> Shutdown {
        let work = self.server_info().and_then(|server| server.work());
        Shutdown::of(work.cloned())
    }
}

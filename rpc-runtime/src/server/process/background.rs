//! Adds background tasks and the work at the stop to a server.

use super::tasks::{BackgroundTask, ShutdownHook, TaskOutcome};
use crate::context::Shutdown;
use crate::server::Server;

impl Server {
    /// Adds a background task, such as one that refreshes a cache or reads a queue.
    ///
    /// The task starts when the server serves, in [the context of the
    /// server](crate::BoundServer::context). One that panics or returns an error is logged and
    /// started again, after 1 s at first and at most 30 s. It ends with `Ok(())`, or `()`.
    ///
    /// At the stop of the server, the task learns so from its [`Shutdown`] and has until the end of
    /// the drain ([`drain_timeout`](crate::Limits::drain_timeout)) to end; then it is dropped, with
    /// a warning. [`into_router`](Self::into_router) and
    /// [`into_local_client`](Self::into_local_client) start no task.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use rpc_runtime::Server;
    ///
    /// let server = Server::new("pricing").task("refresh", |shutdown| async move {
    ///     while !shutdown.is_requested() {
    ///         // … read the prices …
    ///         tokio::select! {
    ///             () = tokio::time::sleep(Duration::from_secs(60)) => {}
    ///             () = shutdown.requested() => {}
    ///         }
    ///     }
    /// });
    /// # drop(server);
    /// ```
    pub fn task<F, Fut>(mut self, name: impl Into<String>, task: F) -> Self
    where
        F: Fn(Shutdown) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: TaskOutcome> + Send + 'static,
    {
        self.process.background.tasks.push(BackgroundTask {
            name: name.into(),
            run: Box::new(move |shutdown| {
                let running = task(shutdown);
                Box::pin(async move { running.await.into_result() })
            }),
        });
        self
    }

    /// Adds work for the end of a stop, such as closing a database: it runs after the last call and
    /// the last background task, and before [`serve`](Self::serve) and [`run`](Self::run) return.
    ///
    /// What is added last runs first. All of it together has the rest of the
    /// [`drain_timeout`](crate::Limits::drain_timeout), and at least 1 s; what takes longer is
    /// dropped, with a warning. A panic or an error is logged. To learn of a stop at its begin, see
    /// [`task`](Self::task) and [`Context::shutdown`](crate::Context::shutdown).
    ///
    /// ```
    /// use rpc_runtime::Server;
    ///
    /// let server = Server::new("pricing").on_shutdown("prices", async || {
    ///     // … write what is not written yet …
    /// });
    /// # drop(server);
    /// ```
    pub fn on_shutdown<F, Fut>(mut self, name: impl Into<String>, work: F) -> Self
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output: TaskOutcome> + Send + 'static,
    {
        self.process.background.hooks.push(ShutdownHook {
            name: name.into(),
            run: Box::new(move || {
                let running = work();
                Box::pin(async move { running.await.into_result() })
            }),
        });
        self
    }
}

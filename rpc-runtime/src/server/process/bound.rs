//! From bound addresses to a drained server.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::flags_file::FlagsFileWatcher;
use super::lifecycle::Phase;
use crate::context::{Context, Source};
use crate::identity::IdentityKeys;
use crate::server::Trust;
use crate::server::inner::ServerInner;
use crate::server::transport::accept;
use crate::server::transport::listen::Listener;

/// The longest that idle connections are kept for a request that may be on its way to a stopping server.
const MAX_GOING_AWAY: Duration = Duration::from_secs(1);

/// A server whose addresses are bound and that answers nobody yet.
#[derive(Debug)]
#[must_use = "a bound server answers nobody before `serve`"]
pub struct BoundServer {
    pub(crate) inner: Arc<ServerInner>,
    listeners: Vec<(Listener, Trust)>,
}

impl BoundServer {
    pub(crate) fn new(inner: Arc<ServerInner>, listeners: Vec<(Listener, Trust)>) -> Self {
        Self { inner, listeners }
    }

    /// The addresses in the order in which they were given, without Unix sockets.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners
            .iter()
            .filter_map(|(listener, _)| listener.address())
            .collect()
    }

    /// All listeners as URLs for clients on this host, such as `http://127.0.0.1:9002` and `unix:/run/logsink.sock`.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.listeners
            .iter()
            .map(|(listener, _)| listener.url())
            .collect()
    }

    /// The first of [`urls`](Self::urls).
    #[must_use]
    pub fn url(&self) -> String {
        self.listeners
            .first()
            .map(|(listener, _)| listener.url())
            .unwrap_or_default()
    }

    /// The context of what the server does of its own accord: no request, but this server as the source of its calls and
    /// of its log lines, and its keys.
    ///
    /// ```
    /// # use rpc_runtime::{Context, Result, Server};
    /// # async fn example() -> Result<()> {
    /// let server = Server::new("pricing").listen("127.0.0.1:0").bind().await?;
    /// tokio::spawn(server.context().scope(async {
    ///     assert!(Context::current().server().is_some());
    ///     tracing::info!("reading yesterday's prices");
    /// }));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn context(&self) -> Context {
        Context::for_server(Arc::clone(self.inner.server_info()))
    }

    /// The server, as it is known to others.
    pub(crate) fn source(&self) -> &Source {
        self.inner.source()
    }

    /// The keys by which the server knows its callers.
    pub(crate) fn identity(&self) -> Option<&IdentityKeys> {
        self.inner.identity()
    }

    /// The internal listeners that other hosts can reach, where the server has no keys to know them by.
    pub(crate) fn open_addresses(&self) -> impl Iterator<Item = SocketAddr> {
        let has_keys = self.identity().is_some();
        let internal = self
            .listeners
            .iter()
            .filter(move |listener| listener.1 == Trust::Internal && !has_keys);
        internal
            .filter_map(|(listener, _)| listener.address())
            .filter(|address| !address.ip().is_loopback())
    }

    /// Serves until `shutdown` is done, then stops step by step.
    ///
    /// 1. For [`lame_duck`](crate::server::Limits::lame_duck) `/readyz` says no, and everything else goes on.
    /// 2. For as long, at most 1 s, answers carry `Connection: close` (over HTTP/2, there is a GOAWAY) and no new
    ///    connections are taken; idle ones are kept for a request that may be on its way.
    /// 3. Idle connections are closed, and running calls have [`drain_timeout`](crate::server::Limits::drain_timeout), counted
    ///    from step 2, before they are dropped.
    ///
    /// # Cancellation
    ///
    /// Dropping the future ends all connections and drops the calls that run on them.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send) {
        // What happens outside of calls is the server's as well, and is logged as such.
        let context = self.context();
        context.scope(self.serve_until(shutdown)).await;
    }

    async fn serve_until(self, shutdown: impl Future<Output = ()> + Send) {
        let Self { inner, listeners } = self;
        let (stop, stopped) = watch::channel(Phase::Serving);
        let _watching = FlagsFileWatcher::start(inner.server_info().flags());
        let mut accepting = JoinSet::new();
        for (listener, trust) in listeners {
            spawn(&mut accepting, listener, &inner, trust, &stopped);
        }
        let enter = |phase| {
            inner.lifecycle().enter(phase);
            stop.send_replace(phase);
        };
        enter(Phase::Serving);
        shutdown.await;
        enter(Phase::LameDuck);
        let lame_duck = inner.limits().lame_duck;
        if !lame_duck.is_zero() {
            tracing::info!(target: "rpc", ?lame_duck, "lame duck: not ready, and still serving");
            sleep(lame_duck).await;
        }
        let started = Instant::now();
        let mut drained = pin!(async { while accepting.join_next().await.is_some() {} });
        let mut is_drained = false;
        if !lame_duck.is_zero() {
            enter(Phase::GoingAway);
            // Over before its time when no connection is left.
            is_drained = timeout(lame_duck.min(MAX_GOING_AWAY), &mut drained)
                .await
                .is_ok();
        }
        enter(Phase::Closing);
        if !is_drained {
            drained.await;
        }
        let patience = inner.limits().drain_timeout;
        finish_tasks(&inner, patience.saturating_sub(started.elapsed())).await;
    }
}

fn spawn(
    accepting: &mut JoinSet<()>,
    listener: Listener,
    inner: &Arc<ServerInner>,
    trust: Trust,
    stopped: &watch::Receiver<Phase>,
) {
    let (inner, stopped) = (Arc::clone(inner), stopped.clone());
    // A task has the context that it is given.
    let context = Context::current();
    match listener {
        Listener::Tcp(listener) => {
            accepting.spawn(context.scope(accept::accept(listener, inner, trust, stopped)))
        }
        #[cfg(unix)]
        Listener::Unix(socket) => {
            accepting.spawn(context.scope(accept::accept(socket, inner, trust, stopped)))
        }
    };
}

/// Waits for the work of `detached` methods.
async fn finish_tasks(inner: &ServerInner, patience: Duration) {
    let tasks = inner.tasks();
    tasks.close();
    if timeout(patience, tasks.wait()).await.is_err() {
        tracing::warn!(target: "rpc", left = tasks.len(), "stopped before all detached work was done");
    }
}

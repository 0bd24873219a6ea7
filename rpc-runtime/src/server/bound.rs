//! From bound addresses to a drained server.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::core::Core;
use super::flags::WatchingFile;
use super::lifecycle::Phase;
use super::listen::Listener;
use super::{Trust, accept};
use crate::context::{Context, Source};
use crate::identity::IdentityKeys;

/// The longest that idle connections are kept for a request that may be on its way to a stopping server.
const LAST_CALL: Duration = Duration::from_secs(1);

/// A server whose addresses are bound and that answers nobody yet.
#[derive(Debug)]
#[must_use = "a bound server answers nobody before `serve`"]
pub struct Bound {
    pub(super) core: Arc<Core>,
    listeners: Vec<(Listener, Trust)>,
}

impl Bound {
    pub(super) fn new(core: Arc<Core>, listeners: Vec<(Listener, Trust)>) -> Self {
        Self { core, listeners }
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
        Context::for_server(Arc::clone(self.core.server_info()))
    }

    /// The server, as it is known to others.
    pub(super) fn source(&self) -> &Source {
        self.core.source()
    }

    /// The keys by which the server knows its callers.
    pub(super) fn identity(&self) -> Option<&IdentityKeys> {
        self.core.identity()
    }

    /// The internal listeners that other hosts can reach, where the server has no keys to know them by.
    pub(super) fn open_addresses(&self) -> impl Iterator<Item = SocketAddr> {
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
    /// 1. For [`lame_duck`](super::Limits::lame_duck) `/readyz` says no, and everything else goes on.
    /// 2. For as long, at most 1 s, answers carry `Connection: close` (over HTTP/2, there is a GOAWAY) and no new
    ///    connections are taken; idle ones are kept for a request that may be on its way.
    /// 3. Idle connections are closed, and running calls have [`drain_timeout`](super::Limits::drain_timeout), counted
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
        let Self { core, listeners } = self;
        let (stop, stopped) = watch::channel(Phase::Serving);
        let _watching = WatchingFile::start(core.server_info().flags());
        let mut accepting = JoinSet::new();
        for (listener, trust) in listeners {
            spawn(&mut accepting, listener, &core, trust, &stopped);
        }
        let enter = |phase| {
            core.lifecycle().enter(phase);
            stop.send_replace(phase);
        };
        enter(Phase::Serving);
        shutdown.await;
        enter(Phase::LameDuck);
        let lame_duck = core.limits().lame_duck;
        if !lame_duck.is_zero() {
            tracing::info!(target: "rpc", ?lame_duck, "lame duck: not ready, and still serving");
            sleep(lame_duck).await;
        }
        let started = Instant::now();
        let mut drained = pin!(async { while accepting.join_next().await.is_some() {} });
        let mut is_drained = false;
        if !lame_duck.is_zero() {
            enter(Phase::LastCall);
            // Over before its time when no connection is left.
            is_drained = timeout(lame_duck.min(LAST_CALL), &mut drained)
                .await
                .is_ok();
        }
        enter(Phase::Closing);
        if !is_drained {
            drained.await;
        }
        let patience = core.limits().drain_timeout;
        finish_tasks(&core, patience.saturating_sub(started.elapsed())).await;
    }
}

fn spawn(
    accepting: &mut JoinSet<()>,
    listener: Listener,
    core: &Arc<Core>,
    trust: Trust,
    stopped: &watch::Receiver<Phase>,
) {
    let (core, stopped) = (Arc::clone(core), stopped.clone());
    // A task has the context that it is given.
    let context = Context::current();
    match listener {
        Listener::Tcp(listener) => {
            accepting.spawn(context.scope(accept::accept(listener, core, trust, stopped)))
        }
        #[cfg(unix)]
        Listener::Unix(socket) => {
            accepting.spawn(context.scope(accept::accept(socket, core, trust, stopped)))
        }
    };
}

/// Waits for the work of `detached` methods.
async fn finish_tasks(core: &Core, patience: Duration) {
    let tasks = core.tasks();
    tasks.close();
    if timeout(patience, tasks.wait()).await.is_err() {
        tracing::warn!(target: "rpc", left = tasks.len(), "stopped before all detached work was done");
    }
}

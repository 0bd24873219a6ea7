//! A bound server: serving, and stopping in phases.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::flags_file::FlagsFileWatcher;
use super::lifecycle::Phase;
use super::tasks::Background;
use super::tls_files::TlsFilesWatcher;
use crate::context::{Context, Source};
use crate::flags::Flags;
use crate::identity::IdentityKeys;
use crate::server::Trust;
use crate::server::inner::ServerInner;
use crate::server::transport::accept;
use crate::server::transport::accept::activity::INCOMPLETE_TIMEOUT;
use crate::server::transport::listen::{BoundListener, Listener};
use crate::server::transport::tls::ServerTls;

/// Maximum time for which a stopping server keeps idle connections open. A request may be in
/// transit on them.
const MAX_GOING_AWAY: Duration = Duration::from_secs(1);

/// Lame duck time after SIGTERM if none is set. Callers with open connections learn in this time
/// that the server is going away.
const LAME_DUCK_AFTER_SIGTERM: Duration = Duration::from_millis(500);

/// The reason why a server stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopCause {
    /// The program or a person at the terminal asked for it.
    Requested,
    /// SIGTERM: a supervisor stops the process, and other instances may take over.
    Terminated,
}

/// A server whose addresses are bound, but that does not accept connections yet.
#[derive(Debug)]
#[must_use = "a bound server does not accept connections before `serve`"]
pub struct BoundServer {
    pub(crate) inner: Arc<ServerInner>,
    listeners: Vec<BoundListener>,
    /// Lame duck time after SIGTERM.
    after_sigterm: Duration,
    background: Background,
}

impl BoundServer {
    /// Creates a bound server. `lame_duck` is the time that an operator has set.
    pub(crate) fn new(
        inner: Arc<ServerInner>,
        listeners: Vec<BoundListener>,
        lame_duck: Option<Duration>,
        background: Background,
    ) -> Self {
        let of_program = inner.limits().lame_duck;
        let of_program = (!of_program.is_zero()).then_some(of_program);
        Self {
            inner,
            listeners,
            after_sigterm: lame_duck.or(of_program).unwrap_or(LAME_DUCK_AFTER_SIGTERM),
            background,
        }
    }

    /// Returns the bound TCP addresses, in the order in which they were configured. Unix sockets
    /// are left out.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners
            .iter()
            .filter_map(|bound| bound.listener.address())
            .collect()
    }

    /// Returns all listeners as URLs for clients on this host, such as `http://127.0.0.1:9002` and
    /// `unix:/run/logsink.sock`.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.listeners.iter().map(BoundListener::url).collect()
    }

    /// Returns all listeners as [`urls`](Self::urls) does, with their kinds.
    pub(crate) fn urls_with_trust(&self) -> impl Iterator<Item = (String, Trust)> {
        let listeners = self.listeners.iter();
        listeners.map(|bound| (bound.url(), bound.settings.trust))
    }

    /// Returns the first of [`urls`](Self::urls).
    #[must_use]
    pub fn url(&self) -> String {
        self.listeners
            .first()
            .map(BoundListener::url)
            .unwrap_or_default()
    }

    /// Returns the context for work of the server outside of calls. It has no request. Calls and
    /// log lines in it have this server as their source, and calls are signed with its keys.
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

    /// Returns a handle to the flags of the server, for reading and changing them while it runs.
    #[must_use]
    pub fn flags(&self) -> Flags {
        self.inner.server_info().flags().clone()
    }

    /// Returns the name, environment and instance by which other services know this server.
    pub(crate) fn source(&self) -> &Source {
        self.inner.source()
    }

    /// Returns the keys with which the server authenticates its callers.
    pub(crate) fn identity(&self) -> Option<&IdentityKeys> {
        self.inner.identity()
    }

    /// Returns the TLS of the listeners, each once.
    pub(crate) fn tls(&self) -> Vec<ServerTls> {
        let mut all = Vec::<&ServerTls>::new();
        for tls in self
            .listeners
            .iter()
            .filter_map(|at| at.settings.tls.as_ref())
        {
            if all.iter().all(|known| !known.is_same(tls)) {
                all.push(tls);
            }
        }
        all.into_iter().cloned().collect()
    }

    /// Returns the non-loopback addresses of internal listeners that know no caller on other hosts:
    /// the server has no identity keys, and they verify no client certificates.
    pub(crate) fn open_addresses(&self) -> impl Iterator<Item = SocketAddr> {
        let has_keys = self.identity().is_some();
        let internal = self
            .listeners
            .iter()
            .filter(move |at| at.settings.trust == Trust::Internal && !has_keys)
            .filter(|at| !at.settings.verifies_clients());
        internal
            .filter_map(|at| at.listener.address())
            .filter(|address| !address.ip().to_canonical().is_loopback())
    }

    /// Serves until `shutdown` completes, then stops in three steps:
    ///
    /// 1. For [`lame_duck`](crate::Limits::lame_duck), `/readyz` reports not ready, and the
    ///    server keeps serving. Step 3 follows directly if it is 0.
    /// 2. For the same time, but at most 1 s, no new connections are accepted. Responses carry
    ///    `Connection: close`, and HTTP/2 connections send GOAWAY. Idle HTTP/1 connections stay
    ///    open, because a request may be in transit on them.
    /// 3. Idle connections are closed. Calls that are still running
    ///    [`drain_timeout`](crate::Limits::drain_timeout) after the start of step 2 are
    ///    dropped. Requests that are incomplete 3 s after the start of this step are rejected with
    ///    `unavailable`, or their connections are closed.
    ///
    /// At the begin, background tasks and handlers learn of the stop: see [`Server::task`]. At the
    /// end, the work of [`Server::on_shutdown`] is done.
    ///
    /// [`Server::task`]: crate::Server::task
    /// [`Server::on_shutdown`]: crate::Server::on_shutdown
    ///
    /// # Cancellation
    ///
    /// Dropping the future closes all connections and drops their running calls.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send) {
        let stop = async {
            shutdown.await;
            StopCause::Requested
        };
        self.serve_until(stop).await;
    }

    /// Serves like [`serve`](Self::serve). After SIGTERM, the lame duck time has another default.
    pub(crate) async fn serve_until(self, stop: impl Future<Output = StopCause> + Send) {
        // Work outside of calls is logged with this server as its source.
        let context = self.context();
        context.scope(self.serve_in_phases(stop)).await;
    }

    async fn serve_in_phases(self, stop: impl Future<Output = StopCause> + Send) {
        let _certificates = TlsFilesWatcher::start(self.tls().into_iter());
        let Self {
            inner,
            listeners,
            after_sigterm,
            background,
        } = self;
        let (phase, phases) = watch::channel(Phase::Serving);
        let _watching = FlagsFileWatcher::start(inner.server_info().flags());
        let mut accepting = JoinSet::new();
        for listener in listeners {
            spawn(&mut accepting, listener, &inner, &phases);
        }
        let enter = |next| {
            inner.lifecycle().enter(next);
            phase.send_replace(next);
        };
        enter(Phase::Serving);
        let background = background.start(inner.work());
        let lame_duck = match stop.await {
            StopCause::Requested => inner.limits().lame_duck,
            StopCause::Terminated => after_sigterm,
        };
        enter(Phase::LameDuck);
        inner.work().stop();
        if !lame_duck.is_zero() {
            tracing::info!(target: "rpc", ?lame_duck, "lame duck: reporting not ready, still serving");
            sleep(lame_duck).await;
        }
        let started = Instant::now();
        let accepted = async { while accepting.join_next().await.is_some() {} };
        let mut drained = pin!(end_streams_after(&inner, accepted));
        let mut is_drained = false;
        if !lame_duck.is_zero() {
            enter(Phase::GoingAway);
            // Ends early when all connections are closed.
            is_drained = timeout(lame_duck.min(MAX_GOING_AWAY), &mut drained)
                .await
                .is_ok();
        }
        enter(Phase::Closing);
        if !is_drained && timeout(INCOMPLETE_TIMEOUT, &mut drained).await.is_err() {
            inner.lifecycle().end_incomplete();
            drained.await;
        }
        let drain_timeout = inner.limits().drain_timeout;
        finish_tasks(&inner, drain_timeout.saturating_sub(started.elapsed())).await;
        let end = started.checked_add(drain_timeout).unwrap_or(started);
        background.finish(end).await;
    }
}

/// Waits for the connections of a stopping server, and ends its streams after a while.
async fn end_streams_after(inner: &ServerInner, accepted: impl Future<Output = ()>) {
    let mut accepted = pin!(accepted);
    let patience = inner.limits().stream_drain_timeout;
    if timeout(patience, &mut accepted).await.is_err() {
        inner.lifecycle().end_streams();
        accepted.await;
    }
}

fn spawn(
    accepting: &mut JoinSet<()>,
    bound: BoundListener,
    inner: &Arc<ServerInner>,
    phase: &watch::Receiver<Phase>,
) {
    let BoundListener { listener, settings } = bound;
    let (inner, phase) = (Arc::clone(inner), phase.clone());
    // A spawned task does not inherit the context.
    let context = Context::current();
    match listener {
        Listener::Tcp(tcp) => {
            accepting.spawn(context.scope(accept::accept(tcp, inner, settings, phase)))
        }
        #[cfg(unix)]
        Listener::Unix(socket) => {
            accepting.spawn(context.scope(accept::accept(socket, inner, settings, phase)))
        }
        Listener::Any(any) => accepting.spawn(context.scope(any.run(inner, settings, phase))),
    };
}

/// Waits for the work of `detached` methods and for tasks of handlers, at most for `limit`.
async fn finish_tasks(inner: &ServerInner, limit: Duration) {
    let tasks = inner.tasks();
    tasks.close();
    if timeout(limit, tasks.wait()).await.is_err() {
        tracing::warn!(target: "rpc", left = tasks.len(), "drain timeout reached: `left` detached tasks are still running");
    }
}

//! From bound addresses to a drained server.

use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing_subscriber::EnvFilter;

use super::core::Core;
use super::{Server, Trust, accept, panic};
use crate::error::{Code, Error, Result};

/// A server whose addresses are bound and that answers nobody yet.
#[derive(Debug)]
#[must_use = "a bound server answers nobody before `serve`"]
pub struct Bound {
    core: Arc<Core>,
    listeners: Vec<(TcpListener, Trust)>,
}

impl Bound {
    pub(super) fn new(core: Arc<Core>, listeners: Vec<(TcpListener, Trust)>) -> Self {
        Self { core, listeners }
    }

    /// The addresses, in the order in which they were given.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners
            .iter()
            .filter_map(|listener| listener.0.local_addr().ok())
            .collect()
    }

    /// The first address as a URL for clients on this host, such as `http://127.0.0.1:9002`.
    #[must_use]
    pub fn url(&self) -> String {
        // A bound server has an address; the system would have to lose it.
        let address = self.addresses().first().map(ToString::to_string);
        format!("http://{}", address.unwrap_or_default())
    }

    /// The internal listeners that other hosts can reach.
    fn open_addresses(&self) -> impl Iterator<Item = SocketAddr> {
        let internal = self
            .listeners
            .iter()
            .filter(|listener| listener.1 == Trust::Internal);
        internal
            .filter_map(|listener| listener.0.local_addr().ok())
            .filter(|address| !address.ip().is_loopback())
    }

    /// Serves until `shutdown` is done, then takes no more connections, and returns when the calls that run are
    /// done or [`Limits::drain_timeout`](super::Limits) has passed.
    ///
    /// # Cancellation
    ///
    /// Dropping the future ends all connections and drops the calls that run on them.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send) {
        let (stop, stopped) = watch::channel(false);
        let mut listeners = JoinSet::new();
        for (listener, trust) in self.listeners {
            listeners.spawn(accept::accept(
                listener,
                Arc::clone(&self.core),
                trust,
                stopped.clone(),
            ));
        }
        shutdown.await;
        // A receiver is always there: `stopped` lives to the end of this function.
        let _ = stop.send(true);
        let started = tokio::time::Instant::now();
        while listeners.join_next().await.is_some() {}
        self.core.tasks().close();
        let left = self
            .core
            .limits()
            .drain_timeout
            .saturating_sub(started.elapsed());
        if tokio::time::timeout(left, self.core.tasks().wait())
            .await
            .is_err()
        {
            tracing::warn!(target: "rpc", left = self.core.tasks().len(), "stopped before all detached work was done");
        }
        drop(stopped);
    }
}

pub(super) async fn bind(server: &str, address: &str) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let (code, advice) = match error.kind() {
            std::io::ErrorKind::AddrInUse => (Code::Unavailable, "; another process listens there"),
            std::io::ErrorKind::InvalidInput => {
                (Code::InvalidArgument, "; an address reads `127.0.0.1:9002`")
            }
            _ => (Code::Unavailable, ""),
        };
        Error::unlocated(
            code,
            format!("{server} cannot listen on {address}: {error}{advice}"),
        )
        .with_source(error)
    })
}

pub(super) async fn run(server: Server) -> Result<()> {
    install_subscriber();
    panic::install_hook();
    let name = server.name().to_owned();
    let bound = server.bind().await?;
    let mut signals = Signals::new()?;
    for address in bound.addresses() {
        announce(&format!("{name} listening on http://{address}"));
    }
    for address in bound.open_addresses() {
        tracing::warn!(
            target: "rpc",
            "{address} is an internal listener without a key: it answers peers on this host only, and refuses all others"
        );
    }
    let mut second = Signals::new()?;
    let serving = bound.serve(async move {
        let signal = signals.next().await;
        tracing::info!(target: "rpc", signal, "stopping: finishing the calls that run");
    });
    tokio::pin!(serving);
    let mut received = 0;
    loop {
        tokio::select! {
            () = &mut serving => return Ok(()),
            signal = second.next() => {
                received += 1;
                if received > 1 {
                    return Err(Error::unlocated(Code::Canceled, format!("ended by a second {signal} before all calls were done")));
                }
            }
        }
    }
}

/// Logs to stderr. Fails where the application has set a subscriber, and that one stays.
fn install_subscriber() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // Escape codes are for eyes, and not for files and pipes.
        .with_ansi(!plain && std::io::stderr().is_terminal())
        // It tells of a closed stderr on stderr, which panics: a log that nobody reads would end the server.
        .log_internal_errors(false)
        .try_init();
}

/// One line on stdout: what scripts and tests wait for.
fn announce(line: &str) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = writeln!(out, "{line}").and_then(|()| out.flush()) {
        tracing::warn!(target: "rpc", %error, "not printed: {line}");
    }
}

/// SIGINT and SIGTERM.
struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    #[cfg(unix)]
    fn new() -> Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let install = |kind| {
            signal(kind).map_err(|error| {
                Error::unlocated(Code::Internal, format!("cannot wait for signals: {error}"))
                    .with_source(error)
            })
        };
        Ok(Self {
            interrupt: install(SignalKind::interrupt())?,
            terminate: install(SignalKind::terminate())?,
        })
    }

    #[cfg(unix)]
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }

    #[cfg(not(unix))]
    fn new() -> Result<Self> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    async fn next(&mut self) -> &'static str {
        if tokio::signal::ctrl_c().await.is_err() {
            // Nothing will ever tell us to stop; serve on.
            std::future::pending::<()>().await;
        }
        "Ctrl-C"
    }
}

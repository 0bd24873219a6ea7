//! The accept loop: from a listener to HTTP connections, each with a bound on everything that a peer can delay.
//!
//! It is our own because the ready-made ones leave doors open: without timers a silent connection stays for ever, and
//! hyper-util's detection of the protocol waits without a bound for a first byte.
//!
//! | file | what it does |
//! | --- | --- |
//! | `mod` | accepts, caps, survives errors, drains |
//! | `connection` | one connection from its first byte to its end |
//! | `drive` | running it, and ending it so that its last answer arrives |
//! | `activity` | what a connection is doing, and how long it may |
//! | `io` | the bytes of a connection: which protocol they begin, and who is waited for |

mod activity;
mod connection;
mod drive;
mod io;

use std::future::Future;
use std::io::{Error, ErrorKind, Result};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};

use super::core::Core;
use super::trust::{Peer, Place, Trust};

/// A source of connections.
pub(crate) trait Listen: Send + 'static {
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next connection. Dropping the future loses none.
    fn accept(&self) -> impl Future<Output = Result<(Self::Io, Place)>> + Send;
}

impl Listen for TcpListener {
    type Io = TcpStream;

    async fn accept(&self) -> Result<(TcpStream, Place)> {
        let (stream, address) = Self::accept(self).await?;
        // An answer is one write; holding it back for more only costs the caller time.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(target: "rpc", %error, "TCP_NODELAY was not set");
        }
        Ok((stream, Place::Tcp(address)))
    }
}

/// Serves the connections of a listener until `shutdown` turns true, then finishes the calls that run, within
/// [`drain_timeout`](super::Limits::drain_timeout).
///
/// # Cancellation
///
/// Dropping the future closes all connections and drops the calls that run on them.
pub(crate) async fn accept<L: Listen>(
    listener: L,
    core: Arc<Core>,
    trust: Trust,
    mut shutdown: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    let mut backoff = Backoff::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stopped(&mut shutdown) => break,
            Some(ended) = connections.join_next() => {
                report(ended);
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        let (io, place) = match accepted {
            Ok(accepted) => {
                backoff.reset();
                accepted
            }
            Err(error) => {
                tokio::select! {
                    () = stopped(&mut shutdown) => break,
                    () = backoff.after(&error) => continue,
                }
            }
        };
        // At the cap one connection a listener is held here and the others wait in the kernel. The permit is taken
        // after accepting: an idle listener that held one would starve the others.
        let permit = tokio::select! {
            () = stopped(&mut shutdown) => break,
            permit = core.connections().clone().acquire_owned() => permit,
        };
        let serving =
            connection::serve(io, core.clone(), Peer::new(trust, place), shutdown.clone());
        connections.spawn(async move {
            // Held for as long as the connection is.
            let _permit = permit;
            serving.await;
        });
    }
    // From here on the kernel refuses new connections, so that callers turn to another instance at once.
    drop(listener);
    drain(connections, core.limits().drain_timeout).await;
}

/// Waits until the server is told to stop. A server whose handle is gone is told so too.
async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    // The error says that the sender is gone.
    drop(shutdown.wait_for(|stop| *stop).await);
}

async fn drain(mut connections: JoinSet<()>, patience: Duration) {
    let all = async {
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    };
    if timeout(patience, all).await.is_err() {
        let left = connections.len();
        tracing::warn!(target: "rpc", left, "connections were closed before their calls were done");
        connections.shutdown().await;
    }
}

/// A handler's panic is caught in the call; one that arrives here is a bug of this crate.
fn report(ended: std::result::Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(target: "rpc", %error, "a connection panicked");
    }
}

/// How long to wait after a failed accept. Out of file descriptors, the next try fails at once too: without a pause
/// the loop would take a whole core just when the server is short of everything.
struct Backoff(Duration);

impl Backoff {
    const FIRST: Duration = Duration::from_millis(5);
    const LONGEST: Duration = Duration::from_secs(1);

    fn new() -> Self {
        Self(Self::FIRST)
    }

    fn reset(&mut self) {
        self.0 = Self::FIRST;
    }

    async fn after(&mut self, error: &Error) {
        if is_of_one_peer(error) {
            tracing::debug!(target: "rpc", %error, "a connection was gone before it was accepted");
            return;
        }
        tracing::warn!(target: "rpc", %error, pause = ?self.0, "no connection could be accepted");
        sleep(self.0).await;
        self.0 = (self.0 * 2).min(Self::LONGEST);
    }
}

/// Whether the error speaks of one connection and not of the listener. The kernel hands out each of them once.
fn is_of_one_peer(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused
    )
}

#[cfg(test)]
mod tests;

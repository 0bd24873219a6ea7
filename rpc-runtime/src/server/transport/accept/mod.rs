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
//! | `peers` | how many connections each peer has |
//! | `io` | the bytes of a connection: which protocol they begin, and who is waited for |

mod activity;
mod connection;
mod drive;
mod io;

use std::future::Future;
use std::io::{Error, ErrorKind, Result};
use std::iter;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};

use super::peers::PeerPermit;
use crate::context::Context;
use crate::server::call::trust::{Peer, PeerOrigin, Trust};
use crate::server::inner::ServerInner;
use crate::server::process::lifecycle::Phase;
#[cfg(unix)]
use crate::server::transport::listen::Socket;

/// A source of connections.
pub(crate) trait Listen: Send + 'static {
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next connection. Dropping the future loses none.
    fn accept(&self) -> impl Future<Output = Result<(Self::Io, PeerOrigin)>> + Send;

    /// Closes it. What the system has let in already is handed out: it would be reset, requests and all.
    ///
    /// Asks the system and not tokio, whose knowledge of what is ready is older. Nothing can close the gap between the
    /// last answer of the system and the end of the listener; so it is kept to a few instructions.
    fn close(self) -> Vec<(Self::Io, PeerOrigin)>;
}

impl Listen for TcpListener {
    type Io = TcpStream;

    async fn accept(&self) -> Result<(TcpStream, PeerOrigin)> {
        let (stream, address) = Self::accept(self).await?;
        // An answer is one write; holding it back for more only costs the caller time.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(target: "rpc", %error, "TCP_NODELAY was not set");
        }
        Ok((stream, PeerOrigin::Tcp(address)))
    }

    fn close(self) -> Vec<(TcpStream, PeerOrigin)> {
        let Ok(listener) = self.into_std() else {
            return Vec::new();
        };
        let waiting: Vec<_> = iter::from_fn(|| listener.accept().ok()).collect();
        drop(listener);
        let waiting = waiting.into_iter().filter_map(|(stream, address)| {
            stream.set_nonblocking(true).ok()?;
            Some((TcpStream::from_std(stream).ok()?, PeerOrigin::Tcp(address)))
        });
        waiting.collect()
    }
}

#[cfg(unix)]
impl Listen for Socket {
    type Io = tokio::net::UnixStream;

    async fn accept(&self) -> Result<(Self::Io, PeerOrigin)> {
        Ok((Self::accept(self).await?, PeerOrigin::Unix))
    }

    fn close(self) -> Vec<(Self::Io, PeerOrigin)> {
        let waiting = Self::close(self).into_iter();
        waiting.map(|stream| (stream, PeerOrigin::Unix)).collect()
    }
}

/// Serves the connections of a listener until the [`Phase`] is the last call, and ends when they are closed:
/// [`drain_timeout`](crate::server::limits::Limits::drain_timeout) after that at the latest.
///
/// # Cancellation
///
/// Dropping the future closes all connections and drops the calls that run on them.
pub(crate) async fn accept<L: Listen>(
    listener: L,
    inner: Arc<ServerInner>,
    trust: Trust,
    mut phase: watch::Receiver<Phase>,
) {
    let mut connections = Connections {
        running: JoinSet::new(),
        inner,
        trust,
        phase: phase.clone(),
    };
    let mut backoff = Backoff::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = reached(&mut phase, Phase::GoingAway) => break,
            Some(ended) = connections.running.join_next() => {
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
                    () = reached(&mut phase, Phase::GoingAway) => break,
                    () = backoff.after(&error) => continue,
                }
            }
        };
        // A peer that has its share is closed at once: waiting here would keep the others out.
        let Some(seat) = connections.inner.peers().enter(place) else {
            continue;
        };
        // At the cap one connection a listener is held here and the others wait in the kernel. The permit is taken
        // after accepting: an idle listener that held one would starve the others.
        let permit = tokio::select! {
            () = reached(&mut phase, Phase::Closing) => break,
            permit = connections.inner.connections().clone().acquire_owned() => permit,
        };
        // The semaphore is never closed.
        if let Ok(permit) = permit {
            connections.serve(io, place, (permit, seat));
        }
    }
    connections.close(listener);
    let patience = connections.inner.limits().drain_timeout;
    drain(connections.running, patience).await;
}

/// The connections of one listener, and what each is given.
struct Connections {
    running: JoinSet<()>,
    inner: Arc<ServerInner>,
    trust: Trust,
    phase: watch::Receiver<Phase>,
}

impl Connections {
    fn serve<I>(&mut self, io: I, place: PeerOrigin, places: (OwnedSemaphorePermit, PeerPermit))
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let peer = Peer::new(self.trust, place);
        let serving = connection::serve(io, self.inner.clone(), peer, self.phase.clone());
        // What a connection does outside of a call is still this server's.
        let context = Context::current();
        self.running.spawn(context.scope(async move {
            // GuardedBody for as long as the connection is.
            let _places = places;
            serving.await;
        }));
    }

    /// Takes no more than those whom the kernel has let in already. From here on it refuses connections, so that callers
    /// turn to another instance at once.
    fn close<L: Listen>(&mut self, listener: L) {
        if *self.phase.borrow() >= Phase::Closing {
            return;
        }
        for (io, place) in listener.close() {
            let Some(seat) = self.inner.peers().enter(place) else {
                continue;
            };
            match self.inner.connections().clone().try_acquire_owned() {
                Ok(permit) => self.serve(io, place, (permit, seat)),
                Err(_) => return,
            }
        }
    }
}

/// Waits for a phase. A server whose handle is gone has reached them all.
async fn reached(phase: &mut watch::Receiver<Phase>, wanted: Phase) {
    // The error says that the sender is gone.
    drop(phase.wait_for(|phase| *phase >= wanted).await);
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
/// the loop would take a whole inner just when the server is short of everything.
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

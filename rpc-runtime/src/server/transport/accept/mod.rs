//! The accept loop: accepts HTTP connections and limits everything that a peer can delay.
//!
//! Existing accept loops are not used because they set no timers, so that a silent connection stays
//! open indefinitely, and hyper-util's protocol detection waits for the first byte without a
//! timeout.
//!
//! | module | responsibility |
//! | --- | --- |
//! | `mod` | accepting, connection limits, accept errors, draining |
//! | `any` | the same for listeners of the program |
//! | `opening` | the PROXY header and the TLS handshake of a connection |
//! | `proxy_header` | parsing a PROXY header |
//! | `connection` | serving one connection from its first byte to its end |
//! | `drive` | running a hyper connection and closing it without losing its last response |
//! | `activity` | the state of a connection and its timeouts |
//! | `unsent` | the responses that wait for their peer |
//! | `head_gate` | the number of request heads that are read before they are accepted (HTTP/2) |
//! | `io` | reading and writing a connection, and detecting its protocol |
//! | `refusal` | refusing connections that are not served |
//! | `raw_head` | the bytes of a request head |
//! | `bare_response` | the text of responses to invalid HTTP |

pub(in crate::server) mod activity;
mod any;
mod bare_response;
mod connection;
mod drive;
mod head_gate;
mod io;
mod opening;
pub(super) mod proxy_header;
mod raw_head;
mod refusal;
mod unsent;

use std::io::Error;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};

use self::refusal::{Refusal, refuse};
use super::peers::PeerPermit;
use crate::backoff::{ExponentialBackoff, Jitter};
use crate::context::Context;
use crate::server::call::peer_origin::PeerOrigin;
use crate::server::inner::ServerInner;
use crate::server::process::lifecycle::Phase;
use crate::server::transport::listen::accept::{Accept, ConnectionPeer, is_of_one_peer};
use crate::server::transport::listen::settings::ListenerSettings;

/// Accepts and serves the connections of a listener until [`Phase::GoingAway`]. Returns when they
/// are closed, at the latest [`drain_timeout`](crate::Limits::drain_timeout) after
/// that.
///
/// # Cancellation
///
/// Dropping the future closes all connections and drops the calls that run on them.
pub(crate) async fn accept<L: Accept>(
    mut listener: L,
    inner: Arc<ServerInner>,
    settings: Arc<ListenerSettings>,
    mut phase: watch::Receiver<Phase>,
) {
    let mut connections = Connections {
        running: JoinSet::new(),
        inner,
        settings,
        phase: phase.clone(),
    };
    // Failed accepts in a row.
    let mut failures: u32 = 0;
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
        let (io, ConnectionPeer(origin)) = match accepted {
            Ok(accepted) => {
                failures = 0;
                accepted
            }
            Err(error) => {
                tokio::select! {
                    () = reached(&mut phase, Phase::GoingAway) => break,
                    () = after_failure(&error, &mut failures) => continue,
                }
            }
        };
        // A connection over its peer's limit is refused: waiting here would block other peers.
        let Some(peer_permit) = connections.inner.peers().enter(origin) else {
            connections.refuse(io, Refusal::PeerLimit);
            continue;
        };
        // At the connection limit, each listener holds one connection here, and the others wait in
        // the kernel's queue. The permit is acquired after accepting: an idle listener that held a
        // permit would starve the other listeners.
        let permit = tokio::select! {
            // Connections that close at the stop free permits.
            biased;
            () = reached(&mut phase, Phase::Closing) => {
                connections.refuse(io, Refusal::Stopping);
                break;
            }
            permit = connections.inner.connections().clone().acquire_owned() => permit,
        };
        // The semaphore is never closed.
        if let Ok(permit) = permit {
            connections.serve(io, origin, (permit, peer_permit));
        }
    }
    connections.close(listener);
    let drain_timeout = connections.inner.limits().drain_timeout;
    drain(connections.running, drain_timeout).await;
}

/// The running connections of one listener, and the state that each of them shares.
struct Connections {
    running: JoinSet<()>,
    inner: Arc<ServerInner>,
    settings: Arc<ListenerSettings>,
    phase: watch::Receiver<Phase>,
}

impl Connections {
    fn serve<I>(&mut self, io: I, origin: PeerOrigin, permits: (OwnedSemaphorePermit, PeerPermit))
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let memory = Arc::clone(permits.1.memory());
        let (inner, settings) = (self.inner.clone(), self.settings.clone());
        let serving = opening::serve(io, inner, settings, origin, memory, self.phase.clone());
        // Work of a connection outside of calls runs in the context of this server as well.
        let context = Context::current();
        self.running.spawn(context.scope(async move {
            // Held for as long as the connection is open.
            let _permits = permits;
            serving.await;
        }));
    }

    /// Refuses a connection. It counts against no limit but that of refusals; above that, and where
    /// it does not begin with HTTP, it is closed without a word: no call is sent on it.
    fn refuse<I>(&mut self, io: I, refusal: Refusal)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        if !self.settings.is_plain() {
            let metrics = self.inner.peers().metrics();
            return metrics.unanswered("what precedes HTTP is not read of it");
        }
        if let Some(permit) = self.inner.peers().refuse() {
            let metrics = Arc::clone(self.inner.peers().metrics());
            self.running.spawn(async move {
                let _permit = permit;
                refuse(io, refusal, &metrics).await;
            });
        }
    }

    /// Closes the listener and serves the connections that the kernel has already established. The
    /// kernel refuses later connections, so that callers use another instance immediately.
    fn close<L: Accept>(&mut self, listener: L) {
        if *self.phase.borrow() >= Phase::Closing {
            return;
        }
        for (io, ConnectionPeer(origin)) in listener.close() {
            let Some(peer_permit) = self.inner.peers().enter(origin) else {
                self.refuse(io, Refusal::PeerLimit);
                continue;
            };
            match self.inner.connections().clone().try_acquire_owned() {
                Ok(permit) => self.serve(io, origin, (permit, peer_permit)),
                Err(_) => self.refuse(io, Refusal::Stopping),
            }
        }
    }
}

/// Waits until the phase is at least `wanted`. Returns immediately if the sender was dropped.
async fn reached(phase: &mut watch::Receiver<Phase>, wanted: Phase) {
    // An error means that the sender was dropped.
    drop(phase.wait_for(|phase| *phase >= wanted).await);
}

async fn drain(mut connections: JoinSet<()>, drain_timeout: Duration) {
    let all = async {
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    };
    if timeout(drain_timeout, all).await.is_err() {
        let left = connections.len();
        tracing::warn!(target: "rpc", left, "drain timeout reached: `left` connections were closed with calls still running");
        connections.shutdown().await;
    }
}

/// Logs a panic of a connection task. Panics of handlers are caught in the call, so a panic here is
/// a bug of this crate.
fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(target: "rpc", %error, "internal error: a connection task panicked");
    }
}

/// Backoff after failed accepts. When file descriptors run out, each accept fails immediately;
/// without a pause the loop would use a whole CPU core.
const ACCEPT_BACKOFF: ExponentialBackoff = ExponentialBackoff::new(
    Duration::from_millis(5),
    Duration::from_secs(1),
    // The listeners of one process do not disturb each other.
    Jitter::None,
);

/// Logs a failed accept and counts it. Sleeps, unless it concerns one connection only.
async fn after_failure(error: &Error, failures: &mut u32) {
    if is_of_one_peer(error) {
        tracing::debug!(target: "rpc", %error, "the peer closed a connection before it was accepted");
        return;
    }
    *failures = failures.saturating_add(1);
    let pause = ACCEPT_BACKOFF.delay(*failures);
    tracing::warn!(target: "rpc", %error, ?pause, "failed to accept a connection");
    sleep(pause).await;
}

#[cfg(test)]
mod tests;

//! Limits of each peer, so that one peer cannot take all connections or all memory for messages.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::observe::ConnectionMetrics;
use crate::server::call::peer_origin::PeerOrigin;
use crate::server::memory::{MessageMemory, PeerMemory};
use crate::server::peer_key::PeerKey;
use crate::sync::MutexExt as _;

/// The number of peers without a connection from which they are checked for being unused.
const MIN_DEPARTED: usize = 64;

/// The maximum number of connections that are being refused. Each takes at most some seconds.
const MAX_REFUSALS: usize = 64;

/// Counts the connections of one server by peer. Locks once when a connection opens and once when
/// it closes, never for a call.
#[derive(Debug)]
pub(crate) struct PeerLimiter {
    max: usize,
    peers: Mutex<Peers>,
    memory: Arc<MessageMemory>,
    /// The memory of all peers on Unix sockets.
    unknown: Arc<PeerMemory>,
    metrics: Arc<ConnectionMetrics>,
    refusals: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Peers {
    /// The peers with an open connection, or with a message in memory.
    open: HashMap<PeerKey, PeerEntry>,
    /// The number of those without a connection.
    departed: usize,
    /// The number of those at which they are checked.
    check_departed: usize,
}

#[derive(Debug)]
struct PeerEntry {
    connections: usize,
    memory: Arc<PeerMemory>,
}

impl Peers {
    /// Removes peers without a connection whose last message is gone.
    fn remove_departed(&mut self) {
        if self.departed <= self.check_departed.max(MIN_DEPARTED) {
            return;
        }
        self.open
            .retain(|_, peer| peer.connections > 0 || !peer.memory.is_unused());
        let departed = self.open.values().filter(|peer| peer.connections == 0);
        self.departed = departed.count();
        self.check_departed = 2 * self.departed;
    }
}

impl PeerLimiter {
    pub(crate) fn new(
        max: usize,
        memory: &Arc<MessageMemory>,
        metrics: Arc<ConnectionMetrics>,
    ) -> Arc<Self> {
        Arc::new(Self {
            max,
            peers: Mutex::default(),
            memory: Arc::clone(memory),
            unknown: memory.unknown_peers(),
            metrics,
            refusals: Arc::new(Semaphore::new(MAX_REFUSALS)),
        })
    }

    /// Counts one more connection of a peer until the permit is dropped; returns `None` if the peer
    /// is at its limit.
    pub(crate) fn enter(self: &Arc<Self>, origin: PeerOrigin) -> Option<PeerPermit> {
        let key = key(origin);
        let memory = match key {
            None => Arc::clone(&self.unknown),
            Some(key) => {
                let memory = self.connected(key);
                if memory.is_none() {
                    self.metrics.over_limit(&origin, self.max);
                }
                memory?
            }
        };
        Some(PeerPermit {
            peers: Arc::clone(self),
            key,
            memory,
        })
    }

    /// Counts one more connection of a peer, and returns the memory of the peer.
    fn connected(&self, key: PeerKey) -> Option<Arc<PeerMemory>> {
        let mut peers = self.lock();
        let known = peers.open.get(&key).map_or(0, |peer| peer.connections);
        if known >= self.max {
            return None;
        }
        peers.remove_departed();
        let entry = peers.open.entry(key);
        let is_departed = matches!(&entry, Entry::Occupied(peer) if peer.get().connections == 0);
        let peer = entry.or_insert_with(|| PeerEntry {
            connections: 0,
            memory: self.memory.peer(),
        });
        peer.connections += 1;
        let memory = Arc::clone(&peer.memory);
        peers.departed -= usize::from(is_departed);
        Some(memory)
    }

    /// Returns the permit to refuse a connection; `None` if too many are being refused.
    pub(crate) fn refuse(&self) -> Option<OwnedSemaphorePermit> {
        let permit = Arc::clone(&self.refusals).try_acquire_owned().ok();
        if permit.is_none() {
            self.metrics.unanswered("too many are being refused");
        }
        permit
    }

    /// Returns the metrics of the connections.
    pub(crate) fn metrics(&self) -> &Arc<ConnectionMetrics> {
        &self.metrics
    }

    fn lock(&self) -> MutexGuard<'_, Peers> {
        self.peers.lock_unpoisoned()
    }
}

fn key(origin: PeerOrigin) -> Option<PeerKey> {
    let PeerOrigin::Tcp { peer, .. } = origin else {
        return None;
    };
    Some(PeerKey::of(peer.ip()))
}

/// Permit for one open connection of a peer.
#[derive(Debug)]
pub(crate) struct PeerPermit {
    peers: Arc<PeerLimiter>,
    key: Option<PeerKey>,
    memory: Arc<PeerMemory>,
}

impl PeerPermit {
    /// Returns the memory for the messages of the peer.
    pub(crate) fn memory(&self) -> &Arc<PeerMemory> {
        &self.memory
    }
}

impl Drop for PeerPermit {
    fn drop(&mut self) {
        let Some(key) = self.key else { return };
        let mut peers = self.peers.lock();
        if let Some(peer) = peers.open.get_mut(&key) {
            peer.connections -= 1;
            if peer.connections == 0 {
                if self.memory.is_unused() {
                    peers.open.remove(&key);
                } else {
                    // Work that goes on without its caller still holds a message, which counts when
                    // the peer returns.
                    peers.departed += 1;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::server::Limits;
    use crate::server::memory::CallMemory;

    fn limiter(max: usize) -> Arc<PeerLimiter> {
        PeerLimiter::new(max, &MessageMemory::new(&Limits::default()), Arc::default())
    }

    fn tcp(address: &str) -> PeerOrigin {
        PeerOrigin::to_loopback(address.parse().unwrap())
    }

    #[test]
    fn a_closed_connection_frees_its_permit() {
        let peers = limiter(2);
        let first = peers.enter(tcp("10.0.0.1:1")).unwrap();
        let _second = peers.enter(tcp("[::ffff:10.0.0.1]:2")).unwrap();
        assert!(peers.enter(tcp("10.0.0.1:3")).is_none());
        let _other = peers.enter(tcp("10.0.0.2:1")).unwrap();
        drop(first);
        drop(peers.enter(tcp("10.0.0.1:4")).unwrap());
        assert_eq!(peers.lock().open.len(), 2);
    }

    #[test]
    fn a_network_of_ipv6_is_one_peer() {
        let peers = limiter(1);
        let permit = peers.enter(tcp("[2001:db8::1]:1")).unwrap();
        assert!(peers.enter(tcp("[2001:db8::2]:1")).is_none());
        let other = peers.enter(tcp("[2001:db8:0:1::1]:1")).unwrap();
        drop((permit, other));
        assert!(
            peers.lock().open.is_empty(),
            "peers without a connection take no memory"
        );
        assert!(limiter(0).enter(tcp("10.0.0.1:1")).is_none());
    }

    #[test]
    fn a_unix_socket_is_not_counted() {
        let peers = limiter(0);
        assert!(peers.enter(PeerOrigin::Local).is_some());
    }

    #[test]
    fn a_peer_that_returns_finds_its_messages_counted() {
        let peers = limiter(1);
        let permit = peers.enter(tcp("10.0.0.1:1")).unwrap();
        let memory = CallMemory::new(permit.memory(), false);
        let message = memory.count(Bytes::from(vec![0; 8192])).unwrap();
        drop(permit);
        let permit = peers.enter(tcp("10.0.0.1:2")).unwrap();
        assert!(!permit.memory().is_unused());
        assert_eq!(peers.lock().departed, 0);
        drop(permit);
        drop(message);
        assert_eq!(peers.lock().departed, 1);
        // The entries of such peers are removed when there are many.
        for peer in 0..200 {
            let permit = peers.enter(tcp(&format!("10.0.1.{peer}:1"))).unwrap();
            let memory = CallMemory::new(permit.memory(), false);
            let message = memory.count(Bytes::from(vec![0; 8192])).unwrap();
            drop(permit);
            drop(message);
        }
        assert!(peers.lock().open.len() < 100);
    }
}

//! Limit on the connections of each peer, so that one peer cannot take all connections.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::observe::LogThrottle;
use crate::server::call::trust::PeerOrigin;
use crate::sync::MutexExt as _;

/// Counts the connections of one server by peer. Locks once when a connection opens and once when
/// it closes, never for a call.
#[derive(Debug)]
pub(crate) struct PeerLimiter {
    max: usize,
    /// Number of open connections of each peer. A peer without one has no entry.
    open: Mutex<HashMap<PeerKey, usize>>,
    rejected: LogThrottle,
}

/// Identifies a peer. IPv6 peers are identified by their /64 network, because a single host can use
/// 2⁶⁴ addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum PeerKey {
    V4([u8; 4]),
    V6Network([u8; 8]),
}

impl PeerLimiter {
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            max,
            open: Mutex::default(),
            rejected: LogThrottle::default(),
        })
    }

    /// Counts one more connection of a peer until the permit is dropped; returns `None` if the peer
    /// is at its limit.
    pub(crate) fn enter(self: &Arc<Self>, origin: PeerOrigin) -> Option<PeerPermit> {
        let key = key(origin);
        if let Some(key) = key {
            let mut open = self.lock();
            let count = open.entry(key).or_default();
            if *count >= self.max {
                // With a limit of 0 the entry was just created, and no permit removes it.
                if *count == 0 {
                    open.remove(&key);
                }
                drop(open);
                self.log_rejection(origin);
                return None;
            }
            *count += 1;
        }
        Some(PeerPermit {
            peers: Arc::clone(self),
            key,
        })
    }

    fn log_rejection(&self, origin: PeerOrigin) {
        if let Some(count) = self.rejected.record() {
            tracing::warn!(
                target: "rpc",
                place = ?origin,
                most = self.max,
                count,
                "connection rejected: per-peer connection limit reached; `count` so far"
            );
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PeerKey, usize>> {
        self.open.lock_unpoisoned()
    }
}

fn key(origin: PeerOrigin) -> Option<PeerKey> {
    let PeerOrigin::Tcp(address) = origin else {
        return None;
    };
    Some(match address.ip().to_canonical() {
        IpAddr::V4(ip) => PeerKey::V4(ip.octets()),
        IpAddr::V6(ip) => {
            let [a, b, c, d, e, f, g, h, ..] = ip.octets();
            PeerKey::V6Network([a, b, c, d, e, f, g, h])
        }
    })
}

/// Permit for one open connection of a peer.
#[derive(Debug)]
pub(crate) struct PeerPermit {
    peers: Arc<PeerLimiter>,
    key: Option<PeerKey>,
}

impl Drop for PeerPermit {
    fn drop(&mut self) {
        let Some(key) = self.key else { return };
        let mut open = self.peers.lock();
        if let Some(count) = open.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                open.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(address: &str) -> PeerOrigin {
        PeerOrigin::Tcp(address.parse().unwrap())
    }

    #[test]
    fn a_closed_connection_frees_its_permit() {
        let peers = PeerLimiter::new(2);
        let first = peers.enter(tcp("10.0.0.1:1")).unwrap();
        let _second = peers.enter(tcp("[::ffff:10.0.0.1]:2")).unwrap();
        assert!(peers.enter(tcp("10.0.0.1:3")).is_none());
        let _other = peers.enter(tcp("10.0.0.2:1")).unwrap();
        drop(first);
        drop(peers.enter(tcp("10.0.0.1:4")).unwrap());
        assert_eq!(peers.lock().len(), 2);
    }

    #[test]
    fn a_network_of_ipv6_is_one_peer() {
        let peers = PeerLimiter::new(1);
        let permit = peers.enter(tcp("[2001:db8::1]:1")).unwrap();
        assert!(peers.enter(tcp("[2001:db8::2]:1")).is_none());
        let other = peers.enter(tcp("[2001:db8:0:1::1]:1")).unwrap();
        drop((permit, other));
        assert!(
            peers.lock().is_empty(),
            "peers without a connection take no memory"
        );
        assert!(PeerLimiter::new(0).enter(tcp("10.0.0.1:1")).is_none());
    }

    #[test]
    #[cfg(unix)]
    fn a_unix_socket_is_not_counted() {
        let peers = PeerLimiter::new(0);
        assert!(peers.enter(PeerOrigin::Unix).is_some());
    }
}

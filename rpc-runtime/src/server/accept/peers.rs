//! How many connections each peer has, so that none takes them all.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::server::trust::Place;
use crate::sync::MutexExt as _;

/// The connections of one server by peer. A lock a connection, and none a call.
#[derive(Debug)]
pub(crate) struct Peers {
    most: usize,
    /// Peers with at least one connection: no more entries than there are connections.
    open: Mutex<HashMap<Key, usize>>,
    refused: AtomicU64,
}

/// What counts as one peer. Whoever has one address of IPv6 has 2⁶⁴ of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    V4([u8; 4]),
    V6Network([u8; 8]),
}

impl Peers {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            open: Mutex::default(),
            refused: AtomicU64::new(0),
        })
    }

    /// The place of one more connection of a peer, held for as long as the connection is; `None` where it has as many as
    /// it may have.
    pub(super) fn enter(self: &Arc<Self>, place: Place) -> Option<Seat> {
        let key = key(place);
        if let Some(key) = key {
            let mut open = self.lock();
            let count = open.entry(key).or_default();
            if *count >= self.most {
                // Nobody else removes the entry of a peer that has nothing.
                if *count == 0 {
                    open.remove(&key);
                }
                drop(open);
                self.refuse(place);
                return None;
            }
            *count += 1;
        }
        Some(Seat {
            peers: Arc::clone(self),
            key,
        })
    }

    /// Said at the first, the second, the fourth and so on: a peer must not fill the log.
    fn refuse(&self, place: Place) {
        let count = self.refused.fetch_add(1, Ordering::Relaxed) + 1;
        if count.is_power_of_two() {
            tracing::warn!(
                target: "rpc",
                ?place,
                most = self.most,
                count,
                "a connection was closed: its peer has as many as it may have; `count` so far"
            );
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, usize>> {
        self.open.lock_unpoisoned()
    }
}

fn key(place: Place) -> Option<Key> {
    let Place::Tcp(address) = place else {
        return None;
    };
    Some(match address.ip().to_canonical() {
        IpAddr::V4(ip) => Key::V4(ip.octets()),
        IpAddr::V6(ip) => {
            let [a, b, c, d, e, f, g, h, ..] = ip.octets();
            Key::V6Network([a, b, c, d, e, f, g, h])
        }
    })
}

/// One open connection of a peer.
#[derive(Debug)]
pub(super) struct Seat {
    peers: Arc<Peers>,
    key: Option<Key>,
}

impl Drop for Seat {
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

    fn tcp(address: &str) -> Place {
        Place::Tcp(address.parse().unwrap())
    }

    #[test]
    fn a_peer_has_its_share_and_gets_it_back() {
        let peers = Peers::new(2);
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
        let peers = Peers::new(1);
        let seat = peers.enter(tcp("[2001:db8::1]:1")).unwrap();
        assert!(peers.enter(tcp("[2001:db8::2]:1")).is_none());
        let other = peers.enter(tcp("[2001:db8:0:1::1]:1")).unwrap();
        drop((seat, other));
        assert!(peers.lock().is_empty(), "peers that are gone take no room");
        assert!(Peers::new(0).enter(tcp("10.0.0.1:1")).is_none());
    }

    #[test]
    #[cfg(unix)]
    fn a_unix_socket_is_not_counted() {
        let peers = Peers::new(0);
        assert!(peers.enter(Place::Unix).is_some());
    }
}

//! Limits the logins of one peer that wait for the user store.
//!
//! Logins wait in the order of their arrival, first among those of the same peer and user name, and
//! then among those of the same peer. So guesses at one name delay the logins of other names
//! little, also when a proxy makes all callers one peer. A login that succeeded lately does not
//! wait.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher as _, Hash};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::sync::MutexExt as _;

/// Maximum number of concurrent logins of one peer.
const PER_PEER: usize = 16;

/// Maximum number of concurrent logins of one peer with one user name.
const PER_NAME: usize = 4;

/// Maximum number of logins of one peer, including those that wait.
const WAITING: usize = 512;

/// A peer. IPv6 peers are identified by their /64 network, because a single host can use 2⁶⁴
/// addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum PeerKey {
    V4([u8; 4]),
    V6Network([u8; 8]),
    /// All peers on Unix sockets.
    Local,
}

impl PeerKey {
    pub(super) fn new(address: Option<IpAddr>) -> Self {
        match address.map(|address| address.to_canonical()) {
            Some(IpAddr::V4(ip)) => Self::V4(ip.octets()),
            Some(IpAddr::V6(ip)) => {
                let [a, b, c, d, e, f, g, h, ..] = ip.octets();
                Self::V6Network([a, b, c, d, e, f, g, h])
            }
            None => Self::Local,
        }
    }
}

/// The logins that run and wait, by peer and name.
#[derive(Debug)]
pub(super) struct LoginSlots {
    peers: Queues<PeerKey>,
    names: Queues<(PeerKey, u64)>,
    /// A hash stands for a name, so that long names take no memory.
    keys: RandomState,
}

/// Permission for one login, until it is dropped.
#[derive(Debug)]
pub(super) struct LoginSlot {
    _peer: (OwnedSemaphorePermit, QueueSlot<PeerKey>),
    _name: (OwnedSemaphorePermit, QueueSlot<(PeerKey, u64)>),
}

/// The logins of the peer that run and wait are too many.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooManyLogins;

impl LoginSlots {
    pub(super) fn new() -> Self {
        Self {
            peers: Queues::new(PER_PEER),
            names: Queues::new(PER_NAME),
            keys: RandomState::new(),
        }
    }

    /// Waits for the turn of a login.
    ///
    /// # Cancellation
    ///
    /// Dropping the future gives up the place.
    pub(super) async fn enter(
        &self,
        peer: PeerKey,
        username: &str,
    ) -> Result<LoginSlot, TooManyLogins> {
        let of_peer = self.peers.join(peer, WAITING)?;
        let of_name = self
            .names
            .join((peer, self.keys.hash_one(username)), WAITING)?;
        Ok(LoginSlot {
            // The fields are evaluated in this order.
            _name: (of_name.turn().await?, of_name),
            _peer: (of_peer.turn().await?, of_peer),
        })
    }
}

/// A queue for each key. A key that has none in its queue takes no memory.
struct Queues<K: Eq + Hash + Copy> {
    at_once: usize,
    queues: Arc<Mutex<HashMap<K, Queue>>>,
}

struct Queue {
    turns: Arc<Semaphore>,
    places: usize,
}

impl<K: Eq + Hash + Copy> Queues<K> {
    fn new(at_once: usize) -> Self {
        Self {
            at_once,
            queues: Arc::default(),
        }
    }

    fn join(&self, key: K, most: usize) -> Result<QueueSlot<K>, TooManyLogins> {
        let mut queues = self.queues.lock_unpoisoned();
        let queue = queues.entry(key).or_insert_with(|| Queue {
            turns: Arc::new(Semaphore::new(self.at_once)),
            places: 0,
        });
        if queue.places >= most {
            return Err(TooManyLogins);
        }
        queue.places += 1;
        Ok(QueueSlot {
            key,
            turns: Arc::clone(&queue.turns),
            queues: Arc::clone(&self.queues),
        })
    }
}

impl<K: Eq + Hash + Copy> fmt::Debug for Queues<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queues")
            .field("keys", &self.queues.lock_unpoisoned().len())
            .finish_non_exhaustive()
    }
}

/// Slot in a queue, waiting or running.
struct QueueSlot<K: Eq + Hash + Copy> {
    key: K,
    turns: Arc<Semaphore>,
    queues: Arc<Mutex<HashMap<K, Queue>>>,
}

impl<K: Eq + Hash + Copy> QueueSlot<K> {
    async fn turn(&self) -> Result<OwnedSemaphorePermit, TooManyLogins> {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        // The semaphore is never closed.
        turn.map_err(|_| TooManyLogins)
    }
}

impl<K: Eq + Hash + Copy> fmt::Debug for QueueSlot<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueSlot").finish_non_exhaustive()
    }
}

impl<K: Eq + Hash + Copy> Drop for QueueSlot<K> {
    fn drop(&mut self) {
        let mut queues = self.queues.lock_unpoisoned();
        if let Some(queue) = queues.get_mut(&self.key) {
            queue.places -= 1;
            if queue.places == 0 {
                queues.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;

    use super::*;

    const PEER: PeerKey = PeerKey::V4([192, 0, 2, 1]);

    #[tokio::test]
    async fn one_peer_has_sixteen_logins_at_once() {
        let slots = LoginSlots::new();
        let mut running = Vec::new();
        for n in 0..PER_PEER {
            running.push(slots.enter(PEER, &n.to_string()).await.unwrap());
        }
        let mut next = Box::pin(slots.enter(PEER, "next"));
        assert!(poll!(&mut next).is_pending());
        // Another peer does not wait.
        drop(slots.enter(PeerKey::Local, "0").await.unwrap());
        running.pop();
        next.await.unwrap();
    }

    #[tokio::test]
    async fn logins_of_one_name_do_not_block_others() {
        let slots = LoginSlots::new();
        let mut guesses: Vec<_> = (0..480)
            .map(|_| Box::pin(slots.enter(PEER, "ada")))
            .collect();
        let mut running = Vec::new();
        for guess in &mut guesses {
            if let std::task::Poll::Ready(slot) = poll!(guess) {
                running.push(slot.unwrap());
            }
        }
        assert_eq!(running.len(), PER_NAME);
        for name in ["bob", "eve"] {
            drop(slots.enter(PEER, name).await.unwrap());
        }
        // All that wait are served in the end.
        drop(running);
        for guess in guesses.drain(PER_NAME..) {
            drop(guess.await.unwrap());
        }
        drop(guesses);
        assert!(slots.peers.queues.lock_unpoisoned().is_empty());
        assert!(slots.names.queues.lock_unpoisoned().is_empty());
    }

    #[tokio::test]
    async fn more_than_the_limit_of_a_peer_is_refused() {
        let slots = LoginSlots::new();
        let mut waiting: Vec<_> = (0..WAITING)
            .map(|_| Box::pin(slots.enter(PEER, "ada")))
            .collect();
        let mut running = Vec::new();
        for one in &mut waiting {
            if let std::task::Poll::Ready(slot) = poll!(one) {
                running.push(slot.unwrap());
            }
        }
        assert_eq!(slots.enter(PEER, "bob").await.unwrap_err(), TooManyLogins);
        slots.enter(PeerKey::Local, "bob").await.unwrap();
        // A caller that leaves makes room.
        waiting.pop();
        slots.enter(PEER, "bob").await.unwrap();
    }

    #[test]
    fn a_network_of_ipv6_is_one_peer() {
        let key = |text: &str| PeerKey::new(Some(text.parse().unwrap()));
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::7"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_eq!(key("::ffff:192.0.2.1"), PEER);
        assert_ne!(key("192.0.2.2"), PEER);
    }
}

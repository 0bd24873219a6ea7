//! Limits the logins of one peer that wait for the user store.
//!
//! Logins wait in the order of their arrival, first among those of the same peer and user name, and
//! then among those of the same peer. So guesses at one name delay the logins of other names
//! little, also when a proxy makes all callers one peer. A login that succeeded lately does not
//! wait.
//!
//! The user store delays guesses at a name. A login of a name with several wrong passwords holds no
//! slot, so that its delay costs other logins nothing, and the store sees all that wait for a name.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::queues::{QueueFull, QueueSlot, Queues, turn};
use crate::service::suspects::{NameKey, Suspects};

/// Maximum number of concurrent logins of one peer.
const PER_PEER: usize = 16;

/// Maximum number of concurrent logins of one peer with one user name.
const PER_NAME: usize = 4;

/// Maximum number of logins of one peer, including those that wait.
const MAX_PENDING: usize = 512;

/// Maximum number of logins without a slot in the user store, of all peers. Half of the calls that
/// the store runs at a time are left to others.
const MAX_SUSPECTS: usize = 512;

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

impl fmt::Display for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::V4(octets) => Ipv4Addr::from(octets).fmt(f),
            Self::V6Network(network) => {
                let mut octets = [0; 16];
                octets[..8].copy_from_slice(&network);
                write!(f, "{}/64", Ipv6Addr::from(octets))
            }
            Self::Local => f.write_str("a Unix socket"),
        }
    }
}

/// The logins that run and wait, by peer and name.
#[derive(Debug)]
pub(super) struct LoginSlots {
    peers: Queues<PeerKey>,
    names: Queues<(PeerKey, NameKey)>,
    suspects: Suspects,
    suspect_slots: Arc<Semaphore>,
}

/// Permission for one login, until it is dropped.
#[derive(Debug)]
pub(super) struct LoginSlot {
    /// Turns of the peer and of the name. `None` for a name with several wrong passwords.
    turns: Option<[OwnedSemaphorePermit; 2]>,
    _suspect: Option<OwnedSemaphorePermit>,
    key: NameKey,
    _queued: (QueueSlot<PeerKey>, QueueSlot<(PeerKey, NameKey)>),
}

impl LoginSlots {
    pub(super) fn new() -> Self {
        Self {
            peers: Queues::new(PER_PEER),
            names: Queues::new(PER_NAME),
            suspects: Suspects::new(),
            suspect_slots: Arc::new(Semaphore::new(MAX_SUSPECTS)),
        }
    }

    /// Waits for the turn of a login.
    ///
    /// # Cancellation
    ///
    /// Dropping the future removes the login from the queue.
    pub(super) async fn enter(
        &self,
        peer: PeerKey,
        username: &str,
    ) -> Result<LoginSlot, QueueFull> {
        let key = self.suspects.key(username);
        let of_peer = self.peers.join(peer, MAX_PENDING)?;
        let of_name = self.names.join((peer, key), MAX_PENDING)?;
        let turns = async { Ok([of_name.turn().await?, of_peer.turn().await?]) };
        let turns = tokio::select! {
            biased;
            () = self.suspects.until(key) => None,
            turns = turns => Some(turns?),
        };
        let suspect = match turns {
            Some(_) => None,
            None => Some(turn(&self.suspect_slots).await?),
        };
        Ok(LoginSlot {
            turns,
            _suspect: suspect,
            key,
            _queued: (of_peer, of_name),
        })
    }

    /// Runs a login, which gives up its turns when the name becomes suspect.
    pub(super) async fn run<T>(&self, slot: LoginSlot, login: impl Future<Output = T>) -> T {
        let LoginSlot {
            turns,
            key,
            _suspect,
            _queued,
        } = slot;
        let mut login = std::pin::pin!(login);
        tokio::select! {
            biased;
            outcome = &mut login => return outcome,
            () = self.suspects.until(key) => drop(turns),
        }
        login.await
    }

    /// Counts a wrong password.
    pub(super) fn was_wrong(&self, username: &str) {
        self.suspects.was_wrong(self.suspects.key(username));
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
        assert!(slots.peers.is_empty());
        assert!(slots.names.is_empty());
    }

    async fn never() {
        std::future::pending::<()>().await;
    }

    /// The delays of the user store have no end here.
    #[tokio::test(start_paused = true)]
    async fn delayed_guesses_hold_no_slot() {
        let slots = LoginSlots::new();
        let login = async |name: &str| {
            let slot = slots.enter(PEER, name).await.unwrap();
            slots.run(slot, never()).await;
        };
        let names: Vec<_> = (0..100).map(|n| n.to_string()).collect();
        let mut guesses: Vec<_> = names
            .iter()
            .flat_map(|name| [name; 4])
            .map(|name| Box::pin(tokio::task::unconstrained(login(name))))
            .collect();
        for guess in &mut guesses {
            assert!(poll!(guess).is_pending());
        }
        // It is not known yet that these are guesses.
        let mut owner = Box::pin(slots.enter(PEER, "owner"));
        assert!(poll!(&mut owner).is_pending());
        for name in &names {
            for _ in 0..5 {
                slots.was_wrong(name);
            }
        }
        for guess in &mut guesses {
            assert!(poll!(guess).is_pending());
        }
        drop(owner.await.unwrap());
        // Of all that have begun, none holds a slot, and the owner of a guessed name does not wait.
        for name in ["owner", "7"] {
            drop(slots.enter(PEER, name).await.unwrap());
        }
        let mut all = Vec::new();
        for n in 0..PER_PEER {
            all.push(slots.enter(PEER, &format!("other {n}")).await.unwrap());
        }
        drop(guesses);
        drop(all);
        assert!(slots.peers.is_empty());
        assert!(slots.names.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn all_guesses_at_a_name_reach_the_store() {
        let slots = LoginSlots::new();
        for _ in 0..5 {
            slots.was_wrong("ada");
        }
        let mut running = Vec::new();
        for _ in 0..200 {
            running.push(slots.enter(PEER, "ada").await.unwrap());
        }
        // The owner waits in the store only, and so do other names.
        running.push(slots.enter(PEER, "ada").await.unwrap());
        let bob = slots.enter(PEER, "bob").await.unwrap();
        assert!(bob.turns.is_some());
        // The limit of the memory stays.
        while running.len() + 1 < MAX_PENDING {
            running.push(slots.enter(PEER, "ada").await.unwrap());
        }
        assert_eq!(slots.enter(PEER, "ada").await.unwrap_err(), QueueFull);
        // Those of all peers are limited too; more wait, and other names do not.
        let mut next = Box::pin(slots.enter(PeerKey::Local, "ada"));
        running.push(next.as_mut().await.unwrap());
        let mut next = Box::pin(slots.enter(PeerKey::Local, "ada"));
        assert!(poll!(&mut next).is_pending());
        drop(slots.enter(PeerKey::Local, "bob").await.unwrap());
        running.pop();
        drop(next.await.unwrap());
        // The name is forgotten after ten minutes.
        tokio::time::advance(std::time::Duration::from_secs(600)).await;
        running.clear();
        assert!(slots.enter(PEER, "ada").await.unwrap().turns.is_some());
    }

    #[tokio::test]
    async fn more_than_the_limit_of_a_peer_is_refused() {
        let slots = LoginSlots::new();
        let mut waiting: Vec<_> = (0..MAX_PENDING)
            .map(|_| Box::pin(slots.enter(PEER, "ada")))
            .collect();
        let mut running = Vec::new();
        for one in &mut waiting {
            if let std::task::Poll::Ready(slot) = poll!(one) {
                running.push(slot.unwrap());
            }
        }
        assert_eq!(slots.enter(PEER, "bob").await.unwrap_err(), QueueFull);
        slots.enter(PeerKey::Local, "bob").await.unwrap();
        // A caller that leaves frees its slot.
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
        assert_eq!(PEER.to_string(), "192.0.2.1");
        assert_eq!(key("2001:db8:1:2::1").to_string(), "2001:db8:1:2::/64");
    }
}

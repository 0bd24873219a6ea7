//! The wrong credentials of each peer, so that a peer cannot try many.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::basic;
use crate::context::Context;
use crate::server::peer_key::PeerKey;
use crate::sync::MutexExt as _;

/// The time in which a peer regains its whole allowance.
const PERIOD: Duration = Duration::from_secs(60);

/// The maximum number of peers whose wrong credentials are remembered: about 0.5 MiB.
const MAX_PEERS: usize = 10_000;

/// The sender of credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Sender {
    Peer(PeerKey),
    /// All callers whose address is not known and whose credentials are for the same user, by a
    /// hash of it. One bound for all of them would let each lock out the others.
    Claiming(u64),
}

/// Counts the wrong credentials of each peer of a server.
#[derive(Debug)]
pub(super) struct WrongCredentials {
    /// The time in which a peer regains the right to one more; `None` without a limit.
    interval: Option<Duration>,
    /// The number of peers that are remembered. While it is 0, a call takes no lock.
    remembered: AtomicUsize,
    peers: Mutex<Peers>,
    /// Hashes what credentials claim. Its keys are secret, so that no caller finds two users of one
    /// hash.
    hasher: RandomState,
}

#[derive(Debug)]
struct Peers {
    /// The time at which a peer has its whole allowance again.
    settled: HashMap<Sender, Instant>,
    /// The time at which peers are forgotten that have their whole allowance.
    next_purge: Instant,
}

impl WrongCredentials {
    /// Allows each peer `per_minute` wrong credentials at once, and regains them within a minute.
    pub(super) fn new(per_minute: usize) -> Self {
        let count = u32::try_from(per_minute).ok();
        Self {
            interval: count.and_then(|count| PERIOD.checked_div(count)),
            remembered: AtomicUsize::new(0),
            peers: Mutex::new(Peers {
                settled: HashMap::new(),
                next_purge: Instant::now(),
            }),
            hasher: RandomState::new(),
        }
    }

    /// Returns the sender of the credentials of a call.
    pub(super) fn sender(&self, context: &Context) -> Sender {
        match context.stranger() {
            Some(address) => Sender::Peer(PeerKey::of(address)),
            None => Sender::Claiming(self.hasher.hash_one(basic::claim(context))),
        }
    }

    /// Returns whether wrong credentials are remembered.
    pub(super) fn is_empty(&self) -> bool {
        self.remembered.load(Ordering::Relaxed) == 0
    }

    /// Returns the time after which a sender may try credentials again, if it may not now.
    pub(super) fn wait(&self, sender: Sender, now: Instant) -> Option<Duration> {
        let interval = self.interval?;
        let mut peers = self.peers.lock_unpoisoned();
        if peers.next_purge <= now {
            peers.purge(now);
            self.remembered
                .store(peers.settled.len(), Ordering::Relaxed);
        }
        let settled = *peers.settled.get(&sender)?;
        let wait = (settled + interval).saturating_duration_since(now + PERIOD);
        (!wait.is_zero()).then_some(wait)
    }

    /// Counts wrong credentials of a sender.
    pub(super) fn record(&self, sender: Sender, now: Instant) {
        let Some(interval) = self.interval else {
            return;
        };
        let mut peers = self.peers.lock_unpoisoned();
        if peers.settled.len() >= MAX_PEERS && !peers.settled.contains_key(&sender) {
            peers.forget_half(now);
        }
        let settled = peers.settled.entry(sender).or_insert(now);
        *settled = (*settled).max(now) + interval;
        self.remembered
            .store(peers.settled.len(), Ordering::Relaxed);
    }
}

impl Peers {
    /// Forgets peers that have their whole allowance.
    fn purge(&mut self, now: Instant) {
        self.settled.retain(|_, settled| *settled > now);
        self.next_purge = now + PERIOD;
    }

    /// Forgets the half of the peers with the fewest wrong credentials, if there are no others.
    fn forget_half(&mut self, now: Instant) {
        self.purge(now);
        if self.settled.len() < MAX_PEERS {
            return;
        }
        let mut times: Vec<_> = self.settled.values().copied().collect();
        let (_, median, _) = times.select_nth_unstable(MAX_PEERS / 2);
        let median = *median;
        self.settled.retain(|_, settled| *settled > median);
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn ip(text: &str) -> Sender {
        Sender::Peer(PeerKey::of(text.parse().unwrap()))
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_peer_regains_one_after_another() {
        let now = Instant::now();
        let wrong = WrongCredentials::new(60);
        let guesser = ip("192.0.2.1");
        for _ in 0..60 {
            assert_eq!(wrong.wait(guesser, now), None);
            wrong.record(guesser, now);
        }
        assert_eq!(wrong.wait(guesser, now), Some(SECOND));
        assert_eq!(wrong.wait(guesser, now + SECOND / 2), Some(SECOND / 2));
        assert_eq!(wrong.wait(guesser, now + SECOND), None);
        wrong.record(guesser, now + SECOND);
        assert_eq!(wrong.wait(guesser, now + SECOND), Some(SECOND));
        assert_eq!(wrong.wait(ip("192.0.2.2"), now), None, "another peer");
        // After a minute the whole allowance is there again, and no more than that.
        let later = now + 3 * PERIOD;
        for _ in 0..60 {
            assert_eq!(wrong.wait(guesser, later), None);
            wrong.record(guesser, later);
        }
        assert_eq!(wrong.wait(guesser, later), Some(SECOND));
    }

    #[test]
    fn an_idle_time_saves_up_nothing() {
        let now = Instant::now();
        let wrong = WrongCredentials::new(2);
        let guesser = ip("192.0.2.1");
        assert_eq!(wrong.wait(guesser, now), None);
        wrong.record(guesser, now);
        let later = now + 40 * SECOND;
        wrong.record(guesser, later);
        wrong.record(guesser, later);
        assert_eq!(wrong.wait(guesser, later), Some(30 * SECOND));
    }

    #[test]
    fn a_network_of_ipv6_guesses_as_one() {
        let now = Instant::now();
        let wrong = WrongCredentials::new(1);
        wrong.record(ip("2001:db8::1"), now);
        wrong.record(ip("::ffff:192.0.2.1"), now);
        for (address, expected) in [
            ("2001:db8::ffff:2", Some(PERIOD)),
            ("2001:db8:0:1::1", None),
            ("192.0.2.1", Some(PERIOD)),
        ] {
            assert_eq!(wrong.wait(ip(address), now), expected, "{address}");
        }
    }

    #[test]
    fn many_peers_are_bounded_and_the_worst_stay() {
        let now = Instant::now();
        let wrong = WrongCredentials::new(60);
        let guesser = ip("192.0.2.1");
        for _ in 0..60 {
            wrong.record(guesser, now);
        }
        for n in 0..3 * MAX_PEERS {
            let bits = 0x0a00_0000 + u32::try_from(n).unwrap();
            let at = now + Duration::from_nanos(n as u64);
            wrong.record(Sender::Peer(PeerKey::of(IpAddr::V4(bits.into()))), at);
            assert!(wrong.peers.lock_unpoisoned().settled.len() <= MAX_PEERS);
        }
        assert!(wrong.wait(guesser, now).is_some());
        // Peers with their whole allowance are forgotten, and then a call takes no lock.
        assert_eq!(wrong.wait(guesser, now + 2 * PERIOD), None);
        assert!(wrong.is_empty());
    }

    #[test]
    fn the_largest_value_is_no_limit() {
        let (now, peer) = (Instant::now(), ip("192.0.2.1"));
        for per_minute in [usize::MAX, u32::MAX as usize] {
            let wrong = WrongCredentials::new(per_minute);
            for _ in 0..1000 {
                wrong.record(peer, now);
            }
            assert_eq!(wrong.wait(peer, now), None, "{per_minute}");
        }
    }
}

//! The memory of a server for messages that are received, running or not sent yet.
//!
//! A message is counted by what it takes, from its first bytes until its last byte is written or
//! it is dropped: the count travels with the data ([`Reservation::attach`]). Messages up to
//! [`UNCOUNTED_BYTES`] are not counted. They take less than their connection or stream, and the
//! numbers of those are limited.
//!
//! | share | of [`Limits::buffered_bytes`] |
//! | --- | --- |
//! | all peers | all |
//! | untrusted callers | a half |
//! | one peer | an eighth |
//!
//! Each share has room for one message of [`Limits::message_bytes`] with its compressed form.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;

use super::limits::{Limits, UNCOUNTED_BYTES};
use crate::error::{Code, Error};
use crate::observe::LogThrottle;

/// The delay after which a caller may retry whose message did not fit, in milliseconds. A range, so
/// that retries are spread.
const RETRY_MS: std::ops::RangeInclusive<u64> = 50..=150;

/// The memory for messages of one server.
#[derive(Debug)]
pub(crate) struct MessageMemory {
    all: Share,
    untrusted: Share,
    peer_limit: usize,
    refused: LogThrottle,
}

/// The memory for messages of one peer.
#[derive(Debug)]
pub(crate) struct PeerMemory {
    server: Arc<MessageMemory>,
    own: Share,
}

/// A number of bytes in use, and its limit.
#[derive(Debug)]
struct Share {
    used: AtomicUsize,
    limit: usize,
}

impl Share {
    const fn new(limit: usize) -> Self {
        Self {
            used: AtomicUsize::new(0),
            limit,
        }
    }

    fn try_add(&self, bytes: usize) -> bool {
        let used = self.used.fetch_add(bytes, Ordering::Relaxed);
        let fits = used
            .checked_add(bytes)
            .is_some_and(|used| used <= self.limit);
        if !fits {
            self.remove(bytes);
        }
        fits
    }

    fn add(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    fn remove(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl MessageMemory {
    pub(crate) fn new(limits: &Limits) -> Arc<Self> {
        let all = limits.buffered_bytes;
        let one_message = limits.message_bytes.saturating_mul(2);
        let share = |part: usize| part.max(one_message).min(all);
        Arc::new(Self {
            all: Share::new(all),
            untrusted: Share::new(share(all / 2)),
            peer_limit: share(all / 8),
            refused: LogThrottle::new(),
        })
    }

    /// Returns the memory of a new peer.
    pub(crate) fn peer(self: &Arc<Self>) -> Arc<PeerMemory> {
        self.peer_with(self.peer_limit)
    }

    /// Returns the memory of peers that cannot be told apart: those of a Unix socket, or of an
    /// application in which the server is mounted.
    pub(crate) fn unknown_peers(self: &Arc<Self>) -> Arc<PeerMemory> {
        self.peer_with(self.all.limit)
    }

    fn peer_with(self: &Arc<Self>, limit: usize) -> Arc<PeerMemory> {
        Arc::new(PeerMemory {
            server: Arc::clone(self),
            own: Share::new(limit),
        })
    }

    /// Returns the number of bytes in use.
    pub(crate) fn used(&self) -> usize {
        self.all.used.load(Ordering::Relaxed)
    }
}

impl PeerMemory {
    /// Returns whether no message of the peer is counted.
    pub(crate) fn is_unused(&self) -> bool {
        self.own.used.load(Ordering::Relaxed) == 0
    }
}

/// The memory for the messages of one call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallMemory<'m> {
    peer: &'m Arc<PeerMemory>,
    is_trusted: bool,
}

impl<'m> CallMemory<'m> {
    pub(crate) fn new(peer: &'m Arc<PeerMemory>, is_trusted: bool) -> Self {
        Self { peer, is_trusted }
    }

    /// Returns a reservation of no bytes.
    pub(crate) fn reserve(self) -> Reservation<'m> {
        Reservation {
            memory: self,
            bytes: 0,
            full: None,
        }
    }

    /// Counts a message that is complete.
    ///
    /// # Errors
    ///
    /// [`NoMemory`] if it does not fit.
    pub(crate) fn count(self, message: Bytes) -> Result<Bytes, NoMemory> {
        let mut reservation = self.reserve();
        if reservation.grow_to(message.len()) {
            Ok(reservation.attach(message))
        } else {
            Err(reservation.refusal())
        }
    }

    /// Counts a message for which there is no other response, even above the limits.
    pub(crate) fn count_always(self, message: Bytes) -> Bytes {
        let mut reservation = self.reserve();
        if message.len() > UNCOUNTED_BYTES {
            self.shares().for_each(|share| share.add(message.len()));
            reservation.bytes = message.len();
        }
        reservation.attach(message)
    }

    pub(crate) fn to_owned(self) -> OwnedMemory {
        OwnedMemory {
            peer: Arc::clone(self.peer),
            is_trusted: self.is_trusted,
        }
    }

    /// Returns the shares that a message counts against.
    fn shares(self) -> impl Iterator<Item = &'m Share> {
        let server = &self.peer.server;
        let untrusted = (!self.is_trusted).then_some(&server.untrusted);
        [&self.peer.own, &server.all].into_iter().chain(untrusted)
    }

    fn try_add(self, bytes: usize) -> Result<(), FullShare> {
        let (own, server) = (&self.peer.own, &self.peer.server);
        if !own.try_add(bytes) {
            return Err(FullShare::Peer);
        }
        if !self.is_trusted && !server.untrusted.try_add(bytes) {
            own.remove(bytes);
            return Err(FullShare::Untrusted);
        }
        if !server.all.try_add(bytes) {
            own.remove(bytes);
            if !self.is_trusted {
                server.untrusted.remove(bytes);
            }
            return Err(FullShare::All);
        }
        Ok(())
    }
}

/// A [`CallMemory`] that borrows nothing.
#[derive(Debug)]
pub(crate) struct OwnedMemory {
    peer: Arc<PeerMemory>,
    is_trusted: bool,
}

impl OwnedMemory {
    pub(crate) fn as_call(&self) -> CallMemory<'_> {
        CallMemory::new(&self.peer, self.is_trusted)
    }
}

/// The share that has no room for a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FullShare {
    All,
    Untrusted,
    Peer,
}

/// The bytes that are counted for a message; released on drop.
#[derive(Debug)]
pub(crate) struct Reservation<'m> {
    memory: CallMemory<'m>,
    bytes: usize,
    full: Option<FullShare>,
}

impl Reservation<'_> {
    /// Returns the number of counted bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Counts at least this many bytes; returns `false` if they do not fit.
    pub(crate) fn grow_to(&mut self, bytes: usize) -> bool {
        if bytes <= UNCOUNTED_BYTES.max(self.bytes) {
            return true;
        }
        match self.memory.try_add(bytes - self.bytes) {
            Ok(()) => {
                self.bytes = bytes;
                true
            }
            Err(full) => {
                self.full = Some(full);
                false
            }
        }
    }

    /// Counts at most this many bytes.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        let excess = self.bytes.saturating_sub(bytes);
        if excess > 0 {
            self.bytes -= excess;
            self.memory.shares().for_each(|share| share.remove(excess));
        }
    }

    /// Keeps the count for as long as any part of the data exists.
    pub(crate) fn attach(mut self, data: Bytes) -> Bytes {
        if self.bytes == 0 {
            return data;
        }
        Bytes::from_owner(CountedData {
            data,
            bytes: std::mem::take(&mut self.bytes),
            memory: self.memory.to_owned(),
        })
    }

    /// Returns the reason for which the last growth failed.
    pub(crate) fn refusal(&self) -> NoMemory {
        let full = self.full.unwrap_or(FullShare::All);
        self.memory.peer.server.refused(full)
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

/// A message with the bytes that are counted for it.
struct CountedData {
    data: Bytes,
    bytes: usize,
    memory: OwnedMemory,
}

impl AsRef<[u8]> for CountedData {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

impl Drop for CountedData {
    fn drop(&mut self) {
        let shares = self.memory.as_call().shares();
        shares.for_each(|share| share.remove(self.bytes));
    }
}

/// A message did not fit into the memory for messages.
#[derive(Debug)]
pub(crate) struct NoMemory {
    full: FullShare,
    limit: usize,
}

impl MessageMemory {
    fn refused(&self, full: FullShare) -> NoMemory {
        let limit = match full {
            FullShare::All => self.all.limit,
            FullShare::Untrusted => self.untrusted.limit,
            FullShare::Peer => self.peer_limit,
        };
        let refusal = NoMemory { full, limit };
        if let Some(count) = self.refused.record() {
            tracing::warn!(
                target: "rpc",
                used = self.used(),
                limit = self.all.limit,
                count,
                "message refused: {refusal}; `count` so far"
            );
        }
        refusal
    }
}

impl NoMemory {
    /// Returns the error of a call that was not begun, because its request did not fit.
    pub(crate) fn of_request(&self) -> Error {
        self.error(&format!(
            "the server has no memory for the request: {self}; the call was not begun, retry later"
        ))
        .not_executed()
    }

    /// Returns the error of a call whose response did not fit.
    pub(crate) fn of_response(&self) -> Error {
        self.error(&format!(
            "the server has no memory for the response: {self}; the call was executed, and its response is lost"
        ))
    }

    fn error(&self, text: &str) -> Error {
        let delay = Duration::from_millis(fastrand::u64(RETRY_MS));
        Error::without_location(Code::ResourceExhausted, text.to_owned()).with_retry_after(delay)
    }
}

impl fmt::Display for NoMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whose = match self.full {
            FullShare::All => "all callers",
            FullShare::Untrusted => "untrusted callers",
            FullShare::Peer => "this peer",
        };
        write!(
            f,
            "unread and unsent messages of {whose} take up to {} bytes (`buffered_bytes`)",
            self.limit
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn memory(buffered_bytes: usize, message_bytes: usize) -> Arc<MessageMemory> {
        MessageMemory::new(&Limits {
            buffered_bytes,
            message_bytes,
            ..Limits::default()
        })
    }

    fn message(bytes: usize) -> Bytes {
        Bytes::from(vec![0; bytes])
    }

    /// Counts messages of 1 MiB until one is refused.
    fn fill(memory: CallMemory<'_>) -> (Vec<Bytes>, FullShare) {
        let mut counted = Vec::new();
        for _ in 0..100 {
            match memory.count(message(MIB)) {
                Ok(message) => counted.push(message),
                Err(refused) => return (counted, refused.full),
            }
        }
        panic!("no message is refused");
    }

    #[test]
    fn a_peer_has_an_eighth_and_strangers_a_half() {
        let memory = memory(64 * MIB, MIB);
        let peers: Vec<_> = (0..10).map(|_| memory.peer()).collect();
        let mut held = Vec::new();
        for peer in &peers[..4] {
            let (counted, full) = fill(CallMemory::new(peer, false));
            assert_eq!((counted.len(), full), (8, FullShare::Peer));
            held.push(counted);
        }
        let (counted, full) = fill(CallMemory::new(&peers[4], false));
        assert_eq!((counted.len(), full), (0, FullShare::Untrusted));
        for peer in &peers[5..9] {
            let (counted, full) = fill(CallMemory::new(peer, true));
            assert_eq!((counted.len(), full), (8, FullShare::Peer));
            held.push(counted);
        }
        let (counted, full) = fill(CallMemory::new(&peers[9], true));
        assert_eq!((counted.len(), full), (0, FullShare::All));
        assert_eq!(memory.used(), 64 * MIB);
        drop(held);
        assert_eq!(memory.used(), 0);
        assert!(peers.iter().all(|peer| peer.is_unused()));
        assert_eq!(memory.untrusted.used.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_message_counts_until_its_last_part_is_dropped() {
        let memory = memory(64 * MIB, MIB);
        let peer = memory.peer();
        let mut whole = CallMemory::new(&peer, true).count(message(MIB)).unwrap();
        let part = whole.split_to(10);
        drop(whole);
        assert_eq!(memory.used(), MIB);
        drop(part);
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn a_reservation_grows_shrinks_and_is_released() {
        let memory = memory(64 * MIB, MIB);
        let peer = memory.peer();
        let mut reservation = CallMemory::new(&peer, false).reserve();
        assert!(reservation.grow_to(UNCOUNTED_BYTES));
        assert_eq!(memory.used(), 0, "small messages are not counted");
        assert!(reservation.grow_to(2 * MIB) && reservation.grow_to(MIB));
        assert_eq!(memory.used(), 2 * MIB);
        assert!(!reservation.grow_to(9 * MIB));
        assert_eq!(memory.used(), 2 * MIB, "as before");
        reservation.shrink_to(MIB);
        assert_eq!(memory.used(), MIB);
        drop(reservation);
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn one_message_fits_into_each_share() {
        for (buffered, largest, fits) in [
            (64 * MIB, 30 * MIB, 60 * MIB),
            (64 * MIB, usize::MAX, 64 * MIB),
            (usize::MAX, usize::MAX, usize::MAX / 2),
        ] {
            let memory = memory(buffered, largest);
            let peer = memory.peer();
            let mut reservation = CallMemory::new(&peer, false).reserve();
            assert!(reservation.grow_to(fits), "{buffered} {largest}");
        }
    }

    #[test]
    fn some_responses_count_above_the_limit() {
        let memory = memory(8 * MIB, MIB);
        let peer = memory.peer();
        let call = CallMemory::new(&peer, false);
        let counted = call.count_always(message(100 * MIB));
        assert_eq!(memory.used(), 100 * MIB);
        assert!(call.count(message(MIB)).is_err());
        drop(counted);
        assert!(call.count(message(MIB)).is_ok());
    }

    #[test]
    fn a_refusal_says_which_limit_and_whether_it_ran() {
        let memory = memory(8 * MIB, MIB);
        let peer = memory.peer();
        let refused = CallMemory::new(&peer, false).count(message(3 * MIB));
        let refused = refused.unwrap_err();
        let (request, response) = (refused.of_request(), refused.of_response());
        for error in [&request, &response] {
            assert_eq!(error.code(), Code::ResourceExhausted);
            assert!(error.retry_after().is_some());
            let text = "of this peer take up to 2097152 bytes (`buffered_bytes`)";
            assert!(error.message().contains(text), "{error}");
        }
        assert!(request.is_not_executed() && !response.is_not_executed());
    }
}

//! The shares of the memory of a server, and what counts against them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::refusal::{FullShare, NoMemory};
use crate::observe::LogThrottle;
use crate::server::limits::Limits;

/// The memory that a request takes which waits for its sender, in addition to its head: its task,
/// its stream, and the part of its body that is not counted.
pub(super) const INCOMPLETE_BYTES: usize = 8 << 10;

/// The memory that a header takes in addition to its name and value.
pub(super) const HEADER_BYTES: usize = 128;

/// The memory for messages of one server.
#[derive(Debug)]
pub(crate) struct MessageMemory {
    pub(super) all: Share,
    pub(super) untrusted: Share,
    pub(super) peer_limit: usize,
    refused: LogThrottle,
}

/// The memory for messages of one peer.
#[derive(Debug)]
pub(crate) struct PeerMemory {
    pub(super) server: Arc<MessageMemory>,
    pub(super) own: Share,
}

/// A number of bytes in use, and its limit.
#[derive(Debug)]
pub(super) struct Share {
    pub(super) used: AtomicUsize,
    pub(super) limit: usize,
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

    pub(super) fn add(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn remove(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl MessageMemory {
    pub(crate) fn new(limits: &Limits) -> Arc<Self> {
        let all = limits.buffered_bytes;
        let one_message = limits
            .message_bytes
            .saturating_mul(2)
            .saturating_add(largest_incomplete(limits));
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

impl MessageMemory {
    pub(super) fn refused(&self, full: FullShare) -> NoMemory {
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

impl PeerMemory {
    /// Returns whether no message of the peer is counted.
    pub(crate) fn is_unused(&self) -> bool {
        self.own.used.load(Ordering::Relaxed) == 0
    }
}

/// The memory for the messages of one call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallMemory<'m> {
    pub(super) peer: &'m Arc<PeerMemory>,
    is_trusted: bool,
}

impl<'m> CallMemory<'m> {
    pub(crate) fn new(peer: &'m Arc<PeerMemory>, is_trusted: bool) -> Self {
        Self { peer, is_trusted }
    }

    pub(crate) fn to_owned(self) -> OwnedMemory {
        OwnedMemory {
            peer: Arc::clone(self.peer),
            is_trusted: self.is_trusted,
        }
    }

    /// Returns the shares that a message counts against.
    pub(super) fn shares(self) -> impl Iterator<Item = &'m Share> {
        let server = &self.peer.server;
        let untrusted = (!self.is_trusted).then_some(&server.untrusted);
        [&self.peer.own, &server.all].into_iter().chain(untrusted)
    }

    pub(super) fn try_add(self, bytes: usize) -> Result<(), FullShare> {
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

/// Returns the most that [`CallMemory::incomplete`] counts.
fn largest_incomplete(limits: &Limits) -> usize {
    limits
        .header_count
        .saturating_mul(HEADER_BYTES)
        .saturating_add(limits.header_bytes)
        .saturating_add(limits.path_bytes)
        .saturating_add(INCOMPLETE_BYTES)
}

//! The bytes that are counted for a message.

use bytes::Bytes;

use super::refusal::{FullShare, NoMemory};
use super::shares::{CallMemory, OwnedMemory};
use crate::server::limits::UNCOUNTED_BYTES;

/// The bytes that are counted for a message; released on drop.
#[derive(Debug)]
pub(crate) struct Reservation<'m> {
    memory: CallMemory<'m>,
    bytes: usize,
    full: Option<FullShare>,
}

impl<'m> Reservation<'m> {
    pub(super) fn new(memory: CallMemory<'m>) -> Self {
        Self {
            memory,
            bytes: 0,
            full: None,
        }
    }

    /// Returns the memory of the call.
    #[cfg(test)]
    pub(crate) fn of_call(&self) -> CallMemory<'m> {
        self.memory
    }

    /// Returns the number of counted bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Counts at least this many bytes; returns `false` if they do not fit.
    pub(crate) fn grow_to(&mut self, bytes: usize) -> bool {
        bytes <= UNCOUNTED_BYTES.max(self.bytes) || self.add(bytes - self.bytes)
    }

    /// Counts this many more bytes, however few; returns `false` if they do not fit.
    pub(super) fn add(&mut self, bytes: usize) -> bool {
        match self.memory.try_add(bytes) {
            Ok(()) => {
                self.bytes += bytes;
                true
            }
            Err(full) => {
                self.full = Some(full);
                false
            }
        }
    }

    /// Counts this many more bytes, even above the limits.
    pub(super) fn add_always(&mut self, bytes: usize) {
        self.memory.shares().for_each(|share| share.add(bytes));
        self.bytes += bytes;
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
    pub(crate) fn attach(self, data: Bytes) -> Bytes {
        if self.bytes == 0 {
            return data;
        }
        let _count = self.into_count();
        Bytes::from_owner(CountedData { data, _count })
    }

    /// Returns a count that borrows nothing.
    pub(crate) fn into_count(mut self) -> Count {
        Count {
            bytes: std::mem::take(&mut self.bytes),
            memory: self.memory.to_owned(),
        }
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

/// A [`Reservation`] that borrows nothing.
#[derive(Debug)]
pub(crate) struct Count {
    bytes: usize,
    memory: OwnedMemory,
}

/// A message with the bytes that are counted for it.
struct CountedData {
    data: Bytes,
    _count: Count,
}

impl AsRef<[u8]> for CountedData {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

impl Count {
    /// Returns the memory that it counts against.
    pub(crate) fn memory(&self) -> OwnedMemory {
        self.memory.as_call().to_owned()
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        let shares = self.memory.as_call().shares();
        shares.for_each(|share| share.remove(self.bytes));
    }
}

//! The memory of a server for messages that are received, running or not sent yet.
//!
//! A message is counted by what it takes, from its first bytes until its last byte is written or
//! it is dropped: the count travels with the data ([`Reservation::attach`]). Messages up to
//! [`UNCOUNTED_BYTES`] are not counted: the numbers of running and waiting calls are limited. A
//! request that waits for its sender is counted with its head ([`CallMemory::incomplete`]), and
//! the body of a plain HTTP request in each of its pieces ([`OwnedMemory::count_piece`]).
//!
//! | share | of [`Limits::buffered_bytes`] |
//! | --- | --- |
//! | all peers | all |
//! | untrusted callers | a half |
//! | one peer | an eighth |
//!
//! Each share has room for one message of [`Limits::message_bytes`] with its compressed form and
//! its head.

mod refusal;
mod reservation;
mod shares;

use bytes::Bytes;
use http::request;

pub(crate) use self::refusal::NoMemory;
pub(crate) use self::reservation::{Count, Reservation};
pub(crate) use self::shares::{CallMemory, MessageMemory, OwnedMemory, PeerMemory};
use self::shares::{HEADER_BYTES, INCOMPLETE_BYTES};
use super::limits::UNCOUNTED_BYTES;

/// The memory that a piece of a body takes in addition to its bytes.
const PIECE_BYTES: usize = 256;

/// The size below which a piece of a body is copied. It may be a slice of a buffer that holds the
/// bytes of other requests too, which would stay in memory with it.
const COPIED_PIECE: usize = 16 << 10;

impl<'m> CallMemory<'m> {
    /// Returns a reservation of no bytes.
    pub(crate) fn reserve(self) -> Reservation<'m> {
        Reservation::new(self)
    }

    /// Counts a request that waits for its sender, until the reservation is dropped.
    ///
    /// # Errors
    ///
    /// [`NoMemory`] if it does not fit.
    pub(crate) fn incomplete(self, head: &request::Parts) -> Result<Reservation<'m>, NoMemory> {
        let mut reservation = self.reserve();
        if reservation.grow_to(INCOMPLETE_BYTES + head_bytes(head)) {
            Ok(reservation)
        } else {
            Err(reservation.refusal())
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
            reservation.add_always(message.len());
        }
        reservation.attach(message)
    }
}

impl OwnedMemory {
    /// Counts a piece of a body, however small it is.
    ///
    /// # Errors
    ///
    /// [`NoMemory`] if it does not fit.
    pub(crate) fn count_piece(&self, piece: Bytes) -> Result<Bytes, NoMemory> {
        let mut reservation = self.as_call().reserve();
        if !reservation.add(piece.len().saturating_add(PIECE_BYTES)) {
            return Err(reservation.refusal());
        }
        let piece = if piece.len() < COPIED_PIECE {
            Bytes::copy_from_slice(&piece)
        } else {
            piece
        };
        Ok(reservation.attach(piece))
    }
}

/// Returns the memory that the head of a request takes.
fn head_bytes(head: &request::Parts) -> usize {
    let headers = head.headers.iter();
    let headers = headers.map(|(name, value)| name.as_str().len() + value.len() + HEADER_BYTES);
    let target = head.uri.path_and_query();
    headers.sum::<usize>() + target.map_or(0, |target| target.as_str().len())
}

#[cfg(test)]
mod tests;

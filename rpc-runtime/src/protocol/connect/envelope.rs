//! The envelopes of streams: a byte of flags, the length in four bytes, and the message.

use std::cmp::Ordering;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use super::error::ERROR_LIMIT;
use crate::compression::{self, DecompressError, Encoding};

/// The size of the head of an envelope, in bytes.
pub(crate) const HEAD: usize = 5;

/// The flag of a compressed message.
const COMPRESSED: u8 = 1;
/// The flag of the end of a response stream.
const END_STREAM: u8 = 2;

/// A received envelope.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Envelope {
    flags: u8,
    payload: Bytes,
}

/// The reason why an envelope cannot be read.
#[derive(Debug)]
pub(crate) enum EnvelopeError {
    /// The message exceeds the limit, by its declared length or when it is decompressed.
    TooLarge,
    /// There is no memory for the message.
    NoMemory,
    /// A flag that the protocol does not define.
    UnknownFlags(u8),
    /// The message is compressed, and the stream has no compression.
    NotNegotiated,
    /// The message is not valid in its compression.
    NotGzip(std::io::Error),
}

/// Splits received data into envelopes. The buffer grows with the data, and not by the lengths that
/// the peer declares.
#[derive(Debug)]
pub(crate) struct EnvelopeReader {
    received: BytesMut,
    limit: usize,
}

impl EnvelopeReader {
    /// Creates a reader of messages of at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            received: BytesMut::new(),
            limit,
        }
    }

    /// Adds received data.
    pub(crate) fn push(&mut self, data: &[u8]) {
        self.received.extend_from_slice(data);
    }

    /// Returns the next envelope; `None` if it is not complete.
    ///
    /// # Errors
    ///
    /// [`EnvelopeError::TooLarge`] as soon as the length is known, before the message is there.
    pub(crate) fn next(&mut self) -> Result<Option<Envelope>, EnvelopeError> {
        let Some(mut head) = self.received.get(..HEAD) else {
            return Ok(None);
        };
        let (flags, length) = (head.get_u8(), head.get_u32());
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        // The end of a stream is an error at most, whose limit is not that of messages.
        let limit = if flags & END_STREAM == 0 {
            self.limit
        } else {
            self.limit.max(ERROR_LIMIT)
        };
        if length > limit {
            return Err(EnvelopeError::TooLarge);
        }
        if self.received.len() - HEAD < length {
            return Ok(None);
        }
        self.received.advance(HEAD);
        let payload = self.received.split_to(length).freeze();
        Ok(Some(Envelope { flags, payload }))
    }

    /// Returns whether there is the beginning of an envelope.
    pub(crate) fn is_partial(&self) -> bool {
        !self.received.is_empty()
    }

    /// Returns the number of bytes in memory.
    #[cfg(any(test, feature = "server"))]
    pub(crate) fn buffered(&self) -> usize {
        self.received.capacity()
    }
}

impl Envelope {
    /// Returns whether this is the end of a response stream.
    pub(crate) fn is_end(&self) -> bool {
        self.flags & END_STREAM != 0
    }

    /// Returns the message, decompressed. `may_take` is that of [`compression::decompress`].
    pub(crate) fn open(
        self,
        encoding: Encoding,
        limit: usize,
        may_take: impl FnMut(usize) -> bool,
    ) -> Result<Bytes, EnvelopeError> {
        if self.flags & !(COMPRESSED | END_STREAM) != 0 {
            return Err(EnvelopeError::UnknownFlags(self.flags));
        }
        if self.flags & COMPRESSED == 0 {
            return Ok(self.payload);
        }
        if encoding == Encoding::Identity {
            return Err(EnvelopeError::NotNegotiated);
        }
        let limit = if self.is_end() {
            limit.max(ERROR_LIMIT)
        } else {
            limit
        };
        compression::decompress(self.payload, encoding, limit, may_take).map_err(
            |error| match error {
                DecompressError::TooLarge => EnvelopeError::TooLarge,
                DecompressError::NoMemory => EnvelopeError::NoMemory,
                DecompressError::Invalid(error) => EnvelopeError::NotGzip(error),
            },
        )
    }
}

/// The reason why a request does not have exactly one message.
#[derive(Debug)]
pub(crate) enum SingleError {
    None,
    Several,
    /// It ends within an envelope.
    Partial,
    Envelope(EnvelopeError),
}

/// Reads the only envelope of a body.
pub(crate) fn read_single(mut body: Bytes, limit: usize) -> Result<Envelope, SingleError> {
    if body.is_empty() {
        return Err(SingleError::None);
    }
    let Some(mut head) = body.get(..HEAD) else {
        return Err(SingleError::Partial);
    };
    let (flags, length) = (head.get_u8(), head.get_u32());
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > limit {
        return Err(SingleError::Envelope(EnvelopeError::TooLarge));
    }
    body.advance(HEAD);
    match body.len().cmp(&length) {
        Ordering::Less => Err(SingleError::Partial),
        Ordering::Greater => Err(SingleError::Several),
        Ordering::Equal => Ok(Envelope {
            flags,
            payload: body,
        }),
    }
}

/// Writes a message, `compressed` if it is. `None` if it is too long for an envelope.
pub(crate) fn write_message(message: &[u8], compressed: bool) -> Option<Bytes> {
    write(if compressed { COMPRESSED } else { 0 }, message)
}

/// Writes the end of a response stream.
pub(super) fn write_end(end: &[u8]) -> Option<Bytes> {
    write(END_STREAM, end)
}

fn write(flags: u8, payload: &[u8]) -> Option<Bytes> {
    let length = u32::try_from(payload.len()).ok()?;
    let mut envelope = BytesMut::with_capacity(HEAD + payload.len());
    envelope.put_u8(flags);
    envelope.put_u32(length);
    envelope.put_slice(payload);
    Some(envelope.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(reader: &mut EnvelopeReader) -> Vec<Envelope> {
        std::iter::from_fn(|| reader.next().unwrap()).collect()
    }

    fn envelope(flags: u8, payload: &'static str) -> Envelope {
        let payload = Bytes::from_static(payload.as_bytes());
        Envelope { flags, payload }
    }

    #[test]
    fn envelopes_are_found_however_the_data_is_split() {
        let data = [
            write_message(b"one", false).unwrap(),
            write_message(b"", false).unwrap(),
            write_message(b"three", true).unwrap(),
            write_end(b"{}").unwrap(),
        ]
        .concat();
        for size in 1..=data.len() {
            let mut reader = EnvelopeReader::new(16);
            let mut found = Vec::new();
            for part in data.chunks(size) {
                reader.push(part);
                found.extend(messages(&mut reader));
            }
            let expected = [
                envelope(0, "one"),
                envelope(0, ""),
                envelope(1, "three"),
                envelope(2, "{}"),
            ];
            assert_eq!(found, expected, "{size}");
            assert!(!reader.is_partial());
        }
    }

    #[test]
    fn a_declared_length_above_the_limit_takes_no_memory() {
        for length in [17_u32, 1 << 20, u32::MAX] {
            let mut reader = EnvelopeReader::new(16);
            reader.push(&[0]);
            reader.push(&length.to_be_bytes());
            assert!(
                matches!(reader.next(), Err(EnvelopeError::TooLarge)),
                "{length}"
            );
            assert!(reader.buffered() < 1024);
        }
        let mut reader = EnvelopeReader::new(16);
        reader.push(&write_message(&[b'x'; 16], false).unwrap());
        assert!(reader.next().unwrap().is_some());
    }

    #[test]
    fn an_envelope_that_is_cut_off_is_known() {
        let data = write_message(b"abc", false).unwrap();
        for cut in 0..data.len() {
            let mut reader = EnvelopeReader::new(16);
            reader.push(&data[..cut]);
            assert!(reader.next().unwrap().is_none());
            assert_eq!(reader.is_partial(), cut > 0, "{cut}");
        }
    }

    #[test]
    fn flags_are_checked() {
        let open = |flags, encoding| envelope(flags, "x").open(encoding, 16, |_| true);
        assert_eq!(open(0, Encoding::Identity).unwrap(), "x");
        assert_eq!(open(0, Encoding::Gzip).unwrap(), "x");
        for flags in [4, 8, 0x80, 0x84, 5] {
            let opened = open(flags, Encoding::Gzip);
            assert!(matches!(opened, Err(EnvelopeError::UnknownFlags(_))));
        }
        let opened = open(1, Encoding::Identity);
        assert!(matches!(opened, Err(EnvelopeError::NotNegotiated)));
        assert!(matches!(
            open(1, Encoding::Gzip),
            Err(EnvelopeError::NotGzip(_))
        ));
    }

    #[test]
    fn the_limit_is_that_of_the_decompressed_message() {
        let packed = compression::gzip(&[b'x'; 4096]).unwrap();
        let sent = write_message(&packed, true).unwrap();
        for (limit, fits) in [(4096, true), (4095, false)] {
            let mut reader = EnvelopeReader::new(limit);
            reader.push(&sent);
            let envelope = reader.next().unwrap().unwrap();
            let opened = envelope.open(Encoding::Gzip, limit, |_| true);
            assert_eq!(opened.is_ok(), fits, "{limit}");
        }
    }
}

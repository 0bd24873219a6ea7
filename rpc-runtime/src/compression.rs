//! The content encodings of messages: `identity` and `gzip`.

use std::io::{self, Read, Write};

use bytes::Bytes;
use flate2::Compression as Level;
use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;

/// The value of `accept-encoding` in our responses.
pub(crate) const SUPPORTED: &str = "gzip";

/// The minimum size of a message that is compressed, in bytes. For smaller ones the cost of gzip
/// exceeds its gain.
pub(crate) const MIN_COMPRESS_SIZE: usize = 1024;

/// The compression of the requests of a client, and whether it accepts compressed responses; see
/// [`Client::compression`](crate::Client::compression). Off by default.
///
/// ```
/// use rpc_runtime::{Client, Compression};
///
/// let client =
/// Client::new("http://127.0.0.1:8080")?.compression(Compression::gzip().min_size(4096));
/// # drop(client);
/// # Ok::<(), rpc_runtime::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Compression {
    /// The size from which messages are compressed. `None`: never, and no response is.
    min_size: Option<usize>,
}

impl Compression {
    /// Sends requests as they are, and accepts no compressed response. Within a host or a fast
    /// network, compression costs more than it saves.
    #[must_use]
    pub const fn off() -> Self {
        Self { min_size: None }
    }

    /// Compresses requests of at least 1 KiB with gzip, and accepts responses in gzip.
    #[must_use]
    pub const fn gzip() -> Self {
        Self {
            min_size: Some(MIN_COMPRESS_SIZE),
        }
    }

    /// Sets the size in bytes from which requests are compressed, unless that makes them larger;
    /// with 0 all are. The server decides about responses. Has no effect on [`off`](Self::off).
    #[must_use]
    pub const fn min_size(mut self, bytes: usize) -> Self {
        if self.min_size.is_some() {
            self.min_size = Some(bytes);
        }
        self
    }

    /// Returns whether responses in gzip are accepted.
    pub(crate) fn accepts_gzip(self) -> bool {
        self.min_size.is_some()
    }

    /// Compresses a message. `None` if it is to be sent as it is.
    pub(crate) fn compress(self, message: &[u8]) -> Option<Bytes> {
        match self.min_size {
            Some(0) => gzip_always(message),
            Some(min) if message.len() >= min => gzip(message),
            _ => None,
        }
    }
}

/// The content encoding of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    Gzip,
}

impl Encoding {
    /// Parses the name of an encoding, ignoring case. `None` if it is not supported.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let name = name.trim();
        if name.is_empty() || name.eq_ignore_ascii_case("identity") {
            Some(Self::Identity)
        } else if name.eq_ignore_ascii_case("gzip") {
            Some(Self::Gzip)
        } else {
            None
        }
    }
}

/// The reason why a message cannot be decompressed.
#[derive(Debug)]
pub(crate) enum DecompressError {
    /// The message exceeds the limit. Decompression stopped there.
    TooLarge,
    /// There is no memory for the message.
    NoMemory,
    /// The data is not gzip, is truncated, or has trailing bytes.
    Invalid(io::Error),
}

/// Decompresses a message of at most `limit` bytes. Calls `may_take` with the number of bytes in
/// memory, without the compressed ones, before it takes more, and ends if that returns `false`.
pub(crate) fn decompress(
    compressed: Bytes,
    encoding: Encoding,
    limit: usize,
    may_take: impl FnMut(usize) -> bool,
) -> Result<Bytes, DecompressError> {
    // An empty body is valid in any encoding.
    if encoding == Encoding::Identity || compressed.is_empty() {
        return if compressed.len() > limit {
            Err(DecompressError::TooLarge)
        } else {
            Ok(compressed)
        };
    }
    gunzip(&compressed, limit, may_take).map(Bytes::from)
}

/// Decompresses the start of data in gzip, at most `limit` bytes. The data may be cut off: returns
/// what can be decompressed, which is nothing if it is not gzip.
pub(crate) fn decompress_start(compressed: &[u8], limit: usize) -> Vec<u8> {
    let mut start = Vec::new();
    let limit = u64::try_from(limit).unwrap_or(u64::MAX);
    let read = MultiGzDecoder::new(compressed)
        .take(limit)
        .read_to_end(&mut start);
    // What was decompressed before an error stays in the buffer.
    drop(read);
    start
}

/// Decompresses one or more gzip members (RFC 1952, section 2.2). Stops at the limit: reading
/// further to report the actual size would be the work that a decompression bomb aims at.
fn gunzip(
    compressed: &[u8],
    limit: usize,
    mut may_take: impl FnMut(usize) -> bool,
) -> Result<Vec<u8>, DecompressError> {
    let mut decoder = MultiGzDecoder::new(compressed);
    // One byte more than the limit tells that there is more.
    let most = limit.saturating_add(1);
    // JSON compresses to about a quarter. The compressed size can be trusted; a declared one
    // cannot.
    let mut capacity = compressed.len().saturating_mul(4).min(most);
    let mut message = Vec::new();
    loop {
        if !may_take(capacity) {
            return Err(DecompressError::NoMemory);
        }
        message.reserve_exact(capacity - message.len());
        let room = u64::try_from(capacity - message.len()).unwrap_or(u64::MAX);
        let read = decoder.by_ref().take(room).read_to_end(&mut message);
        read.map_err(DecompressError::Invalid)?;
        if message.len() < capacity {
            break;
        }
        if message.len() > limit {
            return Err(DecompressError::TooLarge);
        }
        capacity = capacity.saturating_mul(2).min(most);
    }
    if !decoder.into_inner().is_empty() {
        return Err(DecompressError::Invalid(io::Error::new(
            io::ErrorKind::InvalidData,
            "unexpected bytes after the end of the gzip data",
        )));
    }
    Ok(message)
}

/// Compresses a message. `None` if that does not make it smaller.
pub(crate) fn gzip(message: &[u8]) -> Option<Bytes> {
    gzip_always(message).filter(|compressed| compressed.len() < message.len())
}

fn gzip_always(message: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(message.len() / 2), Level::fast());
    // Writing to memory cannot fail. If it did, the message would be sent uncompressed.
    encoder.write_all(message).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compressed(message: &[u8]) -> Bytes {
        let mut encoder = GzEncoder::new(Vec::new(), Level::best());
        encoder.write_all(message).unwrap();
        encoder.finish().unwrap().into()
    }

    fn decompressed(compressed: Bytes, limit: usize) -> Result<Bytes, DecompressError> {
        decompress(compressed, Encoding::Gzip, limit, |_| true)
    }

    #[test]
    fn a_compressed_message_decompresses_to_itself() {
        let message = "{\"n\": 3}".repeat(1000);
        let small = gzip(message.as_bytes()).unwrap();
        assert!(small.len() < message.len());
        assert_eq!(decompressed(small, message.len()).unwrap(), message);
        assert!(
            gzip(b"x").is_none(),
            "gzip of one byte is longer than the byte"
        );
    }

    #[test]
    fn requests_are_compressed_from_the_minimum_size() {
        let (small, large) = ([b'x'; 100], [b'x'; 2000]);
        let random: Vec<u8> = (0..2000).map(|_| fastrand::u8(..)).collect();
        for (compression, expected) in [
            (Compression::off(), [false, false, false]),
            (Compression::off().min_size(0), [false, false, false]),
            (Compression::gzip(), [false, true, false]),
            (Compression::gzip().min_size(100), [true, true, false]),
            (Compression::gzip().min_size(0), [true, true, true]),
            (Compression::gzip().min_size(usize::MAX), [false; 3]),
        ] {
            let messages = [&small[..], &large, &random];
            let is = messages.map(|message| compression.compress(message).is_some());
            assert_eq!(is, expected, "{compression:?}");
        }
    }

    #[test]
    fn a_message_may_fill_the_limit_and_no_more() {
        let bytes = compressed(&[b'x'; 1000]);
        assert_eq!(decompressed(bytes.clone(), 1000).unwrap().len(), 1000);
        assert!(matches!(
            decompressed(bytes, 999),
            Err(DecompressError::TooLarge)
        ));
        let plain = Bytes::from_static(b"123");
        assert!(matches!(
            decompress(plain, Encoding::Identity, 2, |_| true),
            Err(DecompressError::TooLarge)
        ));
    }

    #[test]
    fn decompressing_a_bomb_stops_at_the_limit() {
        let bomb = compressed(&vec![0; 64 << 20]);
        assert!(bomb.len() < 100 << 10, "{}", bomb.len());
        let mut decoder = MultiGzDecoder::new(&bomb[..]);
        assert!(matches!(
            decompressed(bomb.clone(), 4096),
            Err(DecompressError::TooLarge)
        ));
        // Reading as much with the same decoder takes only a small part of the input.
        let mut start = Vec::new();
        decoder.by_ref().take(4097).read_to_end(&mut start).unwrap();
        assert!(bomb.len() - decoder.into_inner().len() < 1024);
    }

    #[test]
    fn decompressing_asks_before_it_takes_memory() {
        let message = vec![b'x'; 1 << 20];
        for (limit, most) in [(1 << 20, (1 << 20) + 1), (usize::MAX, 2 << 20)] {
            let mut taken = 0;
            let whole = decompress(compressed(&message), Encoding::Gzip, limit, |bytes| {
                taken = bytes;
                true
            });
            assert_eq!(whole.unwrap().len(), message.len());
            assert!((1 << 20..=most).contains(&taken), "{taken}");
        }
        let mut asked = 0;
        let refused = decompress(compressed(&message), Encoding::Gzip, 1 << 20, |bytes| {
            asked = bytes;
            bytes <= 100_000
        });
        assert!(matches!(refused, Err(DecompressError::NoMemory)));
        assert!(asked <= 200_000, "{asked}");
    }

    #[test]
    fn a_nested_bomb_is_decompressed_once() {
        let inner = compressed(&vec![0; 1 << 20]);
        let outer = compressed(&inner);
        assert_eq!(decompressed(outer, 1 << 20).unwrap(), inner);
    }

    #[test]
    fn several_gzip_members_are_one_message() {
        let members = [&b"{\"n\":"[..], b"", b" 3", b"}"].map(compressed).concat();
        let members = Bytes::from(members);
        assert_eq!(decompressed(members.clone(), 8).unwrap(), "{\"n\": 3}");
        // The limit is that of the whole message.
        assert!(matches!(
            decompressed(members, 7),
            Err(DecompressError::TooLarge)
        ));
    }

    #[test]
    fn only_complete_gzip_members_are_accepted() {
        let good = compressed(b"{\"n\": 3}");
        let mut junk = good.to_vec();
        junk.extend_from_slice(b"junk");
        let mut two = good.to_vec();
        two.extend_from_slice(&good[..good.len() - 1]);
        let mut zeros = good.to_vec();
        zeros.extend_from_slice(&[0; 512]);
        let mut damaged = good.to_vec();
        *damaged.last_mut().unwrap() ^= 1;
        for (what, bytes) in [
            ("plain text", b"{\"n\": 3}".to_vec()),
            ("cut in the data", good[..good.len() - 10].to_vec()),
            ("cut in the check sum", good[..good.len() - 1].to_vec()),
            ("only a header", good[..10].to_vec()),
            ("junk behind the member", junk),
            ("zeros behind the member", zeros),
            ("a second member that is cut", two),
            ("a wrong length at the end", damaged),
        ] {
            let result = decompressed(bytes.into(), 1 << 20);
            assert!(
                matches!(result, Err(DecompressError::Invalid(_))),
                "{what}: {result:?}"
            );
        }
        assert_eq!(decompressed(Bytes::new(), 10).unwrap(), "");
    }
}

//! The content encodings of messages: `identity` and `gzip`.

use std::io::{self, Read, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;

/// What `accept-encoding` says where we list what we understand.
pub(crate) const SUPPORTED: &str = "gzip";

/// Smaller messages go out as they are: the frame of gzip and the work cost more than they save.
pub(crate) const MIN_COMPRESS_SIZE: usize = 1024;

/// How the bytes of a message are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    Gzip,
}

impl Encoding {
    /// The encoding of this name, in any case; `None` for those that we do not have.
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

/// Why a message could not be decompressed.
#[derive(Debug)]
pub(crate) enum DecompressError {
    /// It has more than the limit; nothing behind the limit was inflated.
    TooLarge,
    /// It is no gzip, ends too early, or something stands behind it.
    Invalid(io::Error),
}

/// Unpacks a message of at most `limit` bytes.
pub(crate) fn decompress(
    compressed: Bytes,
    encoding: Encoding,
    limit: usize,
) -> Result<Bytes, DecompressError> {
    // A message without bytes is none: there is nothing to inflate, whatever the header says.
    if encoding == Encoding::Identity || compressed.is_empty() {
        return if compressed.len() > limit {
            Err(DecompressError::TooLarge)
        } else {
            Ok(compressed)
        };
    }
    gunzip(&compressed, limit).map(Bytes::from)
}

/// Inflates one gzip member, and stops at the limit: going on only to tell the true size would be the bomb itself.
fn gunzip(compressed: &[u8], limit: usize) -> Result<Vec<u8>, DecompressError> {
    let mut decoder = GzDecoder::new(compressed);
    // JSON shrinks to about a quarter. The packed size is a fact, unlike any length that a peer declares.
    let mut message = Vec::with_capacity(compressed.len().saturating_mul(4).min(limit));
    let one_more = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    decoder
        .by_ref()
        .take(one_more)
        .read_to_end(&mut message)
        .map_err(DecompressError::Invalid)?;
    if message.len() > limit {
        return Err(DecompressError::TooLarge);
    }
    if !decoder.into_inner().is_empty() {
        return Err(DecompressError::Invalid(io::Error::new(
            io::ErrorKind::InvalidData,
            "there are bytes behind the end of the gzip data",
        )));
    }
    Ok(message)
}

/// Packs a message; `None` where that would not make it smaller.
pub(crate) fn gzip(message: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(message.len() / 2), Compression::fast());
    // Writing to memory does not fail; if it ever did, the message goes out as it is.
    encoder.write_all(message).ok()?;
    let compressed = encoder.finish().ok()?;
    (compressed.len() < message.len()).then(|| compressed.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compressed(message: &[u8]) -> Bytes {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(message).unwrap();
        encoder.finish().unwrap().into()
    }

    fn decompressed(compressed: Bytes, limit: usize) -> Result<Bytes, DecompressError> {
        decompress(compressed, Encoding::Gzip, limit)
    }

    #[test]
    fn a_message_survives_both_ways() {
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
    fn a_message_may_fill_the_limit_and_no_more() {
        let bytes = compressed(&[b'x'; 1000]);
        assert_eq!(decompressed(bytes.clone(), 1000).unwrap().len(), 1000);
        assert!(matches!(
            decompressed(bytes, 999),
            Err(DecompressError::TooLarge)
        ));
        let plain = Bytes::from_static(b"123");
        assert!(matches!(
            decompress(plain, Encoding::Identity, 2),
            Err(DecompressError::TooLarge)
        ));
    }

    #[test]
    fn a_bomb_is_put_out_at_the_limit() {
        let bomb = compressed(&vec![0; 64 << 20]);
        assert!(bomb.len() < 100 << 10, "{}", bomb.len());
        let mut decoder = GzDecoder::new(&bomb[..]);
        assert!(matches!(
            decompressed(bomb.clone(), 4096),
            Err(DecompressError::TooLarge)
        ));
        // The same reader shows how little of the input that takes.
        let mut start = Vec::new();
        decoder.by_ref().take(4097).read_to_end(&mut start).unwrap();
        assert!(bomb.len() - decoder.into_inner().len() < 1024);
    }

    #[test]
    fn a_bomb_in_a_bomb_is_unpacked_once() {
        let inner = compressed(&vec![0; 1 << 20]);
        let outer = compressed(&inner);
        assert_eq!(decompressed(outer, 1 << 20).unwrap(), inner);
    }

    #[test]
    fn what_is_no_whole_single_member_is_refused() {
        let good = compressed(b"{\"n\": 3}");
        let mut junk = good.to_vec();
        junk.extend_from_slice(b"junk");
        let mut two = good.to_vec();
        two.extend_from_slice(&good);
        let mut damaged = good.to_vec();
        *damaged.last_mut().unwrap() ^= 1;
        for (what, bytes) in [
            ("plain text", b"{\"n\": 3}".to_vec()),
            ("cut in the data", good[..good.len() - 10].to_vec()),
            ("cut in the check sum", good[..good.len() - 1].to_vec()),
            ("only a header", good[..10].to_vec()),
            ("junk behind the member", junk),
            ("two members", two),
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

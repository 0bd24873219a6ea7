//! The ID that a request keeps through all services.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The maximum size of an ID, in bytes.
const LIMIT: usize = 64;

/// The ID of a request: 1 to 64 characters of `[A-Za-z0-9._-]`. Generated IDs have 16 lower-case
/// hex digits.
///
/// ```
/// use rpc_runtime::RequestId;
///
/// assert_eq!(RequestId::random().as_str().len(), 16);
/// assert!(RequestId::parse("order-4711").is_some());
/// assert!(RequestId::parse("two\nlines").is_none());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId {
    // Inline, because every call creates and copies one.
    length: u8,
    bytes: [u8; LIMIT],
}

impl RequestId {
    /// Generates a random ID of 64 bits. It is not a secret.
    #[must_use]
    pub fn random() -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut bytes = [0; LIMIT];
        let random = fastrand::u64(..).to_be_bytes();
        for (digits, byte) in bytes.chunks_exact_mut(2).zip(random) {
            digits[0] = DIGITS[usize::from(byte >> 4)];
            digits[1] = DIGITS[usize::from(byte & 15)];
        }
        Self { length: 16, bytes }
    }

    /// Parses an ID, or returns `None` if the text is not a valid one.
    #[must_use]
    pub fn parse(offered: &str) -> Option<Self> {
        let valid = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if offered.is_empty() || offered.len() > LIMIT || !offered.bytes().all(valid) {
            return None;
        }
        let mut bytes = [0; LIMIT];
        bytes[..offered.len()].copy_from_slice(offered.as_bytes());
        Some(Self {
            length: u8::try_from(offered.len()).ok()?,
            bytes,
        })
    }

    /// Returns the ID as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Always ASCII by construction.
        std::str::from_utf8(&self.bytes[..usize::from(self.length)]).unwrap_or("-")
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Serializes as text, for messages that refer to a request.
impl Serialize for RequestId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for RequestId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&Cow::<'_, str>::deserialize(deserializer)?).ok_or_else(|| {
            de::Error::custom(
                "invalid request ID: expected 1 to 64 letters, digits, `.`, `_` or `-`",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_ids_are_sixteen_lower_case_hex_digits() {
        let id = RequestId::random();
        assert_eq!(id.as_str().len(), 16);
        assert!(
            id.as_str()
                .bytes()
                .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')),
            "{id}"
        );
        assert_ne!(id, RequestId::random());
        assert_eq!(RequestId::parse(id.as_str()), Some(id));
    }

    #[test]
    fn an_id_cannot_forge_a_log_line() {
        for bad in [
            "",
            "a b",
            "a\nb",
            "a\0",
            "é",
            "<script>",
            "\u{1b}[31m",
            "a\"b",
            &"a".repeat(65),
        ] {
            assert_eq!(RequestId::parse(bad), None, "{bad:?}");
        }
        assert_eq!(
            RequestId::parse("r691d2572a8b729c8").unwrap().as_str(),
            "r691d2572a8b729c8"
        );
        assert!(RequestId::parse(&"a".repeat(64)).is_some());
    }

    #[test]
    fn an_id_is_text_in_a_message() {
        let id: RequestId = serde_json::from_str(r#""3b9d41f8a0c2e576""#).unwrap();
        assert_eq!(serde_json::to_string(&id).unwrap(), r#""3b9d41f8a0c2e576""#);
        let error = serde_json::from_str::<RequestId>(r#""a b""#)
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("invalid request ID: expected 1 to 64 letters"),
            "{error}"
        );
    }
}

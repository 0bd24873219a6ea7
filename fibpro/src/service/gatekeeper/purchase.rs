//! Keys of purchases, and detection of requests that must not buy.

use std::fmt::Write as _;

use rpc_runtime::axum::http::HeaderMap;
use sha2::{Digest as _, Sha256};

/// Header with the caller's key of a purchase. A request with the same key can be retried without
/// paying twice.
pub(super) const KEY_HEADER: &str = "idempotency-key";

/// Maximum length of a caller's key, in bytes.
const MAX_KEY_BYTES: usize = 255;

/// Headers and values that mark a prefetch in current and older browsers.
const PREFETCH: [(&str, &str); 4] = [
    ("sec-purpose", "prefetch"),
    ("purpose", "prefetch"),
    ("x-moz", "prefetch"),
    ("x-purpose", "preview"),
];

/// Key of a purchase: sent by the caller, or random.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PurchaseKey {
    text: String,
    is_callers: bool,
}

/// Reason why a request has no key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoKey {
    /// The caller sent none.
    Missing,
    /// Text for a caller whose header is not valid.
    Invalid(String),
}

impl PurchaseKey {
    /// Reads the key of a request.
    ///
    /// # Errors
    ///
    /// The reason if there is no valid key.
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, NoKey> {
        let mut values = headers.get_all(KEY_HEADER).iter();
        let Some(value) = values.next() else {
            return Err(NoKey::Missing);
        };
        let bytes = value.as_bytes();
        let is_key =
            (1..=MAX_KEY_BYTES).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic);
        match value.to_str() {
            Ok(text) if is_key && values.next().is_none() => Ok(Self {
                text: text.to_owned(),
                is_callers: true,
            }),
            _ => Err(NoKey::Invalid(format!(
                "invalid Idempotency-Key: send one key of 1 to {MAX_KEY_BYTES} visible ASCII characters"
            ))),
        }
    }

    /// Draws a random key of 128 bits.
    ///
    /// # Errors
    ///
    /// A text for the caller if there are no random bytes.
    pub(super) fn random() -> Result<Self, String> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)
            .map_err(|error| format!("cannot generate an Idempotency-Key ({error}); send one"))?;
        Ok(Self {
            text: hex(&bytes),
            is_callers: false,
        })
    }

    /// Returns the key in the caller's form.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns whether the caller sent the key, and so can repeat the purchase.
    pub(super) fn is_callers(&self) -> bool {
        self.is_callers
    }

    /// Returns the key under which the services know the purchase.
    ///
    /// It is a hash of user name, caller's key and number. So two users with the same key, or two
    /// numbers with the same key, are different purchases. Length prefixes keep the parts apart.
    pub(super) fn of(&self, username: &str, n: u64) -> String {
        let mut digest = Sha256::new();
        for part in [username.as_bytes(), self.text.as_bytes(), &n.to_be_bytes()] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        hex(&digest.finalize()[..16])
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a `String` does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Returns whether a browser fetches the number before its user requests it.
pub(super) fn is_prefetch(headers: &HeaderMap) -> bool {
    PREFETCH.iter().any(|(name, word)| {
        headers.get_all(*name).iter().any(|value| {
            // A value may be a list, such as `prefetch;prerender`.
            let words = value.to_str().unwrap_or_default().split([';', ',', ' ']);
            words
                .into_iter()
                .any(|value| value.eq_ignore_ascii_case(word))
        })
    })
}

#[cfg(test)]
mod tests {
    use rpc_runtime::axum::http::HeaderValue;

    use super::*;

    fn headers(name: &'static str, values: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    fn key(text: &str) -> PurchaseKey {
        PurchaseKey {
            text: text.to_owned(),
            is_callers: true,
        }
    }

    #[test]
    fn a_key_is_one_to_255_visible_characters() {
        let longest = "k".repeat(255);
        for good in ["1", "\"8e03978e-40d5\"", "!~", &longest] {
            let read = PurchaseKey::read(&headers(KEY_HEADER, &[good.as_bytes()]));
            assert_eq!(read, Ok(key(good)));
        }
        let too_long = "k".repeat(256);
        for bad in [&b""[..], b"a b", b"a\tb", b"\xe9", too_long.as_bytes()] {
            let read = PurchaseKey::read(&headers(KEY_HEADER, &[bad]));
            let is_invalid = matches!(read, Err(NoKey::Invalid(_)));
            assert!(is_invalid, "{}", bad.escape_ascii());
        }
        let two = PurchaseKey::read(&headers(KEY_HEADER, &[b"a", b"a"]));
        assert!(matches!(two, Err(NoKey::Invalid(_))));
        assert_eq!(PurchaseKey::read(&HeaderMap::new()), Err(NoKey::Missing));
    }

    #[test]
    fn requests_without_a_key_are_separate_purchases() {
        let keys: std::collections::HashSet<_> = (0..100)
            .map(|_| PurchaseKey::random().unwrap().text)
            .collect();
        assert_eq!(keys.len(), 100);
        assert!(keys.iter().all(|key| key.len() == 32));
    }

    #[test]
    fn users_and_numbers_have_separate_keys() {
        let same = key("k").of("ada", 1);
        assert_eq!(key("k").of("ada", 1), same);
        for other in [
            key("k").of("bob", 1),
            key("k").of("ada", 3),
            key("K").of("ada", 1),
            key("ak").of("ad", 1),
        ] {
            assert_ne!(other, same);
        }
        assert_ne!(key("b").of("a", 1), key("").of("ab", 1));
    }

    #[test]
    fn c08_a_prefetch_says_so_in_several_ways() {
        for (name, value) in [
            ("sec-purpose", "prefetch"),
            ("sec-purpose", "prefetch;prerender"),
            ("sec-purpose", "prefetch;anonymous-client-ip"),
            ("purpose", "Prefetch"),
            ("x-moz", "prefetch"),
            ("x-purpose", "preview"),
        ] {
            assert!(
                is_prefetch(&headers(name, &[value.as_bytes()])),
                "{name}: {value}"
            );
        }
        for (name, value) in [
            ("sec-purpose", "none"),
            ("purpose", "prefetching"),
            ("x-other", "prefetch"),
        ] {
            assert!(
                !is_prefetch(&headers(name, &[value.as_bytes()])),
                "{name}: {value}"
            );
        }
    }
}

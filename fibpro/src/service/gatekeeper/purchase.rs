//! What makes a purchase one purchase: its key, and whether the request is meant to buy at all.

use std::fmt::Write as _;

use rpc_runtime::axum::http::HeaderMap;
use sha2::{Digest as _, Sha256};

/// The header by which a caller names its purchase, so that it may repeat the request.
pub(super) const KEY_HEADER: &str = "idempotency-key";

/// The longest key of a caller, in bytes.
const MAX_KEY_BYTES: usize = 255;

/// How a prefetch says what it is, over the years.
const PREFETCH: [(&str, &str); 4] = [
    ("sec-purpose", "prefetch"),
    ("purpose", "prefetch"),
    ("x-moz", "prefetch"),
    ("x-purpose", "preview"),
];

/// The key of a purchase: the caller's, or one that is drawn for this request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PurchaseKey(String);

impl PurchaseKey {
    /// # Errors
    ///
    /// A text for the caller, for a key that is none.
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, String> {
        let mut values = headers.get_all(KEY_HEADER).iter();
        let Some(value) = values.next() else {
            return Self::random();
        };
        let bytes = value.as_bytes();
        let is_key =
            (1..=MAX_KEY_BYTES).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic);
        match value.to_str() {
            Ok(text) if is_key && values.next().is_none() => Ok(Self(text.to_owned())),
            _ => Err(format!(
                "a request has one Idempotency-PurchaseKey of 1 to {MAX_KEY_BYTES} visible ASCII characters"
            )),
        }
    }

    /// 128 bits that nobody draws twice.
    fn random() -> Result<Self, String> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|error| {
            format!("no Idempotency-PurchaseKey can be drawn here ({error}); send one")
        })?;
        Ok(Self(hex(&bytes)))
    }

    /// The key as the caller may send it again.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The key that the services know the purchase by.
    ///
    /// Two users may think of one key, and one user may use a key for two numbers of the same price: neither may have what
    /// the other one paid for. Each part has its length in front, so that no two triples read alike.
    pub(super) fn of(&self, username: &str, n: u64) -> String {
        let mut digest = Sha256::new();
        for part in [username.as_bytes(), self.0.as_bytes(), &n.to_be_bytes()] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        hex(&digest.finalize()[..16])
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Whether a browser asks for what its user has not asked for yet.
pub(super) fn is_prefetch(headers: &HeaderMap) -> bool {
    PREFETCH.iter().any(|(name, word)| {
        headers.get_all(*name).iter().any(|value| {
            // Such as `prefetch;prerender`.
            let words = value.to_str().unwrap_or_default().split([';', ',', ' ']);
            words
                .into_iter()
                .any(|said| said.eq_ignore_ascii_case(word))
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

    #[test]
    fn row_83_a_key_is_one_to_255_visible_characters() {
        let longest = "k".repeat(255);
        for good in ["1", "\"8e03978e-40d5\"", "!~", &longest] {
            let key = PurchaseKey::read(&headers(KEY_HEADER, &[good.as_bytes()]));
            assert_eq!(key, Ok(PurchaseKey(good.to_owned())));
        }
        let too_long = "k".repeat(256);
        for bad in [&b""[..], b"a b", b"a\tb", b"\xe9", too_long.as_bytes()] {
            let key = PurchaseKey::read(&headers(KEY_HEADER, &[bad]));
            assert!(key.is_err(), "{}", bad.escape_ascii());
        }
        assert!(PurchaseKey::read(&headers(KEY_HEADER, &[b"a", b"a"])).is_err());
    }

    #[test]
    fn without_one_each_request_is_a_purchase_of_its_own() {
        let keys: std::collections::HashSet<_> = (0..100)
            .map(|_| PurchaseKey::read(&HeaderMap::new()).unwrap().0)
            .collect();
        assert_eq!(keys.len(), 100);
        assert!(keys.iter().all(|key| key.len() == 32));
    }

    #[test]
    fn row_83_users_and_numbers_do_not_meet_in_a_key() {
        let key = PurchaseKey("k".to_owned());
        let same = key.of("ada", 1);
        assert_eq!(key.of("ada", 1), same);
        for other in [
            key.of("bob", 1),
            key.of("ada", 3),
            PurchaseKey("K".to_owned()).of("ada", 1),
            PurchaseKey("ak".to_owned()).of("ad", 1),
        ] {
            assert_ne!(other, same);
        }
        assert_ne!(
            PurchaseKey("b".to_owned()).of("a", 1),
            PurchaseKey(String::new()).of("ab", 1)
        );
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

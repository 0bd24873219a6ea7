//! Keys of purchases, and detection of requests that must not buy.

use std::fmt::Write as _;

use rpc_runtime::axum::http::{HeaderMap, HeaderValue};
use sha2::{Digest as _, Sha256};

/// Header with the caller's key of a purchase. A request with the same key can be retried without
/// paying twice.
pub(super) const KEY_HEADER: &str = "idempotency-key";

/// Maximum length of a caller's key, in bytes, without quotes and escapes.
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
    /// The key as the caller sent it, perhaps in quotes.
    header: HeaderValue,
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
    /// Reads the key of a request: a string in quotes, as the draft of the IETF asks for, or a bare
    /// text, as most callers send it. Both are the same key.
    ///
    /// # Errors
    ///
    /// The reason if there is no valid key.
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, NoKey> {
        let mut values = headers.get_all(KEY_HEADER).iter();
        let Some(value) = values.next() else {
            return Err(NoKey::Missing);
        };
        let text = value.to_str().ok().and_then(unquoted);
        let text = text.filter(|text| (1..=MAX_KEY_BYTES).contains(&text.len()));
        match text {
            Some(text) if values.next().is_none() => Ok(Self {
                text,
                header: value.clone(),
                is_callers: true,
            }),
            _ => Err(NoKey::Invalid(format!(
                r#"invalid Idempotency-Key: send one key of 1 to {MAX_KEY_BYTES} visible ASCII characters, bare or as a string in double quotes (with \" for " and \\ for \)"#
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
        let text = hex(&bytes);
        let header = HeaderValue::from_str(&text)
            .map_err(|error| format!("cannot generate an Idempotency-Key ({error}); send one"))?;
        Ok(Self {
            text,
            header,
            is_callers: false,
        })
    }

    /// Returns the value of the header with the key.
    pub(super) fn header(&self) -> &HeaderValue {
        &self.header
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

/// Returns the key in the value of a header; `None` if it is neither a string of RFC 8941, section
/// 3.3.3, nor a bare text of visible characters that does not begin like one.
fn unquoted(value: &str) -> Option<String> {
    let Some(quoted) = value.strip_prefix('"') else {
        let is_bare = value.bytes().all(|byte| byte.is_ascii_graphic());
        return is_bare.then(|| value.to_owned());
    };
    let (mut text, mut characters) = (String::new(), quoted.chars());
    loop {
        match characters.next()? {
            '"' => return characters.as_str().is_empty().then_some(text),
            '\\' => text.push(
                characters
                    .next()
                    .filter(|next| matches!(next, '"' | '\\'))?,
            ),
            character @ ' '..='~' => text.push(character),
            _ => return None,
        }
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
            header: HeaderValue::from_str(text).unwrap(),
            is_callers: true,
        }
    }

    fn read(value: &[u8]) -> Result<PurchaseKey, NoKey> {
        PurchaseKey::read(&headers(KEY_HEADER, &[value]))
    }

    #[test]
    fn a_key_is_one_to_255_visible_characters() {
        let longest = "k".repeat(255);
        for good in ["1", "8e03978e-40d5", "!~", "a\"b", "a\\", &longest] {
            assert_eq!(read(good.as_bytes()), Ok(key(good)));
        }
        let too_long = "k".repeat(256);
        for bad in [&b""[..], b"a b", b"a\tb", b"\xe9", too_long.as_bytes()] {
            let is_invalid = matches!(read(bad), Err(NoKey::Invalid(_)));
            assert!(is_invalid, "{}", bad.escape_ascii());
        }
        let two = PurchaseKey::read(&headers(KEY_HEADER, &[b"a", b"a"]));
        assert!(matches!(two, Err(NoKey::Invalid(_))));
        assert_eq!(PurchaseKey::read(&HeaderMap::new()), Err(NoKey::Missing));
    }

    #[test]
    fn quotes_and_escapes_are_no_part_of_a_key() {
        let longest = "k".repeat(255);
        let quoted = format!("\"{longest}\"");
        for (sent, text) in [
            (r#""8e03978e-40d5""#, "8e03978e-40d5"),
            (r#""a b""#, "a b"),
            (r#""a\"b\\c""#, r#"a"b\c"#),
            (r#""\"""#, "\""),
            (r#""a;b=1, c""#, "a;b=1, c"),
            (&quoted, &longest),
        ] {
            let quoted = read(sent.as_bytes()).unwrap();
            assert_eq!(
                (quoted.text.as_str(), quoted.header().as_bytes()),
                (text, sent.as_bytes())
            );
            // The bare key, where there is one, is the same key.
            if let Ok(bare) = read(text.as_bytes()) {
                assert_eq!(quoted.of("ada", 1), bare.of("ada", 1));
            }
        }
        let (too_long, half) = (format!("\"{longest}k\""), format!("\"{longest}"));
        for bad in [
            r#"""#,
            r#""""#,
            r#""a"#,
            r#""a"b"#,
            r#""a" "b""#,
            r#""a", "b""#,
            r#""a";b=1"#,
            r#""a\b""#,
            r#""a\"#,
            "\"a\tb\"",
            &too_long,
            &half,
        ] {
            let Err(NoKey::Invalid(why)) = read(bad.as_bytes()) else {
                panic!("{bad} is a key");
            };
            assert!(why.contains("double quotes"), "{why}");
        }
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

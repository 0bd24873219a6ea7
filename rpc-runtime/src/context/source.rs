//! The name of a calling server.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The maximum size of each of the three parts, in bytes.
const PART_LIMIT: usize = 64;

/// The name, environment and instance of a server: `gatekeeper@prod/127.0.0.1:9001`.
///
/// Each part has 1 to 64 characters of `[A-Za-z0-9._-]`. The instance may be an address, with `:`
/// and brackets.
///
/// ```
/// use rpc_runtime::Source;
///
/// let source: Source = "gatekeeper@prod/a1".parse()?;
/// assert_eq!((source.server(), source.environment(), source.instance()), ("gatekeeper", "prod", "a1"));
/// # Ok::<(), rpc_runtime::context::InvalidSource>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Source {
    text: String,
    at: usize,
    slash: usize,
}

impl Source {
    /// Creates a source from its three parts.
    ///
    /// # Errors
    ///
    /// Fails if a part is empty, too long, or has other characters.
    pub fn new(server: &str, environment: &str, instance: &str) -> Result<Self, InvalidSource> {
        // An instance may be an address.
        let address = |b: u8| matches!(b, b':' | b'[' | b']');
        if ![server, environment]
            .into_iter()
            .all(|part| is_part(part, |_| false))
            || !is_part(instance, address)
        {
            return Err(InvalidSource);
        }
        Ok(Self {
            text: format!("{server}@{environment}/{instance}"),
            at: server.len(),
            slash: server.len() + 1 + environment.len(),
        })
    }

    /// Returns the name of the server.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.text[..self.at]
    }

    /// Returns the environment of the server.
    #[must_use]
    pub fn environment(&self) -> &str {
        &self.text[self.at + 1..self.slash]
    }

    /// Returns the instance of the server, by default its address.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.text[self.slash + 1..]
    }

    /// Returns the text form, as on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

fn is_part(part: &str, also: impl Fn(u8) -> bool) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=PART_LIMIT).contains(&part.len()) && part.bytes().all(|b| plain(b) || also(b))
}

impl FromStr for Source {
    type Err = InvalidSource;

    fn from_str(text: &str) -> Result<Self, InvalidSource> {
        let (server, rest) = text.split_once('@').ok_or(InvalidSource)?;
        let (environment, instance) = rest.split_once('/').ok_or(InvalidSource)?;
        Self::new(server, environment, instance)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Serializes as on the wire, for messages that refer to a source.
impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'_, str>::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// The error of parsing an invalid [`Source`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvalidSource;

impl fmt::Display for InvalidSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "invalid source: expected `server@environment/instance`, each part 1 to 64 letters, digits, `.`, `_` or `-`; the instance may be an address",
        )
    }
}

impl std::error::Error for InvalidSource {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_three_valid_parts() {
        for bad in [
            "", "a", "a@b", "a@b/", "@b/c", "a b@c/d", "a@b/c\n", "a@b/c/d", "é@b/c", "a:1@b/c",
        ] {
            assert_eq!(bad.parse::<Source>(), Err(InvalidSource), "{bad:?}");
        }
        let v6: Source = "pricing@prod/[::1]:9004".parse().unwrap();
        assert_eq!(v6.instance(), "[::1]:9004");
    }

    #[test]
    fn a_source_is_text_in_a_message() {
        let source: Source = serde_json::from_str(r#""pricing@prod/a1""#).unwrap();
        assert_eq!(
            serde_json::to_string(&source).unwrap(),
            r#""pricing@prod/a1""#
        );
        let error = serde_json::from_str::<Source>(r#""pricing""#)
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("invalid source: expected `server@environment/instance`"),
            "{error}"
        );
    }
}

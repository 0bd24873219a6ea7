//! Application metadata: names and values that are sent with a message, as HTTP headers.

use std::borrow::Cow;
use std::fmt;

/// Names and values that are sent with a message, in order. A name may occur more than once.
///
/// Names are lower-case ASCII (`[a-z0-9_.-]`). Values are visible ASCII, space and tab, so a value
/// cannot forge another header. For other values use a name that ends in `-bin` and
/// [`append_bin`](Self::append_bin).
///
/// ```
/// use rpc_runtime::Metadata;
///
/// let mut metadata = Metadata::new();
/// metadata.append("x-tenant", "blue")?;
/// assert_eq!(metadata.get("x-tenant"), Some("blue"));
/// assert!(metadata.append("x-tenant", "two\r\nlines").is_err());
/// assert!(metadata.append("content-length", "3").is_err());
/// # Ok::<(), rpc_runtime::InvalidMetadata>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Metadata(Vec<(Cow<'static, str>, String)>);

impl Metadata {
    /// Creates empty metadata, without an allocation.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Appends an entry.
    ///
    /// # Errors
    ///
    /// Fails if the name is not lower-case ASCII or is reserved for the protocol (`content-*`,
    /// `connect-*`, `grpc-*`, `x-rpc-*`, `x-request-id`, hop-by-hop headers, …), or if the value
    /// has control or non-ASCII characters.
    pub fn append(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<String>,
    ) -> Result<(), InvalidMetadata> {
        let (name, value) = (name.into(), value.into());
        if !is_name(&name) {
            return Err(InvalidMetadata::new(
                &name,
                "invalid name: use lower-case ASCII letters, digits, `-`, `_` and `.`",
            ));
        }
        if is_reserved(&name) {
            return Err(InvalidMetadata::new(
                &name,
                "the name is reserved for the protocol: use another one, such as `x-tenant`",
            ));
        }
        if !is_value(&value) {
            return Err(InvalidMetadata::new(
                &name,
                "invalid value: use visible ASCII, space and tab, or a name that ends in `-bin` and `append_bin` for bytes",
            ));
        }
        self.0.push((name, value));
        Ok(())
    }

    /// Appends bytes under a name that ends in `-bin`. They are sent as unpadded base64.
    ///
    /// # Errors
    ///
    /// Fails as [`append`](Self::append), and if the name does not end in `-bin`.
    pub fn append_bin(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        value: &[u8],
    ) -> Result<(), InvalidMetadata> {
        use base64::Engine as _;
        let name = name.into();
        if !name.ends_with("-bin") {
            return Err(InvalidMetadata::new(
                &name,
                "invalid name of a binary value: end it in `-bin`",
            ));
        }
        self.append(
            name,
            base64::engine::general_purpose::STANDARD_NO_PAD.encode(value),
        )
    }

    /// Returns the first value of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|entry| entry.0 == name)
            .map(|entry| entry.1)
    }

    /// Iterates over all values of this name, in order.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.iter()
            .filter(move |entry| entry.0 == name)
            .map(|entry| entry.1)
    }

    /// Returns the decoded first value of this `-bin` name, or `None` if it is missing or not
    /// base64.
    #[must_use]
    pub fn get_bin(&self, name: &str) -> Option<Vec<u8>> {
        use base64::Engine as _;
        let value = self.get(name)?;
        base64::engine::general_purpose::STANDARD_NO_PAD
            .decode(value.trim_end_matches('='))
            .ok()
    }

    /// Removes all values of this name.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|entry| entry.0 != name);
    }

    /// Iterates over all entries, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_ref(), value.as_str()))
    }

    /// Returns the number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there are no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Appends an entry that a peer sent. Reserved names and invalid entries are skipped.
    pub(crate) fn append_received(&mut self, name: &str, value: &str) {
        if !is_reserved(name) && is_name(name) && is_value(value) {
            self.0.push((Cow::Owned(name.to_owned()), value.to_owned()));
        }
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }
}

/// Prints names only. A value may be a credential.
impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.iter().map(|entry| entry.0))
            .finish()
    }
}

/// An invalid name or value of metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidMetadata {
    name: String,
    problem: &'static str,
}

impl InvalidMetadata {
    fn new(name: &str, problem: &'static str) -> Self {
        // The name may come from an attacker: print at most 64 characters, on one line.
        Self {
            name: name.escape_debug().take(64).collect(),
            problem,
        }
    }
}

impl fmt::Display for InvalidMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "metadata `{}`: {}", self.name, self.problem)
    }
}

impl std::error::Error for InvalidMetadata {}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.'))
}

fn is_value(value: &str) -> bool {
    value.bytes().all(|b| matches!(b, b' '..=b'~' | b'\t'))
}

/// Returns whether this lower-case name is reserved for the protocol, HTTP or the context of calls.
pub(crate) fn is_reserved(name: &str) -> bool {
    const PREFIXES: [&str; 8] = [
        "connect-", "grpc-", "x-rpc-", "content-", "trailer-", "proxy-", "accept", "sec-",
    ];
    matches!(
        name,
        "host"
            | "user-agent"
            | "trailer"
            | "trailers"
            | "date"
            | "connection"
            | "keep-alive"
            | "te"
            | "upgrade"
            | "transfer-encoding"
            | "expect"
            | "vary"
            | "server"
            | "x-request-id"
            | "traceparent"
            | "tracestate"
            | "baggage"
    ) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_names_keep_their_order() {
        let mut metadata = Metadata::new();
        metadata.append("x-a", "1").unwrap();
        metadata.append("x-b", "2").unwrap();
        metadata.append("x-a", "3").unwrap();
        assert_eq!(metadata.get_all("x-a").collect::<Vec<_>>(), ["1", "3"]);
        metadata.remove("x-a");
        assert_eq!(metadata.len(), 1);
    }

    #[test]
    fn binary_values_are_read_padded_and_unpadded() {
        let mut metadata = Metadata::new();
        metadata.append_bin("x-key-bin", &[0, 255]).unwrap();
        assert_eq!(metadata.get("x-key-bin"), Some("AP8"));
        assert_eq!(metadata.get_bin("x-key-bin"), Some(vec![0, 255]));
        metadata.remove("x-key-bin");
        metadata.append("x-key-bin", "AP8=").unwrap();
        assert_eq!(metadata.get_bin("x-key-bin"), Some(vec![0, 255]));
        assert!(metadata.append_bin("x-key", &[1]).is_err());
    }

    #[test]
    fn debug_prints_no_values() {
        let mut metadata = Metadata::new();
        metadata.append("authorization", "Bearer canary").unwrap();
        assert_eq!(format!("{metadata:?}"), r#"["authorization"]"#);
    }
}

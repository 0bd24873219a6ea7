//! Application metadata: the names and values that travel beside a message, as HTTP headers do.

use std::borrow::Cow;
use std::fmt;

/// Names and values beside a message, in order; a name may stand more than once.
///
/// Names are lower-case ASCII (`[a-z0-9_.-]`). Values are visible ASCII, space and tab, so that no value can
/// forge another header; for anything else use a name that ends in `-bin` and [`append_bin`](Self::append_bin).
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
    /// Without entries; allocates nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds an entry behind those of the same name.
    ///
    /// # Errors
    ///
    /// When the name is not lower-case ASCII or belongs to the protocol (`content-*`, `connect-*`, `grpc-*`,
    /// `x-rpc-*`, `x-request-id`, hop-by-hop headers, …), or the value has control or non-ASCII characters.
    pub fn append(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<String>,
    ) -> Result<(), InvalidMetadata> {
        let (name, value) = (name.into(), value.into());
        if !is_name(&name) {
            return Err(InvalidMetadata::new(
                &name,
                "a name is lower-case ASCII letters, digits, `-`, `_` and `.`",
            ));
        }
        if is_reserved(&name) {
            return Err(InvalidMetadata::new(
                &name,
                "this name belongs to the protocol",
            ));
        }
        if !is_value(&value) {
            return Err(InvalidMetadata::new(
                &name,
                "a value is visible ASCII, space and tab; use a name that ends in `-bin` for bytes",
            ));
        }
        self.0.push((name, value));
        Ok(())
    }

    /// Adds bytes under a name that ends in `-bin`; they travel as unpadded base64.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append), and when the name does not end in `-bin`.
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
                "the name of a binary value ends in `-bin`",
            ));
        }
        self.append(
            name,
            base64::engine::general_purpose::STANDARD_NO_PAD.encode(value),
        )
    }

    /// The first value of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|entry| entry.0 == name)
            .map(|entry| entry.1)
    }

    /// All values of this name, in order.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.iter()
            .filter(move |entry| entry.0 == name)
            .map(|entry| entry.1)
    }

    /// The first value of this `-bin` name, decoded; `None` when it is absent or no base64.
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

    /// All entries, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_ref(), value.as_str()))
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds what a peer sent, if an application may see it at all. What the protocol uses itself is passed over.
    pub(crate) fn append_received(&mut self, name: &str, value: &str) {
        if !is_reserved(name) && is_name(name) && is_value(value) {
            self.0.push((Cow::Owned(name.to_owned()), value.to_owned()));
        }
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }
}

/// Prints the names only: a value may be a credential.
impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.iter().map(|entry| entry.0))
            .finish()
    }
}

/// A name or value that cannot travel as metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidMetadata {
    name: String,
    problem: &'static str,
}

impl InvalidMetadata {
    fn new(name: &str, problem: &'static str) -> Self {
        // The name may be an attacker's; keep what is printed short and on one line.
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

/// Whether the protocol, HTTP or our own context owns this (lower-case) name.
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
    fn debug_prints_no_value() {
        let mut metadata = Metadata::new();
        metadata.append("authorization", "Bearer canary").unwrap();
        assert_eq!(format!("{metadata:?}"), r#"["authorization"]"#);
    }
}

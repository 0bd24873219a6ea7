//! Application metadata: names and values that are sent with a message, as HTTP headers.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// Names and values that are sent with a message, in order. A name may occur more than once.
///
/// Names are letters, digits, `-`, `_` and `.`, in lower case: capitals are converted, and lookups
/// ignore case. Values are visible ASCII, space and tab, so a value cannot forge another header.
/// White space around a value is removed, as HTTP does. For other values use a name that ends in
/// `-bin` and [`append_bin`](Self::append_bin).
///
/// ```
/// use rpc_runtime::Metadata;
///
/// let mut metadata = Metadata::new();
/// metadata.append("X-Tenant", "blue")?;
/// metadata.append_bin("x-trace-bin", &[0, 255])?;
/// assert_eq!(metadata.get("x-tenant"), Some("blue"));
/// assert_eq!(metadata.get_bin("x-trace-bin"), Some(vec![0, 255]));
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
    /// Fails if the name has other characters or is reserved for the protocol (`content-*`,
    /// `connect-*`, `grpc-*`, `x-rpc-*`, `x-request-id`, hop-by-hop headers, …), or if the value
    /// has control or non-ASCII characters, or is not base64 under a name that ends in `-bin`.
    pub fn append(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<String>,
    ) -> Result<(), InvalidMetadata> {
        let name = checked_name(name.into())?;
        let mut value = value.into();
        let trimmed = value.trim_matches([' ', '\t']);
        if trimmed.len() < value.len() {
            value = trimmed.to_owned();
        }
        if !is_value(&value) {
            return Err(InvalidMetadata::new(
                &name,
                "invalid value: use visible ASCII, space and tab, or a name that ends in `-bin` and bytes",
            ));
        }
        if is_binary(&name) && binary_values(&value).any(|value| value.is_none()) {
            return Err(InvalidMetadata::new(
                &name,
                "invalid value: a name that ends in `-bin` has base64; pass the bytes to `append_bin`",
            ));
        }
        self.0.push((name, value));
        Ok(())
    }

    /// Appends bytes under a name that ends in `-bin`. They are sent as unpadded base64.
    ///
    /// # Errors
    ///
    /// Fails if the name does not end in `-bin`, or as [`append`](Self::append) for its name.
    pub fn append_bin(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        value: &[u8],
    ) -> Result<(), InvalidMetadata> {
        let name = checked_name(name.into())?;
        if !is_binary(&name) {
            return Err(InvalidMetadata::new(
                &name,
                "invalid name of a binary value: end it in `-bin`",
            ));
        }
        self.0.push((name, STANDARD_NO_PAD.encode(value)));
        Ok(())
    }

    /// Returns the first value of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|entry| entry.0.eq_ignore_ascii_case(name))
            .map(|entry| entry.1)
    }

    /// Iterates over all values of this name, in order.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.iter()
            .filter(move |entry| entry.0.eq_ignore_ascii_case(name))
            .map(|entry| entry.1)
    }

    /// Returns the decoded first value of this `-bin` name, or `None` if it is missing or not
    /// base64.
    #[must_use]
    pub fn get_bin(&self, name: &str) -> Option<Vec<u8>> {
        binary_values(self.get(name)?).next().flatten()
    }

    /// Iterates over all decoded values of this `-bin` name, in order. A value that is not base64
    /// is `None`.
    ///
    /// Proxies may join entries of the same name with commas; they are separated here.
    pub fn get_all_bin<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Option<Vec<u8>>> + 'a {
        self.get_all(name).flat_map(binary_values)
    }

    /// Removes all values of this name.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|entry| !entry.0.eq_ignore_ascii_case(name));
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

    /// Returns the size in memory, in bytes.
    #[cfg(feature = "server")]
    pub(crate) fn size(&self) -> usize {
        let entry = size_of::<(Cow<'static, str>, String)>();
        let texts = self.iter().map(|(name, value)| name.len() + value.len());
        self.len() * entry + texts.sum::<usize>()
    }

    /// Removes the first `count` entries.
    pub(crate) fn drop_first(&mut self, count: usize) {
        self.0.drain(..count.min(self.0.len()));
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

/// Returns the name in lower case, after checking it.
fn checked_name(mut name: Cow<'static, str>) -> Result<Cow<'static, str>, InvalidMetadata> {
    if name.bytes().any(|b| b.is_ascii_uppercase()) {
        name.to_mut().make_ascii_lowercase();
    }
    if !is_name(&name) {
        return Err(InvalidMetadata::new(
            &name,
            "invalid name: use ASCII letters, digits, `-`, `_` and `.`",
        ));
    }
    if is_reserved(&name) {
        return Err(InvalidMetadata::new(
            &name,
            "the name is reserved for the protocol: use another one, such as `x-tenant`",
        ));
    }
    Ok(name)
}

/// Returns whether this lower-case name has binary values.
fn is_binary(name: &str) -> bool {
    name.ends_with("-bin")
}

/// Decodes the values of an entry of a `-bin` name. One that is not base64 is `None`.
fn binary_values(value: &str) -> impl Iterator<Item = Option<Vec<u8>>> + '_ {
    value.split(',').map(|value| {
        STANDARD_NO_PAD
            .decode(value.trim_matches([' ', '\t']).trim_end_matches('='))
            .ok()
    })
}

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
    fn names_are_in_lower_case_whatever_is_written() {
        let mut metadata = Metadata::new();
        metadata.append("X-Tenant", "blue").unwrap();
        metadata.append_bin("X-Key-BIN", &[1]).unwrap();
        metadata.append("AUTHORIZATION", "Bearer a").unwrap();
        let names: Vec<_> = metadata.iter().map(|entry| entry.0).collect();
        assert_eq!(names, ["x-tenant", "x-key-bin", "authorization"]);
        assert_eq!(metadata.get("X-TENANT"), Some("blue"));
        assert_eq!(metadata.get_bin("X-Key-Bin"), Some(vec![1]));
        metadata.remove("X-Tenant");
        assert_eq!(metadata.get("x-tenant"), None);
        for reserved in ["Content-Length", "X-RPC-Source", "X-Request-Id", "Host"] {
            let error = metadata.append(reserved, "1").unwrap_err().to_string();
            assert!(error.contains("reserved"), "{error}");
        }
        for invalid in ["", "X Tenant", "größe", "x-a:"] {
            assert!(metadata.append(invalid, "1").is_err(), "{invalid}");
        }
    }

    #[test]
    fn white_space_around_a_value_is_removed() {
        let mut metadata = Metadata::new();
        metadata.append("x-a", " \tone two ").unwrap();
        metadata.append("x-b", "  ").unwrap();
        assert_eq!(metadata.get("x-a"), Some("one two"));
        assert_eq!(metadata.get("x-b"), Some(""));
    }

    #[test]
    fn text_under_a_binary_name_is_base64() {
        let mut metadata = Metadata::new();
        let error = metadata.append("x-key-bin", "plain text").unwrap_err();
        assert!(error.to_string().contains("append_bin"), "{error}");
        assert!(metadata.append("x-key-bin", "AP8").is_ok());
        assert!(metadata.append("x-key-bin", "").is_ok());
        assert_eq!(
            metadata.get_all_bin("x-key-bin").collect::<Vec<_>>(),
            [Some(vec![0, 255]), Some(Vec::new())]
        );
    }

    #[test]
    fn joined_binary_values_are_separated() {
        let mut metadata = Metadata::new();
        metadata.append_received("x-key-bin", "AP8,AQ==, ?");
        metadata.append_bin("x-key-bin", &[2]).unwrap();
        assert_eq!(metadata.get_bin("x-key-bin"), Some(vec![0, 255]));
        assert_eq!(
            metadata.get_all_bin("x-key-bin").collect::<Vec<_>>(),
            [Some(vec![0, 255]), Some(vec![1]), None, Some(vec![2])]
        );
    }

    #[test]
    fn debug_prints_no_values() {
        let mut metadata = Metadata::new();
        metadata.append("authorization", "Bearer canary").unwrap();
        assert_eq!(format!("{metadata:?}"), r#"["authorization"]"#);
    }
}

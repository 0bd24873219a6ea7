//! W3C baggage: names and values that travel with a request through all services.

use std::fmt;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use crate::error::{Code, Error};

/// The maximum size of the `baggage` header, in bytes.
pub const BAGGAGE_LIMIT: usize = 4096;

/// The characters of a value that are percent-encoded. Source: W3C Baggage, `baggage-octet`.
const ENCODED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b',')
    .add(b';')
    .add(b'\\')
    .add(b'%');

/// Names and values that travel with a request through all services, in order, at most
/// [`BAGGAGE_LIMIT`] bytes.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Baggage(Vec<(String, String)>);

impl Baggage {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Returns the value of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|entry| entry.0 == name)
            .map(|entry| entry.1)
    }

    /// Iterates over all entries, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Returns whether there are no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sets a value.
    pub(super) fn insert(&mut self, name: &str, value: &str) -> Result<(), Error> {
        if !is_token(name) {
            return Err(Error::without_location(
                Code::InvalidArgument,
                format!(
                    "invalid baggage name `{}`: use an HTTP token, such as `tenant`",
                    name.escape_debug().take(64).collect::<String>()
                ),
            ));
        }
        let mut changed = self.clone();
        changed.0.retain(|entry| entry.0 != name);
        changed.0.push((name.to_owned(), value.to_owned()));
        if changed.to_string().len() > BAGGAGE_LIMIT {
            return Err(Error::without_location(
                Code::ResourceExhausted,
                format!(
                    "adding baggage `{name}` would exceed the limit of {BAGGAGE_LIMIT} bytes for all baggage"
                ),
            ));
        }
        *self = changed;
        Ok(())
    }

    /// Parses a header and skips invalid members. Returns `None` for a header over the limit.
    pub(crate) fn parse(header: &str) -> Option<Self> {
        if header.len() > BAGGAGE_LIMIT {
            return None;
        }
        let member = |member: &str| {
            // Properties after `;` are for tracing tools and not used here.
            let (name, value) = member.split(';').next()?.split_once('=')?;
            let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
            is_token(name.trim()).then(|| (name.trim().to_owned(), value.into_owned()))
        };
        Some(Self(header.split(',').filter_map(member).collect()))
    }
}

/// Writes the `baggage` header.
impl fmt::Display for Baggage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{name}={}", utf8_percent_encode(value, ENCODED))?;
        }
        Ok(())
    }
}

/// Prints names only. Values may be personal data.
impl fmt::Debug for Baggage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.iter().map(|entry| entry.0))
            .finish()
    }
}

fn is_token(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_keeps_all_entries() {
        let mut baggage = Baggage::new();
        baggage
            .insert("tenant", "blue, \"green\"; 100 % é\n")
            .unwrap();
        baggage.insert("cohort", "7").unwrap();
        assert_eq!(Baggage::parse(&baggage.to_string()), Some(baggage.clone()));
        assert_eq!(baggage.get("cohort"), Some("7"));
        assert!(!baggage.to_string().contains('\n'));
    }

    #[test]
    fn stays_within_its_limit() {
        let mut baggage = Baggage::new();
        let error = baggage.insert("a", &"x".repeat(BAGGAGE_LIMIT)).unwrap_err();
        assert_eq!(error.code(), Code::ResourceExhausted);
        assert!(baggage.is_empty());
        assert_eq!(Baggage::parse(&"x".repeat(BAGGAGE_LIMIT + 1)), None);
        assert_eq!(
            Baggage::parse("no member,a=1;p=2,=3,b c=4")
                .unwrap()
                .to_string(),
            "a=1"
        );
        assert_eq!(
            baggage.insert("a b", "1").unwrap_err().code(),
            Code::InvalidArgument
        );
    }
}

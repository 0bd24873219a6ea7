//! The object that a message is: its fields in the order in which they come.

use std::borrow::Cow;

use serde::de::{DeserializeOwned, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::DecodeError;
use super::value::Cursor;

/// Reads the fields of a message one by one, without building a tree.
pub(crate) struct Object<'b> {
    cursor: Cursor<'b>,
    first: bool,
}

impl<'b> Object<'b> {
    pub(crate) fn open(body: &'b [u8]) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(body);
        match cursor.peek() {
            Some(b'{') => cursor.advance(),
            None => {
                return Err(DecodeError::new(
                    "the body is empty; a message is a JSON object such as `{}`",
                ));
            }
            Some(_) => return Err(DecodeError::new("a message is a JSON object")),
        }
        Ok(Self {
            cursor,
            first: true,
        })
    }

    /// The next field's name, with the cursor before its value; `None` behind the last one.
    ///
    /// What stands behind the object is an error: two documents in one body mean two things to two readers.
    pub(crate) fn next_name(&mut self) -> Result<Option<Cow<'b, str>>, DecodeError> {
        let first = std::mem::replace(&mut self.first, false);
        match (self.cursor.peek(), first) {
            (Some(b'}'), _) => {
                self.cursor.advance();
                return match self.cursor.peek() {
                    None => Ok(None),
                    Some(_) => Err(self
                        .cursor
                        .error_here("something stands behind the message")),
                };
            }
            (Some(b','), false) => {
                self.cursor.advance();
                if self.cursor.peek() != Some(b'"') {
                    return Err(self.cursor.error_here("expected the name of a field"));
                }
            }
            (Some(b'"'), true) => {}
            (None, _) => return Err(self.cursor.error_here("the message is not complete")),
            (Some(_), _) => {
                return Err(self
                    .cursor
                    .error_here("expected a field in double quotes, `,` or `}`"));
            }
        }
        let name = self.cursor.name()?;
        match self.cursor.peek() {
            Some(b':') => self.cursor.advance(),
            _ => {
                return Err(self
                    .cursor
                    .error_here("expected `:` behind the name of a field"));
            }
        }
        Ok(Some(name))
    }

    /// The cursor before the value of the field that [`next_name`](Self::next_name) named.
    pub(crate) fn value(&mut self) -> &mut Cursor<'b> {
        &mut self.cursor
    }

    /// Passes over the value of a field that nobody knows.
    pub(crate) fn skip(&mut self) -> Result<(), DecodeError> {
        self.cursor.parse::<SkippedValue>().map(drop)
    }
}

/// Whether `sent` names the field `declared`: as declared, or in camelCase.
pub(crate) fn same_name(declared: &str, sent: &str) -> bool {
    if declared == sent {
        return true;
    }
    let mut sent = sent.bytes();
    let mut upper = false;
    for b in declared.bytes() {
        if b == b'_' {
            upper = true;
            continue;
        }
        let expected = if std::mem::take(&mut upper) {
            b.to_ascii_uppercase()
        } else {
            b
        };
        if sent.next() != Some(expected) {
            return false;
        }
    }
    sent.next().is_none()
}

/// Writes the fields of a message.
pub(crate) struct ObjectWriter<'o> {
    out: &'o mut Vec<u8>,
    first: bool,
}

impl<'o> ObjectWriter<'o> {
    pub(crate) fn open(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, first: true }
    }

    /// Writes a field; one whose value is `null` is left out, since `null` is absent.
    pub(crate) fn field(
        &mut self,
        name: &str,
        value: impl FnOnce(&mut Vec<u8>) -> Result<(), serde_json::Error>,
    ) -> Result<(), serde_json::Error> {
        let start = self.out.len();
        if !self.first {
            self.out.push(b',');
        }
        // Names are Rust identifiers: nothing in them wants escaping.
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        let before = self.out.len();
        value(self.out)?;
        if &self.out[before..] == b"null" {
            self.out.truncate(start);
        } else {
            self.first = false;
        }
        Ok(())
    }

    pub(crate) fn close(self) {
        self.out.push(b'}');
    }
}

/// Any value, read and thrown away. Not serde's `IgnoredAny`, which serde_json skips without its limit of depth.
struct SkippedValue;

impl<'de> serde::Deserialize<'de> for SkippedValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for SkippedValue {
    type Value = Self;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self, A::Error> {
        while seq.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        while map.next_entry::<IgnoredAny, Self>()?.is_some() {}
        Ok(self)
    }
}

const _: fn() = || {
    fn owned<T: DeserializeOwned>() {}
    owned::<SkippedValue>();
};

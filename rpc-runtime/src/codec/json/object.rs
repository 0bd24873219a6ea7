//! The fields of a message, read and written one by one.
//!
//! Hand-written instead of serde's `MapAccess`: it reads a message in one pass without building a
//! tree, and keeps the path of each value for errors.

use std::borrow::Cow;

use super::cursor::Cursor;
use super::{DecodeError, EncodeError, WriteOutcome};

/// Reads the fields of a message one by one.
pub(crate) struct Object<'b> {
    cursor: Cursor<'b>,
    first: bool,
}

impl<'b> Object<'b> {
    pub(crate) fn open(body: &'b [u8]) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(body)?;
        match cursor.peek() {
            Some(b'{') if !cursor.is_wide_text() => cursor.advance(),
            None => {
                return Err(DecodeError::new(
                    "the message is empty; expected a JSON object such as `{}`",
                ));
            }
            Some(_) => return Err(DecodeError::not_an_object(body)),
        }
        Ok(Self {
            cursor,
            first: true,
        })
    }

    /// Returns the name of the next field and moves to its value. Returns `None` after the last
    /// field.
    ///
    /// Trailing data is an error, because parsers differ in which of two documents they read.
    pub(crate) fn next_name(&mut self) -> Result<Option<Cow<'b, str>>, DecodeError> {
        let first = std::mem::replace(&mut self.first, false);
        match (self.cursor.peek(), first) {
            (Some(b'}'), _) => {
                self.cursor.advance();
                self.cursor.end("unexpected data after the message")?;
                return Ok(None);
            }
            (Some(b','), false) => {
                self.cursor.advance();
                if self.cursor.peek() != Some(b'"') {
                    return Err(self.cursor.error_here("expected a field name"));
                }
            }
            (Some(b'"'), true) => {}
            (None, _) => return Err(self.cursor.error_here("the message is incomplete")),
            (Some(_), true) => {
                return Err(self
                    .cursor
                    .error_here("expected a field name in double quotes or `}`"));
            }
            (Some(_), false) => {
                return Err(self.cursor.error_here("expected `,` or `}` after a field"));
            }
        }
        let name = self.cursor.string()?;
        match self.cursor.peek() {
            Some(b':') => self.cursor.advance(),
            _ => {
                return Err(self.cursor.error_here("expected `:` after the field name"));
            }
        }
        Ok(Some(name))
    }

    /// Returns the cursor at the value of the field returned by [`next_name`](Self::next_name).
    pub(crate) fn value(&mut self) -> &mut Cursor<'b> {
        &mut self.cursor
    }

    /// Skips the value of an unknown field.
    pub(crate) fn skip(&mut self) -> Result<(), DecodeError> {
        self.cursor.skip_field()
    }
}

/// Returns whether `sent` is the field name `declared` in its declared form or in camelCase.
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

    /// Writes a field, unless its value is left out.
    pub(crate) fn field(
        &mut self,
        name: &str,
        value: impl FnOnce(&mut Vec<u8>) -> Result<WriteOutcome, EncodeError>,
    ) -> Result<(), EncodeError> {
        let start = self.out.len();
        if !self.first {
            self.out.push(b',');
        }
        // Names are Rust identifiers and need no escaping.
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        match value(self.out).map_err(|error| error.within(name))? {
            WriteOutcome::Value => self.first = false,
            WriteOutcome::Nothing => self.out.truncate(start),
        }
        Ok(())
    }

    pub(crate) fn close(self) {
        self.out.push(b'}');
    }
}

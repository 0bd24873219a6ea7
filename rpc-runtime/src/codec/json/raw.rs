//! A value as its JSON text.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::cursor::Cursor;
use super::{DecodeError, tokens};

/// A value as its JSON text, which the reader and the writer of this codec pass on as it is.
///
/// A `serde_json::Value` is another one under each feature that some crate of the program turns on,
/// and without them it loses digits and the order of fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawJson(String);

impl RawJson {
    /// Checks a text that will be written inside of `levels` arrays and objects.
    ///
    /// # Errors
    ///
    /// Returns the error of its syntax or of its nesting.
    pub(crate) fn check(text: Vec<u8>, levels: u8) -> Result<Self, DecodeError> {
        Cursor::check(&text, levels)?;
        match String::from_utf8(text) {
            Ok(text) => Ok(Self(text)),
            Err(error) => Err(DecodeError::new(error.to_string())),
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    pub(crate) fn into_text(self) -> String {
        self.0
    }
}

impl Serialize for RawJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = serializer.serialize_struct(tokens::RAW_VALUE, 1)?;
        text.serialize_field(tokens::RAW_VALUE, &self.0)?;
        text.end()
    }
}

impl<'de> Deserialize<'de> for RawJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_newtype_struct(tokens::RAW_VALUE, TextVisitor)
            .map(Self)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<String, A::Error> {
        match map.next_entry::<de::IgnoredAny, String>()? {
            Some((_, text)) => Ok(text),
            None => Err(de::Error::custom("the JSON text is missing")),
        }
    }
}

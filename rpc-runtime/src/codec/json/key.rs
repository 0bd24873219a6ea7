//! Reads the name of an entry as the key of a map.

use std::borrow::Cow;

use serde::de::{Deserializer, Error as _, IntoDeserializer, Unexpected, Visitor};
use serde::forward_to_deserialize_any;

use super::DecodeError;
use super::cursor::Cursor;
use super::number::{self, Integer};

/// A name. Keys that are numbers or booleans are read from its text.
pub(super) struct MapKey<'de>(pub(super) Cow<'de, str>);

impl<'de> MapKey<'de> {
    fn integer<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match number::integer_of_text(&self.0) {
            Some(Integer::U64(value)) => visitor.visit_u64(value),
            Some(Integer::I64(value)) => visitor.visit_i64(value),
            Some(Integer::U128(value)) => visitor.visit_u128(value),
            Some(Integer::I128(value)) => visitor.visit_i128(value),
            None => Err(DecodeError::integer_text(&visitor)),
        }
    }
}

/// Returns the error of a key that is not of the expected type.
fn invalid_key<'a, V: Visitor<'a>>(visitor: &V) -> DecodeError {
    DecodeError::invalid_type(Unexpected::Str(""), visitor)
}

macro_rules! integers {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            self.integer(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for MapKey<'de> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.0 {
            Cow::Borrowed(name) => visitor.visit_borrowed_str(name),
            Cow::Owned(name) => visitor.visit_string(name),
        }
    }

    integers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match Cursor::whole_number(&self.0).and_then(|number| number.as_f32()) {
            Some(value) => visitor.visit_f32(value),
            None => Err(invalid_key(&visitor)),
        }
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match Cursor::whole_number(&self.0).and_then(|number| number.as_f64()) {
            Some(value) => visitor.visit_f64(value),
            None => Err(invalid_key(&visitor)),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match &*self.0 {
            "true" => visitor.visit_bool(true),
            "false" => visitor.visit_bool(false),
            _ => Err(invalid_key(&visitor)),
        }
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.0 {
            Cow::Borrowed(name) => visitor.visit_borrowed_bytes(name.as_bytes()),
            Cow::Owned(name) => visitor.visit_byte_buf(name.into_bytes()),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_enum(self.0.into_deserializer())
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        char str string unit unit_struct seq tuple tuple_struct map struct identifier
    }
}

//! Reads a value by the JSON rules, at every depth.
//!
//! A [`Deserializer`] of our own, because a wrapper of serde_json's sees numbers only after they
//! passed through an `f64`, and sees another form of them where some crate of the program turns on
//! `serde_json/arbitrary_precision`.

use std::borrow::Cow;

use serde::de::value::MapDeserializer;
use serde::de::{Deserializer, Error as _, Unexpected, Visitor};

use super::DecodeError;
use super::access::{Elements, Entries, Variant};
use super::cursor::{Cursor, OUT_OF_RANGE};
use super::number::{self, Integer, Number};
use super::tokens;

/// The width of an integer type.
#[derive(Clone, Copy, PartialEq)]
enum Width {
    /// At most 32 bits.
    Narrow,
    /// 64 bits, which may be sent as decimal text.
    Wide,
    /// 128 bits, which are sent as decimal text.
    Widest,
}

impl Width {
    fn may_hold(self, value: &Integer) -> bool {
        self == Self::Widest || matches!(value, Integer::U64(_) | Integer::I64(_))
    }
}

impl<'de> Cursor<'de> {
    fn integer<V: Visitor<'de>>(
        &mut self,
        visitor: V,
        width: Width,
    ) -> Result<V::Value, DecodeError> {
        match self.peek() {
            Some(b'-' | b'0'..=b'9') => {
                let number = self.number()?;
                match number.as_integer().filter(|value| width.may_hold(value)) {
                    Some(value) => visit_integer(value, visitor),
                    None => Err(invalid_number(&number, &visitor)),
                }
            }
            Some(b'"') if width != Width::Narrow => {
                let text = self.string()?;
                match number::integer_of_text(&text).filter(|value| width.may_hold(value)) {
                    Some(value) => visit_integer(value, visitor),
                    None => Err(DecodeError::integer_text(&visitor)),
                }
            }
            _ => Err(self.invalid_type(&visitor)),
        }
    }

    /// Reads a number without a hint of its type, as serde_json does.
    fn any_number<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, DecodeError> {
        let number = self.number()?;
        match (number.magnitude, number.negative) {
            (Some(magnitude), false) => return visitor.visit_u64(magnitude),
            // -0 is a floating-point number, and not 0.
            (Some(1..), true) => {
                if let Some(Integer::I64(value)) = number.as_integer() {
                    return visitor.visit_i64(value);
                }
            }
            _ => {}
        }
        if tokens::keeps_digits::<V::Value>() {
            return visitor.visit_map(entry(tokens::NUMBER, number.text));
        }
        match number.as_f64() {
            Some(value) => visitor.visit_f64(value),
            None => Err(DecodeError::new(OUT_OF_RANGE)),
        }
    }

    /// Returns the error of a value that is not what the visitor expects.
    #[cold]
    fn invalid_type<'a, V: Visitor<'a>>(&mut self, visitor: &V) -> DecodeError {
        let unexpected = match self.peek() {
            Some(b'"') => match self.string() {
                Ok(_) => Unexpected::Str(""),
                Err(error) => return error,
            },
            Some(b'-' | b'0'..=b'9') => match self.number() {
                Ok(number) => {
                    return DecodeError::invalid_type(
                        Unexpected::Other(&number.description()),
                        visitor,
                    );
                }
                Err(error) => return error,
            },
            Some(b'[') => Unexpected::Seq,
            Some(b'{') => Unexpected::Map,
            Some(b'n') => match self.word("null") {
                Ok(()) => Unexpected::Unit,
                Err(error) => return error,
            },
            Some(letter @ (b't' | b'f')) => {
                match self.word(if letter == b't' { "true" } else { "false" }) {
                    Ok(()) => Unexpected::Bool(letter == b't'),
                    Err(error) => return error,
                }
            }
            Some(_) => return self.error_here("expected value"),
            None => return self.error_here("EOF while parsing a value"),
        };
        DecodeError::invalid_type(unexpected, visitor)
    }
}

fn visit_integer<'de, V: Visitor<'de>>(
    value: Integer,
    visitor: V,
) -> Result<V::Value, DecodeError> {
    match value {
        Integer::U64(value) => visitor.visit_u64(value),
        Integer::I64(value) => visitor.visit_i64(value),
        Integer::U128(value) => visitor.visit_u128(value),
        Integer::I128(value) => visitor.visit_i128(value),
    }
}

#[cold]
fn invalid_number<'a, V: Visitor<'a>>(number: &Number<'_>, visitor: &V) -> DecodeError {
    let text = number.description();
    if number.is_integer {
        DecodeError::invalid_value(Unexpected::Other(&text), visitor)
    } else {
        DecodeError::invalid_type(Unexpected::Other(&text), visitor)
    }
}

/// Returns an object with one entry, which serde_json's own types read.
fn entry<'a>(
    name: &'static str,
    value: &'a str,
) -> MapDeserializer<'a, std::iter::Once<(&'static str, &'a str)>, DecodeError> {
    MapDeserializer::new(std::iter::once((name, value)))
}

macro_rules! integers {
    ($width:ident: $($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            self.integer(visitor, Width::$width)
        })*
    };
}

impl<'de> Deserializer<'de> for &mut Cursor<'de> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.peek() {
            Some(b'"') => self.deserialize_str(visitor),
            Some(b'-' | b'0'..=b'9') => self.any_number(visitor),
            Some(b'{') => self.deserialize_map(visitor),
            Some(b'[') => self.deserialize_seq(visitor),
            Some(b't' | b'f') => self.deserialize_bool(visitor),
            Some(b'n') => self.deserialize_unit(visitor),
            _ => Err(self.invalid_type(&visitor)),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.peek() {
            Some(b't') => {
                self.word("true")?;
                visitor.visit_bool(true)
            }
            Some(b'f') => {
                self.word("false")?;
                visitor.visit_bool(false)
            }
            _ => Err(self.invalid_type(&visitor)),
        }
    }

    integers!(Narrow: deserialize_i8 deserialize_i16 deserialize_i32 deserialize_u8 deserialize_u16 deserialize_u32);
    integers!(Wide: deserialize_i64 deserialize_u64);
    integers!(Widest: deserialize_i128 deserialize_u128);

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.peek() {
            Some(b'-' | b'0'..=b'9') => match self.number()?.as_f32() {
                Some(value) => visitor.visit_f32(value),
                None => Err(DecodeError::new("number out of range for f32")),
            },
            _ => Err(self.invalid_type(&visitor)),
        }
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.peek() {
            Some(b'-' | b'0'..=b'9') => self.any_number(visitor),
            _ => Err(self.invalid_type(&visitor)),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.peek() {
            Some(b'"') => match self.string()? {
                Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
                Cow::Owned(text) => visitor.visit_string(text),
            },
            _ => Err(self.invalid_type(&visitor)),
        }
    }

    /// Bytes are text or an array of numbers, as in serde_json. Base64 is a matter of the types.
    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.peek() {
            Some(b'"') => match self.string()? {
                Cow::Borrowed(text) => visitor.visit_borrowed_bytes(text.as_bytes()),
                Cow::Owned(text) => visitor.visit_byte_buf(text.into_bytes()),
            },
            _ => self.deserialize_seq(visitor),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if self.is_null() && !self.null_is_some {
            self.word("null")?;
            return visitor.visit_none();
        }
        self.null_is_some = false;
        visitor.visit_some(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if self.is_null() {
            self.word("null")?;
            return visitor.visit_unit();
        }
        Err(self.invalid_type(&visitor))
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match name {
            tokens::RAW_VALUE => {
                self.peek();
                let start = self.position();
                self.skip_value()?;
                visitor.visit_map(entry(tokens::RAW_VALUE, self.since(start)))
            }
            tokens::DIGITS if matches!(self.peek(), Some(b'-' | b'0'..=b'9')) => {
                visitor.visit_map(entry(tokens::NUMBER, self.number()?.text))
            }
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if self.peek() != Some(b'[') {
            return Err(self.invalid_type(&visitor));
        }
        self.enter()?;
        let value = visitor.visit_seq(Elements {
            cursor: &mut *self,
            next: 0,
        })?;
        self.leave(b']')?;
        Ok(value)
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if self.peek() != Some(b'{') {
            return Err(self.invalid_type(&visitor));
        }
        self.enter()?;
        let name = self.position();
        let value = visitor.visit_map(Entries {
            cursor: &mut *self,
            first: true,
            name,
        })?;
        self.leave(b'}')?;
        Ok(value)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match self.peek() {
            Some(b'[') => self.deserialize_seq(visitor),
            _ => self.deserialize_map(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match self.peek() {
            Some(b'"') => visitor.visit_enum(Variant {
                cursor: self,
                name: None,
            }),
            Some(b'{') => {
                self.enter()?;
                self.next_entry(true)?;
                let name = Some(self.position());
                let value = visitor.visit_enum(Variant {
                    cursor: &mut *self,
                    name,
                })?;
                self.leave(b'}')?;
                Ok(value)
            }
            _ => Err(self.invalid_type(&visitor)),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.skip_value()?;
        visitor.visit_unit()
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_str(visitor)
    }
}

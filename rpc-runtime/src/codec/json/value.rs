//! Reads and writes the value of a field: presence, `null`, and bytes.
//!
//! A missing field and `null` are two things. An outermost `None` is left out, and a missing field
//! is read as one. A `null` that is there is first read as the type inside of the
//! outermost `Option`; if that type refuses it, it is `None`. So `Option<Option<T>>`, `Option<()>`
//! and `Option<Value>` travel unchanged.

use std::any::{Any, TypeId};
use std::fmt;

use serde::de::{self, DeserializeOwned, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer, forward_to_deserialize_any};

use super::cursor::Cursor;
use super::ser::Writer;
use super::{DecodeError, EncodeError};
use crate::codec::base64::{self, Engine as _};

/// The outcome of [`write_form()`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteOutcome {
    /// The value was written.
    Value,
    /// Nothing was written: the field is left out of the message.
    Nothing,
}

/// The result of writing a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) outcome: WriteOutcome,
    /// The number of 128-bit integers.
    pub(super) wide: usize,
}

impl From<WriteOutcome> for Written {
    fn from(outcome: WriteOutcome) -> Self {
        Self { outcome, wide: 0 }
    }
}

/// The position of a value in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// The value of a field, which may be left out.
    Field,
    /// The value in the outermost `Option` of a field.
    Some,
    /// A value inside of another type.
    Inner,
}

/// Reads a value in the form of another type.
macro_rules! read_special {
    ($cursor:ident, $position:ident as $type:ident: $($plain:ty = $form:ty),* $(,)?) => {
        $(if TypeId::of::<$type>() == TypeId::of::<$plain>() {
            return read_value::<$form>($cursor, $position).map(|form| cast_same_type::<$plain, $type>(form.into_plain()));
        })*
    };
}

/// Reads the value of a field, which may be `null`. The type comparisons are resolved at compile
/// time, so other types pay nothing.
pub(crate) fn read<T: DeserializeOwned + 'static>(
    cursor: &mut Cursor<'_>,
    position: Position,
) -> Result<T, DecodeError> {
    read_special!(cursor, position as T:
        Vec<u8> = Base64,
        Option<Vec<u8>> = Option<Base64>,
        Option<Option<Vec<u8>>> = Option<Option<Base64>>,
        Vec<Vec<u8>> = Vec<Base64>,
    );
    read_value(cursor, position)
}

fn read_value<T: DeserializeOwned>(
    cursor: &mut Cursor<'_>,
    position: Position,
) -> Result<T, DecodeError> {
    if cursor.is_null() {
        read_null(cursor, position)
    } else {
        T::deserialize(cursor)
    }
}

/// Reads a `null`. Moves past it even if the type does not accept it.
#[cold]
fn read_null<T: DeserializeOwned>(
    cursor: &mut Cursor<'_>,
    position: Position,
) -> Result<T, DecodeError> {
    let start = cursor.position();
    cursor.null_is_some = position == Position::Field;
    let inner = T::deserialize(&mut *cursor);
    cursor.null_is_some = false;
    let value = inner.or_else(|_| {
        cursor.rewind(start);
        T::deserialize(&mut *cursor)
    });
    cursor.rewind(start);
    cursor.word("null")?;
    value
}

/// Reads the whole of a JSON text.
pub(crate) fn read_text<T: DeserializeOwned>(text: &[u8]) -> Result<T, DecodeError> {
    read_whole(Cursor::new(text)?)
}

/// Reads the whole of a JSON text of a sender that does not keep to JSON. Bytes that are not UTF-8
/// and lone surrogates become U+FFFD, and strings may contain control characters.
pub(crate) fn read_lenient<T: DeserializeOwned>(text: &[u8]) -> Result<T, DecodeError> {
    let text = String::from_utf8_lossy(text);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    read_whole(Cursor::lenient(text))
}

fn read_whole<T: DeserializeOwned>(mut cursor: Cursor<'_>) -> Result<T, DecodeError> {
    let value = read_value(&mut cursor, Position::Inner)?;
    cursor.end("unexpected data after the message")?;
    Ok(value)
}

/// Writes a value in its form, whether or not the reader takes that form for this value.
pub(super) fn write_form<T: Serialize + 'static>(
    value: &T,
    out: &mut Vec<u8>,
    position: Position,
) -> Result<Written, EncodeError> {
    let any: &dyn Any = value;
    if let Some(bytes) = any.downcast_ref::<Vec<u8>>() {
        write_bytes(bytes, out);
        return Ok(WriteOutcome::Value.into());
    }
    if let Some(bytes) = any.downcast_ref::<Option<Vec<u8>>>() {
        return write_serde(&bytes.as_ref().map(AsBase64), out, position);
    }
    if let Some(bytes) = any.downcast_ref::<Option<Option<Vec<u8>>>>() {
        let bytes = bytes.as_ref().map(|bytes| bytes.as_ref().map(AsBase64));
        return write_serde(&bytes, out, position);
    }
    if let Some(list) = any.downcast_ref::<Vec<Vec<u8>>>() {
        let list: Vec<_> = list.iter().map(AsBase64).collect();
        return write_serde(&list, out, position);
    }
    if position == Position::Field && any.is::<()>() {
        return Ok(WriteOutcome::Nothing.into());
    }
    write_serde(value, out, position)
}

/// Writes a value in its serde form.
pub(crate) fn write_value<T: Serialize + ?Sized>(
    value: &T,
    out: &mut Vec<u8>,
    position: Position,
) -> Result<WriteOutcome, EncodeError> {
    Ok(write_serde(value, out, position)?.outcome)
}

pub(super) fn write_serde<T: Serialize + ?Sized>(
    value: &T,
    out: &mut Vec<u8>,
    position: Position,
) -> Result<Written, EncodeError> {
    let levels = match position {
        Position::Field => Some(0),
        Position::Some => Some(1),
        Position::Inner => None,
    };
    let mut writer = Writer::new(out, levels);
    value.serialize(&mut writer)?;
    let outcome = if writer.is_left_out() {
        WriteOutcome::Nothing
    } else {
        WriteOutcome::Value
    };
    let wide = writer.wide();
    Ok(Written { outcome, wide })
}

/// Writes bytes as base64.
pub(crate) fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    // The slice has the exact size of the encoding.
    let written = base64::STANDARD
        .encode_slice(bytes, &mut out[start..])
        .unwrap_or(0);
    out.truncate(start + written);
    out.push(b'"');
}

/// Returns the value of a missing field: `None` for an `Option`, `()` for a unit. Returns no value
/// for all other types.
pub(crate) fn default_if_missing<T: DeserializeOwned>() -> Option<T> {
    T::deserialize(MissingField).ok()
}

/// The deserializer of a missing field. serde itself uses the same technique for missing fields.
struct MissingField;

impl<'de> Deserializer<'de> for MissingField {
    type Error = de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(de::Error::custom("missing field"))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_none()
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit_struct seq tuple
        tuple_struct map struct enum identifier ignored_any
    }
}

/// Casts a value to its own type. `A` and `T` are the same, which the compiler cannot see.
fn cast_same_type<A: 'static, T: 'static>(value: A) -> T {
    let mut slot = Some(value);
    match (&mut slot as &mut dyn Any)
        .downcast_mut::<Option<T>>()
        .and_then(Option::take)
    {
        Some(value) => value,
        None => unreachable!("internal error: `A` and `T` are different types"),
    }
}

/// Bytes that are read from base64 in the standard or the URL alphabet, with or without padding.
struct Base64(Vec<u8>);

/// Bytes that are written as base64.
struct AsBase64<'a>(&'a Vec<u8>);

/// A type around [`Base64`].
trait IntoPlain {
    /// The same type around `Vec<u8>`.
    type Plain: 'static;

    fn into_plain(self) -> Self::Plain;
}

impl IntoPlain for Base64 {
    type Plain = Vec<u8>;

    fn into_plain(self) -> Vec<u8> {
        self.0
    }
}

impl<F: IntoPlain> IntoPlain for Option<F> {
    type Plain = Option<F::Plain>;

    fn into_plain(self) -> Self::Plain {
        self.map(F::into_plain)
    }
}

impl<F: IntoPlain> IntoPlain for Vec<F> {
    type Plain = Vec<F::Plain>;

    fn into_plain(self) -> Self::Plain {
        self.into_iter().map(F::into_plain).collect()
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Base64Visitor).map(Self)
    }
}

/// Reads bytes from base64.
pub(super) struct Base64Visitor;

impl Visitor<'_> for Base64Visitor {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes as base64 text")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<u8>, E> {
        decode_base64(text).map_err(|()| E::custom("not base64"))
    }
}

impl Serialize for AsBase64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&encode_base64(self.0))
    }
}

/// Decodes base64 in the standard or the URL alphabet, with or without padding.
pub(crate) fn decode_base64(text: &str) -> Result<Vec<u8>, ()> {
    let engine: &dyn Fn(&str) -> _ = if text.contains(['-', '_']) {
        &|t| base64::URL_SAFE.decode(t)
    } else {
        &|t| base64::STANDARD.decode(t)
    };
    engine(text).map_err(drop)
}

/// Encodes base64 as [`write_bytes`] does.
pub(crate) fn encode_base64(bytes: &[u8]) -> String {
    base64::STANDARD.encode(bytes)
}

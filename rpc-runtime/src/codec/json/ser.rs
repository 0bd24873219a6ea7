//! Writes a value by the JSON rules, at every depth.
//!
//! The structure is ours; numbers, text and the keys of maps are written by serde_json. A wrapper
//! of serde_json's serializer would not see the floats that it writes as `null`.

use std::fmt::{self, Display};
use std::io::Write as _;

use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use super::EncodeError;
use super::cursor::{Cursor, MAX_DEPTH, TOO_DEEP};
use super::tokens;

/// Writes values to a message.
pub(super) struct Writer<'o> {
    out: &'o mut Vec<u8>,
    /// The number of `Some`s around the next value, if only those and newtypes are around it.
    /// `None` inside of other types.
    levels: Option<u8>,
    /// The number of arrays and objects around the next value.
    depth: u8,
    /// The number of 128-bit integers that were written.
    wide: usize,
    is_left_out: bool,
}

impl<'o> Writer<'o> {
    /// Creates a writer of a value inside of this number of `Some`s; `None` for a value inside of
    /// another type.
    pub(super) fn new(out: &'o mut Vec<u8>, levels: Option<u8>) -> Self {
        Self {
            out,
            levels,
            depth: 0,
            wide: 0,
            is_left_out: false,
        }
    }

    /// Returns whether the value was left out.
    pub(super) fn is_left_out(&self) -> bool {
        self.is_left_out
    }

    /// Returns the number of 128-bit integers in the value, without keys.
    pub(super) fn wide(&self) -> usize {
        self.wide
    }

    /// Writes a number or text in serde_json's form.
    #[inline]
    fn plain<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        serde_json::to_writer(&mut *self.out, value).map_err(EncodeError::from)
    }

    /// Writes an integer that JavaScript and most JSON parsers cannot hold.
    fn quoted(&mut self, value: &impl Display) -> Result<(), EncodeError> {
        self.wide += 1;
        write!(self.out, "\"{value}\"").map_err(|error| EncodeError::new(error.to_string()))
    }

    /// Enters an array or an object, if the reader accepts it at this depth.
    #[inline]
    fn enter(&mut self, bracket: u8) -> Result<(), EncodeError> {
        if self.depth >= MAX_DEPTH {
            return Err(too_deep());
        }
        self.depth += 1;
        self.levels = None;
        self.out.push(bracket);
        Ok(())
    }

    /// Leaves as many arrays and objects as this has brackets.
    #[inline]
    fn leave(&mut self, brackets: &'static [u8]) {
        for bracket in brackets {
            self.depth -= 1;
            self.out.push(*bracket);
        }
    }

    #[inline]
    fn open(&mut self, bracket: u8, close: &'static [u8]) -> Result<Entries<'_, 'o>, EncodeError> {
        self.enter(bracket)?;
        Ok(Entries {
            writer: self,
            close,
            count: 0,
            key: 0,
        })
    }

    /// Writes the JSON text of a number or a `RawValue`. The depth of a `RawValue` is checked, and
    /// text that the reader refuses, such as a lone surrogate.
    fn json_text<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), EncodeError> {
        let start = self.out.len();
        write!(self.out, "{}", JsonText(value))
            .map_err(|_| EncodeError::new("JSON text must be a string"))?;
        if name == tokens::NUMBER {
            return Ok(());
        }
        let text = self.out.get(start..).unwrap_or_default();
        Cursor::check(text, self.depth).map_err(EncodeError::from)
    }

    fn open_variant(&mut self, name: &'static str) -> Result<(), EncodeError> {
        self.enter(b'{')?;
        self.plain(name)?;
        self.out.push(b':');
        Ok(())
    }
}

#[cold]
fn too_deep() -> EncodeError {
    EncodeError::new(TOO_DEEP)
}

/// Returns the error of a NaN or an infinity, which JSON cannot represent.
#[cold]
fn not_finite(value: f64) -> EncodeError {
    EncodeError::new(format!("{value} cannot be represented in JSON"))
}

/// Returns the error of a `null` inside of two `Some`s. The reader would take it for `Some(None)`.
#[cold]
fn ambiguous_null() -> EncodeError {
    EncodeError::new(
        "this value has the form of `Some(None)` in JSON: use fewer levels of `Option`",
    )
}

macro_rules! plain {
    ($($method:ident: $type:ty),* $(,)?) => {
        $(#[inline]
        fn $method(self, value: $type) -> Result<(), EncodeError> {
            self.plain(&value)
        })*
    };
}

impl<'a, 'o> Serializer for &'a mut Writer<'o> {
    type Ok = ();
    type Error = EncodeError;
    type SerializeSeq = Entries<'a, 'o>;
    type SerializeTuple = Entries<'a, 'o>;
    type SerializeTupleStruct = Entries<'a, 'o>;
    type SerializeTupleVariant = Entries<'a, 'o>;
    type SerializeMap = Entries<'a, 'o>;
    type SerializeStruct = Fields<'a, 'o>;
    type SerializeStructVariant = Fields<'a, 'o>;

    plain! {
        serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32,
        serialize_i64: i64, serialize_u8: u8, serialize_u16: u16, serialize_u32: u32,
        serialize_u64: u64, serialize_char: char, serialize_str: &str,
    }

    fn serialize_i128(self, value: i128) -> Result<(), EncodeError> {
        self.quoted(&value)
    }

    fn serialize_u128(self, value: u128) -> Result<(), EncodeError> {
        self.quoted(&value)
    }

    fn serialize_f32(self, value: f32) -> Result<(), EncodeError> {
        if value.is_finite() {
            self.plain(&value)
        } else {
            Err(not_finite(f64::from(value)))
        }
    }

    fn serialize_f64(self, value: f64) -> Result<(), EncodeError> {
        if value.is_finite() {
            self.plain(&value)
        } else {
            Err(not_finite(value))
        }
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), EncodeError> {
        self.collect_seq(value)
    }

    fn serialize_none(self) -> Result<(), EncodeError> {
        if self.levels == Some(0) {
            self.is_left_out = true;
            return Ok(());
        }
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), EncodeError> {
        self.levels = self.levels.map(|levels| levels.saturating_add(1));
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), EncodeError> {
        if self.levels.is_some_and(|levels| levels > 1) {
            return Err(ambiguous_null());
        }
        self.out.extend_from_slice(b"null");
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), EncodeError> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), EncodeError> {
        self.plain(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), EncodeError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), EncodeError> {
        self.open_variant(variant)?;
        value
            .serialize(&mut *self)
            .map_err(|error| error.within(variant))?;
        self.leave(b"}");
        Ok(())
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Entries<'a, 'o>, EncodeError> {
        self.open(b'[', b"]")
    }

    fn serialize_tuple(self, _: usize) -> Result<Entries<'a, 'o>, EncodeError> {
        self.open(b'[', b"]")
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Entries<'a, 'o>, EncodeError> {
        self.open(b'[', b"]")
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Entries<'a, 'o>, EncodeError> {
        self.open_variant(variant)?;
        self.open(b'[', b"]}")
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Entries<'a, 'o>, EncodeError> {
        self.open(b'{', b"}")
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Fields<'a, 'o>, EncodeError> {
        match name {
            tokens::RAW_VALUE | tokens::NUMBER => Ok(Fields::Json(self)),
            _ => self.open(b'{', b"}").map(Fields::Object),
        }
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Fields<'a, 'o>, EncodeError> {
        self.open_variant(variant)?;
        self.open(b'{', b"}}").map(Fields::Object)
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<(), EncodeError> {
        Ok(serde_json::Serializer::new(&mut *self.out).collect_str(value)?)
    }
}

/// The elements of an array or the entries of an object.
pub(super) struct Entries<'a, 'o> {
    writer: &'a mut Writer<'o>,
    close: &'static [u8],
    count: usize,
    /// The position of the key of the current entry.
    key: usize,
}

impl Entries<'_, '_> {
    fn separate(&mut self) {
        if self.count > 0 {
            self.writer.out.push(b',');
        }
        self.count += 1;
    }

    #[inline]
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        self.separate();
        value
            .serialize(&mut *self.writer)
            .map_err(|error| error.within_list(self.count - 1))
    }

    #[inline]
    fn field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), EncodeError> {
        self.separate();
        self.writer.plain(name)?;
        self.writer.out.push(b':');
        value
            .serialize(&mut *self.writer)
            .map_err(|error| error.within(name))
    }

    /// Writes a key. Those of other types than strings are text by serde_json's rules.
    fn key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), EncodeError> {
        let out = &mut *self.writer.out;
        // The only entry to these rules is a map of serde_json, which begins with a brace. It is
        // the brace of our map, or stands where the comma goes.
        if self.count == 0 {
            out.pop();
        }
        let start = out.len();
        serde_json::Serializer::new(&mut *out)
            .serialize_map(None)?
            .serialize_key(key)?;
        if self.count > 0
            && let Some(brace) = out.get_mut(start)
        {
            *brace = b',';
        }
        out.push(b':');
        self.count += 1;
        self.key = start + 1;
        Ok(())
    }

    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        let end = self.writer.out.len();
        value.serialize(&mut *self.writer).map_err(|error| {
            // With its quotes and without the colon.
            let key = self.writer.out.get(self.key..end - 1).unwrap_or_default();
            error.within(&serde_json::from_slice::<String>(key).unwrap_or_default())
        })
    }

    #[inline]
    fn close(self) {
        self.writer.leave(self.close);
    }
}

macro_rules! elements {
    ($($trait:ident::$method:ident),*) => {
        $(impl $trait for Entries<'_, '_> {
            type Ok = ();
            type Error = EncodeError;

            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
                self.element(value)
            }

            #[inline]
            fn end(self) -> Result<(), EncodeError> {
                self.close();
                Ok(())
            }
        })*
    };
}

elements!(
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field
);

impl SerializeMap for Entries<'_, '_> {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), EncodeError> {
        self.key(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        self.value(value)
    }

    fn end(self) -> Result<(), EncodeError> {
        self.close();
        Ok(())
    }
}

/// The fields of a struct, or the only field of one that stands for JSON text.
pub(super) enum Fields<'a, 'o> {
    Object(Entries<'a, 'o>),
    Json(&'a mut Writer<'o>),
}

/// JSON text, which its type serializes as a string.
struct JsonText<'a, T: ?Sized>(&'a T);

impl<T: Serialize + ?Sized> Display for JsonText<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.serialize(f)
    }
}

macro_rules! fields {
    ($($trait:ident),*) => {
        $(impl $trait for Fields<'_, '_> {
            type Ok = ();
            type Error = EncodeError;

            #[inline]
            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), EncodeError> {
                match self {
                    Self::Object(entries) => entries.field(name, value),
                    Self::Json(writer) => writer.json_text(name, value),
                }
            }

            #[inline]
            fn end(self) -> Result<(), EncodeError> {
                if let Self::Object(entries) = self {
                    entries.close();
                }
                Ok(())
            }
        })*
    };
}

fields!(SerializeStruct, SerializeStructVariant);

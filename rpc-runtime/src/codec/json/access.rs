//! The parts of arrays, objects and enums, with their places in the path of an error.

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, EnumAccess, Error as _, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor,
};

use super::DecodeError;
use super::cursor::Cursor;
use super::key::MapKey;

/// The elements of an array.
pub(super) struct Elements<'a, 'de> {
    pub(super) cursor: &'a mut Cursor<'de>,
    pub(super) next: usize,
}

impl<'de> SeqAccess<'de> for Elements<'_, 'de> {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, DecodeError> {
        let index = self.next;
        if !self.cursor.next_element(index == 0)? {
            return Ok(None);
        }
        self.next += 1;
        match seed.deserialize(&mut *self.cursor) {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(error.within_list(index)),
        }
    }
}

/// The entries of an object.
pub(super) struct Entries<'a, 'de> {
    pub(super) cursor: &'a mut Cursor<'de>,
    pub(super) first: bool,
    /// The position of the name of the current entry.
    pub(super) name: usize,
}

impl<'de> MapAccess<'de> for Entries<'_, 'de> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, DecodeError> {
        if !self.cursor.next_entry(self.first)? {
            return Ok(None);
        }
        self.first = false;
        self.name = self.cursor.position();
        let key = MapKey(self.cursor.string()?);
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<T::Value, DecodeError> {
        self.cursor.colon()?;
        seed.deserialize(&mut *self.cursor)
            .map_err(|error| within_name(error, self.cursor, self.name))
    }
}

/// Adds the name at a position to the path of an error.
#[cold]
fn within_name(error: DecodeError, cursor: &mut Cursor<'_>, name: usize) -> DecodeError {
    cursor.rewind(name);
    match cursor.string() {
        Ok(name) => error.within_value(&name),
        Err(_) => error,
    }
}

/// The variant of an enum: a string, or an object with one entry.
pub(super) struct Variant<'a, 'de> {
    pub(super) cursor: &'a mut Cursor<'de>,
    /// The position of the name, if there is a value after it.
    pub(super) name: Option<usize>,
}

impl<'de> EnumAccess<'de> for Variant<'_, 'de> {
    type Error = DecodeError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Self), DecodeError> {
        let variant = seed.deserialize(MapKey(self.cursor.string()?))?;
        if self.name.is_some() {
            self.cursor.colon()?;
        }
        Ok((variant, self))
    }
}

impl<'de> Variant<'_, 'de> {
    /// Reads the value after the name.
    fn value<T>(
        self,
        expected: &'static str,
        read: impl FnOnce(&mut Cursor<'de>) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        match self.name {
            Some(name) => read(self.cursor).map_err(|error| within_name(error, self.cursor, name)),
            None => Err(DecodeError::invalid_type(
                Unexpected::UnitVariant,
                &expected,
            )),
        }
    }
}

impl<'de> VariantAccess<'de> for Variant<'_, 'de> {
    type Error = DecodeError;

    fn unit_variant(self) -> Result<(), DecodeError> {
        match self.name {
            Some(_) => self.value("unit variant", |cursor| Deserialize::deserialize(cursor)),
            None => Ok(()),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(
        self,
        seed: T,
    ) -> Result<T::Value, DecodeError> {
        self.value("newtype variant", |cursor| seed.deserialize(cursor))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, DecodeError> {
        self.value("tuple variant", |cursor| cursor.deserialize_seq(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.value("struct variant", |cursor| {
            cursor.deserialize_struct("", fields, visitor)
        })
    }
}

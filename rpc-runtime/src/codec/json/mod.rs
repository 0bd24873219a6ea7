//! The JSON encoding of messages.
//!
//! | Rule | Module |
//! | --- | --- |
//! | A message is an object without trailing data. A known field occurs at most once. | [`object`] |
//! | A field has its declared name or that name in camelCase. Unknown fields are ignored. | [`object`] |
//! | A missing field is an error except for `Option` and `#[rpc(default)]`. `null` is a value. | [`value`], [`presence`] |
//! | 64-bit integers are written as numbers and read from numbers or text, at every depth. | [`de`] |
//! | 128-bit integers are decimal text, at every depth. | [`ser`], [`de`], [`wide`] |
//! | Numbers are read by their digits; floats that are not finite are an error, at every depth. | [`number`], [`ser`] |
//! | Bytes are base64: `Vec<u8>` as an argument or a result, and [`Bytes`] elsewhere. | [`value`], [`newtypes`] |
//!
//! Names, presence and defaults inside of user-defined types follow their serde implementations.
//! Where serde buffers a value without its type (`untagged`, `flatten`, internally tagged enums),
//! an integer is read from a number only, and a 128-bit integer is refused by the writer.

mod access;
mod cursor;
mod de;
mod error;
mod key;
mod newtypes;
mod number;
mod object;
mod presence;
mod raw;
mod ser;
mod text;
mod tokens;
mod value;
mod wide;

pub(crate) use cursor::Cursor;
pub(crate) use error::{DecodeError, EncodeError, MISSING};
pub use newtypes::{BigNum, Bytes};
pub(crate) use object::{Object, ObjectWriter, same_name};
pub(crate) use presence::{write, write_or_default, write_slice};
pub(crate) use raw::RawJson;
pub use text::JsonText;
pub(crate) use value::{
    Position, WriteOutcome, default_if_missing, read, read_lenient, read_text, write_bytes,
    write_value,
};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Reads a body that is one message of a user-defined type.
pub(crate) fn read_message<T: DeserializeOwned>(body: &[u8]) -> Result<T, DecodeError> {
    let mut cursor = Cursor::new(body)?;
    match cursor.peek() {
        Some(b'{') if !cursor.is_wide_text() => read_text(body),
        None => Err(DecodeError::new(
            "the message is empty; expected a JSON object",
        )),
        // serde also reads a struct from an array.
        Some(_) => Err(DecodeError::not_an_object(body)),
    }
}

/// Reads a message of a stream, which may be any JSON value. An empty one is that without fields,
/// as in other implementations of the protocol.
pub(crate) fn read_element<T: DeserializeOwned + 'static>(text: &[u8]) -> Result<T, DecodeError> {
    let mut cursor = Cursor::new(if text.is_empty() { b"{}" } else { text })?;
    let value = read(&mut cursor, Position::Inner)?;
    cursor.end("unexpected data after the message")?;
    Ok(value)
}

/// Writes a message of a user-defined type.
pub(crate) fn write_message<T: Serialize + DeserializeOwned + 'static>(
    message: &T,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let start = out.len();
    write(message, out, Position::Inner)?;
    match out.get(start) {
        Some(b'{') => Ok(()),
        _ => Err(EncodeError::new(
            "a `#[rpc(message)]` type must serialize to a JSON object; use a struct with named fields",
        )),
    }
}

#[cfg(test)]
mod tests;

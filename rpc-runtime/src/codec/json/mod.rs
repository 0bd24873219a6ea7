//! The JSON encoding of messages.
//!
//! | Rule | Module |
//! | --- | --- |
//! | A message is an object without trailing data. A known field occurs at most once. | [`object`] |
//! | A field has its declared name or that name in camelCase. Unknown fields are ignored. | [`object`] |
//! | `null` is the same as a missing field, which is an error except for `Option` and `#[rpc(default)]`. | [`object`], [`value`] |
//! | 64-bit integers are written as numbers and read from numbers or strings. | [`value`] |
//! | 128-bit integers are decimal strings; bytes are base64. | [`value`] |
//!
//! The content of user-defined types follows their serde implementations.

mod error;
mod newtypes;
mod object;
mod value;

pub(crate) use error::{DecodeError, EncodeError};
pub use newtypes::{BigNum, Bytes};
pub(crate) use object::{Object, ObjectWriter, same_name};
pub(crate) use value::{
    Cursor, default_if_missing, locate_error, read, write, write_bytes, write_plain,
};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Reads a body that is one message of a user-defined type.
pub(crate) fn read_message<T: DeserializeOwned>(body: &[u8]) -> Result<T, DecodeError> {
    let start = body.iter().position(|b| !b.is_ascii_whitespace());
    match start.map(|start| body[start]) {
        Some(b'{') => {}
        None => {
            return Err(DecodeError::new(
                "the body is empty; expected a JSON object",
            ));
        }
        // serde also reads a struct from an array.
        Some(_) => return Err(DecodeError::not_an_object(body)),
    }
    serde_json::from_slice(body).map_err(|error| locate_error::<T>(body, 0, &error))
}

/// Writes a message of a user-defined type.
pub(crate) fn write_message<T: Serialize>(
    message: &T,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let start = out.len();
    serde_json::to_writer(&mut *out, message)?;
    match out.get(start) {
        Some(b'{') => Ok(()),
        _ => Err(EncodeError::new(
            "a `#[rpc(message)]` type must serialize to a JSON object; use a struct with named fields",
        )),
    }
}

#[cfg(test)]
mod tests;

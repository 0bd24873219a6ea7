//! The JSON rules, for every method of every service.
//!
//! | rule | where |
//! | --- | --- |
//! | a message is an object; nothing stands behind it; a key stands once | [`object`] |
//! | a field is named as declared, in snake_case or camelCase; unknown fields are ignored | [`object`] |
//! | `null` is absent; absent is an error, unless `Option` or `#[rpc(default)]` | [`object`], [`value`] |
//! | 64-bit integers go out as numbers and come in as numbers or strings | [`value`] |
//! | 128-bit integers are decimal strings; bytes are base64 | [`value`] |
//!
//! Inside the developer's own types plain serde holds.

mod decode_error;
mod newtypes;
mod object;
mod value;

pub(crate) use decode_error::DecodeError;
pub use newtypes::{BigNum, Bytes};
pub(crate) use object::{Object, ObjectWriter, same_name};
pub(crate) use value::{Cursor, default_if_missing, locate_error, read, write, write_bytes};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Reads a body that is one message of the developer's own type.
pub(crate) fn read_message<T: DeserializeOwned>(body: &[u8]) -> Result<T, DecodeError> {
    let start = body.iter().position(|b| !b.is_ascii_whitespace());
    match start.map(|start| body[start]) {
        Some(b'{') => {}
        None => {
            return Err(DecodeError::new(
                "the body is empty; a message is a JSON object",
            ));
        }
        // serde would take an array for a struct, by position.
        Some(_) => return Err(DecodeError::new("a message is a JSON object")),
    }
    serde_json::from_slice(body).map_err(|error| locate_error::<T>(body, 0, &error))
}

/// Writes a message of the developer's own type.
pub(crate) fn write_message<T: Serialize>(
    message: &T,
    out: &mut Vec<u8>,
) -> Result<(), serde_json::Error> {
    let start = out.len();
    serde_json::to_writer(&mut *out, message)?;
    match out.get(start) {
        Some(b'{') => Ok(()),
        _ => Err(serde::ser::Error::custom(
            "a message must be a JSON object; in message style, use a struct with fields",
        )),
    }
}

#[cfg(test)]
mod tests;

//! Writes the value of a field so that the reader takes it for the same value.
//!
//! A `None` and a `null` have two forms only: nothing, and `null`. Which values they stand for
//! depends on the type and on the default of the argument. So before one of them is sent, it is
//! read back. All other values are written without a check.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::EncodeError;
use super::cursor::Cursor;
use super::value::{Position, WriteOutcome, default_if_missing, read, write_form, write_serde};
use super::wide;

const NULL: &[u8] = b"null";

/// Writes a value. See [`read`].
pub(crate) fn write<T: Serialize + DeserializeOwned + 'static>(
    value: &T,
    out: &mut Vec<u8>,
    position: Position,
) -> Result<WriteOutcome, EncodeError> {
    write_checked(value, out, position, default_if_missing, || None)
}

/// Writes the value of an argument that is `default()` if the field is missing or is a `null` that
/// the type does not accept.
pub(crate) fn write_or_default<T: Serialize + DeserializeOwned + 'static>(
    value: &T,
    default: fn() -> Option<T>,
    out: &mut Vec<u8>,
    position: Position,
) -> Result<WriteOutcome, EncodeError> {
    write_checked(value, out, position, default, default)
}

/// Writes a slice that is read as a `Vec`.
pub(crate) fn write_slice<T: Serialize + DeserializeOwned + 'static>(
    values: &[T],
    out: &mut Vec<u8>,
    position: Position,
) -> Result<WriteOutcome, EncodeError> {
    let start = out.len();
    let written = write_serde(values, out, position)?;
    let text = out.get(start..).unwrap_or_default();
    wide::check::<Vec<T>>(text, &written, position)?;
    Ok(written.outcome)
}

/// Writes a value for a reader that takes `missing` for a missing field and `refused` for a `null`
/// that the type does not accept.
fn write_checked<T: Serialize + DeserializeOwned + 'static>(
    value: &T,
    out: &mut Vec<u8>,
    position: Position,
    missing: impl FnOnce() -> Option<T>,
    refused: impl FnOnce() -> Option<T>,
) -> Result<WriteOutcome, EncodeError> {
    let start = out.len();
    let written = write_form(value, out, position)?;
    wide::check::<T>(out.get(start..).unwrap_or_default(), &written, position)?;
    if position != Position::Field {
        return Ok(written.outcome);
    }
    let is_null = match written.outcome {
        WriteOutcome::Nothing => {
            if missing().is_some_and(|value| form(&value) == Some(Form::Nothing)) {
                return Ok(WriteOutcome::Nothing);
            }
            false
        }
        WriteOutcome::Value if out.get(start..) == Some(NULL) => true,
        WriteOutcome::Value => return Ok(WriteOutcome::Value),
    };
    let own = if is_null { Form::Null } else { Form::Nothing };
    let null = Cursor::new(NULL).and_then(|mut null| read(&mut null, Position::Field));
    match null.ok().or_else(refused) {
        Some(value) if form(&value) == Some(own) => {}
        // The reader says that the type does not accept its own form.
        None if is_null => {}
        _ => return Err(ambiguous()),
    }
    if !is_null {
        out.extend_from_slice(NULL);
    }
    Ok(WriteOutcome::Value)
}

/// The form of a value that is not written as itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Nothing,
    Null,
}

/// Returns the form of a value. `None` for one with a form of its own, or without any.
fn form<T: Serialize + 'static>(value: &T) -> Option<Form> {
    let mut out = Vec::new();
    let written = write_form(value, &mut out, Position::Field);
    match written.map(|written| written.outcome) {
        Ok(WriteOutcome::Nothing) => Some(Form::Nothing),
        Ok(WriteOutcome::Value) if out == NULL => Some(Form::Null),
        _ => None,
    }
}

/// Returns the error of a `None` or `null` that the reader would take for another value.
#[cold]
fn ambiguous() -> EncodeError {
    EncodeError::new(
        "JSON writes this value and another one alike, such as `Some(None)` and `None`: \
         use fewer levels of `Option`",
    )
}

//! Refuses a 128-bit integer that its reader would take for text.
//!
//! A 128-bit integer is decimal text. In a value that serde buffers without its type (`untagged`,
//! `flatten`, `tag`) it stays text, and serde reads 128-bit integers from no buffer. The writer
//! does not see what is buffered. So a value with such integers is read back before it is sent.

use std::any::TypeId;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::EncodeError;
use super::cursor::Cursor;
use super::error::LOST_INTEGER;
use super::value::{Position, Written, read, write_form};
use crate::secret;

/// Checks that a value with 128-bit integers is read as one with the same integers.
///
/// Another value of the same text has fewer of them: a variant with a string, for example. A reader
/// that leaves out a part of the value on purpose reads other text, and is no error.
#[inline]
pub(super) fn check<T: Serialize + DeserializeOwned + 'static>(
    text: &[u8],
    written: &Written,
    position: Position,
) -> Result<(), EncodeError> {
    if written.wide == 0 || is_never_buffered::<T>() || secret::is_masked() {
        return Ok(());
    }
    check_read::<T>(text, written, position)
}

fn check_read<T: Serialize + DeserializeOwned + 'static>(
    text: &[u8],
    written: &Written,
    position: Position,
) -> Result<(), EncodeError> {
    let value: T = Cursor::new(text)
        .and_then(|mut cursor| read(&mut cursor, position))
        .map_err(|error| EncodeError::from(error.with_text(LOST_INTEGER)))?;
    let mut again = Vec::with_capacity(text.len());
    match write_form(&value, &mut again, position) {
        Ok(read) if read.wide != written.wide && again == text => {
            Err(EncodeError::new(LOST_INTEGER))
        }
        _ => Ok(()),
    }
}

/// Returns whether the type is one of those of which serde sees nothing but integers.
fn is_never_buffered<T: 'static>() -> bool {
    macro_rules! is_one_of {
        ($($type:ty),* $(,)?) => {
            $(TypeId::of::<T>() == TypeId::of::<$type>())||*
        };
    }
    is_one_of!(
        u128,
        i128,
        Option<u128>,
        Option<i128>,
        Vec<u128>,
        Vec<i128>,
        Option<Vec<u128>>,
        Option<Vec<i128>>,
    )
}

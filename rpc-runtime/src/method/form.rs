//! The forms in which a service trait can declare an argument, such as `T`, `&str` and `&[T]`.
//!
//! The client borrows the value and clones nothing. The server decodes an owned value and passes
//! it, or a reference to it, to the method.

use std::any::{Any, TypeId};
use std::fmt;
use std::marker::PhantomData;

use crate::codec::json::{self, Cursor, DecodeError, EncodeError, Position, WriteOutcome};
use crate::error::Argument;

/// The form of an argument in the service trait.
pub trait ArgumentForm: 'static {
    /// The type that the server decodes.
    type Owned: Send + 'static;
    /// The type that the client encodes.
    type Borrowed<'a>;
}

/// An argument form whose types can be encoded and decoded.
#[diagnostic::on_unimplemented(
    message = "this argument cannot be sent in an RPC message",
    label = "cannot be serialized and deserialized"
)]
pub trait ArgumentFormCodec: ArgumentForm {
    #[doc(hidden)]
    fn write(
        value: Self::Borrowed<'_>,
        out: &mut Vec<u8>,
        position: Position,
    ) -> Result<WriteOutcome, EncodeError>;
    /// Writes an argument that is `default()` if its field is missing.
    #[doc(hidden)]
    fn write_or_default(
        value: Self::Borrowed<'_>,
        _default: fn() -> Option<Self::Owned>,
        out: &mut Vec<u8>,
        position: Position,
    ) -> Result<WriteOutcome, EncodeError> {
        // Only an `Option` may be left out.
        Self::write(value, out, position)
    }
    #[doc(hidden)]
    fn read(cursor: &mut Cursor<'_>, position: Position) -> Result<Self::Owned, DecodeError>;
    #[doc(hidden)]
    fn default_if_missing() -> Option<Self::Owned>;
    /// Reads a value and writes it in the form for the log.
    #[doc(hidden)]
    fn transcode(cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<WriteOutcome, DecodeError>;
}

/// An argument of type `T` or `&T`.
pub struct Owned<T>(PhantomData<fn() -> T>);

/// An argument of type `&str`.
pub struct Str(());

/// An argument of type `&[T]`.
pub struct Slice<T>(PhantomData<fn() -> T>);

/// An argument of type `Option<&str>`, `Option<&T>` or `Option<&[T]>`.
pub struct Optional<F>(PhantomData<fn() -> F>);

impl<T: Send + 'static> ArgumentForm for Owned<T> {
    type Owned = T;
    type Borrowed<'a> = &'a T;
}

impl<T: Argument> ArgumentFormCodec for Owned<T> {
    fn write(
        value: &T,
        out: &mut Vec<u8>,
        position: Position,
    ) -> Result<WriteOutcome, EncodeError> {
        json::write(value, out, position)
    }

    fn write_or_default(
        value: &T,
        default: fn() -> Option<T>,
        out: &mut Vec<u8>,
        position: Position,
    ) -> Result<WriteOutcome, EncodeError> {
        json::write_or_default(value, default, out, position)
    }

    fn read(cursor: &mut Cursor<'_>, position: Position) -> Result<T, DecodeError> {
        json::read(cursor, position)
    }

    fn default_if_missing() -> Option<T> {
        json::default_if_missing()
    }

    fn transcode(cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<WriteOutcome, DecodeError> {
        Ok(Self::write(
            &Self::read(cursor, Position::Field)?,
            out,
            Position::Field,
        )?)
    }
}

impl ArgumentForm for Str {
    type Owned = String;
    type Borrowed<'a> = &'a str;
}

impl ArgumentFormCodec for Str {
    fn write(
        value: &str,
        out: &mut Vec<u8>,
        position: Position,
    ) -> Result<WriteOutcome, EncodeError> {
        json::write_value(value, out, position)
    }

    fn read(cursor: &mut Cursor<'_>, position: Position) -> Result<String, DecodeError> {
        json::read(cursor, position)
    }

    fn default_if_missing() -> Option<String> {
        None
    }

    fn transcode(cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<WriteOutcome, DecodeError> {
        Ok(Self::write(
            &Self::read(cursor, Position::Field)?,
            out,
            Position::Field,
        )?)
    }
}

impl<T: Send + 'static> ArgumentForm for Slice<T> {
    type Owned = Vec<T>;
    type Borrowed<'a> = &'a [T];
}

impl<T: Argument> ArgumentFormCodec for Slice<T> {
    fn write(
        value: &[T],
        out: &mut Vec<u8>,
        position: Position,
    ) -> Result<WriteOutcome, EncodeError> {
        if TypeId::of::<T>() == TypeId::of::<u8>() {
            let bytes: Vec<u8> = value
                .iter()
                .filter_map(|b| (b as &dyn Any).downcast_ref::<u8>().copied())
                .collect();
            json::write_bytes(&bytes, out);
            return Ok(WriteOutcome::Value);
        }
        if TypeId::of::<T>() == TypeId::of::<Vec<u8>>() {
            // Their JSON form differs from serde's.
            return write_each(value, out);
        }
        json::write_slice(value, out, position)
    }

    fn read(cursor: &mut Cursor<'_>, position: Position) -> Result<Vec<T>, DecodeError> {
        json::read(cursor, position)
    }

    fn default_if_missing() -> Option<Vec<T>> {
        None
    }

    fn transcode(cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<WriteOutcome, DecodeError> {
        Ok(Self::write(
            &Self::read(cursor, Position::Field)?,
            out,
            Position::Field,
        )?)
    }
}

fn write_each<T: Argument>(values: &[T], out: &mut Vec<u8>) -> Result<WriteOutcome, EncodeError> {
    out.push(b'[');
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        json::write(value, out, Position::Inner)?;
    }
    out.push(b']');
    Ok(WriteOutcome::Value)
}

impl<F: ArgumentForm> ArgumentForm for Optional<F> {
    type Owned = Option<F::Owned>;
    type Borrowed<'a> = Option<F::Borrowed<'a>>;
}

impl<F: ArgumentFormCodec> ArgumentFormCodec for Optional<F> {
    fn write(
        value: Option<F::Borrowed<'_>>,
        out: &mut Vec<u8>,
        position: Position,
    ) -> Result<WriteOutcome, EncodeError> {
        match value {
            Some(value) => F::write(value, out, Position::Some),
            None => json::write_value(&None::<()>, out, position),
        }
    }

    fn write_or_default(
        value: Option<F::Borrowed<'_>>,
        default: fn() -> Option<Self::Owned>,
        out: &mut Vec<u8>,
        position: Position,
    ) -> Result<WriteOutcome, EncodeError> {
        let written = Self::write(value, out, position)?;
        if written == WriteOutcome::Nothing && default().flatten().is_some() {
            // A missing field would be read as the default.
            out.extend_from_slice(b"null");
            return Ok(WriteOutcome::Value);
        }
        Ok(written)
    }

    fn read(cursor: &mut Cursor<'_>, _: Position) -> Result<Option<F::Owned>, DecodeError> {
        let is_null = cursor.is_null();
        match F::read(cursor, Position::Some) {
            // The type does not accept `null`.
            Err(_) if is_null => Ok(None),
            value => value.map(Some),
        }
    }

    fn default_if_missing() -> Option<Option<F::Owned>> {
        Some(None)
    }

    fn transcode(cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<WriteOutcome, DecodeError> {
        let is_null = cursor.is_null();
        match F::transcode(cursor, out) {
            // The type does not accept `null`.
            Err(_) if is_null => Ok(WriteOutcome::Nothing),
            written => written,
        }
    }
}

macro_rules! debug_by_name {
    ($($shape:ident)*) => {
        $(impl<T> fmt::Debug for $shape<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($shape))
            }
        })*
    };
}

debug_by_name!(Owned Slice Optional);

impl fmt::Debug for Str {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Str")
    }
}

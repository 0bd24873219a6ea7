//! The forms in which a trait may write an argument, and what each is on the two sides.
//!
//! The client lends (`&str`, `&T`) and clones nothing; the server decodes what it then owns, and lends that.

use std::any::{Any, TypeId};
use std::fmt;
use std::marker::PhantomData;

use serde::Serializer as _;

use crate::codec::json::{self, Cursor, DecodeError};
use crate::error::Argument;

/// How an argument is written in the trait.
pub trait ArgumentForm: 'static {
    /// What the server decodes.
    type Owned: Send + 'static;
    /// What the client encodes.
    type Borrowed<'a>;
}

/// A shape whose types can travel.
#[diagnostic::on_unimplemented(
    message = "this argument cannot travel in an RPC message",
    label = "cannot be serialized and deserialized"
)]
pub trait ArgumentFormCodec: ArgumentForm {
    #[doc(hidden)]
    fn write(value: Self::Borrowed<'_>, out: &mut Vec<u8>) -> Result<(), serde_json::Error>;
    #[doc(hidden)]
    #[allow(
        private_interfaces,
        reason = "only the runtime implements and calls this"
    )]
    fn read(cursor: &mut Cursor<'_>) -> Result<Self::Owned, DecodeError>;
    #[doc(hidden)]
    fn default_if_missing() -> Option<Self::Owned>;
    /// Reads a value and writes it again.
    #[doc(hidden)]
    #[allow(
        private_interfaces,
        reason = "only the runtime implements and calls this"
    )]
    fn transcode(cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), DecodeError>;
}

/// `T` or `&T`.
pub struct Owned<T>(PhantomData<fn() -> T>);

/// `&str`.
pub struct Str(());

/// `&[T]`.
pub struct Slice<T>(PhantomData<fn() -> T>);

/// `Option<&str>`, `Option<&T>` or `Option<&[T]>`.
pub struct Optional<F>(PhantomData<fn() -> F>);

impl<T: Send + 'static> ArgumentForm for Owned<T> {
    type Owned = T;
    type Borrowed<'a> = &'a T;
}

impl<T: Argument> ArgumentFormCodec for Owned<T> {
    fn write(value: &T, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        json::write(value, out)
    }

    #[allow(private_interfaces, reason = "see the trait")]
    fn read(cursor: &mut Cursor<'_>) -> Result<T, DecodeError> {
        json::read(cursor)
    }

    fn default_if_missing() -> Option<T> {
        json::default_if_missing()
    }

    #[allow(private_interfaces, reason = "see the trait")]
    fn transcode(cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        written(Self::write(&Self::read(cursor)?, out))
    }
}

impl ArgumentForm for Str {
    type Owned = String;
    type Borrowed<'a> = &'a str;
}

impl ArgumentFormCodec for Str {
    fn write(value: &str, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        serde_json::Serializer::new(out).serialize_str(value)
    }

    #[allow(private_interfaces, reason = "see the trait")]
    fn read(cursor: &mut Cursor<'_>) -> Result<String, DecodeError> {
        json::read(cursor)
    }

    fn default_if_missing() -> Option<String> {
        None
    }

    #[allow(private_interfaces, reason = "see the trait")]
    fn transcode(cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        written(Self::write(&Self::read(cursor)?, out))
    }
}

impl<T: Send + 'static> ArgumentForm for Slice<T> {
    type Owned = Vec<T>;
    type Borrowed<'a> = &'a [T];
}

impl<T: Argument> ArgumentFormCodec for Slice<T> {
    fn write(value: &[T], out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        if TypeId::of::<T>() == TypeId::of::<u8>() {
            let bytes: Vec<u8> = value
                .iter()
                .filter_map(|b| (b as &dyn Any).downcast_ref::<u8>().copied())
                .collect();
            json::write_bytes(&bytes, out);
            return Ok(());
        }
        if [
            TypeId::of::<u128>(),
            TypeId::of::<i128>(),
            TypeId::of::<Vec<u8>>(),
        ]
        .contains(&TypeId::of::<T>())
        {
            // Their form on the wire is not serde's.
            return write_each(value, out);
        }
        serde_json::to_writer(out, value)
    }

    #[allow(private_interfaces, reason = "see the trait")]
    fn read(cursor: &mut Cursor<'_>) -> Result<Vec<T>, DecodeError> {
        json::read(cursor)
    }

    fn default_if_missing() -> Option<Vec<T>> {
        None
    }

    #[allow(private_interfaces, reason = "see the trait")]
    fn transcode(cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        written(Self::write(&Self::read(cursor)?, out))
    }
}

fn written(outcome: Result<(), serde_json::Error>) -> Result<(), DecodeError> {
    outcome.map_err(|error| DecodeError::new(error.to_string()))
}

fn write_each<T: Argument>(values: &[T], out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    out.push(b'[');
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        json::write(value, out)?;
    }
    out.push(b']');
    Ok(())
}

impl<F: ArgumentForm> ArgumentForm for Optional<F> {
    type Owned = Option<F::Owned>;
    type Borrowed<'a> = Option<F::Borrowed<'a>>;
}

impl<F: ArgumentFormCodec> ArgumentFormCodec for Optional<F> {
    fn write(value: Option<F::Borrowed<'_>>, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        match value {
            Some(value) => F::write(value, out),
            None => serde_json::Serializer::new(out).serialize_none(),
        }
    }

    #[allow(private_interfaces, reason = "see the trait")]
    fn read(cursor: &mut Cursor<'_>) -> Result<Option<F::Owned>, DecodeError> {
        // A `null` never comes here: it is absent.
        F::read(cursor).map(Some)
    }

    fn default_if_missing() -> Option<Option<F::Owned>> {
        Some(None)
    }

    #[allow(private_interfaces, reason = "see the trait")]
    fn transcode(cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        F::transcode(cursor, out)
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

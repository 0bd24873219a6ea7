//! The forms in which a trait may write an argument, and what each is on the two sides.
//!
//! The client lends (`&str`, `&T`) and clones nothing; the server decodes what it then owns, and lends that.

use std::any::{Any, TypeId};
use std::fmt;
use std::marker::PhantomData;

use serde::Serializer as _;

use crate::codec::json::{self, Cursor, Problem};
use crate::error::Argument;

/// How an argument is written in the trait.
pub trait Shape: 'static {
    /// What the server decodes.
    type Owned: Send + 'static;
    /// What the client encodes.
    type Lent<'a>;
}

/// A shape whose types can travel.
#[diagnostic::on_unimplemented(
    message = "this argument cannot travel in an RPC message",
    label = "cannot be serialized and deserialized"
)]
pub trait ShapeCodec: Shape {
    #[doc(hidden)]
    fn write(value: Self::Lent<'_>, out: &mut Vec<u8>) -> Result<(), serde_json::Error>;
    #[doc(hidden)]
    #[allow(
        private_interfaces,
        reason = "only the runtime implements and calls this"
    )]
    fn read(cursor: &mut Cursor<'_>) -> Result<Self::Owned, Problem>;
    #[doc(hidden)]
    fn absent() -> Option<Self::Owned>;
    /// Reads a value and writes it again.
    #[doc(hidden)]
    #[allow(
        private_interfaces,
        reason = "only the runtime implements and calls this"
    )]
    fn show(cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), Problem>;
}

/// `T` or `&T`.
pub struct Own<T>(PhantomData<fn() -> T>);

/// `&str`.
pub struct Str(());

/// `&[T]`.
pub struct Slice<T>(PhantomData<fn() -> T>);

/// `Option<&str>`, `Option<&T>` or `Option<&[T]>`.
pub struct Maybe<S>(PhantomData<fn() -> S>);

impl<T: Send + 'static> Shape for Own<T> {
    type Owned = T;
    type Lent<'a> = &'a T;
}

impl<T: Argument> ShapeCodec for Own<T> {
    fn write(value: &T, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        json::write(value, out)
    }

    #[allow(private_interfaces, reason = "see the trait")]
    fn read(cursor: &mut Cursor<'_>) -> Result<T, Problem> {
        json::read(cursor)
    }

    fn absent() -> Option<T> {
        json::absent()
    }

    #[allow(private_interfaces, reason = "see the trait")]
    fn show(cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), Problem> {
        written(Self::write(&Self::read(cursor)?, out))
    }
}

impl Shape for Str {
    type Owned = String;
    type Lent<'a> = &'a str;
}

impl ShapeCodec for Str {
    fn write(value: &str, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        serde_json::Serializer::new(out).serialize_str(value)
    }

    #[allow(private_interfaces, reason = "see the trait")]
    fn read(cursor: &mut Cursor<'_>) -> Result<String, Problem> {
        json::read(cursor)
    }

    fn absent() -> Option<String> {
        None
    }

    #[allow(private_interfaces, reason = "see the trait")]
    fn show(cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), Problem> {
        written(Self::write(&Self::read(cursor)?, out))
    }
}

impl<T: Send + 'static> Shape for Slice<T> {
    type Owned = Vec<T>;
    type Lent<'a> = &'a [T];
}

impl<T: Argument> ShapeCodec for Slice<T> {
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
    fn read(cursor: &mut Cursor<'_>) -> Result<Vec<T>, Problem> {
        json::read(cursor)
    }

    fn absent() -> Option<Vec<T>> {
        None
    }

    #[allow(private_interfaces, reason = "see the trait")]
    fn show(cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), Problem> {
        written(Self::write(&Self::read(cursor)?, out))
    }
}

fn written(outcome: Result<(), serde_json::Error>) -> Result<(), Problem> {
    outcome.map_err(|error| Problem::new(error.to_string()))
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

impl<S: Shape> Shape for Maybe<S> {
    type Owned = Option<S::Owned>;
    type Lent<'a> = Option<S::Lent<'a>>;
}

impl<S: ShapeCodec> ShapeCodec for Maybe<S> {
    fn write(value: Option<S::Lent<'_>>, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        match value {
            Some(value) => S::write(value, out),
            None => serde_json::Serializer::new(out).serialize_none(),
        }
    }

    #[allow(private_interfaces, reason = "see the trait")]
    fn read(cursor: &mut Cursor<'_>) -> Result<Option<S::Owned>, Problem> {
        // A `null` never comes here: it is absent.
        S::read(cursor).map(Some)
    }

    fn absent() -> Option<Option<S::Owned>> {
        Some(None)
    }

    #[allow(private_interfaces, reason = "see the trait")]
    fn show(cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), Problem> {
        S::show(cursor, out)
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

debug_by_name!(Own Slice Maybe);

impl fmt::Debug for Str {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Str")
    }
}

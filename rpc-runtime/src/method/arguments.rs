//! The arguments of a method as one request message.

use std::any::Any;
use std::fmt;

use super::form::{ArgumentForm, ArgumentFormCodec, Owned};
use crate::codec::json::{self, Cursor, DecodeError, Object, ObjectWriter};
use crate::descriptor::{ArgumentDescriptor, MessageStyle, MethodDescriptor};
use crate::error::Argument;

type Write<F> =
    for<'a> fn(<F as ArgumentForm>::Borrowed<'a>, &mut Vec<u8>) -> Result<(), serde_json::Error>;

/// Reads a value and writes it again, for people.
pub(crate) type Transcode = fn(&mut Cursor<'_>, &mut Vec<u8>) -> Result<(), DecodeError>;

/// How one argument becomes JSON and back.
pub struct ArgumentCodec<F: ArgumentForm> {
    write: Write<F>,
    read: fn(&mut Cursor<'_>) -> Result<F::Owned, DecodeError>,
    default_if_missing: fn() -> Option<F::Owned>,
    message: fn(&[u8]) -> Result<F::Owned, DecodeError>,
    transcode: Transcode,
}

/// A field of the request.
#[must_use]
pub const fn argument<F: ArgumentFormCodec>() -> ArgumentCodec<F> {
    ArgumentCodec {
        write: F::write,
        read: F::read,
        default_if_missing: F::default_if_missing,
        message: not_a_message,
        transcode: F::transcode,
    }
}

/// A field of the request with `#[rpc(default)]`.
#[must_use]
pub const fn argument_or_default<F: ArgumentFormCodec>() -> ArgumentCodec<F>
where
    F::Owned: Default,
{
    ArgumentCodec {
        write: F::write,
        read: F::read,
        default_if_missing: default_value,
        message: not_a_message,
        transcode: F::transcode,
    }
}

/// A field of the request with `#[rpc(idempotency_key)]`, which is text.
#[must_use]
pub const fn idempotency_key<F: ArgumentFormCodec<Owned = String>>() -> ArgumentCodec<F> {
    argument::<F>()
}

/// The argument that is the request, with `#[rpc(message)]`.
#[must_use]
pub const fn message<T: Argument>() -> ArgumentCodec<Owned<T>> {
    ArgumentCodec {
        write: json::write_message,
        read: json::read,
        default_if_missing: json::default_if_missing,
        message: json::read_message,
        transcode: <Owned<T> as ArgumentFormCodec>::transcode,
    }
}

fn default_value<T: Default>() -> Option<T> {
    Some(T::default())
}

/// A method in argument style never asks for this.
fn not_a_message<T>(_: &[u8]) -> Result<T, DecodeError> {
    Err(DecodeError::new(
        "this method takes arguments and not a message",
    ))
}

impl<F: ArgumentForm> fmt::Debug for ArgumentCodec<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ArgumentCodec")
    }
}

/// A tuple of [`ArgumentForm`]s: the arguments of a method.
pub trait Arguments: 'static {
    /// A [`ArgumentCodec`] each.
    type Codecs: Send + Sync + 'static;
    /// What the client passes.
    type Borrowed<'a>;
    /// What the server gets.
    type Owned: Send + 'static;

    #[doc(hidden)]
    fn encode(
        codecs: &Self::Codecs,
        method: &MethodDescriptor,
        arguments: Self::Borrowed<'_>,
    ) -> Result<Vec<u8>, serde_json::Error>;

    #[doc(hidden)]
    #[allow(
        private_interfaces,
        reason = "only the runtime implements and calls this"
    )]
    fn transcoders(codecs: &Self::Codecs) -> Vec<Transcode>;

    #[doc(hidden)]
    #[allow(
        private_interfaces,
        reason = "only the runtime implements and calls this"
    )]
    fn decode(
        codecs: &Self::Codecs,
        method: &MethodDescriptor,
        body: &[u8],
    ) -> Result<Self::Owned, DecodeError>;

    /// The argument at this position, where it is text.
    #[doc(hidden)]
    fn text(owned: &Self::Owned, index: usize) -> Option<&str>;
}

fn as_text(argument: &dyn Any) -> Option<&str> {
    argument.downcast_ref::<String>().map(String::as_str)
}

/// Which argument a field is, and whether it came before.
struct FieldTracker<'m> {
    arguments: &'m [ArgumentDescriptor],
    given: u32,
}

impl FieldTracker<'_> {
    fn index(&mut self, name: &str) -> Result<Option<usize>, DecodeError> {
        let Some(index) = self
            .arguments
            .iter()
            .position(|argument| json::same_name(argument.name, name))
        else {
            return Ok(None);
        };
        if self.given & (1 << index) != 0 {
            return Err(DecodeError::at(
                self.arguments[index].name,
                "is given twice",
            ));
        }
        self.given |= 1 << index;
        Ok(Some(index))
    }
}

fn with_path(problem: DecodeError, argument: &ArgumentDescriptor) -> DecodeError {
    let problem = if argument.secret {
        problem.without_quotes()
    } else {
        problem
    };
    problem.within(argument.name)
}

fn read_field<F: ArgumentForm>(
    slot: &mut Option<F::Owned>,
    codec: &ArgumentCodec<F>,
    argument: &ArgumentDescriptor,
    cursor: &mut Cursor<'_>,
) -> Result<(), DecodeError> {
    if !cursor.null() {
        *slot = Some((codec.read)(cursor).map_err(|problem| with_path(problem, argument))?);
    }
    Ok(())
}

fn or_default<F: ArgumentForm>(
    slot: Option<F::Owned>,
    codec: &ArgumentCodec<F>,
    argument: &ArgumentDescriptor,
) -> Result<F::Owned, DecodeError> {
    match slot.or_else(codec.default_if_missing) {
        Some(value) => Ok(value),
        None => Err(DecodeError::at(argument.name, "is missing")),
    }
}

macro_rules! tuples {
    ($($count:literal: $($shape:ident $index:tt),*;)*) => {
        $(impl<$($shape: ArgumentForm),*> Arguments for ($($shape,)*) {
            type Codecs = ($(ArgumentCodec<$shape>,)*);
            type Borrowed<'a> = ($($shape::Borrowed<'a>,)*);
            type Owned = ($($shape::Owned,)*);

            #[allow(unused_variables, unused_mut, clippy::unused_unit, reason = "the empty tuple")]
            fn encode(
                codecs: &Self::Codecs,
                method: &MethodDescriptor,
                arguments: Self::Borrowed<'_>,
            ) -> Result<Vec<u8>, serde_json::Error> {
                let mut out = Vec::with_capacity(128);
                if method.style == MessageStyle::Message {
                    $((codecs.$index.write)(arguments.$index, &mut out)?;)*
                    return Ok(out);
                }
                let mut object = ObjectWriter::open(&mut out);
                $(object.field(method.arguments[$index].name, |out| (codecs.$index.write)(arguments.$index, out))?;)*
                object.close();
                Ok(out)
            }

            #[allow(unused_variables, private_interfaces, reason = "the empty tuple")]
            fn transcoders(codecs: &Self::Codecs) -> Vec<Transcode> {
                vec![$(codecs.$index.transcode),*]
            }

            #[allow(unused_variables, unused_mut, private_interfaces, clippy::unused_unit, reason = "the empty tuple")]
            fn decode(codecs: &Self::Codecs, method: &MethodDescriptor, body: &[u8]) -> Result<Self::Owned, DecodeError> {
                if method.style == MessageStyle::Message {
                    return Ok(($((codecs.$index.message)(body)?,)*));
                }
                if $count == 0 && body.is_empty() {
                    return Ok(($(not_a_message::<$shape::Owned>(body)?,)*));
                }
                let mut slots = ($(None::<$shape::Owned>,)*);
                let mut seen = FieldTracker { arguments: method.arguments, given: 0 };
                let mut object = Object::open(body)?;
                while let Some(name) = object.next_name()? {
                    match seen.index(&name)? {
                        $(Some($index) => read_field(
                            &mut slots.$index,
                            &codecs.$index,
                            &method.arguments[$index],
                            object.value(),
                        )?,)*
                        _ => object.skip()?,
                    }
                }
                Ok(($(or_default(slots.$index, &codecs.$index, &method.arguments[$index])?,)*))
            }

            #[allow(unused_variables, reason = "the empty tuple")]
            fn text(owned: &Self::Owned, index: usize) -> Option<&str> {
                match index {
                    $($index => as_text(&owned.$index),)*
                    _ => None,
                }
            }
        })*
    };
}

tuples! {
    0: ;
    1: A 0;
    2: A 0, B 1;
    3: A 0, B 1, C 2;
    4: A 0, B 1, C 2, D 3;
    5: A 0, B 1, C 2, D 3, E 4;
    6: A 0, B 1, C 2, D 3, E 4, F 5;
    7: A 0, B 1, C 2, D 3, E 4, F 5, G 6;
    8: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7;
    9: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8;
    10: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9;
    11: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10;
    12: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11;
}

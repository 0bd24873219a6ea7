//! Encodes the arguments of a method as a request message and decodes them.

use std::any::Any;
use std::fmt;

use bytes::Bytes;

use super::form::{ArgumentForm, ArgumentFormCodec, Owned};
use crate::codec::json::{
    self, Cursor, DecodeError, EncodeError, MISSING, Object, ObjectWriter, Position, WriteOutcome,
};
use crate::descriptor::{ArgumentDescriptor, MessageStyle, MethodDescriptor};
use crate::error::Argument;
use crate::streaming::{BodyKind, Streaming};

type Write<F> = for<'a> fn(
    <F as ArgumentForm>::Borrowed<'a>,
    DefaultValue<F>,
    &mut Vec<u8>,
    Position,
) -> Result<WriteOutcome, EncodeError>;

/// The value of an argument whose field is missing; `None` if the field is required.
type DefaultValue<F> = fn() -> Option<<F as ArgumentForm>::Owned>;

/// Reads a value and writes it in the form for the log.
pub(crate) type Transcode = fn(&mut Cursor<'_>, &mut Vec<u8>) -> Result<WriteOutcome, DecodeError>;

/// The JSON codec of one argument.
pub struct ArgumentCodec<F: ArgumentForm> {
    write: Write<F>,
    read: fn(&mut Cursor<'_>, Position) -> Result<F::Owned, DecodeError>,
    default_if_missing: DefaultValue<F>,
    /// Whether the default is also the value of a `null` that the type does not accept.
    default_if_null: bool,
    message: fn(&[u8]) -> Result<F::Owned, DecodeError>,
    transcode: Transcode,
}

/// Returns the codec of an argument that is a field of the request.
#[must_use]
pub const fn argument<F: ArgumentFormCodec>() -> ArgumentCodec<F> {
    ArgumentCodec {
        write: write::<F>,
        read: F::read,
        default_if_missing: F::default_if_missing,
        default_if_null: false,
        message: not_a_message,
        transcode: F::transcode,
    }
}

/// Returns the codec of an argument with `#[rpc(default)]`.
#[must_use]
pub const fn argument_or_default<F: ArgumentFormCodec>() -> ArgumentCodec<F>
where
    F::Owned: Default,
{
    argument_or(default_value)
}

/// Returns the codec of an argument with `#[rpc(default = …)]`.
#[must_use]
pub const fn argument_or<F: ArgumentFormCodec>(
    default: fn() -> Option<F::Owned>,
) -> ArgumentCodec<F> {
    ArgumentCodec {
        write: F::write_or_default,
        read: F::read,
        default_if_missing: default,
        default_if_null: true,
        message: not_a_message,
        transcode: transcode_or_default::<F>,
    }
}

/// Returns the codec of an argument with `#[rpc(idempotency_key)]`, which must be a string.
#[must_use]
pub const fn idempotency_key<F: ArgumentFormCodec<Owned = String>>() -> ArgumentCodec<F> {
    argument::<F>()
}

/// Returns the codec of an argument with `#[rpc(message)]`, which is the whole request.
#[must_use]
pub const fn message<T: Argument>() -> ArgumentCodec<Owned<T>> {
    ArgumentCodec {
        write: write_message,
        read: json::read,
        default_if_missing: json::default_if_missing,
        default_if_null: false,
        message: json::read_message,
        transcode: <Owned<T> as ArgumentFormCodec>::transcode,
    }
}

fn write<F: ArgumentFormCodec>(
    value: F::Borrowed<'_>,
    _: DefaultValue<F>,
    out: &mut Vec<u8>,
    position: Position,
) -> Result<WriteOutcome, EncodeError> {
    F::write(value, out, position)
}

fn write_message<T: Argument>(
    value: &T,
    _: DefaultValue<Owned<T>>,
    out: &mut Vec<u8>,
    _: Position,
) -> Result<WriteOutcome, EncodeError> {
    json::write_message(value, out)?;
    Ok(WriteOutcome::Value)
}

/// Reads and writes a value as [`ArgumentFormCodec::transcode`] does. A `None` that was sent is not
/// left out, because the default may be another value.
fn transcode_or_default<F: ArgumentFormCodec>(
    cursor: &mut Cursor<'_>,
    out: &mut Vec<u8>,
) -> Result<WriteOutcome, DecodeError> {
    if F::transcode(cursor, out)? == WriteOutcome::Nothing {
        out.extend_from_slice(b"null");
    }
    Ok(WriteOutcome::Value)
}

fn default_value<T: Default>() -> Option<T> {
    Some(T::default())
}

/// The message codec of methods in argument style, which is never called.
fn not_a_message<T>(_: &[u8]) -> Result<T, DecodeError> {
    Err(DecodeError::new(
        "internal error: this method takes arguments, not a message",
    ))
}

impl<F: ArgumentForm> fmt::Debug for ArgumentCodec<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ArgumentCodec")
    }
}

/// The arguments of a method: a tuple of [`ArgumentForm`]s.
pub trait Arguments: 'static {
    /// A tuple with an [`ArgumentCodec`] for each argument.
    type Codecs: Send + Sync + 'static;
    /// The values that the client passes.
    type Borrowed<'a>;
    /// The values that the server receives.
    type Owned: Send + 'static;

    #[doc(hidden)]
    fn encode(
        codecs: &Self::Codecs,
        method: &MethodDescriptor,
        arguments: Self::Borrowed<'_>,
    ) -> Result<Vec<u8>, EncodeError>;

    /// Encodes the request: a single message, except for a method with a request stream.
    #[doc(hidden)]
    fn encode_request(
        codecs: &Self::Codecs,
        method: &MethodDescriptor,
        arguments: Self::Borrowed<'_>,
    ) -> Result<BodyKind, EncodeError> {
        Self::encode(codecs, method, arguments).map(|message| BodyKind::Message(message.into()))
    }

    #[doc(hidden)]
    fn transcoders(codecs: &Self::Codecs) -> Vec<Transcode>;

    #[doc(hidden)]
    fn decode(
        codecs: &Self::Codecs,
        method: &MethodDescriptor,
        body: &[u8],
    ) -> Result<Self::Owned, DecodeError>;

    /// Decodes the messages of a request stream; `None` for methods with one request message.
    #[doc(hidden)]
    fn decode_stream(codecs: &Self::Codecs, messages: Streaming<Bytes>) -> Option<Self::Owned> {
        let _ = (codecs, messages);
        None
    }

    /// Returns the argument at this index if it is a `String`.
    #[doc(hidden)]
    fn text(owned: &Self::Owned, index: usize) -> Option<&str>;
}

fn as_text(argument: &dyn Any) -> Option<&str> {
    argument.downcast_ref::<String>().map(String::as_str)
}

/// Finds the argument of each field and detects duplicates.
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
        problem.without_value()
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
    let is_null = cursor.is_null();
    match (codec.read)(cursor, Position::Field) {
        Ok(value) => *slot = Some(value),
        Err(_) if is_null && codec.default_if_null => *slot = (codec.default_if_missing)(),
        Err(problem) => return Err(with_path(problem, argument)),
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
        None => Err(DecodeError::at(argument.name, MISSING)),
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
            ) -> Result<Vec<u8>, EncodeError> {
                let mut out = Vec::with_capacity(128);
                if method.style == MessageStyle::Message {
                    $((codecs.$index.write)(
                        arguments.$index,
                        codecs.$index.default_if_missing,
                        &mut out,
                        Position::Inner,
                    )?;)*
                    return Ok(out);
                }
                let mut object = ObjectWriter::open(&mut out);
                $(object.field(method.arguments[$index].name, |out| {
                    let codec = &codecs.$index;
                    (codec.write)(arguments.$index, codec.default_if_missing, out, Position::Field)
                })?;)*
                object.close();
                Ok(out)
            }

            #[allow(unused_variables, reason = "the empty tuple")]
            fn transcoders(codecs: &Self::Codecs) -> Vec<Transcode> {
                vec![$(codecs.$index.transcode),*]
            }

            #[allow(unused_variables, unused_mut, clippy::unused_unit, reason = "the empty tuple")]
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

//! The arguments of a method as one request message.

use std::any::Any;
use std::fmt;

use super::shape::{Own, Shape, ShapeCodec};
use crate::codec::json::{self, Cursor, Object, ObjectWriter, Problem};
use crate::descriptor::{ArgumentDescriptor, MessageStyle, MethodDescriptor};
use crate::error::Argument;

type Write<S> = for<'a> fn(<S as Shape>::Lent<'a>, &mut Vec<u8>) -> Result<(), serde_json::Error>;

/// Reads a value and writes it again, for people.
pub(crate) type Show = fn(&mut Cursor<'_>, &mut Vec<u8>) -> Result<(), Problem>;

/// How one argument becomes JSON and back.
pub struct Codec<S: Shape> {
    write: Write<S>,
    read: fn(&mut Cursor<'_>) -> Result<S::Owned, Problem>,
    absent: fn() -> Option<S::Owned>,
    whole: fn(&[u8]) -> Result<S::Owned, Problem>,
    show: Show,
}

/// A field of the request.
#[must_use]
pub const fn argument<S: ShapeCodec>() -> Codec<S> {
    Codec {
        write: S::write,
        read: S::read,
        absent: S::absent,
        whole: no_message,
        show: S::show,
    }
}

/// A field of the request with `#[rpc(default)]`.
#[must_use]
pub const fn argument_or_default<S: ShapeCodec>() -> Codec<S>
where
    S::Owned: Default,
{
    Codec {
        write: S::write,
        read: S::read,
        absent: some_default,
        whole: no_message,
        show: S::show,
    }
}

/// A field of the request with `#[rpc(idempotency_key)]`, which is text.
#[must_use]
pub const fn idempotency_key<S: ShapeCodec<Owned = String>>() -> Codec<S> {
    argument::<S>()
}

/// The argument that is the request, with `#[rpc(message)]`.
#[must_use]
pub const fn message<T: Argument>() -> Codec<Own<T>> {
    Codec {
        write: json::write_message,
        read: json::read,
        absent: json::absent,
        whole: json::read_message,
        show: <Own<T> as ShapeCodec>::show,
    }
}

fn some_default<T: Default>() -> Option<T> {
    Some(T::default())
}

/// A method in argument style never asks for this.
fn no_message<T>(_: &[u8]) -> Result<T, Problem> {
    Err(Problem::new(
        "this method takes arguments and not a message",
    ))
}

impl<S: Shape> fmt::Debug for Codec<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Codec")
    }
}

/// A tuple of [`Shape`]s: the arguments of a method.
pub trait Arguments: 'static {
    /// A [`Codec`] each.
    type Codecs: Send + Sync + 'static;
    /// What the client passes.
    type Lent<'a>;
    /// What the server gets.
    type Owned: Send + 'static;

    #[doc(hidden)]
    fn encode(
        codecs: &Self::Codecs,
        method: &MethodDescriptor,
        arguments: Self::Lent<'_>,
    ) -> Result<Vec<u8>, serde_json::Error>;

    #[doc(hidden)]
    #[allow(
        private_interfaces,
        reason = "only the runtime implements and calls this"
    )]
    fn shows(codecs: &Self::Codecs) -> Vec<Show>;

    #[doc(hidden)]
    #[allow(
        private_interfaces,
        reason = "only the runtime implements and calls this"
    )]
    fn decode(
        codecs: &Self::Codecs,
        method: &MethodDescriptor,
        body: &[u8],
    ) -> Result<Self::Owned, Problem>;

    /// The argument at this position, where it is text.
    #[doc(hidden)]
    fn text(owned: &Self::Owned, index: usize) -> Option<&str>;
}

fn as_text(argument: &dyn Any) -> Option<&str> {
    argument.downcast_ref::<String>().map(String::as_str)
}

/// Which argument a field is, and whether it came before.
struct Seen<'m> {
    arguments: &'m [ArgumentDescriptor],
    given: u32,
}

impl Seen<'_> {
    fn index(&mut self, name: &str) -> Result<Option<usize>, Problem> {
        let Some(index) = self
            .arguments
            .iter()
            .position(|argument| json::same_name(argument.name, name))
        else {
            return Ok(None);
        };
        if self.given & (1 << index) != 0 {
            return Err(Problem::at(self.arguments[index].name, "is given twice"));
        }
        self.given |= 1 << index;
        Ok(Some(index))
    }
}

fn place(problem: Problem, argument: &ArgumentDescriptor) -> Problem {
    let problem = if argument.secret {
        problem.without_quotes()
    } else {
        problem
    };
    problem.within(argument.name)
}

fn read_field<S: Shape>(
    slot: &mut Option<S::Owned>,
    codec: &Codec<S>,
    argument: &ArgumentDescriptor,
    cursor: &mut Cursor<'_>,
) -> Result<(), Problem> {
    if !cursor.null() {
        *slot = Some((codec.read)(cursor).map_err(|problem| place(problem, argument))?);
    }
    Ok(())
}

fn or_absent<S: Shape>(
    slot: Option<S::Owned>,
    codec: &Codec<S>,
    argument: &ArgumentDescriptor,
) -> Result<S::Owned, Problem> {
    match slot.or_else(codec.absent) {
        Some(value) => Ok(value),
        None => Err(Problem::at(argument.name, "is missing")),
    }
}

macro_rules! tuples {
    ($($count:literal: $($shape:ident $index:tt),*;)*) => {
        $(impl<$($shape: Shape),*> Arguments for ($($shape,)*) {
            type Codecs = ($(Codec<$shape>,)*);
            type Lent<'a> = ($($shape::Lent<'a>,)*);
            type Owned = ($($shape::Owned,)*);

            #[allow(unused_variables, unused_mut, clippy::unused_unit, reason = "the empty tuple")]
            fn encode(
                codecs: &Self::Codecs,
                method: &MethodDescriptor,
                arguments: Self::Lent<'_>,
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
            fn shows(codecs: &Self::Codecs) -> Vec<Show> {
                vec![$(codecs.$index.show),*]
            }

            #[allow(unused_variables, unused_mut, private_interfaces, clippy::unused_unit, reason = "the empty tuple")]
            fn decode(codecs: &Self::Codecs, method: &MethodDescriptor, body: &[u8]) -> Result<Self::Owned, Problem> {
                if method.style == MessageStyle::Message {
                    return Ok(($((codecs.$index.whole)(body)?,)*));
                }
                if $count == 0 && body.is_empty() {
                    return Ok(($(no_message::<$shape::Owned>(body)?,)*));
                }
                let mut slots = ($(None::<$shape::Owned>,)*);
                let mut seen = Seen { arguments: method.arguments, given: 0 };
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
                Ok(($(or_absent(slots.$index, &codecs.$index, &method.arguments[$index])?,)*))
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

//! The handle of a method: its descriptor, and the codecs of its arguments, value and error.
//!
//! The bounds on user-defined types are on the functions that create a handle ([`argument`],
//! [`reply()`], …). Code that uses a handle needs none, so the compiler reports a type that cannot
//! be encoded once, at its place in the service trait.

mod arguments;
mod form;
mod redacted;
mod reply;

pub use arguments::{
    ArgumentCodec, Arguments, argument, argument_or, argument_or_default, idempotency_key, message,
};
pub use form::{ArgumentForm, ArgumentFormCodec, Optional, Owned, Slice, Str};
pub(crate) use redacted::RedactedArguments;
#[cfg(feature = "client")]
pub(crate) use reply::text_reply;
pub use reply::{ReplyCodec, message_reply, reply};

use crate::descriptor::{Idempotency, MethodDescriptor};
use crate::error::Error;

/// The handle of a method with the arguments `A`, the value `T` and the error `E`.
pub struct Method<A: Arguments, T, E> {
    descriptor: MethodDescriptor,
    arguments: A::Codecs,
    reply: ReplyCodec<T, E>,
}

/// Creates the handle of a method.
pub const fn method<A: Arguments, T, E>(
    descriptor: MethodDescriptor,
    arguments: A::Codecs,
    reply: ReplyCodec<T, E>,
) -> Method<A, T, E> {
    Method {
        descriptor,
        arguments,
        reply,
    }
}

impl<A: Arguments, T, E> Method<A, T, E> {
    /// Returns the descriptor of the method.
    #[must_use]
    pub const fn descriptor(&self) -> &MethodDescriptor {
        &self.descriptor
    }

    pub(crate) fn encode_arguments(&self, arguments: A::Borrowed<'_>) -> Result<Vec<u8>, Error> {
        A::encode(&self.arguments, &self.descriptor, arguments).map_err(|error| {
            Error::without_location(
                crate::Code::InvalidArgument,
                format!(
                    "failed to encode the arguments of {} as JSON: {error}",
                    self.descriptor.path
                ),
            )
        })
    }

    pub(crate) fn decode_arguments(&self, body: &[u8]) -> Result<A::Owned, Error> {
        A::decode(&self.arguments, &self.descriptor, body)
            .map_err(crate::codec::json::DecodeError::into_error)
    }

    /// Returns the value of the idempotency key. `None` for a method without one.
    pub(crate) fn idempotency_key<'a>(&self, arguments: &'a A::Owned) -> Option<&'a str> {
        let Idempotency::Keyed { argument } = self.descriptor.idempotency else {
            return None;
        };
        let mut all = self.descriptor.arguments.iter();
        A::text(arguments, all.position(|known| known.name == argument)?)
    }

    pub(crate) fn encode_value(&self, value: &T) -> Result<Vec<u8>, Error> {
        self.reply.encode(value).map_err(|error| {
            Error::without_location(
                crate::Code::Internal,
                format!(
                    "failed to encode the result of {} as JSON: {error}",
                    self.descriptor.path
                ),
            )
        })
    }

    pub(crate) fn encode_error(&self, error: E) -> Error {
        self.reply.encode_error(error)
    }

    pub(crate) const fn reply(&self) -> &ReplyCodec<T, E> {
        &self.reply
    }
}

impl<A: Arguments, T, E> std::fmt::Debug for Method<A, T, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Method({})", self.descriptor.path)
    }
}

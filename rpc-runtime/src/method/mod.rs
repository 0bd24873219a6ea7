//! The handle of a method: its descriptor, and the codecs of its arguments, value and error.
//!
//! The bounds on user-defined types are on the functions that create a handle ([`argument`],
//! [`reply()`], …). Code that uses a handle needs none, so the compiler reports a type that cannot
//! be encoded once, at its place in the service trait.

mod arguments;
mod form;
mod redacted;
mod reply;
mod returned;
mod stream;

pub use arguments::{
    ArgumentCodec, Arguments, argument, argument_or, argument_or_default, idempotency_key, message,
};
pub use form::{ArgumentForm, ArgumentFormCodec, Optional, Owned, Slice, Str};
pub(crate) use redacted::RedactedArguments;
#[cfg(feature = "client")]
pub(crate) use reply::text_reply;
pub use reply::{ReplyCodec, message_reply, reply, stream_reply};
pub use stream::{StreamArgument, StreamCodec, StreamOf, StreamType, stream_argument};

use self::returned::returned_error;
use crate::context::Context;
use crate::descriptor::{Idempotency, MethodDescriptor};
use crate::error::Error;
use crate::streaming::BodyKind;

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

    pub(crate) fn encode_arguments(&self, arguments: A::Borrowed<'_>) -> Result<BodyKind, Error> {
        A::encode_request(&self.arguments, &self.descriptor, arguments).map_err(|error| {
            Error::without_location(
                crate::Code::InvalidArgument,
                format!(
                    "failed to encode the arguments of {} as JSON: {error}",
                    self.descriptor.path
                ),
            )
        })
    }

    /// Decodes the arguments from the body of a request, of which a stream is taken.
    pub(crate) fn take_arguments(&self, body: &mut BodyKind) -> Result<A::Owned, Error> {
        match body {
            BodyKind::Message(message) => self.decode_arguments(message),
            BodyKind::Stream(messages) => {
                let messages = std::mem::take(messages);
                A::decode_stream(&self.arguments, messages).ok_or_else(|| {
                    let path = self.descriptor.path;
                    let text = format!("{path} accepts a single message, not a stream");
                    Error::without_location(crate::Code::Unimplemented, text)
                })
            }
        }
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

    pub(crate) fn encode_value(
        &'static self,
        value: T,
        context: &Context,
    ) -> Result<BodyKind, Error> {
        let encoded = self.reply.encode(value, &self.descriptor, context);
        encoded.map_err(|error| {
            Error::without_location(
                crate::Code::Internal,
                format!(
                    "failed to encode the result of {} as JSON: {error}",
                    self.descriptor.path
                ),
            )
        })
    }

    /// Encodes an error that the handler of the method has returned.
    pub(crate) fn encode_error(&self, error: E, context: &Context) -> Error
    where
        E: 'static,
    {
        returned_error(|error| self.reply.encode_error(error), error, context)
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

//! Encodes and decodes the messages of streams.

use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;

use super::arguments::{Arguments, Transcode};
use super::returned::returned_error;
use crate::codec::json::{self, DecodeError, EncodeError, Position};
use crate::context::Context;
use crate::descriptor::MethodDescriptor;
use crate::error::{Argument, Code, Error, Remote, RpcError};
use crate::streaming::{BodyKind, Streaming};

/// The argument of a method with a request stream: a `Streaming<T, E>`.
#[derive(Debug)]
pub struct StreamArgument<T, E>(PhantomData<fn() -> (T, E)>);

/// The argument of a method with the request stream `S`.
pub type StreamOf<S> = StreamArgument<<S as StreamType>::Message, <S as StreamType>::Error>;

/// The codec of the messages of a stream and of the error that ends it.
pub struct StreamCodec<T, E> {
    encode: fn(&T) -> Result<Vec<u8>, EncodeError>,
    decode: fn(&[u8]) -> Result<T, DecodeError>,
    encode_error: fn(E) -> Error,
    decode_error: fn(&Error) -> E,
}

/// Implemented by `Streaming` only. The expansion uses it to resolve aliases.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a stream",
    label = "write `Streaming<T>`"
)]
pub trait StreamType: Sized + 'static {
    /// The type of the messages.
    type Message: Argument;
    /// The type of the error that ends the stream.
    type Error: RpcError;

    #[doc(hidden)]
    fn into_streaming(self) -> Streaming<Self::Message, Self::Error>;
    #[doc(hidden)]
    fn from_streaming(stream: Streaming<Self::Message, Self::Error>) -> Self;
}

impl<T: Argument, E: RpcError> StreamType for Streaming<T, E> {
    type Message = T;
    type Error = E;

    fn into_streaming(self) -> Self {
        self
    }

    fn from_streaming(stream: Self) -> Self {
        stream
    }
}

/// Returns the codec of an argument that is a stream.
#[must_use]
pub const fn stream_argument<S: StreamType>() -> StreamCodec<S::Message, S::Error> {
    StreamCodec {
        encode: encode_message,
        decode: decode_message,
        encode_error: RpcError::into_error,
        decode_error: callers_error,
    }
}

impl<T: Send + 'static, E: Send + 'static> Arguments for StreamArgument<T, E> {
    type Codecs = StreamCodec<T, E>;
    type Borrowed<'a> = (Streaming<T, E>,);
    type Owned = (Streaming<T, E>,);

    fn encode(
        _: &StreamCodec<T, E>,
        method: &MethodDescriptor,
        _: (Streaming<T, E>,),
    ) -> Result<Vec<u8>, EncodeError> {
        let name = method.full_name();
        Err(EncodeError::new(format!(
            "internal error: {name} takes a stream of messages, not a single one"
        )))
    }

    fn encode_request(
        codecs: &StreamCodec<T, E>,
        method: &MethodDescriptor,
        (messages,): (Streaming<T, E>,),
    ) -> Result<BodyKind, EncodeError> {
        let StreamCodec {
            encode,
            encode_error,
            ..
        } = *codecs;
        let path = method.full_name();
        Ok(BodyKind::Stream(messages.map_messages(
            move |message| match message {
                Ok(message) => encoded(encode(&message), path, Code::InvalidArgument),
                Err(error) => Err(encode_error(error)),
            },
        )))
    }

    fn transcoders(_: &StreamCodec<T, E>) -> Vec<Transcode> {
        Vec::new()
    }

    fn decode(
        _: &StreamCodec<T, E>,
        method: &MethodDescriptor,
        _: &[u8],
    ) -> Result<(Streaming<T, E>,), DecodeError> {
        Err(DecodeError::new(format!(
            "{} takes a stream of messages, not a single one",
            method.full_name()
        )))
    }

    fn decode_stream(
        codecs: &StreamCodec<T, E>,
        messages: Streaming<Bytes>,
    ) -> Option<(Streaming<T, E>,)> {
        let StreamCodec {
            decode,
            decode_error,
            ..
        } = *codecs;
        let mut index = 0_u64;
        Some((messages.map_messages(move |message| {
            let decoded = message.and_then(|message| {
                decode(&message).map_err(|error| error.within(&format!("[{index}]")).into_error())
            });
            index += 1;
            decoded.map_err(|error| decode_error(&error))
        }),))
    }

    fn text(_: &(Streaming<T, E>,), _: usize) -> Option<&str> {
        None
    }
}

/// Encodes a stream that a handler has returned. Its errors are those of the handler.
pub(super) fn encode_stream<S: StreamType>(
    stream: S,
    method: &'static MethodDescriptor,
    context: &Context,
) -> BodyKind {
    let context = context.clone();
    let messages = stream.into_streaming();
    let messages = messages.map_messages(move |message| match message {
        Ok(message) => encoded(encode_message(&message), method.full_name(), Code::Internal),
        Err(error) => Err(returned_error(RpcError::into_error, error, &context)),
    });
    BodyKind::Stream(messages)
}

/// Decodes a stream that a server sends.
pub(super) fn decode_stream<S: StreamType>(method: &'static str, messages: Streaming<Bytes>) -> S {
    S::from_streaming(messages.map_messages(move |message| {
        let decoded = message.and_then(|message| {
            decode_message(&message).map_err(|error| error.into_response_error(method))
        });
        decoded.map_err(decode_error)
    }))
}

fn encoded(
    message: Result<Vec<u8>, EncodeError>,
    method: &str,
    code: Code,
) -> Result<Bytes, Error> {
    message.map(Bytes::from).map_err(|error| {
        let text = format!("failed to encode a message of {method} as JSON: {error}");
        Error::without_location(code, text)
    })
}

fn encode_message<T: Argument>(message: &T) -> Result<Vec<u8>, EncodeError> {
    let mut out = Vec::with_capacity(64);
    json::write(message, &mut out, Position::Inner)?;
    Ok(out)
}

fn decode_message<T: Argument>(message: &[u8]) -> Result<T, DecodeError> {
    json::read_element(message)
}

/// Returns the error of a request stream in a handler. It is not that of a dependency.
fn callers_error<E: RpcError>(error: &Error) -> E {
    E::from_error(error)
}

fn decode_error<E: RpcError>(error: Error) -> E {
    Remote::<E>::of_received(error).into_inner()
}

impl<T, E> fmt::Debug for StreamCodec<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamCodec")
    }
}

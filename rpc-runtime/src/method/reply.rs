//! Encodes the value or the error of a method as a response and decodes them.

use std::fmt;

use bytes::Bytes;

use super::stream::{self, StreamType};
use crate::codec::json::{
    self, DecodeError, EncodeError, JsonText, MISSING, Object, ObjectWriter, Position,
};
use crate::context::Context;
use crate::descriptor::MethodDescriptor;
use crate::error::{self, Argument, Code, Error, Remote, RpcError, RpcResult};
use crate::streaming::{BodyKind, Streaming};

/// The codec of the value `T` and the error `E` of a method.
pub struct ReplyCodec<T, E> {
    encode: Encode<T>,
    decode: Decode<T>,
    encode_error: fn(E) -> Error,
    decode_error: fn(Error) -> Remote<E>,
    fingerprint: fn(&Error) -> Option<u64>,
}

/// Encodes the value of a method.
enum Encode<T> {
    /// As a single message.
    Message(fn(&T) -> Result<Vec<u8>, EncodeError>),
    /// As a stream of messages, whose errors belong to a call.
    Stream(fn(T, &'static MethodDescriptor, &Context) -> BodyKind),
}

/// Decodes the value of a method.
enum Decode<T> {
    /// From a single message.
    Message(fn(&[u8]) -> Result<T, DecodeError>),
    /// From a stream of messages. The text is the path of the method.
    Stream(fn(&'static str, Streaming<Bytes>) -> T),
}

/// Returns the codec of a method whose value is the field `result` of the response.
#[must_use]
pub const fn reply<R: RpcResult>() -> ReplyCodec<R::Ok, R::Err>
where
    R::Ok: Argument,
    R::Err: RpcError,
{
    ReplyCodec {
        encode: Encode::Message(encode_field),
        decode: Decode::Message(decode_field),
        encode_error: RpcError::into_error,
        decode_error: Remote::of_received,
        fingerprint: error::fingerprint::<R::Err>,
    }
}

/// Returns the codec of a method with `#[rpc(message)]`, whose value is the whole response.
#[must_use]
pub const fn message_reply<R: RpcResult>() -> ReplyCodec<R::Ok, R::Err>
where
    R::Ok: Argument,
    R::Err: RpcError,
{
    ReplyCodec {
        encode: Encode::Message(encode_message),
        decode: Decode::Message(json::read_message),
        encode_error: RpcError::into_error,
        decode_error: Remote::of_received,
        fingerprint: error::fingerprint::<R::Err>,
    }
}

/// Returns the codec of a method whose value is a stream.
#[must_use]
pub const fn stream_reply<R: RpcResult>() -> ReplyCodec<R::Ok, R::Err>
where
    R::Ok: StreamType,
    R::Err: RpcError,
{
    ReplyCodec {
        encode: Encode::Stream(stream::encode_stream),
        decode: Decode::Stream(stream::decode_stream),
        encode_error: RpcError::into_error,
        decode_error: Remote::of_received,
        fingerprint: error::fingerprint::<R::Err>,
    }
}

/// Returns the codec of a method whose response is any JSON object, and stays text.
#[cfg(feature = "client")]
pub(crate) const fn text_reply() -> ReplyCodec<JsonText, Error> {
    ReplyCodec {
        encode: Encode::Message(|text| Ok(text.as_str().as_bytes().to_vec())),
        decode: Decode::Message(JsonText::read),
        encode_error: RpcError::into_error,
        decode_error: Remote::of_received,
        fingerprint: error::fingerprint::<Error>,
    }
}

impl<T, E> ReplyCodec<T, E> {
    pub(super) fn encode(
        &self,
        value: T,
        method: &'static MethodDescriptor,
        context: &Context,
    ) -> Result<BodyKind, EncodeError> {
        match &self.encode {
            Encode::Message(encode) => Ok(BodyKind::Message(encode(&value)?.into())),
            Encode::Stream(encode) => Ok(encode(value, method, context)),
        }
    }

    /// Decodes the value of a response from a body, of which a stream is taken.
    pub(crate) fn decode_value(&self, method: &'static str, body: BodyKind) -> Result<T, Error> {
        match (&self.decode, body) {
            (Decode::Message(decode), BodyKind::Message(message)) => {
                decode(&message).map_err(|error| error.into_response_error(method))
            }
            (Decode::Stream(decode), BodyKind::Stream(messages)) => Ok(decode(method, messages)),
            (Decode::Message(_), BodyKind::Stream(_)) => Err(unexpected(
                "the response is a stream and not a single message; check the layers",
            )),
            (Decode::Stream(_), BodyKind::Message(_)) => Err(unexpected(
                "the response is a single message and not a stream; check the layers",
            )),
        }
    }

    pub(super) fn encode_error(&self, error: E) -> Error {
        (self.encode_error)(error)
    }

    pub(crate) fn decode_error(&self, error: Error) -> Remote<E> {
        (self.decode_error)(error)
    }

    /// Returns the fingerprint of the variant that a received error has.
    pub(crate) fn fingerprint(&self, error: &Error) -> Option<u64> {
        (self.fingerprint)(error)
    }
}

impl<T, E> fmt::Debug for ReplyCodec<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReplyCodec")
    }
}

fn unexpected(text: &'static str) -> Error {
    Error::without_location(Code::Internal, text).public()
}

fn encode_field<T: Argument>(value: &T) -> Result<Vec<u8>, EncodeError> {
    let mut out = Vec::with_capacity(64);
    let mut object = ObjectWriter::open(&mut out);
    object.field("result", |out| json::write(value, out, Position::Field))?;
    object.close();
    Ok(out)
}

fn decode_field<T: Argument>(body: &[u8]) -> Result<T, DecodeError> {
    let mut result = None;
    let mut object = Object::open(body)?;
    while let Some(name) = object.next_name()? {
        if name != "result" {
            object.skip()?;
        } else if result.is_some() {
            return Err(DecodeError::at("result", "is given twice"));
        } else {
            result = Some(
                json::read(object.value(), Position::Field)
                    .map_err(|problem| problem.within("result"))?,
            );
        }
    }
    result
        .or_else(json::default_if_missing)
        .ok_or_else(|| DecodeError::at("result", MISSING))
}

fn encode_message<T: Argument>(value: &T) -> Result<Vec<u8>, EncodeError> {
    let mut out = Vec::with_capacity(64);
    json::write_message(value, &mut out)?;
    Ok(out)
}

//! The single message of a request whose response is a stream, and the responses of calls with
//! streams.

use bytes::{Bytes, BytesMut};
use http::request;

use super::HttpResponse;
use crate::compression::{Compression, Encoding};
use crate::error::{Code, Error};
use crate::metadata::Metadata;
use crate::middleware::{Guards, Response};
use crate::protocol::connect::{self, SingleError};
use crate::server::call::body::ResponseBody;
use crate::server::call::envelope_body::EnvelopeBody;
use crate::server::call::request_stream::{UnreadRequest, refusal};
use crate::server::memory::CallMemory;
use crate::streaming::BodyKind;

/// Takes the only message out of the body of a request.
///
/// # Errors
///
/// `unimplemented` for none and for several messages, as in other servers of the protocol.
pub(super) fn open_single(
    body: Bytes,
    encoding: Encoding,
    limit: usize,
    may_take: impl FnMut(usize) -> bool,
) -> Result<Bytes, Error> {
    let unimplemented = |text| Error::without_location(Code::Unimplemented, text);
    let envelope = connect::read_single(body, limit).map_err(|error| match error {
        SingleError::None => unimplemented("the request has no message; send one"),
        SingleError::Several => unimplemented("the request has more than one message; send one"),
        SingleError::Partial => {
            let text = "the request ends within its message";
            Error::without_location(Code::InvalidArgument, text)
        }
        SingleError::Envelope(error) => refusal(error, limit),
    })?;
    if envelope.is_end() {
        let text = "the request has an envelope with the flag of the end of a response";
        return Err(Error::without_location(Code::InvalidArgument, text));
    }
    let opened = envelope.open(encoding, limit, may_take);
    opened.map_err(|error| refusal(error, limit))
}

/// Writes the response of a call with streams.
pub(super) fn write(
    request: &request::Parts,
    response: Response,
    memory: CallMemory<'_>,
    unread: &UnreadRequest,
) -> HttpResponse {
    let (leading, trailing, result) = response.into_parts();
    let written = |envelopes, guards| {
        let envelopes = memory.count_always(envelopes);
        if unread.is_none() {
            // With its length.
            return ResponseBody::message(envelopes, guards);
        }
        ResponseBody::stream(EnvelopeBody::written(envelopes, unread.clone()), guards)
    };
    let body = match result {
        Ok(body) => body,
        Err(error) => {
            let response = connect::write_failed_with(&error, &leading, &trailing);
            return response.map(|end| written(end, Guards::default()));
        }
    };
    let (head, compression) = connect::write_response_head(&request.headers, &leading);
    let (content, guards) = body.into_parts();
    head.map(|()| match content {
        BodyKind::Stream(messages) => {
            let envelopes = EnvelopeBody::stream(messages, compression, unread.clone());
            ResponseBody::stream(envelopes, guards)
        }
        BodyKind::Message(message) => {
            written(write_single(&message, compression, &trailing), guards)
        }
    })
}

/// Writes a response with one message and its end.
fn write_single(message: &[u8], compression: Compression, trailing: &Metadata) -> Bytes {
    let (envelope, end) = match connect::write_envelope(message, compression) {
        Ok(envelope) => (envelope, connect::write_end_stream(None, trailing)),
        Err(error) => {
            let end = connect::write_end_stream(Some(&error), trailing);
            (Bytes::new(), end)
        }
    };
    let mut whole = BytesMut::with_capacity(envelope.len() + end.len());
    whole.extend_from_slice(&envelope);
    whole.extend_from_slice(&end);
    whole.freeze()
}

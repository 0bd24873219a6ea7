//! The response of a call with one message.

use http::header::CONTENT_ENCODING;

use super::HttpResponse;
use crate::error::{Code, Error};
use crate::middleware::{Body, Guards, Response};
use crate::protocol::connect::{self, Accepts, WireResponse};
use crate::server::call::body::ResponseBody;
use crate::server::memory::CallMemory;
use crate::streaming::BodyKind;

/// Encodes the response of a call, whose message is already counted.
pub(super) fn write(response: Response, accepts: Accepts, memory: CallMemory<'_>) -> HttpResponse {
    let (headers, trailers, result) = response.into_parts();
    let (result, guards) = match result.map(Body::into_parts) {
        Ok((BodyKind::Message(message), guards)) => (Ok(message), guards),
        Ok((BodyKind::Stream(_), guards)) => {
            let text =
                "the response is a stream and not a single message; check the layers of the server";
            let error = Error::without_location(Code::Internal, text);
            (Err(error), guards)
        }
        Err(error) => (Err(error), Guards::default()),
    };
    let wire = WireResponse {
        headers,
        trailers,
        result,
    };
    let is_error = wire.result.is_err();
    let response = connect::write_response(wire, accepts);
    let is_new = is_error || response.headers().contains_key(CONTENT_ENCODING);
    response.map(|message| {
        let message = if is_new {
            memory.count_always(message)
        } else {
            message
        };
        ResponseBody::message(message, guards)
    })
}

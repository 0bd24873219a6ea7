//! Reads and writes the heads of calls with streams. Their messages are in envelopes.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{StatusCode, response};

use super::content::{
    ContentType, STREAM_ACCEPTS, STREAM_ENCODING, STREAM_JSON, accepts_gzip_by, read_encoding_of,
};
use super::decode::describe_non_rpc_response;
use super::head::{RequestHead, check_version};
use super::rejection::CallRejection;
use super::{end_stream, envelope, outcome, timeout};
use crate::compression::{Compression, Encoding, SUPPORTED};
use crate::error::{Code, Error};
use crate::metadata::Metadata;
use crate::protocol::{QUOTED, metadata, printable};

/// Marks a response whose stream has no messages and ends with an error: the call has failed before
/// its stream began. Without it a client would have to wait for the first message to know.
static STREAM: HeaderName = HeaderName::from_static("x-rpc-stream");

const FAILED: &str = "failed";

/// Reads the head of a request with streams.
pub(super) fn read_request(headers: &HeaderMap) -> Result<RequestHead, CallRejection> {
    if ContentType::read(headers) != ContentType::StreamJson {
        return Err(CallRejection::content_type(headers, STREAM_JSON));
    }
    let timeout = timeout::read(headers).map_err(CallRejection::stream)?;
    let encoding = read_encoding_of(headers, &STREAM_ENCODING).map_err(|name| {
        let message = format!(
            "the compression {} is not supported; use one of {SUPPORTED}, identity",
            printable(name, QUOTED)
        );
        CallRejection::stream(Error::without_location(Code::Unimplemented, message))
    })?;
    check_version(headers).map_err(CallRejection::stream)?;
    Ok(RequestHead {
        encoding,
        message: None,
        timeout,
    })
}

/// Writes the headers of a request that differ from those of a single message.
pub(super) fn write_request_headers(
    encoding: Encoding,
    accepts_gzip: bool,
    headers: &mut HeaderMap,
) {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(STREAM_JSON));
    if encoding == Encoding::Gzip {
        let gzip = HeaderValue::from_static(SUPPORTED);
        headers.insert(STREAM_ENCODING.clone(), gzip);
    }
    if accepts_gzip {
        let gzip = HeaderValue::from_static(SUPPORTED);
        headers.insert(STREAM_ACCEPTS.clone(), gzip);
    }
}

/// Writes the envelope of a message, compressed if that is of use.
///
/// # Errors
///
/// `resource_exhausted` for a message that is too long for an envelope.
pub(crate) fn write_envelope(message: &[u8], compression: Compression) -> Result<Bytes, Error> {
    let packed = compression.compress(message);
    let sent = packed.as_deref().unwrap_or(message);
    envelope::write_message(sent, packed.is_some()).ok_or_else(|| {
        let text = format!("a message of {} bytes is too long to be sent", sent.len());
        Error::without_location(Code::ResourceExhausted, text)
    })
}

/// Writes the head of a response stream, and returns the compression of its messages.
pub(crate) fn write_response_head(
    request: &HeaderMap,
    leading: &Metadata,
) -> (http::Response<()>, Compression) {
    let mut response = http::Response::new(());
    let headers = response.headers_mut();
    headers.reserve(6);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(STREAM_JSON));
    let compression = if accepts_gzip_by(request, &STREAM_ACCEPTS) {
        let gzip = HeaderValue::from_static(SUPPORTED);
        headers.insert(STREAM_ENCODING.clone(), gzip);
        Compression::gzip()
    } else {
        Compression::off()
    };
    metadata::write(leading, "", headers);
    (response, compression)
}

/// Writes the response of a call that has failed before its stream began.
pub(crate) fn write_failed(error: &Error) -> http::Response<Bytes> {
    write_failed_with(error, &Metadata::new(), &Metadata::new())
}

/// Writes the response of a failed call with metadata.
pub(crate) fn write_failed_with(
    error: &Error,
    leading: &Metadata,
    trailing: &Metadata,
) -> http::Response<Bytes> {
    let end = end_stream::write_end_stream(Some(error), trailing);
    let mut response = http::Response::new(end);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(STREAM_JSON));
    headers.insert(STREAM.clone(), HeaderValue::from_static(FAILED));
    outcome::write(error, headers);
    metadata::write(leading, "", headers);
    response
}

/// The head of a response stream.
#[derive(Debug)]
pub(crate) struct StreamResponseHead {
    pub(crate) encoding: Encoding,
    /// Whether the call failed before its stream began.
    pub(crate) failed: bool,
    pub(crate) leading: Metadata,
}

/// Returns whether a response is a stream of messages that can be read.
pub(crate) fn is_stream(parts: &response::Parts) -> bool {
    parts.status == StatusCode::OK && ContentType::read(&parts.headers) == ContentType::StreamJson
}

/// Reads the head of a response stream, for which [`is_stream`] is true.
///
/// # Errors
///
/// `internal` for a compression that this client does not have.
pub(crate) fn read_response_head(parts: &response::Parts) -> Result<StreamResponseHead, Error> {
    let encoding = read_encoding_of(&parts.headers, &STREAM_ENCODING).map_err(|name| {
        let name = printable(name, QUOTED);
        let text = format!("the response has the unsupported compression {name}");
        Error::without_location(Code::Internal, text)
    })?;
    let mut marks = parts.headers.get_all(&STREAM).iter();
    let (leading, _) = metadata::read_both(&parts.headers);
    Ok(StreamResponseHead {
        encoding,
        failed: marks.next().is_some_and(|mark| mark == FAILED),
        leading,
    })
}

/// Returns the error of a response that is not a stream, with the start of its body.
pub(crate) fn read_non_stream(parts: &response::Parts, body: &[u8]) -> Error {
    if parts.status != StatusCode::OK {
        return super::read_error(parts.status, &parts.headers, body);
    }
    let code = match ContentType::read(&parts.headers) {
        ContentType::OtherStream => Code::Internal,
        _ => Code::Unknown,
    };
    let text = describe_non_rpc_response(parts.status, &parts.headers, body);
    Error::without_location(code, text).with_http_status(parts.status.as_u16())
}

//! Reads and writes the response.

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, VARY,
};
use http::{StatusCode, response};

use super::content::{ContentType, JSON};
use super::decode::{describe_non_rpc_response, read_encoded, with_metadata};
use super::outcome;
use super::rejection::RejectionFormat;
use super::{error_json, read_error, stream};
use crate::compression::{self, MIN_COMPRESS_SIZE, SUPPORTED};
use crate::error::{Code, Error};
use crate::metadata::Metadata;
use crate::protocol::metadata::{self, TRAILER_PREFIX};

static ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");

/// The content type of a response for people.
const PLAIN_TEXT: &str = "text/plain; charset=utf-8";

/// The properties of the response that the caller accepts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Accepts {
    pub(super) gzip: bool,
    /// Whether the request is a `GET`, whose response can be cached.
    pub(super) get: bool,
}

/// A response of the protocol, independent of HTTP.
#[derive(Debug)]
pub(crate) struct WireResponse {
    pub(crate) headers: Metadata,
    pub(crate) trailers: Metadata,
    pub(crate) result: Result<Bytes, Error>,
}

/// Writes the response of a call. Of an error, only the public message is written.
pub(crate) fn write_response(from: WireResponse, accepts: Accepts) -> http::Response<Bytes> {
    let mut response = match from.result {
        Ok(message) => write_message(message, accepts),
        Err(error) => write_error(&error, status(error.code().http_status())),
    };
    if accepts.get {
        response
            .headers_mut()
            .insert(VARY, HeaderValue::from_name(ACCEPT_ENCODING));
    }
    metadata::write(&from.headers, "", response.headers_mut());
    metadata::write(&from.trailers, TRAILER_PREFIX, response.headers_mut());
    response
}

fn write_message(message: Bytes, accepts: Accepts) -> http::Response<Bytes> {
    let packed = if accepts.gzip && message.len() >= MIN_COMPRESS_SIZE {
        compression::gzip(&message)
    } else {
        None
    };
    let encoded = packed.is_some();
    let mut response = http::Response::new(packed.unwrap_or(message));
    let headers = response.headers_mut();
    // For the content type, the request ID, and the headers that the server adds.
    headers.reserve(6);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    if encoded {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

fn write_error(error: &Error, status: StatusCode) -> http::Response<Bytes> {
    let mut response = http::Response::new(Bytes::from(error_json(error)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    outcome::write(error, headers);
    metadata::write(error.metadata(), "", headers);
    response
}

/// Writes the response of a rejection. Of the error, only the public message is written.
pub(crate) fn write_rejection(error: &Error, format: RejectionFormat) -> http::Response<Bytes> {
    // Clients of the protocol ignore the text; it is for people.
    let plain_text = |status, name, value| {
        let text = format!("{}\n", error.public_message());
        let mut response = http::Response::new(Bytes::from(text));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PLAIN_TEXT));
        headers.insert(name, HeaderValue::from_static(value));
        response
    };
    match format {
        RejectionFormat::Error | RejectionFormat::Framing => {
            write_error(error, status(error.code().http_status()))
        }
        RejectionFormat::Status(status) => write_error(error, status),
        RejectionFormat::Encoding => {
            let mut response = write_error(error, StatusCode::NOT_IMPLEMENTED);
            let supported = HeaderValue::from_static(SUPPORTED);
            response.headers_mut().insert(ACCEPT_ENCODING, supported);
            response
        }
        RejectionFormat::Verb { allow } => plain_text(StatusCode::METHOD_NOT_ALLOWED, ALLOW, allow),
        RejectionFormat::MediaType { accept } => plain_text(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ACCEPT_POST.clone(),
            accept,
        ),
        RejectionFormat::EndStream => stream::write_failed(error),
    }
}

/// Converts the HTTP status of a code. All of them are valid.
fn status(number: u16) -> StatusCode {
    StatusCode::from_u16(number).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Reads the response of a server or of a proxy in front of it. `limit` is the maximum size of the
/// message in bytes.
pub(crate) fn read_response(parts: &response::Parts, body: Bytes, limit: usize) -> WireResponse {
    let result = if parts.status == StatusCode::OK {
        read_message(parts, body, limit).map_err(|error| with_metadata(error, &parts.headers))
    } else {
        Err(read_error(parts.status, &parts.headers, &body))
    };
    let (headers, trailers) = metadata::read_both(&parts.headers);
    WireResponse {
        headers,
        trailers,
        result,
    }
}

/// Returns whether a response has a message, and not an error or the page of a proxy.
pub(crate) fn is_message(parts: &response::Parts) -> bool {
    parts.status == StatusCode::OK && ContentType::read(&parts.headers) == ContentType::Json
}

fn read_message(parts: &response::Parts, body: Bytes, limit: usize) -> Result<Bytes, Error> {
    let code = match ContentType::read(&parts.headers) {
        ContentType::Json => return read_encoded(&parts.headers, body, limit),
        ContentType::StreamJson | ContentType::OtherStream | ContentType::OtherApplication => {
            Code::Internal
        }
        ContentType::Other => Code::Unknown,
    };
    Err(Error::without_location(
        code,
        describe_non_rpc_response(parts.status, &parts.headers, &body),
    )
    .with_http_status(parts.status.as_u16()))
}

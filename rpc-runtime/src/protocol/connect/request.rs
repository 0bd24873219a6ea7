//! The head of a request, both directions.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use http::{Method, Uri, request};

use super::content::{ContentType, JSON, accepts_gzip, read_encoding};
use super::rejection::Rejection;
use super::response::Accepts;
use super::{get, timeout};
use crate::compression::Encoding;
use crate::context::Context;
use crate::descriptor::{Idempotency, MethodDescriptor};
use crate::error::{Code, Error};
use crate::metadata::Metadata;
use crate::protocol::{context, metadata};

static PROTOCOL_VERSION: HeaderName = HeaderName::from_static("connect-protocol-version");

/// How our clients name themselves.
const OUR_USER_AGENT: &str = concat!("rpc-runtime/", env!("CARGO_PKG_VERSION"));

/// What the head of a request says of its message.
#[derive(Debug)]
pub(crate) struct RequestHead {
    /// How the message is packed.
    pub(crate) encoding: Encoding,
    /// The message itself, where it stands in the query of a `GET`.
    pub(crate) message: Option<Bytes>,
    /// What the caller gives at most.
    pub(crate) timeout: Option<Duration>,
}

/// Reads the head of a request for a method. The order of the checks is that of other servers of the protocol, so
/// that a request that is wrong in two ways gets the same answer everywhere.
pub(crate) fn read_request(
    head: &request::Parts,
    method: &MethodDescriptor,
    has_body: bool,
) -> Result<RequestHead, Rejection> {
    let allows_get = method.idempotency == Idempotency::NoSideEffects;
    match head.method {
        Method::POST => read_post(&head.headers),
        Method::GET if allows_get && has_body => Err(Rejection::media_type("a GET has no body")),
        Method::GET if allows_get => read_get(head),
        _ => Err(Rejection::verb(&head.method, allows_get)),
    }
}

fn read_post(headers: &HeaderMap) -> Result<RequestHead, Rejection> {
    if ContentType::read(headers) != ContentType::Json {
        return Err(Rejection::media_type(
            "the content type is not application/json",
        ));
    }
    let timeout = timeout::read(headers)?;
    let encoding = read_encoding(headers).map_err(Rejection::encoding)?;
    let mut versions = headers.get_all(&PROTOCOL_VERSION).iter();
    match (versions.next(), versions.next()) {
        (None, _) => {}
        (Some(version), None) if version == "1" => {}
        _ => {
            return Err(Error::unlocated(
                Code::InvalidArgument,
                "the header connect-protocol-version is 1, once",
            )
            .into());
        }
    }
    Ok(RequestHead {
        encoding,
        message: None,
        timeout,
    })
}

fn read_get(head: &request::Parts) -> Result<RequestHead, Rejection> {
    let (message, encoding) = get::read(head.uri.query().unwrap_or_default())?;
    let timeout = timeout::read(&head.headers)?;
    Ok(RequestHead {
        encoding,
        message: Some(message),
        timeout,
    })
}

impl Accepts {
    /// What the caller takes as an answer.
    pub(crate) fn read(head: &request::Parts) -> Self {
        Self {
            gzip: accepts_gzip(&head.headers),
            get: head.method == Method::GET,
        }
    }
}

/// Writes the request of a call.
///
/// At least a millisecond of the deadline must be left: a server takes zero as "the time is up".
pub(crate) fn write_request(
    uri: Uri,
    context: &Context,
    metadata: &Metadata,
    message: Bytes,
) -> http::Request<Bytes> {
    let mut request = http::Request::new(message);
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    // One allocation: four of the protocol, five of the usual context, and one or two that a transport adds.
    headers.reserve(12 + metadata.len());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    headers.insert(PROTOCOL_VERSION.clone(), HeaderValue::from_static("1"));
    headers.insert(USER_AGENT, HeaderValue::from_static(OUR_USER_AGENT));
    if let Some(left) = context.remaining() {
        timeout::write(left, headers);
    }
    context::write(context, headers);
    metadata::write(metadata, "", headers);
    request
}

//! Reads and writes the head of a request.

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT,
};
use http::{Method, Uri, request};

use super::content::{ContentType, JSON, accepts_gzip, read_encoding};
use super::head::{PROTOCOL_VERSION, RequestHead, check_version};
use super::rejection::CallRejection;
use super::response::Accepts;
use super::stream::{self, write_envelope};
use super::{get, timeout};
use crate::compression::{Encoding, SUPPORTED};
use crate::context::Context;
use crate::descriptor::{Idempotency, MethodDescriptor};
use crate::error::Error;
use crate::metadata::Metadata;
use crate::protocol::{SendOptions, SentToOthers, context, metadata};

/// The user agent of our clients.
const OUR_USER_AGENT: &str = concat!("rpc-runtime/", env!("CARGO_PKG_VERSION"));

/// Reads the head of a request for a method. The checks have the same order as in other servers of
/// the protocol, so a request with two errors gets the same response.
pub(crate) fn read_request(
    head: &request::Parts,
    method: &MethodDescriptor,
) -> Result<RequestHead, CallRejection> {
    let allows_get = allows_get(method);
    match head.method {
        Method::POST if method.is_streaming() => stream::read_request(&head.headers),
        Method::POST => read_post(&head.headers),
        Method::GET if allows_get => read_get(head),
        _ => Err(CallRejection::verb(&head.method, allows_get)),
    }
}

/// Returns whether the message of a request is in its query, so that its body must be empty.
pub(crate) fn has_query_message(head: &request::Parts, method: &MethodDescriptor) -> bool {
    head.method == Method::GET && allows_get(method)
}

/// Returns whether a method may be called by `GET` at its own path.
pub(crate) fn allows_get(method: &MethodDescriptor) -> bool {
    method.idempotency == Idempotency::NoSideEffects && !method.is_streaming()
}

fn read_post(headers: &HeaderMap) -> Result<RequestHead, CallRejection> {
    if ContentType::read(headers) != ContentType::Json {
        return Err(CallRejection::content_type(headers, JSON));
    }
    let timeout = timeout::read(headers)?;
    let encoding = read_encoding(headers).map_err(|name| {
        let is_single = headers.get_all(CONTENT_ENCODING).iter().nth(1).is_none();
        if is_single {
            CallRejection::encoding(name)
        } else {
            CallRejection::several_encodings()
        }
    })?;
    check_version(headers)?;
    Ok(RequestHead {
        encoding,
        message: None,
        timeout,
    })
}

fn read_get(head: &request::Parts) -> Result<RequestHead, CallRejection> {
    let (message, encoding) = get::read(head.uri.query().unwrap_or_default())?;
    let timeout = timeout::read(&head.headers)?;
    Ok(RequestHead {
        encoding,
        message: Some(message),
        timeout,
    })
}

/// Reads the head of a `GET` whose message is made of its path and query.
#[cfg(feature = "server")]
pub(crate) fn read_bound_get(
    head: &request::Parts,
    message: Bytes,
) -> Result<RequestHead, CallRejection> {
    Ok(RequestHead {
        encoding: Encoding::Identity,
        message: Some(message),
        timeout: timeout::read(&head.headers)?,
    })
}

impl Accepts {
    /// Reads what the caller accepts as a response.
    pub(crate) fn read(head: &request::Parts) -> Self {
        Self {
            gzip: accepts_gzip(&head.headers),
            get: head.method == Method::GET,
        }
    }
}

/// The message of a call in the form in which it is sent.
#[derive(Debug)]
pub(crate) struct OutgoingMessage {
    /// The body of a `POST`; empty for a `GET`.
    body: Bytes,
    /// The query of a `GET`.
    query: Option<String>,
    encoding: Encoding,
    accepts_gzip: bool,
    /// Whether the body is a stream, of which this is the only message or none.
    is_stream: bool,
}

impl OutgoingMessage {
    /// Compresses a message, and decides whether it is sent by `GET`. A message that is too long
    /// for a URL is sent by `POST`. `prefix` is the length of the path before that of the method.
    pub(crate) fn new(
        method: &MethodDescriptor,
        prefix: usize,
        message: &Bytes,
        options: &SendOptions,
    ) -> Self {
        let (body, encoding) = match options.compression.compress(message) {
            Some(compressed) => (compressed, Encoding::Gzip),
            None => (message.clone(), Encoding::Identity),
        };
        let query = if options.use_get && allows_get(method) {
            get::write(prefix + method.path.len(), &body, encoding)
        } else {
            None
        };
        Self {
            body: if query.is_some() { Bytes::new() } else { body },
            query,
            encoding,
            accepts_gzip: options.compression.accepts_gzip(),
            is_stream: false,
        }
    }

    /// Creates the message of a method with streams. Without a `message`, the messages are not part
    /// of the signed body: they do not exist yet.
    ///
    /// # Errors
    ///
    /// `resource_exhausted` for a message that is too long for an envelope.
    pub(crate) fn stream(message: Option<&Bytes>, options: &SendOptions) -> Result<Self, Error> {
        let body = match message {
            Some(message) => write_envelope(message, options.compression)?,
            None => Bytes::new(),
        };
        // Messages that are too small to be compressed are sent as they are.
        let encoding = if options.compression.accepts_gzip() {
            Encoding::Gzip
        } else {
            Encoding::Identity
        };
        Ok(Self {
            body,
            query: None,
            encoding,
            accepts_gzip: options.compression.accepts_gzip(),
            is_stream: true,
        })
    }

    /// Returns the query of the URL.
    pub(crate) fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }
}

/// Writes the request of a call. `uri` has the query of the message. `restriction` is what a server
/// receives that does not receive the context.
///
/// At least one millisecond must be left before the deadline, because 0 means an expired deadline.
pub(crate) fn write_request(
    uri: Uri,
    context: &Context,
    metadata: &Metadata,
    message: OutgoingMessage,
    restriction: Option<SentToOthers>,
) -> http::Request<Bytes> {
    let mut request = http::Request::new(message.body);
    *request.uri_mut() = uri;
    let is_get = message.query.is_some();
    *request.method_mut() = if is_get { Method::GET } else { Method::POST };
    let headers = request.headers_mut();
    // One allocation: four headers of the protocol, usually five of the context, and one or two
    // that the transport adds.
    headers.reserve(12 + metadata.len());
    if message.is_stream {
        stream::write_request_headers(message.encoding, message.accepts_gzip, headers);
        headers.insert(PROTOCOL_VERSION.clone(), HeaderValue::from_static("1"));
    } else if !is_get {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
        headers.insert(PROTOCOL_VERSION.clone(), HeaderValue::from_static("1"));
        if message.encoding == Encoding::Gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(SUPPORTED));
        }
    }
    if message.accepts_gzip && !message.is_stream {
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(SUPPORTED));
    }
    headers.insert(USER_AGENT, HeaderValue::from_static(OUR_USER_AGENT));
    if let Some(left) = context.remaining() {
        timeout::write(left, headers);
    }
    match restriction {
        None => context::write(context, headers),
        Some(sent) => context::write_restricted(context, sent, headers),
    }
    metadata::write(metadata, "", headers);
    request
}

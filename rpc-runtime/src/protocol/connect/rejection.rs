//! The responses to calls that are rejected before the handler runs.

use std::borrow::Cow;

use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, StatusCode};

use super::content::JSON;
use crate::compression::SUPPORTED;
use crate::error::{Code, Error};
use crate::protocol::{QUOTED, printable};

/// The rejection of a call before its handler runs.
#[derive(Debug, Clone)]
pub(crate) struct CallRejection {
    /// The error for observers, and for the body of formats that have one.
    pub(crate) error: Error,
    pub(crate) format: RejectionFormat,
}

/// The HTTP response of a rejection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RejectionFormat {
    /// Error JSON with the status of its code.
    Error,
    /// Error JSON with another status.
    Status(StatusCode),
    /// 501 with error JSON and the supported encodings in `accept-encoding`.
    Encoding,
    /// 405 with `allow`, and the message as plain text.
    Verb {
        /// The verbs that are allowed, as in the header.
        allow: &'static str,
    },
    /// 415 with `accept-post`, and the message as plain text.
    MediaType {
        /// The content type that is accepted.
        accept: &'static str,
    },
    /// A stream without messages that ends with the error.
    EndStream,
    /// Error JSON with the status of its code, on a connection that is closed without reading the
    /// body: its end is not known.
    Framing,
}

impl From<Error> for CallRejection {
    fn from(error: Error) -> Self {
        Self::new(error, RejectionFormat::Error)
    }
}

impl CallRejection {
    pub(crate) fn new(error: Error, format: RejectionFormat) -> Self {
        Self { error, format }
    }

    /// Rejects a path that is not the path of a method.
    pub(crate) fn path(path: &str) -> Self {
        let message = format!(
            "there is no method at {}",
            printable(path.as_bytes(), QUOTED)
        );
        Self::new(
            Error::without_location(Code::Unimplemented, message),
            RejectionFormat::Status(StatusCode::NOT_FOUND),
        )
    }

    pub(super) fn verb(verb: &Method, get: bool) -> Self {
        Self::verb_of(verb, if get { "GET, POST" } else { "POST" })
    }

    /// Rejects a verb other than the allowed ones.
    pub(crate) fn verb_of(verb: &Method, allow: &'static str) -> Self {
        let verb = printable(verb.as_str().as_bytes(), QUOTED);
        let allowed = if allow == "GET, POST" {
            "POST or GET"
        } else {
            allow
        };
        let message = format!("this method cannot be called with {verb}; use {allowed}");
        Self::new(
            Error::without_location(Code::InvalidArgument, message),
            RejectionFormat::Verb { allow },
        )
    }

    /// Rejects a `GET` request with a body.
    pub(crate) fn body_of_get() -> Self {
        Self::media_type("a GET request must not have a body")
    }

    /// Rejects a transfer coding other than a single `chunked`.
    pub(crate) fn transfer_coding(coding: &[u8]) -> Self {
        let message = format!(
            "the transfer coding `{}` is not supported; send a single `chunked`, or a content length",
            printable(coding, QUOTED)
        );
        Self::new(
            Error::without_location(Code::Unimplemented, message),
            RejectionFormat::Framing,
        )
    }

    /// Rejects a request with several transfer codings.
    pub(crate) fn several_transfer_codings() -> Self {
        let message = "the request has several Transfer-Encoding headers; send a single `chunked`, or a content length";
        Self::new(
            Error::without_location(Code::Unimplemented, message),
            RejectionFormat::Framing,
        )
    }

    /// Rejects a request with a content length and a transfer encoding.
    pub(crate) fn two_lengths() -> Self {
        let message = "the request has both a Content-Length and a Transfer-Encoding header; send one of them";
        Self::new(
            Error::without_location(Code::InvalidArgument, message),
            RejectionFormat::Framing,
        )
    }

    /// Rejects a content type other than `accept`.
    pub(super) fn content_type(headers: &HeaderMap, accept: &'static str) -> Self {
        let mut values = headers.get_all(CONTENT_TYPE).iter();
        let received = match (values.next(), values.next()) {
            (None, _) => "there is none".to_owned(),
            (Some(value), None) => format!("it is {}", printable(value.as_bytes(), QUOTED)),
            (Some(_), Some(_)) => "there are several".to_owned(),
        };
        let parameters = if has_parameters(headers, accept) {
            " without parameters, or with charset=utf-8 only"
        } else {
            ""
        };
        let message = format!("the content type must be {accept}{parameters}; {received}");
        Self::new(
            Error::without_location(Code::InvalidArgument, message),
            RejectionFormat::MediaType { accept },
        )
    }

    pub(super) fn media_type(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(
            Error::without_location(Code::InvalidArgument, message),
            RejectionFormat::MediaType { accept: JSON },
        )
    }

    /// Rejects a call with streams whose content type is accepted.
    pub(crate) fn stream(error: Error) -> Self {
        Self::new(error, RejectionFormat::EndStream)
    }

    /// Rejects a message with several content codings, each in a header of its own.
    pub(super) fn several_encodings() -> Self {
        let message = format!(
            "the request has several Content-Encoding headers; send a single one of {SUPPORTED}, identity"
        );
        Self::new(
            Error::without_location(Code::Unimplemented, message),
            RejectionFormat::Encoding,
        )
    }

    pub(super) fn encoding(name: &[u8]) -> Self {
        let message = format!(
            "the compression {} is not supported; use one of {SUPPORTED}, identity",
            printable(name, QUOTED)
        );
        Self::new(
            Error::without_location(Code::Unimplemented, message),
            RejectionFormat::Encoding,
        )
    }
}

/// Returns whether the content type is this one, but has parameters.
fn has_parameters(headers: &HeaderMap, accept: &str) -> bool {
    let value = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    value.is_some_and(|value| {
        let kind = value.split(|byte| *byte == b';').next();
        value.contains(&b';')
            && kind.is_some_and(|kind| kind.trim_ascii().eq_ignore_ascii_case(accept.as_bytes()))
    })
}

//! Answers that are given before a handler runs, and how each looks on the wire.

use std::borrow::Cow;

use http::{Method, StatusCode};

use crate::compression::SUPPORTED;
use crate::error::{Code, Error};
use crate::protocol::printable;

/// How much of a stranger's word a message repeats, in bytes.
const QUOTED: usize = 128;

/// A call that is not made.
#[derive(Debug)]
pub(crate) struct Rejection {
    /// What is observed, and what a body says where there is one.
    pub(crate) error: Error,
    pub(crate) format: RejectionFormat,
}

/// How a refusal looks on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RejectionFormat {
    /// Error JSON, and the status of its code.
    Error,
    /// Error JSON, and another status.
    Status(StatusCode),
    /// 501 with error JSON, and `accept-encoding` saying what would do.
    Encoding,
    /// 405, `allow` and no body.
    Verb {
        /// Whether `GET` is allowed beside `POST`.
        get: bool,
    },
    /// 415, `accept-post` and no body.
    MediaType,
}

impl From<Error> for Rejection {
    fn from(error: Error) -> Self {
        Self::new(error, RejectionFormat::Error)
    }
}

impl Rejection {
    pub(crate) fn new(error: Error, format: RejectionFormat) -> Self {
        Self { error, format }
    }

    /// No method answers on this path.
    pub(crate) fn path(path: &str) -> Self {
        let message = format!(
            "no method answers on {}",
            printable(path.as_bytes(), QUOTED)
        );
        Self::new(
            Error::unlocated(Code::Unimplemented, message),
            RejectionFormat::Status(StatusCode::NOT_FOUND),
        )
    }

    pub(super) fn verb(verb: &Method, get: bool) -> Self {
        let verb = printable(verb.as_str().as_bytes(), QUOTED);
        let message = format!("the method is not called by {verb}");
        Self::new(
            Error::unlocated(Code::InvalidArgument, message),
            RejectionFormat::Verb { get },
        )
    }

    pub(super) fn media_type(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(
            Error::unlocated(Code::InvalidArgument, message),
            RejectionFormat::MediaType,
        )
    }

    pub(super) fn encoding(name: &[u8]) -> Self {
        let message = format!(
            "the compression {} is none of {SUPPORTED}, identity",
            printable(name, QUOTED)
        );
        Self::new(
            Error::unlocated(Code::Unimplemented, message),
            RejectionFormat::Encoding,
        )
    }
}

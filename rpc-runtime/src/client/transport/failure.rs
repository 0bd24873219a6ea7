//! The reasons of requests that have failed, read from the errors of the HTTP libraries.

use std::error::Error as StdError;
use std::io::{self, ErrorKind};

use super::http2;
use crate::error::Execution;

/// The reason why a server has not begun a request.
pub(super) struct NotBegun {
    /// The action of the server, for the message.
    pub(super) what: &'static str,
    pub(super) execution: Execution,
}

impl NotBegun {
    pub(super) fn by_server(what: &'static str) -> Self {
        Self {
            what,
            execution: Execution::NotProcessed,
        }
    }

    /// Reads the error of a request for which there was no response. `None` if the server may have
    /// begun it.
    pub(super) fn from_error(error: &(dyn StdError + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            // hyper returns this error for requests that it still had when the connection ended.
            if error
                .downcast_ref::<hyper::Error>()
                .is_some_and(hyper::Error::is_canceled)
            {
                return Some(Self {
                    what: "closed the connection before the call was sent",
                    execution: Execution::NotExecuted,
                });
            }
            if let Some(what) = error.downcast_ref().and_then(http2::not_begun) {
                return Some(Self::by_server(what));
            }
            next = error.source();
        }
        None
    }
}

/// The reason why a received response cannot be read. Retrying would not help.
pub(super) enum ResponseError {
    NotHttp,
    TooLarge,
}

impl ResponseError {
    pub(super) fn from_error(error: &(dyn StdError + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(error) = error.downcast_ref::<hyper::Error>() {
                if error.is_parse_too_large() {
                    return Some(Self::TooLarge);
                }
                if error.is_parse() {
                    return Some(Self::NotHttp);
                }
            }
            // hyper's errors for an invalid chunk. Those of TLS have no such text.
            if let Some(error) = error.downcast_ref::<io::Error>()
                && match error.kind() {
                    ErrorKind::InvalidInput => true,
                    ErrorKind::InvalidData => error.to_string().contains("chunk"),
                    _ => false,
                }
            {
                return Some(Self::NotHttp);
            }
            // A response that breaks the rules of HTTP/2. `h2` also ends connections to protect
            // itself.
            if let Some(error) = error.downcast_ref::<h2::Error>()
                && error.is_library()
                && error.reason() != Some(h2::Reason::ENHANCE_YOUR_CALM)
            {
                return Some(Self::NotHttp);
            }
            next = error.source();
        }
        None
    }
}

/// Returns whether the server has reset one stream of an HTTP/2 connection.
pub(super) fn is_stream_reset(error: &(dyn StdError + 'static)) -> bool {
    let root = root_cause(error).downcast_ref::<h2::Error>();
    root.is_some_and(|error| error.is_reset() && error.is_remote())
}

/// Describes the innermost source, with advice if the server uses another version of HTTP.
pub(super) fn cause(error: &(dyn StdError + 'static)) -> String {
    let cause = root_cause(error);
    if let Some(reason) = cause.downcast_ref().and_then(h2::Error::reason) {
        // The names of RFC 9113, such as `CANCEL`.
        return format!("{reason:?}: {reason}");
    }
    let cause = cause.to_string();
    // hyper's error for a first line of another protocol. An HTTP/2 server begins with a frame.
    if cause == "invalid HTTP version parsed" {
        return format!(
            "{cause}; if the server serves TLS, use a URL with `https://`; if it speaks HTTP/2 only, use `Client::http2`"
        );
    }
    cause
}

/// Returns the innermost source, such as "connection refused" in "client error (Connect)".
fn root_cause<'e>(mut error: &'e (dyn StdError + 'static)) -> &'e (dyn StdError + 'static) {
    while let Some(source) = error.source() {
        error = source;
    }
    error
}

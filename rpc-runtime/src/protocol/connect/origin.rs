//! The header of an error response that tells whose failure it is.
//!
//! | header | value | meaning |
//! | --- | --- | --- |
//! | `x-rpc-origin` | `dependency` | the failure is that of a service behind the server, which works itself |
//!
//! Callers of an edge receive it too. A client then gives the server no fewer calls.

use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::error::{Code, Error};

static ORIGIN: HeaderName = HeaderName::from_static("x-rpc-origin");

const DEPENDENCY: &str = "dependency";

/// Writes the header of an error.
pub(super) fn write(error: &Error, headers: &mut HeaderMap) {
    // Other codes reveal nothing about whether a server works.
    if error.is_passed_on() && error.code() == Code::Unavailable {
        headers.insert(ORIGIN.clone(), HeaderValue::from_static(DEPENDENCY));
    }
}

/// Reads the header of a response whose body is an error of the protocol with a code. That of any
/// other response is ignored: a proxy that replaces the body of a response may keep its headers.
pub(super) fn read(error: &mut Error, headers: &HeaderMap) {
    if headers
        .get(&ORIGIN)
        .is_some_and(|value| value == DEPENDENCY)
    {
        error.set_passed_on();
    }
}

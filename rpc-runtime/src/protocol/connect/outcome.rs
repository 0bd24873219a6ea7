//! The headers of an error response that tell a client whether the call may run again.
//!
//! | header | value | meaning |
//! | --- | --- | --- |
//! | `x-rpc-outcome` | `not-executed` | the server did nothing of the call |
//! | `x-rpc-retry` | `no` | a retry is of no use: a client closer to the failure has retried, or a repeat gets the same error |
//!
//! Callers of an edge receive them too. They are headers and not error details, because clients of
//! other implementations get no details of this framework.

use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::error::{Error, Execution};

static OUTCOME: HeaderName = HeaderName::from_static("x-rpc-outcome");
static RETRY: HeaderName = HeaderName::from_static("x-rpc-retry");

const NOT_EXECUTED: &str = "not-executed";
const NO: &str = "no";

/// Writes the headers of an error.
pub(super) fn write(error: &Error, headers: &mut HeaderMap) {
    if error.is_not_executed() {
        headers.insert(OUTCOME.clone(), HeaderValue::from_static(NOT_EXECUTED));
    }
    if error.retries_exhausted() {
        headers.insert(RETRY.clone(), HeaderValue::from_static(NO));
    }
}

/// Reads the headers of a response whose body is an error of the protocol with a code.
///
/// Those of any other response are ignored: a proxy that replaces the body of a response may keep
/// its headers.
pub(super) fn read(error: &mut Error, headers: &HeaderMap) {
    let has = |name, value| {
        let mut values = headers.get_all(name).iter();
        // Two values come from two senders that do not agree.
        values.next().is_some_and(|only| only == value) && values.next().is_none()
    };
    if has(&OUTCOME, NOT_EXECUTED) {
        error.set_execution(Execution::NotExecuted);
    }
    if has(&RETRY, NO) {
        error.set_retries_exhausted(true);
    }
}

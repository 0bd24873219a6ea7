//! The headers of an error response that tell a client whether the call may run again, and whose
//! failure it is.
//!
//! | header | value | meaning |
//! | --- | --- | --- |
//! | `x-rpc-outcome` | `not-executed` | the server did nothing of the call |
//! | `x-rpc-outcome` | `safe-to-repeat` | the outcome is unknown; a call with the same idempotency key runs the handler again, which is safe |
//! | `x-rpc-retry` | `no` | a retry is of no use: a client closer to the failure has retried, or a repeat gets the same error |
//! | `x-rpc-origin` | `dependency` | the failure is that of a service behind the server, which works itself: a client gives it no fewer calls |
//!
//! Callers of an edge receive them too. They are headers and not error details, because clients of
//! other implementations get no details of this framework.

use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::error::{Code, Error, Execution};
use crate::protocol::context;

static OUTCOME: HeaderName = HeaderName::from_static("x-rpc-outcome");
static RETRY: HeaderName = HeaderName::from_static("x-rpc-retry");
static ORIGIN: HeaderName = HeaderName::from_static("x-rpc-origin");

const NOT_EXECUTED: &str = "not-executed";
const SAFE_TO_REPEAT: &str = "safe-to-repeat";
const NO: &str = "no";
const DEPENDENCY: &str = "dependency";

/// Writes the headers of an error.
pub(super) fn write(error: &Error, headers: &mut HeaderMap) {
    let outcome = match error.execution() {
        Execution::SafeToRepeat => Some(SAFE_TO_REPEAT),
        _ => error.is_not_executed().then_some(NOT_EXECUTED),
    };
    if let Some(outcome) = outcome {
        headers.insert(OUTCOME.clone(), HeaderValue::from_static(outcome));
    }
    if error.retries_exhausted() {
        headers.insert(RETRY.clone(), HeaderValue::from_static(NO));
    }
    // Other codes reveal nothing about whether a server works.
    if error.is_passed_on() && error.code() == Code::Unavailable {
        headers.insert(ORIGIN.clone(), HeaderValue::from_static(DEPENDENCY));
    }
}

/// Reads the headers of a response whose body is an error of the protocol with a code.
///
/// Those of any other response are ignored: a proxy that replaces the body of a response may keep
/// its headers.
pub(super) fn read(error: &mut Error, headers: &HeaderMap) {
    // Two values come from two senders that do not agree.
    let has = |name, value| context::one(headers, name) == Some(value);
    if has(&OUTCOME, NOT_EXECUTED) {
        error.set_execution(Execution::NotExecuted);
    } else if has(&OUTCOME, SAFE_TO_REPEAT) {
        error.set_execution(Execution::SafeToRepeat);
    }
    if has(&RETRY, NO) {
        error.set_retries_exhausted(true);
    }
    if has(&ORIGIN, DEPENDENCY) {
        error.set_passed_on();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(error: &Error) -> [bool; 3] {
        [
            error.is_not_executed(),
            error.retries_exhausted(),
            error.is_passed_on(),
        ]
    }

    fn written(code: Code, facts: [bool; 3]) -> HeaderMap {
        let mut error = Error::without_location(code, "why");
        if facts[0] {
            error = error.not_executed();
        }
        error.set_retries_exhausted(facts[1]);
        if facts[2] {
            error.set_passed_on();
        }
        let mut headers = HeaderMap::new();
        write(&error, &mut headers);
        headers
    }

    fn read_facts(headers: &HeaderMap) -> [bool; 3] {
        let mut error = Error::without_location(Code::Unavailable, "why");
        read(&mut error, headers);
        facts(&error)
    }

    #[test]
    fn each_fact_has_its_header() {
        for (index, name) in [&OUTCOME, &RETRY, &ORIGIN].into_iter().enumerate() {
            let mut fact = [false; 3];
            fact[index] = true;
            let mut headers = written(Code::Unavailable, fact);
            assert_eq!(headers.keys().collect::<Vec<_>>(), [name]);
            assert_eq!(read_facts(&headers), fact, "{name}");
            // One of two senders is wrong.
            let value = headers[name].clone();
            headers.append(name, value);
            assert_eq!(read_facts(&headers), [false; 3], "{name}");
            headers.insert(name, HeaderValue::from_static("other"));
            assert_eq!(read_facts(&headers), [false; 3], "{name}");
        }
        let of_handler = written(Code::Internal, [true; 3]);
        assert_eq!(read_facts(&of_handler), [true, true, false]);
    }
}

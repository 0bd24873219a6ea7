//! Evidence: what the end of a request reveals about the server at the address.

use crate::client::outlier::Outcome;
use crate::error::{Code, Error, Execution};
use crate::middleware::Response;

/// Returns the outcome of a request to which there was no response of the protocol.
pub(super) fn without_response(error: &Error) -> Outcome {
    match error.code() {
        // Above a limit of this client.
        Code::ResourceExhausted => Outcome::Error,
        // The server goes on with other requests (`REFUSED_STREAM`, or a `GOAWAY` below this one).
        _ if error.execution() == Execution::NotProcessed => Outcome::Error,
        // No connection, a broken one, or a peer that does not speak HTTP.
        _ => Outcome::Failure,
    }
}

/// Returns the outcome of a request to which a server, or a proxy in front of it, has responded.
pub(super) fn of_response(response: &Response) -> Outcome {
    let Some(error) = response.error() else {
        return Outcome::Success;
    };
    if is_passed_on(error) {
        return Outcome::Error;
    }
    match (error.code(), error.retry_after()) {
        // The server works. It rejects what is above its capacity, or above a quota of this caller.
        (Code::Unavailable | Code::ResourceExhausted, Some(delay)) => Outcome::Busy(delay),
        // The page of a gateway (502, 503, 504), or the server itself.
        (Code::Unavailable, None) => Outcome::Failure,
        _ => Outcome::Error,
    }
}

/// Returns whether the server that responded has this error from a dependency, and so works itself.
/// Older servers tell it by the services that the error passed.
pub(in crate::client) fn is_passed_on(error: &Error) -> bool {
    error.is_passed_on() || error.hops().len() > 1 || error.retries_exhausted()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::error::Hop;
    use crate::middleware::Body;

    fn hop() -> Hop {
        Hop {
            source: "a@prod/1".to_owned(),
            method: "a.B/C".to_owned(),
            location: None,
            code: Code::Unavailable,
            message: "down".to_owned(),
            reason: None,
        }
    }

    fn error(code: Code, change: impl FnOnce(&mut Error)) -> Response {
        let mut error = Error::without_location(code, "down");
        change(&mut error);
        error.into()
    }

    #[test]
    fn an_unavailable_server_is_a_failure() {
        let unavailable = error(Code::Unavailable, |_| {});
        assert_eq!(of_response(&unavailable), Outcome::Failure);
        let own = error(Code::Unavailable, |error| error.set_hops(vec![hop()]));
        assert_eq!(of_response(&own), Outcome::Failure);
        assert_eq!(
            of_response(&Response::new(Body::message("{}"))),
            Outcome::Success
        );
    }

    #[test]
    fn errors_of_dependencies_and_handlers_are_none() {
        let passed_on = error(Code::Unavailable, |error| {
            error.set_hops(vec![hop(), hop()]);
        });
        assert_eq!(of_response(&passed_on), Outcome::Error);
        let passed_on = error(Code::Unavailable, Error::set_passed_on);
        assert_eq!(of_response(&passed_on), Outcome::Error);
        let busy = error(Code::Unavailable, |error| {
            error.set_hops(vec![hop(), hop()]);
            error.set_retry_after(Some(Duration::from_secs(1)));
        });
        assert_eq!(of_response(&busy), Outcome::Error, "not its own delay");
        let retried = error(Code::Unavailable, |error| error.set_retries_exhausted(true));
        assert_eq!(of_response(&retried), Outcome::Error);
        for code in Code::all().filter(|code| *code != Code::Unavailable) {
            assert_eq!(of_response(&error(code, |_| {})), Outcome::Error, "{code}");
        }
    }

    #[test]
    fn a_retry_delay_is_that_of_a_busy_server() {
        let delay = Duration::from_millis(50);
        let busy = |code| of_response(&error(code, |error| error.set_retry_after(Some(delay))));
        assert_eq!(busy(Code::Unavailable), Outcome::Busy(delay));
        assert_eq!(busy(Code::ResourceExhausted), Outcome::Busy(delay));
        assert_eq!(busy(Code::Internal), Outcome::Error);
    }
}

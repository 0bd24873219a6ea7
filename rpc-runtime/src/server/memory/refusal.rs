//! The refusal of a message that does not fit.

use std::fmt;
use std::time::Duration;

use crate::error::{Code, Error};

/// The delay after which a caller may retry whose message did not fit, in milliseconds. A range, so
/// that retries are spread.
const RETRY_MS: std::ops::RangeInclusive<u64> = 50..=150;

/// The share that has no room for a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FullShare {
    All,
    Untrusted,
    Peer,
}

/// A message did not fit into the memory for messages.
#[derive(Debug)]
pub(crate) struct NoMemory {
    pub(super) full: FullShare,
    pub(super) limit: usize,
}

impl NoMemory {
    /// Returns the error of a call that was not begun, because its request did not fit.
    pub(crate) fn of_request(&self) -> Error {
        self.error(&format!(
            "the server has no memory for the request: {self}; the call was not begun, retry later"
        ))
        .not_executed()
    }

    /// Returns the error of a request whose handler reads its body, of which a piece did not fit.
    pub(crate) fn of_piece(&self) -> Error {
        self.error(&format!(
            "the server has no memory for the body of the request: {self}; retry later"
        ))
    }

    /// Returns the error of a call whose response did not fit.
    pub(crate) fn of_response(&self) -> Error {
        self.error(&format!(
            "the server has no memory for the response: {self}; the call was executed, and its response is lost"
        ))
    }

    fn error(&self, text: &str) -> Error {
        let delay = Duration::from_millis(fastrand::u64(RETRY_MS));
        Error::without_location(Code::ResourceExhausted, text.to_owned()).with_retry_after(delay)
    }
}

impl fmt::Display for NoMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whose = match self.full {
            FullShare::All => "all callers",
            FullShare::Untrusted => "untrusted callers",
            FullShare::Peer => "this peer",
        };
        write!(
            f,
            "unread and unsent messages of {whose} take up to {} bytes (`buffered_bytes`)",
            self.limit
        )
    }
}

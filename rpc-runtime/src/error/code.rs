//! The sixteen canonical RPC codes and everything that is derived from them.

use std::fmt;
use std::str::FromStr;

/// One of the sixteen canonical RPC codes, as in gRPC and Connect.
///
/// ```
/// use rpc_runtime::Code;
///
/// assert_eq!(Code::NotFound.as_str(), "not_found");
/// assert_eq!("not_found".parse(), Ok(Code::NotFound));
/// assert_eq!(Code::NotFound.http_status(), 404);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Code {
    /// The caller went away or cancelled the call.
    Canceled = 1,
    /// An error of which no more is known.
    Unknown = 2,
    /// The request is wrong, whatever the state of the server.
    InvalidArgument = 3,
    /// The time ran out before the call was done. The work may have happened.
    DeadlineExceeded = 4,
    /// The thing asked for does not exist.
    NotFound = 5,
    /// The thing to be made exists already.
    AlreadyExists = 6,
    /// The caller is known and may not do this.
    PermissionDenied = 7,
    /// A quota, a limit of size, or a resource is used up.
    ResourceExhausted = 8,
    /// The system is not in the state that the call needs; do not retry before it is.
    FailedPrecondition = 9,
    /// A conflict with concurrent work; retry at a higher level.
    Aborted = 10,
    /// Past the valid range, which may change.
    OutOfRange = 11,
    /// The server does not know or support this method.
    Unimplemented = 12,
    /// An invariant of the server is broken.
    Internal = 13,
    /// The service cannot be reached or cannot answer now; a retry may help.
    Unavailable = 14,
    /// Data is lost or damaged for good.
    DataLoss = 15,
    /// The caller did not prove who it is.
    Unauthenticated = 16,
}

/// One row a code; every conversion of this module reads this table.
/// Source: the Connect protocol's table of error codes.
const TABLE: [(Code, &str, u16); 16] = [
    (Code::Canceled, "canceled", 499),
    (Code::Unknown, "unknown", 500),
    (Code::InvalidArgument, "invalid_argument", 400),
    (Code::DeadlineExceeded, "deadline_exceeded", 504),
    (Code::NotFound, "not_found", 404),
    (Code::AlreadyExists, "already_exists", 409),
    (Code::PermissionDenied, "permission_denied", 403),
    (Code::ResourceExhausted, "resource_exhausted", 429),
    (Code::FailedPrecondition, "failed_precondition", 400),
    (Code::Aborted, "aborted", 409),
    (Code::OutOfRange, "out_of_range", 400),
    (Code::Unimplemented, "unimplemented", 501),
    (Code::Internal, "internal", 500),
    (Code::Unavailable, "unavailable", 503),
    (Code::DataLoss, "data_loss", 500),
    (Code::Unauthenticated, "unauthenticated", 401),
];

impl Code {
    /// All sixteen, in the order of their numbers.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.0)
    }

    /// The name on the wire, such as `not_found`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        TABLE[self as usize - 1].1
    }

    /// The number that gRPC gives it, 1 to 16.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The code with this gRPC number; `None` for 0 (ok) and everything above 16.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::all().find(|code| code.number() == number)
    }

    /// The HTTP status that a Connect server answers with.
    #[must_use]
    pub const fn http_status(self) -> u16 {
        TABLE[self as usize - 1].2
    }

    /// The code to assume for an answer that says no more than an HTTP status.
    ///
    /// Not the inverse of [`http_status`](Self::http_status): a bare status usually comes from a
    /// proxy, so the Connect protocol reads it with less trust (400 is `internal`, 404 is `unimplemented`).
    #[must_use]
    pub const fn from_http_status(status: u16) -> Self {
        match status {
            400 => Self::Internal,
            401 => Self::Unauthenticated,
            403 => Self::PermissionDenied,
            404 => Self::Unimplemented,
            429 | 502 | 503 | 504 => Self::Unavailable,
            _ => Self::Unknown,
        }
    }

    /// Whether this is `internal`, `unknown` or `data_loss`: the server's own fault, whose text is
    /// meant for operators and not for callers.
    #[must_use]
    pub const fn is_internal_kind(self) -> bool {
        matches!(self, Self::Internal | Self::Unknown | Self::DataLoss)
    }

    /// Whether the code keeps its meaning when a service passes a dependency's error on as its own.
    ///
    /// A `not_found` of a dependency says nothing to our caller about what it asked for, while
    /// `unavailable` is as true for us as for the dependency.
    #[must_use]
    pub const fn is_propagated(self) -> bool {
        matches!(
            self,
            Self::Unavailable | Self::DeadlineExceeded | Self::Canceled | Self::ResourceExhausted
        )
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that is none of the sixteen codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnknownCode;

impl fmt::Display for UnknownCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not one of the sixteen RPC codes, such as `not_found`")
    }
}

impl std::error::Error for UnknownCode {}

impl FromStr for Code {
    type Err = UnknownCode;

    fn from_str(name: &str) -> Result<Self, UnknownCode> {
        TABLE
            .iter()
            .find(|row| row.1 == name)
            .map(|row| row.0)
            .ok_or(UnknownCode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_stands_in_the_order_of_the_numbers() {
        for (index, row) in TABLE.iter().enumerate() {
            assert_eq!(usize::from(row.0.number()), index + 1, "{}", row.1);
            assert_eq!(Code::from_number(row.0.number()), Some(row.0));
            assert_eq!(row.1.parse(), Ok(row.0));
        }
        assert_eq!(Code::from_number(0), None);
        assert_eq!(Code::from_number(17), None);
        assert_eq!("Not_Found".parse::<Code>(), Err(UnknownCode));
    }
}

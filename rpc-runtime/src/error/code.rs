//! The sixteen canonical RPC codes and their conversions.

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
    /// The caller canceled the call or disconnected.
    Canceled = 1,
    /// An error without further information.
    Unknown = 2,
    /// The request is invalid, regardless of the state of the server.
    InvalidArgument = 3,
    /// The deadline passed before the call completed. The work may have been done.
    DeadlineExceeded = 4,
    /// The requested item does not exist.
    NotFound = 5,
    /// The item to be created already exists.
    AlreadyExists = 6,
    /// The caller is known and has no permission.
    PermissionDenied = 7,
    /// A quota, size limit or resource is exhausted.
    ResourceExhausted = 8,
    /// The system is not in the state that the call requires. Do not retry until it is.
    FailedPrecondition = 9,
    /// A conflict with a concurrent operation. Retry at a higher level.
    Aborted = 10,
    /// A value is outside the valid range, which may change.
    OutOfRange = 11,
    /// The server does not support this method.
    Unimplemented = 12,
    /// An invariant of the server is violated.
    Internal = 13,
    /// The service is temporarily unreachable or overloaded. A retry may succeed.
    Unavailable = 14,
    /// Data is lost or damaged beyond recovery.
    DataLoss = 15,
    /// The caller is not authenticated.
    Unauthenticated = 16,
}

/// One row per code. All conversions of this module read this table.
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
    /// Returns all sixteen codes, ordered by number.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.0)
    }

    /// Returns the name on the wire, such as `not_found`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        TABLE[self as usize - 1].1
    }

    /// Returns the gRPC number, 1 to 16.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Returns the code with this gRPC number, or `None` for 0 (ok) and above 16.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::all().find(|code| code.number() == number)
    }

    /// Returns the HTTP status of a Connect response with this code.
    #[must_use]
    pub const fn http_status(self) -> u16 {
        TABLE[self as usize - 1].2
    }

    /// Returns the code of a response that has only an HTTP status.
    ///
    /// Not the inverse of [`http_status`](Self::http_status): such a response usually comes from a
    /// proxy, for which the Connect protocol defines other codes (400 is `internal`, 404 is
    /// `unimplemented`).
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

    /// Returns whether the server is at fault, and not its caller: `unknown`, `deadline_exceeded`,
    /// `unimplemented`, `internal`, `unavailable` and `data_loss`, whose HTTP status is 5xx.
    ///
    /// The other codes are refusals: the caller sent what the server does not accept, or left.
    /// Error rates that operators are woken for count server errors only.
    ///
    /// ```
    /// use rpc_runtime::Code;
    ///
    /// assert!(Code::Unavailable.is_server_error());
    /// assert!(!Code::FailedPrecondition.is_server_error());
    /// ```
    #[must_use]
    pub const fn is_server_error(self) -> bool {
        self.http_status() >= 500
    }

    /// Returns whether this is `internal`, `unknown` or `data_loss`: a failure of the server, whose
    /// message is for operators and not for callers.
    #[must_use]
    pub const fn is_internal_kind(self) -> bool {
        matches!(self, Self::Internal | Self::Unknown | Self::DataLoss)
    }

    /// Returns whether the code keeps its meaning when a service passes on the error of a
    /// dependency.
    ///
    /// `not_found` does not: it refers to an item that the original caller did not request.
    /// `unavailable` does: if the dependency is unavailable, so is the service.
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

/// The error of parsing a name that is not one of the sixteen codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnknownCode;

impl fmt::Display for UnknownCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an RPC code; expected one of the sixteen codes, such as `not_found`")
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
    fn the_table_is_in_the_order_of_the_numbers() {
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

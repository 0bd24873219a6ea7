//! The time of a record.

use std::error::Error as StdError;
use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

/// A point in time with nanosecond precision, from the year -9999 to 9999.
///
/// Displays and serializes as RFC 3339 in UTC. A precision limits the digits after the second:
///
/// ```
/// use rpc_runtime::logs::Timestamp;
///
/// let time: Timestamp = "2026-11-22T13:25:34.0215+01:00".parse()?;
/// assert_eq!(time.to_string(), "2026-11-22T12:25:34.0215Z");
/// assert_eq!(format!("{time:.3}"), "2026-11-22T12:25:34.021Z");
/// # Ok::<(), rpc_runtime::logs::ParseTimestampError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(jiff::Timestamp);

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const UNIX_EPOCH: Self = Self(jiff::Timestamp::UNIX_EPOCH);

    /// Returns the current time.
    #[must_use]
    pub fn now() -> Self {
        Self(jiff::Timestamp::now())
    }

    /// Returns the time `microseconds` after the Unix epoch; `None` if it is out of range.
    #[must_use]
    pub fn from_unix_micros(microseconds: i64) -> Option<Self> {
        jiff::Timestamp::from_microsecond(microseconds)
            .ok()
            .map(Self)
    }

    /// Returns the microseconds since the Unix epoch, rounded towards it.
    #[must_use]
    pub fn as_unix_micros(self) -> i64 {
        self.0.as_microsecond()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> Self {
        time.0.into()
    }
}

impl FromStr for Timestamp {
    type Err = ParseTimestampError;

    /// Parses RFC 3339 with any offset from UTC.
    fn from_str(text: &str) -> Result<Self, ParseTimestampError> {
        text.parse().map(Self).map_err(ParseTimestampError)
    }
}

/// Error of parsing a [`Timestamp`].
#[derive(Debug, Clone)]
pub struct ParseTimestampError(jiff::Error);

impl fmt::Display for ParseTimestampError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for ParseTimestampError {}

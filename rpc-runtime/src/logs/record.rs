//! A log record and its level, in the form that is sent to a sink.

use std::error::Error as StdError;
use std::fmt;
use std::str::FromStr;

use serde::de::{IntoDeserializer as _, value};
use serde::{Deserialize, Serialize};

use super::Timestamp;
use crate::context::{RequestId, Source};

/// A log record of a server.
///
/// Source, epoch and sequence identify a record: a sink stores records with the same three only
/// once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Record {
    /// The server that wrote it, such as `userstore@prod/127.0.0.1:9003`.
    pub source: Source,
    /// Session of the source: larger for each start of its process. `None`, as `sequence`, for
    /// records without a number, which are never recognized as duplicates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// Number of the record in its session, from 1. A gap means that records were dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// The request that it belongs to; `None` outside of requests.
    // Read in both spellings: `request_id` is written, ProtoJSON peers may send `requestId`.
    #[serde(default, alias = "requestId", skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
    /// Time of the event. In JSON as RFC 3339, such as `2026-11-22T12:25:34.021Z`.
    pub time: Timestamp,
    /// Severity; `info` if absent in JSON.
    #[serde(default)]
    pub level: Level,
    /// Part of the program that wrote it, such as `fibpro::service::userstore`; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub target: String,
    /// Message and fields. It may contain any character; escape control characters before printing.
    pub text: String,
}

impl Record {
    /// Returns a record without number, request and target.
    #[must_use]
    pub fn new(source: Source, time: Timestamp, level: Level, text: impl Into<String>) -> Self {
        Self {
            source,
            epoch: None,
            sequence: None,
            request_id: None,
            time,
            level,
            target: String::new(),
            text: text.into(),
        }
    }
}

/// Severity of a record, in ascending order.
///
/// ```
/// use rpc_runtime::logs::Level;
///
/// assert_eq!("warn".parse(), Ok(Level::Warn));
/// assert_eq!(
///     "severe".parse::<Level>().unwrap_err().to_string(),
///     "unknown variant `severe`, expected one of `debug`, `info`, `warn`, `error`",
/// );
/// ```
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Level {
    /// Details for the developers of the service.
    Debug,
    /// Normal operation.
    #[default]
    Info,
    /// A problem that may need attention.
    Warn,
    /// A failure that needs action.
    Error,
}

impl Level {
    /// Returns the name used in JSON, such as `warn`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// Error of parsing a [`Level`].
#[derive(Debug, Clone, PartialEq)]
pub struct ParseLevelError(value::Error);

impl fmt::Display for ParseLevelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for ParseLevelError {}

impl FromStr for Level {
    type Err = ParseLevelError;

    /// Parses the name used in JSON, such as `warn`.
    fn from_str(name: &str) -> Result<Self, ParseLevelError> {
        Self::deserialize(name.into_deserializer()).map_err(ParseLevelError)
    }
}

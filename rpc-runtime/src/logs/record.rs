//! A line of a server's log, as it travels.

use std::str::FromStr;

use jiff::Timestamp;
use serde::de::{IntoDeserializer as _, value};
use serde::{Deserialize, Serialize};

use crate::context::{RequestId, Source};

/// One line of a server's log.
///
/// Source, epoch and sequence together name a record for good: whoever keeps records keeps one that comes twice once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Who wrote it, such as `userstore@prod/127.0.0.1:9003`.
    pub source: Source,
    /// Which life of the source: larger for each start of its process. Absent, with `sequence`, for records that nobody
    /// numbers; those are never taken for another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// Which record of this life, from 1, without gaps where nothing was dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// The request that it was written for; absent for what a server does of its own accord.
    // The fields of a user's type are plain serde, which knows one spelling; a peer that speaks ProtoJSON has the other.
    #[serde(default, alias = "requestId", skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
    /// When it was written, in RFC 3339, such as `2026-11-22T12:25:34.021Z`.
    pub time: Timestamp,
    /// How much it matters; `info` when absent.
    #[serde(default)]
    pub level: Level,
    /// The part of the program that wrote it, such as `fibpro::service::userstore`; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub target: String,
    /// What happened. May hold any character; who prints it shows those that would change the line as escapes.
    pub text: String,
}

/// How much a record matters, from the least.
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
pub enum Level {
    /// For the people who wrote the service.
    Debug,
    /// Worth knowing.
    #[default]
    Info,
    /// Worth a look.
    Warn,
    /// Somebody has to act.
    Error,
}

/// Reads the word on the wire, with the refusal that a caller would get.
impl FromStr for Level {
    type Err = value::Error;

    fn from_str(word: &str) -> Result<Self, value::Error> {
        Self::deserialize(word.into_deserializer())
    }
}

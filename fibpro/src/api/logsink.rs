//! `fibpro.v1.LogSink`: where all services send their logs.

use std::str::FromStr;

use jiff::Timestamp;
use rpc_runtime::prelude::*;
use rpc_runtime::{RequestId, Source};
use serde::de::{IntoDeserializer as _, value};
use serde::{Deserialize, Serialize};

/// The longest text of a record, in bytes. The rest is cut off, and the line says how much that was.
pub const TEXT_LIMIT: usize = 64 << 10;

/// The most records of one batch. A larger one is `invalid_argument`.
pub const BATCH_LIMIT: usize = 10_000;

/// Prints the logs of all services, one line a record.
///
/// A record counts as accepted once its line is written. `resource_exhausted` means that the sink is behind and the
/// call may be made again a little later; `unavailable` that it cannot write, or not for certain.
#[rpc_service(package = "fibpro.v1", endpoint = "logsink")]
pub trait LogSink {
    /// Prints a record of the calling server, under the request that the call is part of.
    ///
    /// Answers whether it was accepted: a message without text is not.
    async fn recv_log(&self, message: &str, #[rpc(default)] level: Level) -> Result<bool>;

    /// Prints records in the order in which they come; none, if one of them is invalid.
    ///
    /// Answers how many were accepted: all but those without text.
    async fn recv_logs(&self, records: &[Record]) -> Result<u32>;
}

/// Shorthands for a single record.
impl LogSinkClient {
    /// [`recv_log`](Self::recv_log) with [`Level::Debug`].
    #[track_caller]
    pub fn debug(&self, message: &str) -> Call<bool> {
        self.recv_log(message, Level::Debug)
    }

    /// [`recv_log`](Self::recv_log) with [`Level::Info`].
    #[track_caller]
    pub fn info(&self, message: &str) -> Call<bool> {
        self.recv_log(message, Level::Info)
    }

    /// [`recv_log`](Self::recv_log) with [`Level::Warn`].
    #[track_caller]
    pub fn warn(&self, message: &str) -> Call<bool> {
        self.recv_log(message, Level::Warn)
    }

    /// [`recv_log`](Self::recv_log) with [`Level::Error`].
    #[track_caller]
    pub fn error(&self, message: &str) -> Call<bool> {
        self.recv_log(message, Level::Error)
    }
}

/// One line of a server's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Who wrote it, such as `userstore@prod/127.0.0.1:9003`.
    pub source: Source,
    /// The request that it was written for; absent for what a server does of its own accord.
    // The fields of a user's type are plain serde, which knows one spelling; a peer that speaks ProtoJSON has the other.
    #[serde(default, alias = "requestId", skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
    /// When it was written, in RFC 3339, such as `2026-11-22T12:25:34.021Z`.
    pub time: Timestamp,
    /// How much it matters; `info` when absent.
    #[serde(default)]
    pub level: Level,
    /// What happened. May hold any character; the printed line shows those that would change it as escapes.
    pub text: String,
}

/// How much a record matters, from the least.
///
/// ```
/// use fibpro::api::logsink::Level;
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

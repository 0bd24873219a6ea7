//! `fibpro.v1.LogSink`: collects the logs of all services.

use jiff::Timestamp;
use rpc_runtime::RequestId;
pub use rpc_runtime::logs::{Level, Record};
use rpc_runtime::prelude::*;
use serde::{Deserialize, Serialize};

/// Maximum length of a record's text, in bytes. Longer texts are cut, and the line tells by how
/// much.
pub const TEXT_LIMIT: usize = 64 << 10;

/// Maximum number of records in a batch. A larger one is `invalid_argument`.
pub const BATCH_LIMIT: usize = 10_000;

/// Maximum length of a record's target, in bytes. Longer targets are cut.
pub const TARGET_LIMIT: usize = 256;

/// Default number of records that [`LogSink::query`] returns.
pub const QUERY_DEFAULT: u32 = 100;

/// Maximum number of records that [`LogSink::query`] returns.
pub const QUERY_LIMIT: u32 = 10_000;

/// Maximum length of a text to search for, in bytes.
pub const SEARCH_LIMIT: usize = 1024;

/// Maximum time that [`LogSink::query`] waits for a record, in milliseconds. Larger values are
/// reduced to this.
pub const WAIT_LIMIT_MS: u32 = 25_000;

/// Prints the logs of all services, one line per record, and stores the latest ones.
///
/// A record is accepted when its line is written and it is stored. `resource_exhausted` means that
/// the queue or the disk is full; `unavailable` that writing or storing failed or could not be
/// confirmed. The same call can be retried; numbered records are neither printed nor stored twice.
///
/// Servers that export their logs use [`rpc_runtime::logs::Logs`] instead.
#[rpc_service(package = "fibpro.v1", endpoint = "logsink")]
pub trait LogSink {
    /// Prints a record of the caller, with the request ID of the call.
    ///
    /// Returns whether it was accepted; a message without text is not.
    async fn recv_log(&self, message: &str, #[rpc(default)] level: Level) -> Result<bool>;

    /// Prints records in the given order; none if one of them is invalid.
    ///
    /// Returns the number of accepted records: all that have a text.
    async fn recv_logs(&self, records: &[Record]) -> Result<u32>;

    /// Returns the records that match all conditions, in the order of their acceptance.
    ///
    /// `failed_precondition` if the sink has no store.
    #[rpc(no_side_effects, message)]
    async fn query(&self, query: &Query) -> Result<Page>;
}

/// Conditions of a search; all are optional. Without any, the last 100 records match.
///
/// Unknown fields are an error: ignoring a condition would return unrelated records.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Query {
    /// Request ID of the record.
    #[serde(alias = "requestId", skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
    /// Source of the record, such as `userstore`, `userstore@prod` or
    /// `userstore@prod/127.0.0.1:9003`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Minimum level.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// Time of the record, inclusive lower bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Time of the record, exclusive upper bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Text that the record contains. ASCII letters match in either case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Maximum number of records: 1 to [`QUERY_LIMIT`]; defaults to [`QUERY_DEFAULT`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Returns the first records after this [`StoredRecord::id`] instead of the last records. 0
    /// starts at the oldest record; [`Page::next`] continues after a page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// Time to wait for a matching record if there is none, in milliseconds. At most
    /// [`WAIT_LIMIT_MS`]; less near the call's deadline or when too many searches wait.
    #[serde(alias = "waitMs", skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u32>,
}

/// Result of [`LogSink::query`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// Records in the order of their acceptance.
    pub records: Vec<StoredRecord>,
    /// Whether more records match: later ones with [`Query::after`], else earlier ones. A page ends
    /// at the limit or at the maximum message size.
    pub more: bool,
    /// The [`Query::after`] of the next page.
    pub next: u64,
}

/// A record of the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredRecord {
    /// Unique, increasing ID: the time of acceptance in microseconds since 1970, or slightly more.
    pub id: u64,
    /// The record. Its time is in microseconds; the source of an unnamed caller is `-`.
    pub record: Record,
}

/// Shorthands for a single record.
impl LogSinkClient {
    /// Calls [`recv_log`](Self::recv_log) with [`Level::Debug`].
    #[track_caller]
    pub fn debug(&self, message: &str) -> Call<bool> {
        self.recv_log(message, Level::Debug)
    }

    /// Calls [`recv_log`](Self::recv_log) with [`Level::Info`].
    #[track_caller]
    pub fn info(&self, message: &str) -> Call<bool> {
        self.recv_log(message, Level::Info)
    }

    /// Calls [`recv_log`](Self::recv_log) with [`Level::Warn`].
    #[track_caller]
    pub fn warn(&self, message: &str) -> Call<bool> {
        self.recv_log(message, Level::Warn)
    }

    /// Calls [`recv_log`](Self::recv_log) with [`Level::Error`].
    #[track_caller]
    pub fn error(&self, message: &str) -> Call<bool> {
        self.recv_log(message, Level::Error)
    }
}

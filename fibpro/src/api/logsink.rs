//! `fibpro.v1.LogSink`: where all services send their logs.

use jiff::Timestamp;
use rpc_runtime::RequestId;
pub use rpc_runtime::logs::{Level, Record};
use rpc_runtime::prelude::*;
use serde::{Deserialize, Serialize};

/// The longest text of a record, in bytes. The rest is cut off, and the line says how much that was.
pub const TEXT_LIMIT: usize = 64 << 10;

/// The most records of one batch. A larger one is `invalid_argument`.
pub const BATCH_LIMIT: usize = 10_000;

/// The longest target of a record that is kept, in bytes. The rest is cut off.
pub const TARGET_LIMIT: usize = 256;

/// How many records [`LogSink::query`] answers unless it is told.
pub const QUERY_DEFAULT: u32 = 100;

/// The most records that [`LogSink::query`] answers.
pub const QUERY_LIMIT: u32 = 10_000;

/// The longest text to search for, in bytes.
pub const SEARCH_LIMIT: usize = 1024;

/// The longest that [`LogSink::query`] waits for a record, in milliseconds. More is taken for this.
pub const WAIT_LIMIT_MS: u32 = 25_000;

/// Prints the logs of all services, one line a record, and keeps them for a while.
///
/// A record counts as accepted once its line is written and it is in the store. `resource_exhausted` means that the
/// sink is behind or its disk is full, `unavailable` that it cannot write or store, or not for certain; the same call
/// may be made again a little later, and what is numbered is neither printed nor stored twice by that.
///
/// [`rpc_runtime::logs::Logs`] is the other way in, for servers that ship their logs.
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

    /// The records that match all that is asked for, in the order in which they were accepted.
    ///
    /// `failed_precondition` where the sink keeps nothing.
    #[rpc(no_side_effects, message)]
    async fn query(&self, query: &Query) -> Result<Page>;
}

/// Which records are asked for. Everything may be left out; alone it asks for the last hundred.
///
/// What it does not know is an error and not ignored: a condition that is ignored would answer what nobody asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Query {
    /// Of this request.
    #[serde(alias = "requestId", skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
    /// Of this server, such as `userstore`, `userstore@prod` or `userstore@prod/127.0.0.1:9003`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Of this level, or one that matters more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// Written at this time or later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Written before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// With this in its text. Of the letters, those of ASCII match in either case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// At most so many: 1 to [`QUERY_LIMIT`], [`QUERY_DEFAULT`] when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// The first ones that were accepted after this [`StoredRecord::id`], instead of the last ones that there are. From the
    /// beginning: 0. The next page, and what comes from now on: [`Page::next`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// If nothing matches, waits so long for something that does, in milliseconds. At most [`WAIT_LIMIT_MS`], and less
    /// where the call's deadline is near or too many wait already.
    #[serde(alias = "waitMs", skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u32>,
}

/// What [`LogSink::query`] has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The records, in the order in which they were accepted.
    pub records: Vec<StoredRecord>,
    /// Whether more of them match: later ones with [`Query::after`], else earlier ones. A page ends at the limit, or
    /// where its message would become too large.
    pub more: bool,
    /// The [`Query::after`] that goes on behind this page.
    pub next: u64,
}

/// A record of the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredRecord {
    /// When it was accepted, in microseconds since 1970 or a little more: no two records have the same, and it grows.
    pub id: u64,
    /// The record. Its time has microseconds; a caller that did not say its name is `-`.
    pub record: Record,
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

//! `fibpro.v1.LogSink`: where all services send their logs.

pub use rpc_runtime::logs::{Level, Record};
use rpc_runtime::prelude::*;

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

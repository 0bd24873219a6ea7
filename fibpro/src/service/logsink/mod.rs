//! The log sink: prints records on standard output in the order of their acceptance, and stores
//! them for searches.
//!
//! ```text
//! [prod_userstore] 3b9d41f8a0c2e576 Credit for username incremented -1 yielding 3
//! ```
//!
//! A line holds environment and server, the request ID or `-`, and the text. It has neither level
//! nor time: users rely on this form, and tools such as `ts` or the journal prepend the time.
//!
//! A call formats its lines, the printing thread writes them while the store's writer stores the
//! records, and then the call returns. It does not wait for an output that blocks: what is stored
//! is accepted, and a line that cannot be written is skipped and counted. Without a store, what
//! cannot be written is not accepted. Both keep track of sequence numbers independently, so a
//! repeated call performs only the part that failed before.

mod line;
mod line_writer;
mod missing;
mod printer;
mod search;
mod sequence;
mod store;

pub use line::append_line;
pub use printer::{PrintQueue, WriterHandle};
pub use store::{Intake, LogStore, LogStoreOptions};

use std::borrow::Cow;

use rpc_runtime::logs::{Logs, Timestamp};
use rpc_runtime::{Code, Context, Error, RequestId, Result, Source};

use self::line::UNKNOWN;
use crate::api::logsink::{BATCH_LIMIT, Level, LogSink, Page, Query, Record, TARGET_LIMIT};

/// Implements [`LogSink`] and [`Logs`]: prints records and stores them. Clones share one queue and
/// store.
#[derive(Debug, Clone)]
pub struct Sink {
    printer: PrintQueue,
    store: Option<LogStore>,
}

impl Sink {
    /// Creates a sink. `store` is the store that the print queue forwards to, if any.
    pub fn new(printer: PrintQueue, store: Option<LogStore>) -> Self {
        Self { printer, store }
    }

    /// Prints and stores records. Returns how many are new.
    async fn accept(&self, records: Vec<Record>) -> Result<u32> {
        self.printer.accept(records).await
    }
}

impl LogSink for Sink {
    async fn recv_log(&self, message: &str, level: Level) -> Result<bool> {
        if message.is_empty() {
            return Ok(false);
        }
        let mut record = Record::new(caller()?, Timestamp::now(), level, line::shorten(message));
        record.request_id = RequestId::parse(Context::current().request_id());
        self.accept(vec![record]).await?;
        Ok(true)
    }

    async fn recv_logs(&self, records: &[Record]) -> Result<u32> {
        let records = bounded(records)?;
        let accepted = count(records.len());
        self.accept(records).await?;
        Ok(accepted)
    }

    async fn query(&self, query: &Query) -> Result<Page> {
        let Some(store) = &self.store else {
            return Err(Error::new(
                Code::FailedPrecondition,
                "this log sink has no store; start it without `--store none`",
            ));
        };
        search::page(store, query).await
    }
}

impl Logs for Sink {
    async fn append(&self, records: &[Record]) -> Result<u32> {
        self.accept(bounded(records)?).await
    }
}

/// Returns the source of the caller; `-` with the environment of the request if the caller sends no
/// name.
fn caller() -> Result<Source> {
    let context = Context::current();
    if let Some(source) = context.source() {
        return Ok(source.clone());
    }
    let environment = context.environment().unwrap_or(UNKNOWN);
    Source::new(UNKNOWN, environment, UNKNOWN)
        .map_err(|error| Error::new(Code::Internal, error.to_string()))
}

/// Drops records without text and cuts long texts and targets.
fn bounded(records: &[Record]) -> Result<Vec<Record>> {
    if records.len() > BATCH_LIMIT {
        let text = format!(
            "{} records; send at most {BATCH_LIMIT} in one batch",
            records.len()
        );
        let error = Error::new(Code::InvalidArgument, format!("records: {text}"));
        return Err(error.with_violation("records", text));
    }
    let records = records.iter().filter(|record| !record.text.is_empty());
    let bounded = records.map(|record| {
        let mut record = record.clone();
        if let Cow::Owned(short) = line::shorten(&record.text) {
            record.text = short;
        }
        let end = record.target.floor_char_boundary(TARGET_LIMIT);
        record.target.truncate(end);
        record
    });
    Ok(bounded.collect())
}

/// Converts a number of records of one call, which is at most [`BATCH_LIMIT`].
fn count(records: usize) -> u32 {
    u32::try_from(records).unwrap_or(u32::MAX)
}

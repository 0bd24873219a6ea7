//! The log sink: lines on standard output, in the order in which they were accepted, and a store of them to search.
//!
//! ```text
//! [prod_userstore] 3b9d41f8a0c2e576 Credit for username incremented -1 yielding 3
//! ```
//!
//! Environment and server, the id of the request or `-`, the text. Neither level nor time is part of the line: this is
//! the form that people know and grep for, and time is what puts it in front of the line (`… | ts`, the journal).
//!
//! A record goes one way: a call makes its line, the printer's thread writes it, and the writer of the store keeps it;
//! then the call is answered. Both know what they have had, each for itself, so a call that failed half-way can be made
//! again and does the other half.

mod line;
mod line_writer;
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

/// A [`LogSink`] that prints, and what [`Logs`] are sent to. Clones are one sink.
#[derive(Debug, Clone)]
pub struct Sink {
    printer: PrintQueue,
    store: Option<LogStore>,
}

impl Sink {
    /// A sink on a printer, and on the store that the printer passes records on to, if there is one.
    pub fn new(printer: PrintQueue, store: Option<LogStore>) -> Self {
        Self { printer, store }
    }

    /// Accepts records; how many of them had not been.
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
                "this log sink keeps nothing; it was started with `--store none`",
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

/// Who calls, as far as that is known: of a caller who does not say its name, the environment of the request.
fn caller() -> Result<Source> {
    let context = Context::current();
    if let Some(source) = context.source() {
        return Ok(source.clone());
    }
    let environment = context.environment().unwrap_or(UNKNOWN);
    Source::new(UNKNOWN, environment, UNKNOWN)
        .map_err(|error| Error::new(Code::Internal, error.to_string()))
}

/// The records that have a text, none longer than it may be.
fn bounded(records: &[Record]) -> Result<Vec<Record>> {
    if records.len() > BATCH_LIMIT {
        let text = format!(
            "{} at once; a batch has at most {BATCH_LIMIT}",
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

/// A number of records of one call, of which there are at most [`BATCH_LIMIT`].
fn count(records: usize) -> u32 {
    u32::try_from(records).unwrap_or(u32::MAX)
}

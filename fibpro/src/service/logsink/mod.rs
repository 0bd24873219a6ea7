//! The log sink: lines on standard output, in the order in which they were accepted.
//!
//! ```text
//! [prod_userstore] 3b9d41f8a0c2e576 Credit for username incremented -1 yielding 3
//! ```
//!
//! Environment and server, the id of the request or `-`, the text. Neither level nor time is part of the line: this is
//! the form that people know and grep for, and time is what puts it in front of the line (`… | ts`, the journal).

mod line;
mod paper;
mod printer;

pub use printer::{Printer, Writing};

use rpc_runtime::{Code, Context, Error, RequestId, Result, Source};

use self::line::Line;
use crate::api::logsink::{BATCH_LIMIT, Level, LogSink, Record};

/// A [`LogSink`] that prints.
#[derive(Debug)]
pub struct Sink {
    printer: Printer,
}

impl Sink {
    /// A sink on a printer; several may share one.
    pub fn new(printer: Printer) -> Self {
        Self { printer }
    }
}

impl LogSink for Sink {
    async fn recv_log(&self, message: &str, _level: Level) -> Result<bool> {
        if message.is_empty() {
            return Ok(false);
        }
        let context = Context::current();
        let source = context.source();
        let line = Line {
            // Of a caller who does not say its name, only the environment of the request is known.
            environment: source.map(Source::environment).or(context.environment()),
            server: source.map(Source::server),
            request_id: Some(context.request_id()),
            text: message,
        };
        let mut lines = String::new();
        line.append_to(&mut lines);
        self.printer.print(lines, 1).await?;
        Ok(true)
    }

    async fn recv_logs(&self, records: &[Record]) -> Result<u32> {
        if records.len() > BATCH_LIMIT {
            let text = format!(
                "{} at once; a batch has at most {BATCH_LIMIT}",
                records.len()
            );
            let error = Error::new(Code::InvalidArgument, format!("records: {text}"));
            return Err(error.with_violation("records", text));
        }
        let mut lines = String::new();
        let mut accepted = 0;
        for record in records.iter().filter(|record| !record.text.is_empty()) {
            let line = Line {
                environment: Some(record.source.environment()),
                server: Some(record.source.server()),
                request_id: record.request_id.as_ref().map(RequestId::as_str),
                text: &record.text,
            };
            line.append_to(&mut lines);
            accepted += 1;
        }
        self.printer.print(lines, accepted).await?;
        Ok(accepted)
    }
}

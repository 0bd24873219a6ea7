//! The log sink.

use std::path::PathBuf;

use rpc_runtime::env_option::{named, variable};
use rpc_runtime::logs::LogsServer;
use rpc_runtime::observe::{CallEnd, CallStart, Observer, TracingObserver};
use rpc_runtime::{Code, Error, Result, Server, ServerOptions};

use super::{PreparedService, ServiceOptions, ShutdownTasks};
use crate::api::logsink::LogSinkServer;
use crate::endpoints::LOGSINK;
use crate::output::unbuffered_stdout;
use crate::service::logsink::{LogStore, LogStoreOptions, PrintQueue, Sink};

/// Minimum size of the store, in bytes: several times the records of one call with their indices.
const MIN_STORE_BYTES: u64 = 16 << 20;

/// Prints the logs of all services on standard output, one line for each record, and stores them;
/// listens on 127.0.0.1:9002
#[derive(Debug, clap::Parser)]
#[command(version)]
#[group(skip)]
pub struct LogSinkOptions {
    /// File of the stored records, or `none`
    #[arg(
        long,
        env = variable("LOGSINK_STORE"),
        value_name = "FILE",
        default_value = "fibpro-data/logs.sqlite"
    )]
    store: PathBuf,

    /// Maximum size of the file, such as `64MiB`; the oldest records are evicted
    #[arg(long, env = variable("LOGSINK_STORE_BYTES"), value_name = "SIZE", default_value = "64MiB", value_parser = named(store_bytes))]
    store_bytes: u64,

    #[command(flatten)]
    server: ServerOptions,
}

impl ServiceOptions for LogSinkOptions {
    async fn prepare(self) -> Result<PreparedService> {
        let server = Server::new("logsink")
            .listen(LOGSINK.listen_address())
            .options(self.server)
            .without_observers()
            .observer(FailureObserver(TracingObserver::default()))
            // Installed before the store is opened, so that the store's events are logged.
            .start_log();
        let (store, intake) = if self.store.as_os_str() == "none" {
            (None, None)
        } else {
            let options = LogStoreOptions {
                path: self.store,
                bytes: self.store_bytes,
            };
            let (store, intake) = LogStore::start(options).await;
            (Some(store), Some(intake))
        };
        let started = unbuffered_stdout().and_then(|out| PrintQueue::start(out, intake));
        let (printer, writing) = started.map_err(|error| {
            let text = format!("cannot start the thread that writes log lines: {error}");
            Error::new(Code::ResourceExhausted, text)
        })?;
        let sink = Sink::new(printer, store.clone());
        let server = server
            .add(LogSinkServer::new(sink.clone()))
            .add(LogsServer::new(sink));
        Ok(PreparedService {
            server,
            closing: ShutdownTasks::logsink(store, writing),
        })
    }

    fn server_mut(&mut self) -> &mut ServerOptions {
        &mut self.server
    }
}

/// Parses a number of bytes, with or without a unit.
///
/// Not `bytesize`, which also accepts fractions, spaces, decimal units and other cases.
fn store_bytes(text: &str) -> Result<u64, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (digits, unit) = text.split_at(digits);
    if digits.is_empty() || !unit.chars().all(|c| c.is_ascii_alphabetic()) {
        return Err(
            "expected a whole number and a unit without a space, such as `64MiB`".to_owned(),
        );
    }
    let shift = match unit {
        "" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        unit => {
            return Err(format!(
                "unknown unit `{unit}`, expected `KiB`, `MiB` or `GiB`"
            ));
        }
    };
    // A number that is too large.
    let number = digits.parse::<u64>().ok();
    match number.and_then(|number| number.checked_mul(1 << shift)) {
        Some(bytes @ MIN_STORE_BYTES..) if i64::try_from(bytes).is_ok() => Ok(bytes),
        _ => Err(format!(
            "must be from {} MiB to {} GiB",
            MIN_STORE_BYTES >> 20,
            i64::MAX >> 30
        )),
    }
}

/// Logs failed calls only. Successful calls print a record each, and a call line for each record
/// would double the output. When the sink itself fails, its printer has logged that once.
struct FailureObserver(TracingObserver);

impl Observer for FailureObserver {
    fn call_ended(&self, call: &CallStart, end: &CallEnd<'_>) {
        if !matches!(
            end.code(),
            None | Some(Code::Unavailable | Code::ResourceExhausted)
        ) {
            self.0.call_ended(call, end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_parsed_or_explained() {
        assert_eq!(store_bytes("64MiB"), Ok(64 << 20));
        assert_eq!(store_bytes("16777216"), Ok(16 << 20));
        for (text, advice) in [
            ("64 MiB", "without a space, such as `64MiB`"),
            ("-1", "expected a whole number"),
            ("+64MiB", "expected a whole number"),
            ("1.5GiB", "expected a whole number"),
            ("", "expected a whole number"),
            ("MiB", "expected a whole number"),
            ("64MB", "unknown unit `MB`"),
            ("1KiB", "must be from 16 MiB"),
            ("99999999999999999999", "must be from 16 MiB"),
        ] {
            let error = store_bytes(text).unwrap_err();
            assert!(error.contains(advice), "{text}: {error}");
        }
    }
}

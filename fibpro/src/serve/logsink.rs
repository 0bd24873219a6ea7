//! The log sink.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rpc_runtime::logs::LogsServer;
use rpc_runtime::observe::{CallEnd, CallStart, Observer, TracingObserver};
use rpc_runtime::{Code, Error, Result, Server, server};

use super::{PreparedService, ServiceOptions};
use crate::api::logsink::LogSinkServer;
use crate::service::logsink::{LogStore, LogStoreOptions, PrintQueue, Sink, WriterHandle};

/// How long the last records may take once no call runs any more.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Where it listens unless told otherwise.
const ADDRESS: &str = "127.0.0.1:9002";

/// The smallest store, in bytes: what one call may bring, with its indices, several times.
const STORE_LEAST: u64 = 16 << 20;

/// Prints the logs of all services on standard output, one line a record, and keeps them for a while; listens on
/// 127.0.0.1:9002
#[derive(Debug, clap::Parser)]
#[command(version)]
#[group(skip)]
pub struct LogSinkOptions {
    /// The file that keeps the records, or `none`
    #[arg(
        long,
        env = "LOGSINK_STORE",
        value_name = "FILE",
        default_value = "fibpro-data/logs.sqlite"
    )]
    store: PathBuf,

    /// How large it may be, such as `64MiB`; the oldest records make room for new ones
    #[arg(long, env = "LOGSINK_STORE_BYTES", value_name = "SIZE", default_value = "64MiB", value_parser = store_bytes)]
    store_bytes: u64,

    #[command(flatten)]
    server: server::ServerOptions,
}

impl ServiceOptions for LogSinkOptions {
    async fn prepare(self) -> Result<PreparedService> {
        let server = Server::new("logsink")
            .listen(ADDRESS)
            .options(self.server)
            .without_observers()
            .observer(FailureObserver(TracingObserver::default()))
            // From here on the log of the store has a place to go to.
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
        let (printer, writing) = PrintQueue::start(io::stdout(), intake).map_err(|error| {
            let text = format!("no thread for the log: {error}");
            Error::new(Code::ResourceExhausted, text)
        })?;
        let sink = Sink::new(printer, store.clone());
        let server = server
            .add(LogSinkServer::new(sink.clone()))
            .add(LogsServer::new(sink));
        Ok(PreparedService {
            server,
            closing: ShutdownTasks {
                store,
                writing: Some(writing),
            },
        })
    }

    fn server_mut(&mut self) -> &mut server::ServerOptions {
        &mut self.server
    }
}

/// What is to be done at the end of a service: nothing, but for the log sink.
#[derive(Debug, Default)]
#[must_use = "a process that ends does not wait for what is not written"]
pub struct ShutdownTasks {
    store: Option<LogStore>,
    writing: Option<WriterHandle>,
}

impl ShutdownTasks {
    /// Ends the searches that wait for records, for which a server that stops would wait.
    pub fn begin(&self) {
        if let Some(store) = &self.store {
            store.stop_waiting();
        }
    }

    /// Waits, once the server has ended, until all records are written and stored.
    ///
    /// # Errors
    ///
    /// As [`WriterHandle::finish`].
    pub async fn finish(self) -> Result<()> {
        match self.writing {
            Some(writing) => writing.finish(TIMEOUT).await,
            None => Ok(()),
        }
    }
}

/// Reads a number of bytes, with or without a unit.
fn store_bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &text[digits.len()..] {
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
    let number: u64 = digits.parse().map_err(|error| format!("{error}"))?;
    match number.checked_mul(1 << shift) {
        Some(bytes @ STORE_LEAST..) if i64::try_from(bytes).is_ok() => Ok(bytes),
        _ => Err(format!("at least {} MiB", STORE_LEAST >> 20)),
    }
}

/// Logs the calls that fail. The others print a record each, and a line about each line would only hide them; and where
/// the sink itself is in trouble, the printer has said so once.
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

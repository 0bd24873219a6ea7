//! The process of the log sink: `cargo run -p fibpro --bin logsink`.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use fibpro::api::logsink::LogSinkServer;
use fibpro::process;
use fibpro::service::logsink::{Printer, Sink, Store, StoreOptions};
use rpc_runtime::logs::LogsServer;
use rpc_runtime::observe::{CallEnd, CallStart, Observer, TracingLog};
use rpc_runtime::{Code, Error, Result, Server, server};
use tokio::signal::unix::{SignalKind, signal};

/// How long the last records may take once no call runs any more.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where it listens unless told otherwise.
const ADDRESS: &str = "127.0.0.1:9002";

/// The smallest store, in bytes: what one call may bring, with its indices, several times.
const STORE_LEAST: u64 = 16 << 20;

/// Prints the logs of all services on standard output, one line a record, and keeps them for a while; listens on
/// 127.0.0.1:9002
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
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
    server: server::Options,
}

#[tokio::main]
async fn main() -> ExitCode {
    process::exit_code(run(Options::parse()).await)
}

async fn run(options: Options) -> Result<()> {
    let server = Server::new("logsink")
        .listen(ADDRESS)
        .options(options.server)
        .without_observers()
        .observer(Failures(TracingLog::default()))
        // From here on the log of the store has a place to go to.
        .start_log();
    let (store, intake) = if options.store.as_os_str() == "none" {
        (None, None)
    } else {
        let (store, intake) = Store::start(StoreOptions {
            path: options.store,
            bytes: options.store_bytes,
        })
        .await;
        (Some(store), Some(intake))
    };
    let (printer, writing) =
        Printer::start(io::stdout(), intake).map_err(|error| no_more("thread", &error))?;
    let sink = Sink::new(printer, store.clone());
    let server = server
        .add(LogSinkServer::new(sink.clone()))
        .add(LogsServer::new(sink));
    tokio::select! {
        // First the server, so that no signal comes to us that it does not know of.
        biased;
        ended = server.run() => ended?,
        error = stop_waiting_on_a_signal(store) => return Err(error),
    }
    writing.finish(PATIENCE).await
}

/// Ends the searches that wait for records when the process is told to stop: the server waits for its calls. Returns
/// only what kept it from that.
async fn stop_waiting_on_a_signal(store: Option<Store>) -> Error {
    let signals = signal(SignalKind::terminate())
        .and_then(|terminate| Ok((terminate, signal(SignalKind::interrupt())?)));
    let (mut terminate, mut interrupt) = match signals {
        Ok(signals) => signals,
        Err(error) => return no_more("signal", &error),
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    if let Some(store) = store {
        store.stop_waiting();
    }
    std::future::pending().await
}

fn no_more(what: &str, error: &io::Error) -> Error {
    Error::new(
        Code::ResourceExhausted,
        format!("no {what} for the log: {error}"),
    )
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
struct Failures(TracingLog);

impl Observer for Failures {
    fn call_ended(&self, call: &CallStart, end: &CallEnd<'_>) {
        if !matches!(
            end.code(),
            None | Some(Code::Unavailable | Code::ResourceExhausted)
        ) {
            self.0.call_ended(call, end);
        }
    }
}

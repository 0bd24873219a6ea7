//! The process of the log sink: `cargo run -p fibpro --bin logsink`.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use fibpro::api::logsink::LogSinkServer;
use fibpro::process;
use fibpro::service::logsink::{Printer, Sink};
use rpc_runtime::observe::{CallEnd, CallStart, Observer, TracingLog};
use rpc_runtime::{Code, Error, Result, Server, server};

/// How long the last lines may take once no call runs any more.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where it listens unless told otherwise.
const ADDRESS: &str = "127.0.0.1:9002";

/// Prints the logs of all services on standard output, one line a record; listens on 127.0.0.1:9002
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    #[command(flatten)]
    server: server::Options,
}

#[tokio::main]
async fn main() -> ExitCode {
    process::exit_code(run(Options::parse()).await)
}

async fn run(options: Options) -> Result<()> {
    let (printer, writing) = Printer::start(io::stdout()).map_err(|error| {
        Error::new(
            Code::ResourceExhausted,
            format!("no thread for the log: {error}"),
        )
    })?;
    Server::new("logsink")
        .listen(ADDRESS)
        .options(options.server)
        .without_observers()
        .observer(Failures(TracingLog::default()))
        .add(LogSinkServer::new(Sink::new(printer)))
        .run()
        .await?;
    writing.finish(PATIENCE).await
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

//! The process of the log sink: `cargo run -p fibpro --bin logsink`.

use std::process::ExitCode;

use clap::Parser;
use fibpro::serve::{self, logsink};

#[tokio::main]
async fn main() -> ExitCode {
    serve::run(logsink::LogSinkOptions::parse()).await
}

//! The monitor: `cargo run -p fibpro --bin monitor`.

use std::process::ExitCode;

use clap::Parser;
use fibpro::process;
use fibpro::tool::monitor::program::{MonitorOptions, run};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(MonitorOptions::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => process::exit_code(Err::<(), _>(error)),
    }
}

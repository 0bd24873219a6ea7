//! The `fibpro` command: what people at a terminal do with the services.

mod command;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser};

/// Fibonacci as a service
#[derive(Debug, Parser)]
#[command(name = "fibpro", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<command::Command>,
}

/// Ends with 0 when the command did what it says, 1 when it did not, 2 when it was not understood.
fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Some(command) => command.run(),
        None => Cli::command()
            .write_help(&mut std::io::stdout().lock())
            .map_err(command::CommandError::Output),
    };
    command::exit_code(outcome)
}

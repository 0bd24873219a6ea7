//! The `fibpro` command: operates and calls the services from a terminal.

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

/// Exits with 0 on success, 1 on failure, 2 on an invalid command line.
fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Some(command) => command.run(),
        None => Cli::command()
            .write_help(&mut std::io::stdout().lock())
            .map_err(command::CommandError::Output),
    };
    command::exit_code(outcome)
}

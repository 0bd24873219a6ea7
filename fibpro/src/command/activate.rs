//! `fibpro activate`: becomes a program that uses the sockets which this process has inherited.
//!
//! `LISTEN_PID` must have the process ID of the program, which its parent does not know before it
//! starts it. This process has that ID, and keeps it when the program replaces it.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::{self, Command};

use super::CommandError;

/// Run a program with inherited sockets, as systemd's socket activation does
#[derive(Debug, clap::Args)]
pub(crate) struct ActivateOptions {
    /// Number of inherited sockets, whose descriptors begin at 3
    sockets: u32,

    /// Program and its arguments
    #[arg(last = true, required = true, value_name = "PROGRAM")]
    program: Vec<OsString>,
}

/// Returns only if the program cannot be run.
pub(crate) fn run(options: ActivateOptions) -> CommandError {
    let mut words = options.program.into_iter();
    // clap requires a program.
    let program = words.next().unwrap_or_default();
    let error = Command::new(&program)
        .args(words)
        .env("LISTEN_FDS", options.sockets.to_string())
        .env("LISTEN_PID", process::id().to_string())
        .env_remove("LISTEN_FDNAMES")
        .exec();
    let program = program.to_string_lossy();
    CommandError::Service(format!("cannot run {}: {error}", program.escape_debug()))
}

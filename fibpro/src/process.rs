//! What the processes of this application have in common: options, and how they end.

use std::fmt::Display;
use std::io::Write as _;
use std::process::ExitCode;

use rpc_runtime::{Result, Server};

/// The options that every server has.
#[derive(Debug, Clone, clap::Args)]
pub struct ServerOptions {
    /// Where to listen; port 0 takes a free one
    #[arg(
        long,
        env = "FIBPRO_LISTEN",
        value_name = "HOST:PORT",
        required = false
    )]
    pub listen: String,

    /// The environment that this process belongs to
    #[arg(
        long,
        env = "FIBPRO_ENVIRONMENT",
        value_name = "NAME",
        default_value = "prod"
    )]
    pub environment: String,
}

impl ServerOptions {
    /// A server with these options.
    pub fn server(&self, name: &str) -> Server {
        Server::new(name)
            .listen(&self.listen)
            .environment(&self.environment)
    }
}

/// How a process ends: 0, or 1 with the reason on stderr.
#[must_use]
pub fn exit_code<T>(outcome: Result<T>) -> ExitCode {
    match outcome {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            complain(error.message());
            ExitCode::FAILURE
        }
    }
}

/// One line on stderr for the one who started the process.
pub fn complain(text: impl Display) {
    // Where nobody reads stderr the exit code has to do.
    let _ = writeln!(std::io::stderr().lock(), "error: {text}");
}

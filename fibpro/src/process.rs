//! What the processes of this application have in common: their options, and how they end.

use std::fmt::Display;
use std::io::Write as _;
use std::process::ExitCode;

use rpc_runtime::{Code, Error, Result, server};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::api::compute_worker::{DEFAULT_LARGEST_N, LARGEST_N};
use crate::endpoints::Endpoints;

/// The options of a service that calls others. Those of one that does not are [`server::ServerOptions`] alone.
#[derive(Debug, clap::Args)]
// Without a group of that name: the program's own options are called so, too.
#[group(skip)]
pub struct ProcessOptions {
    /// The options of every server.
    #[command(flatten)]
    pub server: server::ServerOptions,

    /// Where the others are.
    #[command(flatten)]
    pub endpoints: Endpoints,
}

/// The bound of n: one setting for the one who sells and the one who computes, so that what is sold can be had.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct LargestN {
    /// The largest n that is taken, up to 20,000,000
    #[arg(
        long,
        env = "FIBPRO_LARGEST_N",
        value_name = "N",
        default_value_t = DEFAULT_LARGEST_N,
        value_parser = clap::value_parser!(u64).range(..=LARGEST_N)
    )]
    pub largest_n: u64,
}

/// How a process ends: 0, or 1 with the reason on stderr.
#[must_use]
pub fn exit_code<T>(outcome: Result<T>) -> ExitCode {
    match outcome {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(error.message());
            ExitCode::FAILURE
        }
    }
}

/// Something on stderr for the one who started the process.
pub fn print_note(text: impl Display) {
    // Where nobody reads stderr the exit code has to do.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// One line on stderr that says what went wrong.
pub fn print_error(text: impl Display) {
    print_note(format_args!("error: {text}"));
}

/// The signals that stop a process: SIGINT and SIGTERM.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Option<Signal>,
}

impl Signals {
    /// Waits for them from here on.
    ///
    /// # Errors
    ///
    /// `resource_exhausted` when the system gives none.
    pub fn new() -> Result<Self> {
        Ok(Self {
            interrupt: install(SignalKind::interrupt())?,
            terminate: install(SignalKind::terminate())?,
            hangup: None,
        })
    }

    /// For a program that belongs to its terminal, and stops as well when that is gone.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_hangup() -> Result<Self> {
        Ok(Self {
            hangup: Some(install(SignalKind::hangup())?),
            ..Self::new()?
        })
    }

    /// The next one, by its name.
    pub async fn next(&mut self) -> &'static str {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = hangup => "SIGHUP",
        }
    }
}

fn install(kind: SignalKind) -> Result<Signal> {
    signal(kind).map_err(|error| {
        let text = format!("cannot wait for signals: {error}");
        Error::new(Code::ResourceExhausted, text)
    })
}

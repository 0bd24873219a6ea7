//! The subcommands: a file each, with its options and what it does.

mod fib;
mod flags;
mod log;
mod logs;
mod services;
mod status;

use std::backtrace::Backtrace;
use std::io::{self, Write};
use std::process::ExitCode;

use fibpro::process::{complain, note};
use rpc_runtime::Error;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Flags(flags::Options),
    Fib(fib::Options),
    Log(log::Options),
    Logs(logs::Options),
    Services(services::Options),
    Status(status::Options),
}

impl Command {
    pub(crate) async fn run(self, out: &mut impl Write) -> Result<(), Failure> {
        match self {
            Self::Flags(options) => flags::run(options, out).await,
            Self::Fib(options) => fib::run(&options, out),
            Self::Log(options) => log::run(options, out).await,
            Self::Logs(options) => logs::run(options, out).await,
            Self::Services(options) => services::run(&options, out),
            Self::Status(options) => status::run(options, out).await,
        }
    }
}

/// Why a command did not do what it says.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A call failed.
    Call(Error),
    /// A call succeeded, and its answer is a no.
    Refused(&'static str),
    /// It was not understood, and perhaps where that was noticed.
    Usage(Box<clap::Error>, Option<Backtrace>),
    /// Nobody takes what the command prints.
    Output(io::Error),
}

impl<E: Into<Error>> From<E> for Failure {
    #[track_caller]
    fn from(error: E) -> Self {
        Self::Call(error.into())
    }
}

pub(crate) fn exit_code(outcome: Result<(), Failure>) -> ExitCode {
    match outcome {
        Ok(()) => return ExitCode::SUCCESS,
        // `fibpro services | head -1` has seen enough, and that is no failure.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            return ExitCode::SUCCESS;
        }
        Err(Failure::Output(error)) => complain(error),
        Err(Failure::Refused(why)) => complain(why),
        Err(Failure::Usage(error, backtrace)) => {
            // As for everything else that clap does not understand; a closed stderr leaves the exit code.
            let _ = error.print();
            if let Some(backtrace) = backtrace {
                note(backtrace);
            }
            return ExitCode::from(2);
        }
        // With the services that it passed, and the file and line in each.
        Err(Failure::Call(error)) => complain(format_args!("{error:#}")),
    }
    ExitCode::FAILURE
}

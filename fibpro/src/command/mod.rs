//! The subcommands: one file each, with options and implementation.

mod activate;
mod backup;
mod call;
mod chaos;
mod fib;
mod flags;
mod log;
mod logs;
#[cfg(test)]
mod pinned;
mod serve;
mod services;
mod sign;
mod status;
mod target;
mod up;
mod user;

use std::backtrace::Backtrace;
use std::io;
use std::process::ExitCode;

use fibpro::process::{print_error, print_note};
use fibpro::tool::monitor::program as monitor;
use rpc_runtime::{Code, Error, ProcessSignals};
use tokio::runtime::Builder;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Up(up::UpOptions),
    Chaos(chaos::ChaosOptions),
    Call(call::CallOptions),
    Sign(sign::SignOptions),
    Flags(flags::FlagsOptions),
    Fib(fib::FibOptions),
    Log(log::LogOptions),
    Logs(logs::LogsOptions),
    Monitor(monitor::MonitorOptions),
    #[command(hide = true)]
    Activate(activate::ActivateOptions),
    #[command(hide = true)]
    Serve(Box<serve::ServeOptions>),
    Services(services::ServicesOptions),
    Status(status::StatusOptions),
    User(user::UserOptions),
    Backup(backup::BackupOptions),
    Restore(backup::RestoreOptions),
}

impl Command {
    pub(crate) fn run(self) -> Result<(), CommandError> {
        // Commands that serve use a thread for each core; the others use one.
        let mut builder = match self {
            // Replaces this process, so it needs no runtime.
            Self::Activate(options) => return Err(activate::run(options)),
            Self::Up(_) | Self::Chaos(_) | Self::Serve(_) => Builder::new_multi_thread(),
            _ => Builder::new_current_thread(),
        };
        let runtime = builder.enable_all().build().map_err(CommandError::Output)?;
        let outcome = runtime.block_on(self.run_in_runtime());
        // Does not wait for threads whose hash or number has no receiver any more.
        runtime.shutdown_background();
        outcome
    }

    async fn run_in_runtime(self) -> Result<(), CommandError> {
        ProcessSignals::ignore_file_size_limit()?;
        // Not locked, since some commands print from other threads as well.
        let out = &mut io::stdout();
        match self {
            Self::Up(options) => up::run(options).await,
            Self::Chaos(options) => chaos::run(options, out).await,
            Self::Backup(options) => backup::run_backup(options, out).await,
            Self::Restore(options) => backup::run_restore(options, out).await,
            Self::Call(options) => call::run(options, out).await,
            Self::Sign(options) => sign::run(&options, &mut out.lock()),
            Self::Flags(options) => flags::run(options, out).await,
            Self::Fib(options) => fib::run(&options, &mut out.lock()),
            Self::Log(options) => log::run(options, out).await,
            Self::Logs(options) => logs::run(options, out).await,
            Self::Monitor(options) => match monitor::run(options).await? {
                true => Ok(()),
                false => Err(CommandError::AlreadyReported),
            },
            // Handled before the runtime is started.
            Self::Activate(options) => Err(activate::run(options)),
            Self::Serve(options) => serve::run(*options).await,
            Self::Services(options) => services::run(&options, &mut out.lock()),
            Self::Status(options) => status::run(options, out).await,
            Self::User(options) => user::run(options, out).await,
        }
    }
}

/// The reason for which a command failed.
#[derive(Debug)]
pub(crate) enum CommandError {
    /// A call failed.
    Call(Error),
    /// A service did not start, or failed while it stopped.
    Service(String),
    /// The failure has been printed already.
    AlreadyReported,
    /// A call succeeded and returned a negative result.
    Refused(&'static str),
    /// An argument is invalid; with the place of its detection, where asked for.
    Usage(Box<clap::Error>, Option<Backtrace>),
    /// Standard output cannot be written.
    Output(io::Error),
}

impl<E: Into<Error>> From<E> for CommandError {
    #[track_caller]
    fn from(error: E) -> Self {
        Self::Call(error.into())
    }
}

pub(crate) fn exit_code(outcome: Result<(), CommandError>) -> ExitCode {
    match outcome {
        Ok(()) => return ExitCode::SUCCESS,
        // A closed pipe, as with `fibpro services | head -1`, is not a failure.
        Err(CommandError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            return ExitCode::SUCCESS;
        }
        Err(CommandError::Output(error)) => print_error(error),
        Err(CommandError::Refused(why)) => print_error(why),
        Err(CommandError::Service(why)) => print_error(why),
        Err(CommandError::AlreadyReported) => {}
        Err(CommandError::Usage(error, backtrace)) => {
            // Exits as for every argument that clap rejects. A closed stderr leaves only the exit
            // code.
            let _ = error.print();
            if let Some(backtrace) = backtrace {
                print_note(backtrace);
            }
            return ExitCode::from(2);
        }
        // With the services that the error passed, and file and line in each.
        Err(CommandError::Call(error)) => {
            print_error(format_args!("{error:#}"));
            // The text of the error addresses programmers, so the command adds the option to set.
            if error.code() == Code::Unauthenticated {
                print_note(
                    "services of `fibpro up` require calls signed with its identity key: pass `--identity-key-file FOLDER/identity.key`, where FOLDER is its data folder",
                );
            }
        }
    }
    ExitCode::FAILURE
}

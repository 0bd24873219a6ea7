//! The flags of a server: values from the program, the environment, the command line and a watched
//! file.

use std::ffi::OsString;
use std::path::PathBuf;

use tokio::task::JoinHandle;

use super::watch_files::watch_files;
use crate::error::{Code, Error, Result};
use crate::flags::{self, Flag, FlagOrigin, Flags, Reading};
use crate::server::Server;

/// Prefix of the environment variables that set flags.
const VARIABLE: &str = "RPC_FLAG_";

impl Server {
    /// Sets the value of a flag, in place of its default. The flags file, the environment and the
    /// command line take precedence over it. See [`flags`].
    ///
    /// An invalid value fails the start of the server with `invalid_argument`.
    pub fn flag<T: Send + Sync + 'static>(mut self, flag: &Flag<T>, value: T) -> Self {
        let outcome = self.config.flags.set_from_program(flag, value);
        self.note(outcome);
        self
    }

    /// Reads flags from a file, at the start and whenever it changes. See [`flags`].
    ///
    /// The start of the server fails with `failed_precondition` if the file cannot be read, or if
    /// other users own it or can write it (see [`files`](crate::files)), and with
    /// `invalid_argument` if it has an invalid line. [`into_router`](Self::into_router) and a
    /// local server read the file only at the start.
    pub fn flags_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.process.flags_file = Some(path.into());
        self
    }

    /// Returns a handle to the flags of this server, for reading and changing them outside of its
    /// calls, before and while it runs.
    #[must_use = "getting the handle changes nothing"]
    pub fn flags(&self) -> Flags {
        self.config.flags.clone()
    }

    /// Sets flags from the command line and the environment.
    pub(crate) fn flags_given(&mut self, line: &[String], environment: &[(OsString, OsString)]) {
        for (name, value) in environment {
            let outcome = self.variable(name, value);
            self.note(outcome);
        }
        for argument in line {
            let outcome = match argument.split_once('=') {
                Some((name, text)) => {
                    let by = FlagOrigin::CommandLine.as_str();
                    self.config
                        .flags
                        .set_text_from(FlagOrigin::CommandLine, name.trim(), text, by)
                }
                None => Err(Error::without_location(
                    Code::InvalidArgument,
                    format!("`{argument}` is not a valid flag setting; write `--flag NAME=VALUE`"),
                )),
            };
            self.note(outcome.map_err(|error| error.caused_by_option("command line")));
        }
    }

    fn variable(&self, name: &OsString, value: &OsString) -> Result<()> {
        let shown = name.to_string_lossy();
        let outcome = match (shown.strip_prefix(VARIABLE), value.to_str()) {
            (Some(flag), Some(text)) => {
                let by = format!("environment {shown}");
                let flag = flag.to_ascii_lowercase();
                self.config
                    .flags
                    .set_text_from(FlagOrigin::Environment, &flag, text, &by)
            }
            _ => Err(Error::without_location(
                Code::InvalidArgument,
                "the value is not UTF-8",
            )),
        };
        outcome.map_err(|error| error.caused_by_option(&shown))
    }

    /// Keeps the first error; the start of the server returns it.
    fn note(&mut self, outcome: Result<()>) {
        if let Err(error) = outcome {
            self.process.flags_refused.get_or_insert(error);
        }
    }

    /// Reads the flags file.
    ///
    /// # Errors
    ///
    /// The first error of setting a flag, if any, and those of [`flags_file`](Self::flags_file).
    pub(crate) fn read_flags(&mut self) -> Result<()> {
        if let Some(refused) = self.process.flags_refused.take() {
            return Err(refused);
        }
        match self.process.flags_file.take() {
            Some(path) => {
                let read = self.config.flags.set_file(path);
                read.map_err(|error| match self.process.flags_file_option {
                    Some(option) => error.caused_by_option(option),
                    None => error,
                })
            }
            None => Ok(()),
        }
    }
}

/// Returns the environment variables that set flags, sorted by name. Empty ones count as not set.
pub(crate) fn environment() -> Vec<(OsString, OsString)> {
    let sets = |name: &OsString| name.to_string_lossy().starts_with(VARIABLE);
    let mut variables: Vec<_> = std::env::vars_os()
        .filter(|(name, value)| sets(name) && !value.is_empty())
        .collect();
    // Sorted, so that the reported error does not depend on the order of the variables.
    variables.sort();
    variables
}

/// A task that reads a flags file periodically. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct FlagsFileWatcher(Option<JoinHandle<()>>);

impl Drop for FlagsFileWatcher {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

impl FlagsFileWatcher {
    /// Watches the file of these flags, if they have one.
    pub(crate) fn start(flags: &Flags) -> Self {
        let watched = flags.file().is_some();
        let flags = flags.clone();
        Self(watched.then(|| tokio::spawn(async move { watch(&flags).await })))
    }
}

async fn watch(flags: &Flags) {
    let Some(file) = flags.file() else {
        return;
    };
    let path = file.path().to_owned();
    let known: Reading = Ok(file.text().to_owned());
    watch_files(
        known,
        move || flags::read_file(&path),
        |reading| {
            let outcome = match reading {
                Ok(text) => flags.apply_file(&file.with_text(text.clone())),
                Err(problem) => Err(Error::without_location(Code::Unavailable, problem.clone())),
            };
            report(flags, &outcome);
        },
    )
    .await;
}

/// Logs whether the file was applied.
fn report(flags: &Flags, outcome: &Result<()>) {
    let server = flags.server();
    match outcome {
        Ok(()) => tracing::info!(target: "rpc.audit", server, "the flags file was reloaded"),
        Err(error) => tracing::warn!(
            target: "rpc.audit", server, reason = error.message(),
            "failed to reload the flags file: flags are unchanged"
        ),
    }
}

//! The flags of a server: what the program and the one who starts it say, and the file that is watched while it runs.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::bound::BoundServer;
use crate::error::{Code, Error, Result};
use crate::flags::{self, Flag, Flags, Origin, Reading};
use crate::server::Server;

/// How often a flags file is read. Its times and sizes are not looked at: a file system may keep them to the second,
/// and a link that is moved to another file has them of before.
const INTERVAL: Duration = Duration::from_millis(500);

/// What a variable of the environment that sets a flag begins with.
const VARIABLE: &str = "RPC_FLAG_";

impl Server {
    /// Sets a flag as the program wants it, in place of its default; the file, the environment and the command line come
    /// before it. See [`flags`].
    ///
    /// Checked where the server starts: `invalid_argument` for a value that the flag does not take.
    pub fn flag<T: Send + Sync + 'static>(mut self, flag: &Flag<T>, value: T) -> Self {
        let outcome = self.flags.set_from_program(flag, value);
        self.note(outcome);
        self
    }

    /// Reads flags from a file, at start and whenever it changes. See [`flags`].
    ///
    /// Checked where the server starts: `failed_precondition` for a file that cannot be read, `invalid_argument` for one
    /// with a line that is refused. [`into_router`](Self::into_router) and a server in process read it at start only.
    pub fn flags_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.flags_file = Some(path.into());
        self
    }

    /// The flags of this server, to be read and changed outside of its calls, now and while it runs.
    #[must_use = "reading the handle changes nothing"]
    pub fn flags(&self) -> Flags {
        self.flags.clone()
    }

    /// Takes over flags of the command line and of the environment.
    pub(crate) fn flags_given(&mut self, line: &[String], environment: &[(OsString, OsString)]) {
        for (name, value) in environment {
            let outcome = self.variable(name, value);
            self.note(outcome);
        }
        for argument in line {
            let outcome = match argument.split_once('=') {
                Some((name, text)) => {
                    let by = Origin::CommandLine.as_str();
                    self.flags
                        .set_text_from(Origin::CommandLine, name.trim(), text, by)
                }
                None => Err(Error::without_location(
                    Code::InvalidArgument,
                    format!("`{argument}` sets no flag; write `--flag NAME=VALUE`"),
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
                self.flags
                    .set_text_from(Origin::Environment, &flag, text, &by)
            }
            _ => Err(Error::without_location(
                Code::InvalidArgument,
                "the value is not UTF-8",
            )),
        };
        outcome.map_err(|error| error.caused_by_option(&shown))
    }

    /// Keeps the first thing that is wrong until the server starts, where it is told.
    fn note(&mut self, outcome: Result<()>) {
        if let Err(error) = outcome {
            self.flags_refused.get_or_insert(error);
        }
    }

    /// Reads the file. From here on flags that are not dynamic stay.
    pub(crate) fn take_flags(&mut self) -> Result<Flags> {
        if let Some(refused) = self.flags_refused.take() {
            return Err(refused);
        }
        if let Some(path) = self.flags_file.take() {
            self.flags.set_file(path)?;
        }
        Ok(self.flags.clone())
    }
}

impl BoundServer {
    /// The flags of the server, to be read and changed while it runs.
    #[must_use]
    pub fn flags(&self) -> Flags {
        self.inner.server_info().flags().clone()
    }
}

/// The variables that set flags.
pub(crate) fn environment() -> Vec<(OsString, OsString)> {
    let sets = |name: &OsString| name.to_string_lossy().starts_with(VARIABLE);
    let mut variables: Vec<_> = std::env::vars_os().filter(|(name, _)| sets(name)).collect();
    // What is told first must not depend on their order.
    variables.sort();
    variables
}

/// The task that reads a flags file again and again; it ends when this is dropped.
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
    /// Watches the file of these flags, where they have one.
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
    // What was dealt with, whether it was taken or refused: each is said once.
    let mut known: Reading = Ok(file.text().to_owned());
    let mut last = known.clone();
    loop {
        sleep(INTERVAL).await;
        let path = file.path().to_owned();
        // The disk may be slow, or far away.
        let Ok(reading) = tokio::task::spawn_blocking(move || flags::read_file(&path)).await else {
            return;
        };
        // Twice the same: nobody is writing it at the moment.
        let is_settled = reading == last;
        if is_settled && reading != known {
            let outcome = match &reading {
                Ok(text) => flags.apply_file(&file.with_text(text.clone())),
                Err(problem) => Err(Error::without_location(Code::Unavailable, problem.clone())),
            };
            say(flags, &outcome);
            known.clone_from(&reading);
        }
        last = reading;
    }
}

fn say(flags: &Flags, outcome: &Result<()>) {
    let server = flags.server();
    match outcome {
        Ok(()) => tracing::info!(target: "rpc.audit", server, "the flags file was read again"),
        Err(error) => tracing::warn!(
            target: "rpc.audit", server, reason = error.message(),
            "the flags stay as they are"
        ),
    }
}

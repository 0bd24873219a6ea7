//! Reads a password: from a file, from standard input, or from a terminal without an echo.

use std::fs::File;
use std::future::poll_fn;
use std::io::{self, IsTerminal as _, Read};
use std::path::PathBuf;
use std::task::Poll;

use fibpro::api::userstore::PASSWORD_LIMIT;
use fibpro::process::print_note;
use fibpro::terminal;
use rpc_runtime::Secret;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::super::CommandError;
use super::super::call::usage;

/// Maximum length of what is read, in bytes: a wrong file must not exhaust memory.
const LIMIT: u64 = 2 * PASSWORD_LIMIT as u64;

/// The place of a password.
pub(super) enum Password {
    File(PathBuf),
    Stdin,
    /// A terminal, which asks for the password of this user.
    Terminal(String),
}

impl Password {
    /// Returns the place that the option names: standard input without it, and a terminal if that
    /// is one.
    pub(super) fn new(file: Option<PathBuf>, username: &str) -> Self {
        match file {
            Some(file) if file.as_os_str() != "-" => Self::File(file),
            None if io::stdin().is_terminal() => Self::Terminal(username.to_owned()),
            _ => Self::Stdin,
        }
    }

    /// Reads the password.
    pub(super) async fn read(self) -> Result<Secret<String>, CommandError> {
        match self {
            Self::File(path) => {
                let read = File::open(&path).and_then(read_all);
                let path = path.display();
                let text = read.map_err(|error| {
                    usage(format!("failed to read '--password-file {path}': {error}"))
                })?;
                only_line(&text, &format!("the file {path}"))
            }
            Self::Stdin => {
                let read = read_all(io::stdin().lock());
                let text = read.map_err(|error| {
                    usage(format!(
                        "failed to read the password from standard input: {error}"
                    ))
                })?;
                only_line(&text, "standard input")
            }
            Self::Terminal(username) => ask(&username).await,
        }
    }
}

fn read_all(reader: impl Read) -> io::Result<Secret<String>> {
    let mut text = String::new();
    reader.take(LIMIT).read_to_string(&mut text)?;
    Ok(Secret::new(text))
}

/// Returns the only line of a text.
fn only_line(text: &Secret<String>, place: &str) -> Result<Secret<String>, CommandError> {
    let line = text.expose().strip_suffix('\n').unwrap_or(text.expose());
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        return Err(usage(format!(
            "{place} has no password: write it there, or run the command in a terminal, which asks for it"
        )));
    }
    if line.contains('\n') {
        return Err(usage(format!(
            "{place} has several lines: the password must be the only one"
        )));
    }
    Ok(Secret::new(line.to_owned()))
}

/// Asks for a password twice. Ctrl-C ends it, and so do the other signals that end a process.
async fn ask(username: &str) -> Result<Secret<String>, CommandError> {
    // Before the terminal is quiet, which it would stay if one of them ended the process.
    let mut stopped = Stopped::new().map_err(CommandError::Output)?;
    // Dropped on each way out, so that the terminal shows again what is typed.
    let _quiet = Quiet::begin().map_err(CommandError::Output)?;
    let asked = async {
        let username = terminal::one_line(username);
        let first = line_after(&format!("Password for {username}:")).await?;
        let second = line_after("Repeat it:").await?;
        Ok::<_, CommandError>((first, second))
    };
    let (first, second) = tokio::select! {
        asked = asked => asked?,
        () = stopped.wait() => {
            return Err(CommandError::Refused("canceled: nothing was changed"));
        }
    };
    if first.expose() != second.expose() {
        return Err(CommandError::Refused(
            "the two passwords differ: nothing was changed",
        ));
    }
    only_line(&first, "the terminal")
}

async fn line_after(prompt: &str) -> Result<Secret<String>, CommandError> {
    print_note(prompt);
    let read = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        io::stdin().read_line(&mut line)?;
        Ok(Secret::new(line))
    });
    let line = read.await.map_err(io::Error::other).flatten();
    line.map_err(|error| usage(format!("failed to read the password: {error}")))
}

/// The signals that end a process: Ctrl-C, the end of the session, and `kill`.
struct Stopped([Signal; 3]);

impl Stopped {
    fn new() -> io::Result<Self> {
        Ok(Self([
            signal(SignalKind::interrupt())?,
            signal(SignalKind::hangup())?,
            signal(SignalKind::terminate())?,
        ]))
    }

    async fn wait(&mut self) {
        poll_fn(|cx| {
            let is_any = self.0.iter_mut().any(|one| one.poll_recv(cx).is_ready());
            if is_any {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}

/// A terminal that does not show what is typed, until this is dropped.
struct Quiet(Termios);

impl Quiet {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        quiet.local_modes.insert(LocalModes::ECHONL);
        tcsetattr(io::stdin(), OptionalActions::Flush, &quiet)?;
        Ok(Self(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        if let Err(error) = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0) {
            print_note(format_args!(
                "cannot turn the echo of the terminal on again ({error}): run `stty echo`"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Option<String> {
        let text = Secret::new(text.to_owned());
        only_line(&text, "it").ok().map(Secret::into_exposed)
    }

    #[test]
    fn one_line_end_is_no_part_of_a_password() {
        for (text, password) in [
            ("secret", Some("secret")),
            ("secret\n", Some("secret")),
            ("secret\r\n", Some("secret")),
            (" two words \n", Some(" two words ")),
            ("", None),
            ("\n", None),
            ("secret\n\n", None),
            ("secret\nnext", None),
        ] {
            assert_eq!(line(text).as_deref(), password, "{text:?}");
        }
    }
}

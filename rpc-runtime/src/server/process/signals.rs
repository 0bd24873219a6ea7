//! The signals that stop a process.

use std::fmt;
use std::time::{Duration, Instant};

use crate::error::Result;
#[cfg(unix)]
use crate::error::{Code, Error};

/// Time after the first signal in which further ones are repeats of it.
const REPEAT_PERIOD: Duration = Duration::from_secs(1);

/// A signal that stops a process. Displays its name, such as `SIGTERM`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProcessSignal {
    /// SIGINT: Ctrl-C on a terminal.
    Interrupt,
    /// SIGTERM: from a supervisor.
    Terminate,
    /// SIGHUP: the terminal was closed.
    Hangup,
}

impl fmt::Display for ProcessSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Interrupt if cfg!(unix) => "SIGINT",
            Self::Interrupt => "Ctrl-C",
            Self::Terminate => "SIGTERM",
            Self::Hangup => "SIGHUP",
        })
    }
}

/// Receives the signals that stop a process: SIGINT and SIGTERM; Ctrl-C where the system is not
/// Unix.
///
/// SIGINT and SIGHUP stay ignored where the parent of the process has ignored them, as `nohup` and
/// the `&` of a shell script do; on Linux only, since other systems do not report it.
///
/// [`Server::run`](crate::Server::run) uses it itself. Use it in a program that stops other work,
/// or several servers, by the same rules. Each instance receives all signals.
#[derive(Debug)]
pub struct ProcessSignals {
    #[cfg(unix)]
    interrupt: Option<tokio::signal::unix::Signal>,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    hangup: Option<tokio::signal::unix::Signal>,
    /// Time of the first signal.
    first: Option<Instant>,
}

impl ProcessSignals {
    /// Installs the handlers; from now on the signals do not end the process.
    ///
    /// # Errors
    ///
    /// `internal` if the system does not install a handler.
    #[cfg(unix)]
    pub fn new() -> Result<Self> {
        use tokio::signal::unix::SignalKind;
        Self::ignore_file_size_limit()?;
        Ok(Self {
            interrupt: install_unless_ignored(SignalKind::interrupt())?,
            terminate: install(SignalKind::terminate())?,
            hangup: None,
            first: None,
        })
    }

    /// Makes a write beyond the limit on the size of files (`ulimit -f`) an error like that of a
    /// full disk. By default, the system kills the process without a word. Holds for the rest of
    /// the process; [`new`](Self::new) does it as well.
    ///
    /// # Errors
    ///
    /// `internal` if the system does not install a handler.
    #[cfg(unix)]
    pub fn ignore_file_size_limit() -> Result<()> {
        use tokio::signal::unix::SignalKind;
        let signal = rustix::process::Signal::XFSZ.as_raw();
        // The handler stays when the receiver is dropped.
        install(SignalKind::from_raw(signal)).map(drop)
    }

    /// Does nothing: this system has no such limit.
    ///
    /// # Errors
    ///
    /// None on this system.
    #[cfg(not(unix))]
    pub fn ignore_file_size_limit() -> Result<()> {
        Ok(())
    }

    /// Installs the handlers including SIGHUP, for a program that stops when its terminal is
    /// closed.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    #[cfg(unix)]
    pub fn with_hangup() -> Result<Self> {
        use tokio::signal::unix::SignalKind;
        Ok(Self {
            hangup: install_unless_ignored(SignalKind::hangup())?,
            ..Self::new()?
        })
    }

    /// Prepares to receive Ctrl-C.
    ///
    /// # Errors
    ///
    /// None on this system.
    #[cfg(not(unix))]
    pub fn new() -> Result<Self> {
        Ok(Self { first: None })
    }

    /// Waits for the next signal.
    ///
    /// Signals in the second after the first one are repeats of it and are ignored: supervisors and
    /// terminals often send a signal twice. No signal is lost if the future is dropped.
    pub async fn next(&mut self) -> ProcessSignal {
        loop {
            let signal = self.receive().await;
            match self.first {
                Some(first) if first.elapsed() < REPEAT_PERIOD => {}
                Some(_) => return signal,
                None => {
                    self.first = Some(Instant::now());
                    return signal;
                }
            }
        }
    }

    #[cfg(unix)]
    async fn receive(&mut self) -> ProcessSignal {
        async fn arrived(signal: &mut Option<tokio::signal::unix::Signal>) {
            match signal {
                Some(signal) => drop(signal.recv().await),
                None => std::future::pending().await,
            }
        }

        tokio::select! {
            () = arrived(&mut self.interrupt) => ProcessSignal::Interrupt,
            _ = self.terminate.recv() => ProcessSignal::Terminate,
            () = arrived(&mut self.hangup) => ProcessSignal::Hangup,
        }
    }

    #[cfg(not(unix))]
    async fn receive(&mut self) -> ProcessSignal {
        if tokio::signal::ctrl_c().await.is_err() {
            // No signal can be received, so the process runs until it is killed.
            std::future::pending::<()>().await;
        }
        ProcessSignal::Interrupt
    }
}

#[cfg(unix)]
fn install(kind: tokio::signal::unix::SignalKind) -> Result<tokio::signal::unix::Signal> {
    tokio::signal::unix::signal(kind).map_err(|error| {
        Error::without_location(Code::Internal, format!("cannot wait for signals: {error}"))
            .with_source(error)
    })
}

/// Installs a handler, unless the process was started with the signal ignored.
#[cfg(unix)]
fn install_unless_ignored(
    kind: tokio::signal::unix::SignalKind,
) -> Result<Option<tokio::signal::unix::Signal>> {
    // A handler that is installed already is not ignored any more. Not known where the system has
    // no such file.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if is_ignored(&status, kind.as_raw_value()) {
        return Ok(None);
    }
    install(kind).map(Some)
}

/// Returns whether a signal is in the mask `SigIgn` of a status file of Linux.
#[cfg(unix)]
fn is_ignored(status: &str, signal: i32) -> bool {
    let mut masks = status
        .lines()
        .filter_map(|line| line.strip_prefix("SigIgn:"));
    let mask = masks
        .next()
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let bit = u32::try_from(signal - 1)
        .ok()
        .and_then(|bit| 1_u64.checked_shl(bit));
    mask.zip(bit).is_some_and(|(mask, bit)| mask & bit != 0)
}

#[cfg(all(test, unix))]
mod tests {
    use super::is_ignored;

    #[test]
    fn a_mask_names_the_ignored_signals() {
        const HUP: i32 = 1;
        const INT: i32 = 2;
        const TERM: i32 = 15;
        for (status, ignored) in [
            (
                "SigBlk:\tffffffffffffffff\nSigIgn:\t0000000000000001\n",
                &[HUP][..],
            ),
            ("SigIgn:\t0000000000001006\n", &[INT]),
            ("SigIgn:\t0000000000004003\nSigCgt:\t0\n", &[HUP, INT, TERM]),
            ("SigIgn:\t0000000000000000\n", &[]),
            ("SigIgn:\n", &[]),
            ("", &[]),
        ] {
            for signal in [HUP, INT, TERM, 0, 65, 1000] {
                assert_eq!(
                    is_ignored(status, signal),
                    ignored.contains(&signal),
                    "{status} {signal}"
                );
            }
        }
    }
}

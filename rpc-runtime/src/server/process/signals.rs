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
/// [`Server::run`](crate::Server::run) uses it itself. Use it in a program that stops other work,
/// or several servers, by the same rules. Each instance receives all signals.
#[derive(Debug)]
pub struct ProcessSignals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
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
            interrupt: install(SignalKind::interrupt())?,
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
            hangup: Some(install(SignalKind::hangup())?),
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
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => ProcessSignal::Interrupt,
            _ = self.terminate.recv() => ProcessSignal::Terminate,
            _ = hangup => ProcessSignal::Hangup,
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

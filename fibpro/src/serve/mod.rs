//! Each service as a server that is ready to be bound: options, preparation, and shutdown.
//!
//! A program of `src/bin` runs one of them, `fibpro serve` any, and `fibpro up` all.

mod closing;
pub mod compute_worker;
pub mod controller;
pub mod gatekeeper;
pub mod logsink;
pub mod pricing;
pub mod userstore;

use std::io::{self, Read as _};
use std::process::ExitCode;
use std::thread;

use rpc_runtime::{Code, Error, ProcessSignals, Result, Server, ServerOptions};
use tokio::sync::watch;

pub use self::closing::ShutdownTasks;
use crate::process;

/// The options of a service, from which its server is built.
#[allow(
    async_fn_in_trait,
    reason = "only the programs of this crate implement and call it"
)]
pub trait ServiceOptions: clap::Parser {
    /// Opens the resources of the service, and returns the server that is ready to be bound.
    ///
    /// # Errors
    ///
    /// The reason for which it cannot start, as a text for the operator.
    async fn prepare(self) -> Result<PreparedService>;

    /// Returns the options of every server, for a program that sets some of them itself.
    fn server_mut(&mut self) -> &mut ServerOptions;
}

/// A server that is ready to be bound.
#[derive(Debug)]
#[must_use = "a server does nothing before it runs"]
pub struct PreparedService {
    /// The server.
    pub server: Server,
    /// The work that remains at its end.
    pub closing: ShutdownTasks,
}

impl PreparedService {
    /// Returns a server without work at its end.
    fn new(server: Server) -> Self {
        Self {
            server,
            closing: ShutdownTasks::default(),
        }
    }

    /// Runs the server as the only one of its process until a signal or `end`, and does the
    /// remaining work.
    ///
    /// # Errors
    ///
    /// As [`Server::run`]; those of [`ShutdownTasks::finish`].
    pub async fn run(self, end: StopSignal) -> Result<()> {
        let Self { server, closing } = self;
        let served = tokio::select! {
            // The server first, so that it has its signal handlers before this function waits for a
            // signal.
            biased;
            ended = server.run_until(end.clone().wait()) => ended,
            error = begin_shutdown(&closing, end) => Err(error),
        };
        // Also when the server could not start: the database of the users is open by then.
        let closed = closing.finish().await;
        served.and(closed)
    }
}

/// Ends waiting calls when the process is told to stop, since the server waits for its calls.
/// Returns only if the signal handlers cannot be installed.
async fn begin_shutdown(closing: &ShutdownTasks, end: StopSignal) -> Error {
    let mut signals = match ProcessSignals::new() {
        Ok(signals) => signals,
        Err(error) => return error,
    };
    tokio::select! {
        _ = signals.next() => {}
        () = end.wait() => {}
    }
    closing.begin();
    std::future::pending().await
}

/// Runs a service as a process: the whole `main` of its program.
pub async fn run<S: ServiceOptions>(service: S) -> ExitCode {
    process::exit_code(run_until(service, StopSignal::never()).await)
}

/// Runs a service as a process, until a signal or `end`.
///
/// # Errors
///
/// Those of its start; those of [`PreparedService::run`].
pub async fn run_until(service: impl ServiceOptions, end: StopSignal) -> Result<()> {
    // Before a database is opened.
    ProcessSignals::ignore_file_size_limit()?;
    service.prepare().await?.run(end).await
}

/// An event that stops a process in addition to signals.
#[derive(Debug, Clone)]
pub struct StopSignal(Option<watch::Receiver<bool>>);

impl StopSignal {
    /// Stops on signals only.
    #[must_use]
    pub fn never() -> Self {
        Self(None)
    }

    /// Stops at the end of standard input: the process that holds the other end exited or closed
    /// it. The content is ignored.
    ///
    /// # Errors
    ///
    /// `resource_exhausted` if the system cannot start a thread.
    pub fn stdin_closed() -> Result<Self> {
        let (ending, ended) = watch::channel(false);
        // Not a thread of the runtime: a blocking read would keep the runtime from shutting down.
        thread::Builder::new()
            .name("stdin".to_owned())
            .spawn(move || {
                let mut stdin = io::stdin().lock();
                let mut ignored = [0; 64];
                loop {
                    match stdin.read(&mut ignored) {
                        Ok(0) => break,
                        Err(error) if error.kind() != io::ErrorKind::Interrupted => break,
                        _ => {}
                    }
                }
                ending.send_replace(true);
            })
            .map_err(|error| {
                let text = format!(
                    "cannot start the thread that waits for the end of standard input: {error}"
                );
                Error::new(Code::ResourceExhausted, text)
            })?;
        Ok(Self(Some(ended)))
    }

    /// Waits for the event.
    async fn wait(self) {
        match self.0 {
            // The end of the thread is the event as well.
            Some(mut ended) => drop(ended.wait_for(|ended| *ended).await),
            None => std::future::pending().await,
        }
    }
}

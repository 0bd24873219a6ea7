//! Each service as a server that is ready to be bound: its options, what it needs before, and what is left to do after.
//!
//! A program of `src/bin` runs one of them, `fibpro serve` any, and `fibpro up` all.

pub mod compute_worker;
pub mod controller;
pub mod gatekeeper;
pub mod logsink;
pub mod pricing;
pub mod userstore;

use std::io::{self, Read as _};
use std::process::ExitCode;
use std::thread;

use rpc_runtime::{Code, Error, Result, Server, server};
use tokio::sync::watch;

use self::logsink::ShutdownTasks;
use crate::process::{self, Signals};

/// A service by its options.
#[allow(
    async_fn_in_trait,
    reason = "the programs of this crate are all that implements and calls it"
)]
pub trait ServiceOptions: clap::Parser {
    /// Opens what it needs, and answers the server that is ready to be bound.
    ///
    /// # Errors
    ///
    /// What keeps it from starting, in words for the one who starts it.
    async fn prepare(self) -> Result<PreparedService>;

    /// The options that every server has, for a program that sets some of them itself.
    fn server_mut(&mut self) -> &mut server::ServerOptions;
}

/// A server that is ready to be bound.
#[derive(Debug)]
#[must_use = "it answers nobody before it runs"]
pub struct PreparedService {
    /// The server.
    pub server: Server,
    /// What is to be done at its end.
    pub closing: ShutdownTasks,
}

impl PreparedService {
    /// A server after which nothing is left to do.
    fn new(server: Server) -> Self {
        Self {
            server,
            closing: ShutdownTasks::default(),
        }
    }

    /// Runs it as the process that it has for itself, until a signal comes or `end`, and does what is left.
    ///
    /// # Errors
    ///
    /// As [`Server::run`]; those of [`ShutdownTasks::finish`].
    pub async fn run(self, end: StopSignal) -> Result<()> {
        let Self { server, closing } = self;
        tokio::select! {
            // First the server, so that no signal comes to us that it does not know of.
            biased;
            ended = server.run_until(end.clone().wait()) => ended?,
            error = begin_shutdown(&closing, end) => return Err(error),
        }
        closing.finish().await
    }
}

/// Ends what calls wait for when the process is told to stop: the server waits for its calls. Returns only what kept it
/// from that.
async fn begin_shutdown(closing: &ShutdownTasks, end: StopSignal) -> Error {
    let mut signals = match Signals::new() {
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

/// Runs a service as a process, until a signal comes or `end`.
///
/// # Errors
///
/// Those of its start; those of [`PreparedService::run`].
pub async fn run_until(service: impl ServiceOptions, end: StopSignal) -> Result<()> {
    service.prepare().await?.run(end).await
}

/// What ends a process beside signals.
#[derive(Debug, Clone)]
pub struct StopSignal(Option<watch::Receiver<bool>>);

impl StopSignal {
    /// Nothing does.
    #[must_use]
    pub fn never() -> Self {
        Self(None)
    }

    /// The end of standard input: whoever holds its other end is gone, or wants us to go. What comes there is not looked
    /// at.
    ///
    /// # Errors
    ///
    /// `resource_exhausted` when the system gives no thread.
    pub fn stdin_closed() -> Result<Self> {
        let (ending, ended) = watch::channel(false);
        // A thread of its own and none of the runtime's: one that reads would keep the runtime from ending.
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
                let text = format!("no thread for standard input: {error}");
                Error::new(Code::ResourceExhausted, text)
            })?;
        Ok(Self(Some(ended)))
    }

    /// Waits for it.
    async fn wait(self) {
        match self.0 {
            // That its thread is gone is the end as well.
            Some(mut ended) => drop(ended.wait_for(|ended| *ended).await),
            None => std::future::pending().await,
        }
    }
}

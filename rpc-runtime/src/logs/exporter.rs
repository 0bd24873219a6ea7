//! How the shipping of a process is set up, and what is in its hands while it runs.

use std::env;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::registry::LookupSpan;

use super::layer::{ExportFilter, ExportLayer, OWN_TARGET, mark_exporter_thread};
use super::queue::Queue;
use super::shared::ExporterState;
use super::spool::{Spool, SpoolDir, now};
use super::status::LogExporterStatus;
use super::worker::Worker;
use super::{LogsClient, MEMORY_LIMIT, SPOOL_LIMIT};
use crate::client::{Client, RetryPolicy};
use crate::context::{DEFAULT_ENVIRONMENT, Source};
use crate::duration::saturating_deadline;
use crate::error::{Code, Error, Result};
use crate::identity::IdentityKeys;

/// How much longer than it was told [`LogExporter::shutdown`] waits, for a disk that takes its time.
const GRACE: Duration = Duration::from_secs(1);

/// How the events of this process get to a log sink; see [`crate::logs`].
///
/// A server takes one by [`Server::ship_logs`](crate::Server::ship_logs), or is told by its options. A program with a
/// subscriber of its own, or with several servers, starts it and installs the layer itself:
///
/// ```no_run
/// use std::time::Duration;
///
/// use rpc_runtime::{Client, logs::LogExporterBuilder};
/// use tracing_subscriber::prelude::*;
///
/// # async fn example() -> rpc_runtime::Result<()> {
/// let exporter = LogExporter::builder(Client::new("http://127.0.0.1:9002")?).start()?;
/// tracing_subscriber::registry()
///     .with(tracing_subscriber::fmt::layer())
///     .with(exporter.layer())
///     .init();
/// // … servers, as many as you like …
/// exporter.shutdown(Duration::from_secs(5)).await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing is shipped before `start`"]
pub struct LogExporterBuilder {
    client: Client,
    source: Option<Source>,
    spool: SpoolLocation,
    spool_limit: u64,
    memory_limit: usize,
    filter: ExportFilter,
}

#[derive(Debug, Clone)]
enum SpoolLocation {
    Temporary,
    Named(PathBuf),
    MemoryOnly,
}

impl LogExporterBuilder {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            source: None,
            spool: SpoolLocation::Temporary,
            spool_limit: SPOOL_LIMIT,
            memory_limit: MEMORY_LIMIT,
            filter: ExportFilter::default(),
        }
    }

    /// Who writes outside of any server. Unless said, the server that [`run`](crate::Server::run) runs, and in other
    /// programs the name of the program with the process id as its instance.
    pub fn source(mut self, source: Source) -> Self {
        self.source = Some(source);
        self
    }

    /// The folder of the spool, for this one sink; made where it is not there. Several processes may share it.
    ///
    /// Unless said it is a folder of this user in the folder for temporary files, with another one for each sink. That
    /// survives the process and not always the host.
    pub fn spool(mut self, folder: impl Into<PathBuf>) -> Self {
        self.spool = SpoolLocation::Named(folder.into());
        self
    }

    /// The most that lies in the spool, in bytes; 64 MiB unless said. Past it the oldest records go, a sixteenth
    /// at a time, and are counted.
    pub fn spool_limit(mut self, bytes: u64) -> Self {
        self.spool_limit = bytes;
        self
    }

    /// Does without a spool: while the sink is away, as many records wait as have room in memory, and the rest is
    /// dropped and counted.
    pub fn memory_only(mut self) -> Self {
        self.spool = SpoolLocation::MemoryOnly;
        self
    }

    /// The most that lies in memory, in bytes; 32 MiB unless said, some 100,000 records of the usual length.
    /// It is a bound: a process whose sink takes what it is sent holds what it writes in a fifth of a second.
    pub fn memory_limit(mut self, bytes: usize) -> Self {
        self.memory_limit = bytes;
        self
    }

    /// Which events are shipped, as levels by target: `info,sqlx=warn,shop::orders=debug`. A target means every target
    /// that begins with it.
    ///
    /// Unless said: `info` and worse, of the target `rpc` `warn` and worse. So of the lines that each call has
    /// ([`TracingLog`](crate::observe::TracingLog)) those are shipped that an operator should know of, and the lines of
    /// the flag `log_rpc`, since who switches that on wants them.
    ///
    /// # Errors
    ///
    /// `invalid_argument` when `filter` is none.
    pub fn filter(self, filter: &str) -> Result<Self> {
        Ok(self.with_filter(read_filter(filter)?))
    }

    pub(super) fn with_filter(mut self, filter: ExportFilter) -> Self {
        self.filter = filter;
        self
    }

    /// Starts shipping, on a thread of its own.
    ///
    /// # Errors
    ///
    /// `failed_precondition` when the folder of the [`spool`](Self::spool) cannot be used; without one of its own a
    /// process whose temporary folder cannot be used goes on in memory alone, and says so. `resource_exhausted` when
    /// the system has no thread for it.
    pub fn start(self) -> Result<LogExporter> {
        let source = match &self.source {
            Some(source) => source.clone(),
            None => this_program()?,
        };
        self.prepare()?.start(source, None)
    }

    /// The first half: from here on events can be taken, and wait.
    pub(crate) fn prepare(self) -> Result<PreparedExporter> {
        let target = Arc::clone(self.client.target());
        let spool = match &self.spool {
            SpoolLocation::MemoryOnly => None,
            SpoolLocation::Named(folder) => {
                let spool = Spool::open(SpoolDir::named(folder.clone()), self.spool_limit);
                Some(spool.map_err(|error| {
                    let text = format!(
                        "no log spool in {}: {error}; name a folder that this process may make and write",
                        folder.display()
                    );
                    Error::unlocated(Code::FailedPrecondition, text).with_source(error)
                })?)
            }
            SpoolLocation::Temporary => {
                let directory = SpoolDir::temporary(&target);
                let path = directory.path().to_owned();
                Spool::open(directory, self.spool_limit)
                    .inspect_err(|error| {
                        let path = path.display();
                        tracing::warn!(
                            target: OWN_TARGET, %error,
                            "no log spool in {path}: while the log sink is away, records are in memory alone"
                        );
                    })
                    .ok()
            }
        };
        let epoch = spool.as_ref().map_or_else(now, Spool::epoch);
        Ok(PreparedExporter {
            shared: Arc::new(ExporterState::new(Queue::new(self.memory_limit, epoch))),
            spool,
            target,
            builder: self,
        })
    }

    /// The same for another sink.
    pub(super) fn with_client(mut self, client: Client) -> Self {
        self.client = client;
        self
    }
}

/// # Errors
///
/// `invalid_argument` when `filter` is none.
pub(super) fn read_filter(filter: &str) -> Result<ExportFilter> {
    filter.parse().map_err(|error| {
        let text =
            format!("`{filter}` says not what is shipped, as `info,sqlx=warn` does: {error}");
        Error::unlocated(Code::InvalidArgument, text)
    })
}

/// The name of the program, for logs of programs that name themselves in no other way.
fn this_program() -> Result<Source> {
    let program = env::current_exe().ok();
    let name = program.as_ref().and_then(|path| path.file_stem()?.to_str());
    let process = std::process::id().to_string();
    // A file may have a name that no source can have.
    Source::new(name.unwrap_or("process"), DEFAULT_ENVIRONMENT, &process)
        .or_else(|_| Source::new("process", DEFAULT_ENVIRONMENT, &process))
        .map_err(|invalid| Error::unlocated(Code::Internal, invalid.to_string()))
}

/// LogExporterBuilder that takes events and sends none yet: a server that is about to start knows neither its address nor its
/// keys, and what it says meanwhile should not be lost.
pub(crate) struct PreparedExporter {
    shared: Arc<ExporterState>,
    spool: Option<Spool>,
    target: Arc<str>,
    builder: LogExporterBuilder,
}

impl PreparedExporter {
    /// See [`LogExporter::layer`].
    pub(crate) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        layer(&self.shared, &self.builder.filter)
    }

    /// Forgets what was taken, and takes no more: nothing is to be shipped after all.
    pub(crate) fn discard(self) {
        self.shared.queue.disable();
        if let Some(spool) = self.spool {
            spool.close();
        }
    }

    /// Starts sending, as `source`, with these keys where the client has none of its own.
    pub(crate) fn start(
        self,
        source: Source,
        identity: Option<IdentityKeys>,
    ) -> Result<LogExporter> {
        let Self {
            shared,
            spool,
            target,
            builder,
        } = self;
        let source = builder.source.unwrap_or(source);
        shared.queue.set_process_source(source.clone());
        let mut client = builder.client;
        if let Some(keys) = identity {
            client = client.identity_unless_set(keys);
        }
        let client = client
            .source(source)
            .without_observers()
            .without_circuit_breaker()
            .retry(RetryPolicy::off());
        let (stop, stopped) = watch::channel(None);
        let (done, finished) = oneshot::channel();
        let client = LogsClient::with_client(client);
        let worker = Worker::new(Arc::clone(&shared), client, target, spool, stopped);
        let filter = builder.filter;
        let run = move || {
            mark_exporter_thread();
            let runtime = tokio::runtime::Builder::new_current_thread()
                // Threads that look names up.
                .on_thread_start(mark_exporter_thread)
                .enable_all()
                .build();
            match runtime {
                Ok(runtime) => runtime.block_on(worker.run()),
                Err(error) => {
                    tracing::error!(target: OWN_TARGET, %error, "no runtime to ship logs with");
                }
            }
            // Nobody may be waiting.
            let _ = done.send(());
        };
        thread::Builder::new()
            .name("rpc-logs".to_owned())
            .spawn(run)
            .map_err(|error| {
                let text = format!("no thread to ship logs with: {error}");
                Error::unlocated(Code::ResourceExhausted, text).with_source(error)
            })?;
        Ok(LogExporter {
            shared,
            filter,
            stop,
            finished,
        })
    }
}

fn layer<S>(shared: &Arc<ExporterState>, filter: &ExportFilter) -> impl Layer<S> + use<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    ExportLayer(Arc::clone(shared)).with_filter(filter.clone())
}

/// LogExporterBuilder that runs; from [`LogExporterBuilder::start`].
///
/// When it is dropped, shipping ends at once: what is in memory goes to the spool, without anybody waiting for it.
/// [`finish`](Self::shutdown) is better.
#[derive(Debug)]
#[must_use = "shipping ends when this is dropped"]
pub struct LogExporter {
    shared: Arc<ExporterState>,
    filter: ExportFilter,
    stop: watch::Sender<Option<Instant>>,
    finished: oneshot::Receiver<()>,
}

impl LogExporter {
    /// Returns a builder of an exporter that sends to the log sink which `client` reaches, a
    /// server of [`Logs`](super::Logs).
    ///
    /// Only the addresses and identity keys of the client are used. Its observers, retries and
    /// circuit breaker are left out: the exporter retries by itself.
    pub fn builder(client: Client) -> LogExporterBuilder {
        LogExporterBuilder::new(client)
    }

    /// The layer that takes the events of this process, to be installed in its subscriber.
    ///
    /// It brings its own filter, so what other layers filter does not matter. It is made for one subscriber and may be
    /// asked for again for another one.
    pub fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        layer(&self.shared, &self.filter)
    }

    /// How it stands.
    #[must_use]
    pub fn status(&self) -> LogExporterStatus {
        self.shared.status()
    }

    /// Sends what is there, for `patience` at most, and ends. What could not be sent stays in the spool for the next
    /// life of the process; without a spool it is dropped, which the log of the process and the returned numbers say.
    ///
    /// With a spool, a sink that is away is not waited for.
    ///
    /// # Cancellation
    ///
    /// Dropping the future changes nothing of it, but that nobody waits.
    pub async fn shutdown(mut self, timeout: Duration) -> LogExporterStatus {
        let now = Instant::now();
        self.stop
            .send_replace(Some(saturating_deadline(now, timeout)));
        let finished = &mut self.finished;
        if tokio::time::timeout(timeout.saturating_add(GRACE), finished)
            .await
            .is_err()
        {
            tracing::warn!(target: OWN_TARGET, "the log spool takes too long; not waited for");
        }
        self.shared.status()
    }
}

impl Drop for LogExporter {
    fn drop(&mut self) {
        self.stop
            .send_modify(|stop| *stop = Some(stop.map_or_else(Instant::now, |stop| stop)));
    }
}

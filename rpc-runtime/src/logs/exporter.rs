//! Setup of the exporter, and the handle of a running one.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::registry::LookupSpan;

use super::directive::{self, UnusualWord};
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

/// Extra time that [`LogExporter::shutdown`] waits for a slow disk.
const GRACE: Duration = Duration::from_secs(1);

/// The minimum of the limits of memory and spool, in bytes: some records of usual length.
const MIN_LIMIT: usize = 4096;

/// Configures the export of this process's log events to a sink; see [`crate::logs`]. Created by
/// [`LogExporter::builder`].
///
/// Pass it to [`Server::export_logs`](crate::Server::export_logs). A program with its own
/// subscriber, or with several servers, starts the exporter and installs the layer itself:
///
/// ```no_run
/// use std::time::Duration;
///
/// use rpc_runtime::{Client, logs::LogExporter};
/// use tracing_subscriber::prelude::*;
///
/// # async fn example() -> rpc_runtime::Result<()> {
/// let exporter = LogExporter::builder(Client::new("http://127.0.0.1:9002")?).start()?;
/// tracing_subscriber::registry()
///     .with(tracing_subscriber::fmt::layer())
///     .with(exporter.layer())
///     .init();
/// // … run any number of servers …
/// exporter.shutdown(Duration::from_secs(5)).await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing is exported before `start`"]
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

    /// Sets the source of events outside of any server.
    ///
    /// By default this is the server that [`run`](crate::Server::run) runs; in other programs it is
    /// the program's file name, with the process id as the instance.
    pub fn source(mut self, source: Source) -> Self {
        self.source = Some(source);
        self
    }

    /// Sets the folder of the spool for this sink. It is created if it does not exist, and
    /// several processes may share it.
    ///
    /// By default the spool is in a directory of this user under the system's temporary directory,
    /// one for each sink. It survives the process, but possibly not a restart of the host.
    pub fn spool(mut self, folder: impl Into<PathBuf>) -> Self {
        self.spool = SpoolLocation::Named(folder.into());
        self
    }

    /// Limits the size of the spool, in bytes; 64 MiB by default. When it is exceeded, the oldest
    /// records are dropped and counted, a sixteenth of the limit at a time.
    pub fn spool_limit(mut self, bytes: u64) -> Self {
        self.spool_limit = bytes;
        self
    }

    /// Disables the spool. While the sink is unavailable, records are kept in memory up to
    /// [`memory_limit`](Self::memory_limit); the rest is dropped and counted.
    pub fn memory_only(mut self) -> Self {
        self.spool = SpoolLocation::MemoryOnly;
        self
    }

    /// Limits the records in memory, in bytes; 32 MiB by default, about 100,000 records of usual
    /// length. While the sink accepts records, memory holds only those of the last fifth of a
    /// second.
    pub fn memory_limit(mut self, bytes: usize) -> Self {
        self.memory_limit = bytes;
        self
    }

    /// Selects the events to export, as levels by target prefix:
    /// `info,sqlx=warn,shop::orders=debug`.
    ///
    /// By default these are `info` and above, and `warn` and above for the target `rpc`. So the
    /// events of calls ([`TracingObserver`](crate::observe::TracingObserver)) are exported only if
    /// an operator should see them. The traces that the flag `log_rpc` turns on have another target
    /// and are exported.
    ///
    /// # Errors
    ///
    /// `invalid_argument` for an invalid filter.
    pub fn filter(self, filter: &str) -> Result<Self> {
        Ok(self.with_filter(read_filter(filter)?))
    }

    pub(super) fn with_filter(mut self, filter: ExportFilter) -> Self {
        self.filter = filter;
        self
    }

    /// Starts the exporter on its own thread.
    ///
    /// # Errors
    ///
    /// `invalid_argument` for a limit of less than 4 KiB, into which few records fit.
    /// `failed_precondition` if the folder set by [`spool`](Self::spool) cannot be used. If the
    /// default folder cannot be used, a warning is logged and records are kept in memory only.
    /// `resource_exhausted` if no thread can be started.
    pub fn start(self) -> Result<LogExporter> {
        let source = match &self.source {
            Some(source) => source.clone(),
            None => this_program()?,
        };
        self.prepare()?.start(source, None)
    }

    /// Opens the spool and the queue. Events are queued from here on and sent after the start.
    pub(crate) fn prepare(self) -> Result<PreparedExporter> {
        self.check()?;
        let target = Arc::clone(self.client.target());
        let spool = match &self.spool {
            SpoolLocation::MemoryOnly => None,
            SpoolLocation::Named(folder) => {
                let spool = Spool::open(SpoolDir::named(folder.clone()), self.spool_limit);
                Some(spool.map_err(|error| {
                    let text = format!(
                        "cannot open the log spool in {}: {error}; choose a directory that this process can create and write",
                        folder.display()
                    );
                    Error::without_location(Code::FailedPrecondition, text).with_source(error)
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
                            "cannot open the log spool in {path}; records are kept in memory only"
                        );
                    })
                    .ok()
            }
        };
        let epoch = spool.as_ref().map_or_else(now, Spool::epoch);
        Ok(PreparedExporter {
            shared: Arc::new(ExporterState::new(
                Arc::clone(&target),
                Queue::new(self.memory_limit, epoch),
            )),
            spool,
            target,
            builder: self,
        })
    }

    /// # Errors
    ///
    /// `invalid_argument` for a limit into which no record fits, with its name.
    fn check(&self) -> Result<()> {
        let has_spool = !matches!(self.spool, SpoolLocation::MemoryOnly);
        let (field, advice) = if self.memory_limit < MIN_LIMIT {
            ("memory_limit", "")
        } else if has_spool
            && usize::try_from(self.spool_limit).is_ok_and(|limit| limit < MIN_LIMIT)
        {
            ("spool_limit", ", or `memory_only` to disable the spool")
        } else {
            return Ok(());
        };
        let text = format!(
            "`{field}` of the log exporter is too small for a record; use at least {MIN_LIMIT} bytes{advice}"
        );
        Err(Error::without_location(Code::InvalidArgument, text))
    }

    /// Returns the sink in printable form.
    pub(crate) fn target(&self) -> &str {
        self.client.target()
    }

    /// Replaces the client, and with it the sink.
    pub(super) fn with_client(mut self, client: Client) -> Self {
        self.client = client;
        self
    }
}

/// Parses a filter.
///
/// # Errors
///
/// `invalid_argument` for an invalid filter, and for a word that is neither a level nor a usual
/// target: a filter that selects nothing loses the log without a sign.
pub(super) fn read_filter(filter: &str) -> Result<ExportFilter> {
    let invalid = |problem: &str| {
        let filter = directive::shown(filter);
        let text = format!("invalid log filter `{filter}`: {problem}");
        Error::without_location(Code::InvalidArgument, text)
    };
    let parts: Vec<_> = directive::split(filter).collect();
    if parts.is_empty() {
        return Err(invalid(
            "it is empty; expected levels such as `info,sqlx=warn`, or `off`",
        ));
    }
    let program = directive::program_name();
    for part in &parts {
        let shown = directive::shown(part);
        directive::check(part).map_err(|problem| invalid(&format!("`{shown}`: {problem}")))?;
        match directive::unusual_word(part, program.as_deref()) {
            None => {}
            Some(UnusualWord::Level(level)) => {
                return Err(invalid(&format!(
                    "`{shown}` is not a level; did you mean `{level}`?"
                )));
            }
            Some(UnusualWord::Target) => {
                return Err(invalid(&format!(
                    "`{shown}` is not a level; for all events of the target `{shown}` write `{shown}=trace`"
                )));
            }
        }
    }
    let parsed = parts.join(",").parse();
    parsed.map_err(|error| {
        invalid(&format!(
            "{error}; expected levels such as `info,sqlx=warn`"
        ))
    })
}

/// Returns a source named after the program's file.
fn this_program() -> Result<Source> {
    let name = directive::program_name();
    let process = std::process::id().to_string();
    // The file name may be invalid as a server name.
    Source::new(
        name.as_deref().unwrap_or("process"),
        DEFAULT_ENVIRONMENT,
        &process,
    )
    .or_else(|_| Source::new("process", DEFAULT_ENVIRONMENT, &process))
    .map_err(|invalid| Error::without_location(Code::Internal, invalid.to_string()))
}

/// An exporter that queues events and sends none yet. A server that is starting knows neither its
/// address nor its keys, and its events until then must not be lost.
pub(crate) struct PreparedExporter {
    shared: Arc<ExporterState>,
    spool: Option<Spool>,
    target: Arc<str>,
    builder: LogExporterBuilder,
}

impl PreparedExporter {
    /// Returns the layer; see [`LogExporter::layer`].
    pub(crate) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        layer(&self.shared, &self.builder.filter)
    }

    /// Returns the sink in printable form.
    pub(crate) fn target(&self) -> &str {
        &self.target
    }

    /// Discards the queued events and all further ones, and closes the spool.
    pub(crate) fn discard(self) {
        self.shared.queue.disable();
        if let Some(spool) = self.spool {
            spool.close();
        }
    }

    /// Starts sending. `source` and `identity` are used if the builder and the client have none.
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
            .retry(RetryPolicy::off());
        let (stop, stopped) = watch::channel(None);
        let (done, finished) = oneshot::channel();
        let client = LogsClient::with_client(client);
        let worker = Worker::new(Arc::clone(&shared), client, target, spool, stopped);
        let filter = builder.filter;
        let run = move || {
            mark_exporter_thread();
            let runtime = tokio::runtime::Builder::new_current_thread()
                // Also the threads of the blocking pool, which resolve names.
                .on_thread_start(mark_exporter_thread)
                .enable_all()
                .build();
            match runtime {
                Ok(runtime) => runtime.block_on(worker.run()),
                Err(error) => {
                    tracing::error!(target: OWN_TARGET, %error, "cannot create the runtime of the log exporter; the log is not exported");
                }
            }
            // Fails if `shutdown` is not waiting.
            let _ = done.send(());
        };
        thread::Builder::new()
            .name("rpc-logs".to_owned())
            .spawn(run)
            .map_err(|error| {
                let text = format!("cannot start the thread of the log exporter: {error}");
                Error::without_location(Code::ResourceExhausted, text).with_source(error)
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

/// A running exporter; see [`LogExporterBuilder::start`].
///
/// Dropping it ends the export at once: the records in memory are moved to the spool in the
/// background. Prefer [`shutdown`](Self::shutdown).
#[derive(Debug)]
#[must_use = "the export ends when this is dropped"]
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
    /// Only the addresses and identity keys of the client are used. Its observers and retries are
    /// left out: the exporter retries by itself.
    pub fn builder(client: Client) -> LogExporterBuilder {
        LogExporterBuilder::new(client)
    }

    /// Returns the layer that receives the events of this process, to be added to its subscriber.
    ///
    /// The layer has its own filter, independent of other layers. It belongs to one subscriber;
    /// call this again for another one.
    pub fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        layer(&self.shared, &self.filter)
    }

    /// Returns the current state.
    #[must_use]
    pub fn status(&self) -> LogExporterStatus {
        self.shared.status()
    }

    /// Sends the remaining records for at most `timeout`, then ends the export.
    ///
    /// Records that could not be sent stay in the spool for the next session. Without a spool they
    /// are dropped, and the returned status counts them. With a spool, the export ends at the first
    /// failed call.
    ///
    /// # Cancellation
    ///
    /// Dropping the future only ends the wait; the shutdown continues.
    pub async fn shutdown(mut self, timeout: Duration) -> LogExporterStatus {
        let now = Instant::now();
        self.stop
            .send_replace(Some(saturating_deadline(now, timeout)));
        let finished = &mut self.finished;
        if tokio::time::timeout(timeout.saturating_add(GRACE), finished)
            .await
            .is_err()
        {
            tracing::warn!(target: OWN_TARGET, "the log exporter did not stop within its timeout; its last records may be lost");
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

//! SQLite: one task that writes, and a few connections that read.
//!
//! SQLite allows one write transaction at a time, and a commit waits for the disk. So operations
//! that arrive during a commit share the next transaction (group commit). If a group fails, each of
//! its operations is run again alone, so that a caller only receives its own error. The loop is not
//! shared with the log store, which refuses a failed group as a whole.
//!
//! With `synchronous = FULL`, committed changes survive a power failure.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use rpc_runtime::files::{self, FileError};
use rpc_runtime::{Code, Context, Error, Result};
use sqlx::pool::PoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, Sqlite, SqliteConnection, SqlitePool};
use tokio::sync::{mpsc, oneshot};
use tracing::Span;

use super::super::clock::Clock;
use super::super::database::Database;
use super::audit::AuditEvent;
use super::error::{self, StoreError};
use super::ledger::Ledger;
use super::operations::Operation;
use super::session::Session as _;

/// Timeout for a lock that another process holds.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);

/// Maximum number of operations that wait for the writer.
const QUEUE: usize = 2048;

/// Maximum number of operations per transaction; it bounds the wait of the first one.
const GROUP: usize = 128;

/// Number of connections that read.
const READERS: u32 = 4;

/// Delay before a caller retries when the queue is full.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Database in a file.
#[derive(Debug)]
pub(crate) struct Engine {
    jobs: mpsc::Sender<Box<dyn QueuedJob>>,
    readers: SqlitePool,
    clock: Clock,
}

impl Engine {
    pub(super) async fn open(
        database: &Database,
        options: &SqliteConnectOptions,
        clock: Clock,
    ) -> Result<Self> {
        create_for_the_owner_only(options)?;
        let options = options
            .clone()
            .create_if_missing(true)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(LOCK_TIMEOUT)
            .disable_statement_logging();
        let mut connection = options
            .connect()
            .await
            .map_err(|error| error::cannot_open(database, error))?;
        sqlx::migrate!("migrations/sqlite")
            .run(&mut connection)
            .await
            .map_err(|error| error::cannot_migrate(database, error))?;
        let readers = PoolOptions::<Sqlite>::new()
            .max_connections(READERS)
            .test_before_acquire(false)
            .connect_lazy_with(options.clone().pragma("query_only", "on"));
        let (jobs, queue) = mpsc::channel(QUEUE);
        let writer = GroupWriter {
            options,
            connection: Some(connection),
            clock: clock.clone(),
        };
        // Ends after the engine is dropped and all queued operations are done.
        tokio::spawn(writer.run(queue));
        Ok(Self {
            jobs,
            readers,
            clock,
        })
    }

    pub(super) async fn read<O: Operation>(&self, operation: O) -> Result<O::Output> {
        let to_error = |error| StoreError::from(error).into_error();
        let mut reader = self.readers.acquire().await.map_err(to_error)?;
        let mut ledger = Ledger::open(&mut *reader, self.clock.now());
        operation
            .run(&mut ledger)
            .await
            .map_err(StoreError::into_error)
    }

    pub(super) async fn write<O: Operation>(&self, operation: O) -> Result<O::Output> {
        let (reply, outcome) = oneshot::channel();
        let job = Box::new(QueuedOperation {
            operation,
            done: None,
            reply,
            context: Context::current(),
            span: Span::current(),
        });
        self.jobs.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                let text = "too many changes of the users' database are queued; retry later";
                Error::new(Code::ResourceExhausted, text).with_retry_after(RETRY_AFTER)
            }
            mpsc::error::TrySendError::Closed(_) => ended(),
        })?;
        outcome.await.map_err(|_| ended())?
    }
}

/// Happens only if the writer has panicked.
#[track_caller]
fn ended() -> Error {
    Error::new(
        Code::Internal,
        "internal error: the task that writes to the users' database has ended",
    )
}

/// Creates the file with mode 0600, because it contains password hashes. SQLite would create it
/// readable for all users.
fn create_for_the_owner_only(options: &SqliteConnectOptions) -> Result<()> {
    let path = options.get_filename();
    // SQLite would wait for the other end of a pipe, and follow the changes of another user.
    match files::check_file(path) {
        // Reported by what opens the file.
        Ok(()) | Err(FileError::Io(_)) => {}
        Err(error) => {
            let text = format!(
                "cannot open the users' database: sqlite://{}: {error}",
                path.display()
            );
            return Err(Error::new(Code::FailedPrecondition, text));
        }
    }
    let mut file = std::fs::OpenOptions::new();
    // SQLite accepts an empty file as a new database, and gives its mode to `-wal` and `-shm`.
    file.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut file, 0o600);
    let opened = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => std::fs::create_dir_all(folder),
        _ => Ok(()),
    }
    .and_then(|()| file.open(path));
    match opened {
        // A read-only file is reported by SQLite.
        Err(error) if !path.exists() => Err(Error::new(
            Code::FailedPrecondition,
            format!(
                "cannot create the users' database {}: {error}",
                path.display()
            ),
        )),
        _ => Ok(()),
    }
}

// === the task that writes ===

struct GroupWriter {
    options: SqliteConnectOptions,
    /// `None` after an error that may affect the connection.
    connection: Option<SqliteConnection>,
    clock: Clock,
}

impl GroupWriter {
    async fn run(mut self, mut queue: mpsc::Receiver<Box<dyn QueuedJob>>) {
        let mut group = Vec::new();
        while queue.recv_many(&mut group, GROUP).await > 0 {
            // Their callers are gone, and they have not been started.
            group.retain(|job| !job.is_abandoned());
            match self.transaction(&mut group).await {
                Ok(()) => group.drain(..).for_each(QueuedJob::finish),
                Err(TransactionError::Begin(error)) => {
                    // Each of them alone would fail in the same way.
                    let error = error.into_error();
                    group.drain(..).for_each(|job| job.fail(error.clone()));
                }
                Err(TransactionError::Within(_)) if group.len() > 1 => {
                    for mut job in group.drain(..) {
                        match self.transaction(std::slice::from_mut(&mut job)).await {
                            Ok(()) => job.finish(),
                            Err(
                                TransactionError::Begin(error) | TransactionError::Within(error),
                            ) => {
                                job.fail(error.into_error());
                            }
                        }
                    }
                }
                Err(TransactionError::Within(error)) => {
                    let error = error.into_error();
                    group.drain(..).for_each(|job| job.fail(error.clone()));
                }
            }
        }
    }

    /// Runs all operations in one transaction, or none.
    async fn transaction(
        &mut self,
        group: &mut [Box<dyn QueuedJob>],
    ) -> Result<(), TransactionError> {
        if group.is_empty() {
            return Ok(());
        }
        // A connection is not reused after an error, because its transaction state is unknown. It
        // is put back only below.
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.options.connect().await.map_err(begin)?,
        };
        connection
            .rows("BEGIN IMMEDIATE", &[])
            .await
            .map_err(begin)?;
        let now = self.clock.now();
        let mut outcome = Ok(());
        for job in group {
            outcome = job.run(&mut connection, now).await;
            if outcome.is_err() {
                break;
            }
        }
        if outcome.is_ok() {
            outcome = connection
                .rows("COMMIT", &[])
                .await
                .map(|_| ())
                .map_err(StoreError::from);
        }
        match outcome {
            Ok(()) => {
                self.connection = Some(connection);
                Ok(())
            }
            Err(error) => {
                // Releases the lock before the next connection requests it.
                let _ = connection.close().await;
                Err(TransactionError::Within(error))
            }
        }
    }
}

/// Error of a transaction.
enum TransactionError {
    /// The transaction could not begin; its operations do not matter.
    Begin(StoreError),
    Within(StoreError),
}

fn begin(error: sqlx::Error) -> TransactionError {
    TransactionError::Begin(error.into())
}

// === the queue ===

/// A queued operation of any output type.
trait QueuedJob: Send {
    /// Returns whether the caller is gone.
    fn is_abandoned(&self) -> bool;

    fn run<'a>(
        &'a mut self,
        session: &'a mut SqliteConnection,
        now: jiff::Timestamp,
    ) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + 'a>>;

    /// Sends the output, after the commit.
    fn finish(self: Box<Self>);

    /// Sends an error, after a rollback.
    fn fail(self: Box<Self>, error: Error);
}

struct QueuedOperation<O: Operation> {
    operation: O,
    /// Output and log events of the last run.
    done: Option<(O::Output, Vec<AuditEvent>)>,
    reply: oneshot::Sender<Result<O::Output>>,
    /// Context of the caller, for the log lines.
    context: Context,
    span: Span,
}

impl<O: Operation> QueuedJob for QueuedOperation<O> {
    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn run<'a>(
        &'a mut self,
        session: &'a mut SqliteConnection,
        now: jiff::Timestamp,
    ) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + 'a>> {
        Box::pin(async move {
            let mut ledger = Ledger::open(session, now);
            let output = self.operation.run(&mut ledger).await?;
            self.done = Some((output, ledger.events));
            Ok(())
        })
    }

    fn finish(self: Box<Self>) {
        let Some((output, events)) = self.done else {
            return;
        };
        self.span.in_scope(|| {
            self.context
                .enter(|| events.iter().for_each(AuditEvent::log));
        });
        // The caller may be gone.
        let _ = self.reply.send(Ok(output));
    }

    fn fail(self: Box<Self>, error: Error) {
        let _ = self.reply.send(Err(error));
    }
}

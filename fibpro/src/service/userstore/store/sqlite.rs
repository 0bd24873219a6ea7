//! SQLite: one task that writes, a few connections that read.
//!
//! SQLite lets one transaction write at a time, and a commit waits for the disk. So what has come in while the last
//! commit was under way becomes one transaction: the more is to be done, the more share a commit. An operation whose
//! group fails is done once more by itself, so that nobody gets an error that belongs to another.
//!
//! Durability is `synchronous = FULL`: what was answered survives a power cut, and not only the end of the process.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

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

/// How long a statement waits for another process that has the database locked.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);

/// Operations that may wait for the writer.
const QUEUE: usize = 2048;

/// Operations that share a transaction at most, so that the first of them does not wait for too many others.
const GROUP: usize = 128;

/// Connections that read.
const READERS: u32 = 4;

/// How long a caller should leave the store alone when its queue is full.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// The database in a file.
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
        // It ends when the engine is gone, and what waits is done.
        tokio::spawn(writer.run(queue));
        Ok(Self {
            jobs,
            readers,
            clock,
        })
    }

    pub(super) async fn read<O: Operation>(&self, operation: O) -> Result<O::Output> {
        let trouble = |error| StoreError::from(error).into_error();
        let mut reader = self.readers.acquire().await.map_err(trouble)?;
        let mut ledger = Ledger::open(&mut *reader, self.clock.now());
        operation
            .run(&mut ledger)
            .await
            .map_err(StoreError::into_error)
    }

    pub(super) async fn write<O: Operation>(&self, operation: O) -> Result<O::Output> {
        let (answer, answered) = oneshot::channel();
        let job = Box::new(QueuedOperation {
            operation,
            done: None,
            answer,
            context: Context::current(),
            span: Span::current(),
        });
        self.jobs.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                let text = "the users' database is behind: too many changes wait";
                Error::new(Code::ResourceExhausted, text).with_retry_after(RETRY_AFTER)
            }
            mpsc::error::TrySendError::Closed(_) => ended(),
        })?;
        answered.await.map_err(|_| ended())?
    }
}

/// Never while the engine is there, unless the writer has panicked.
#[track_caller]
fn ended() -> Error {
    Error::new(
        Code::Internal,
        "the task that writes the users' database has ended",
    )
}

/// The file holds password hashes, and SQLite would let everybody read it.
fn create_for_the_owner_only(options: &SqliteConnectOptions) -> Result<()> {
    let path = options.get_filename();
    let mut file = std::fs::OpenOptions::new();
    // SQLite takes an empty file for a new database, and gives its mode to those that it puts beside it.
    file.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut file, 0o600);
    let opened = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => std::fs::create_dir_all(folder),
        _ => Ok(()),
    }
    .and_then(|()| file.open(path));
    match opened {
        // A file that can only be read is the database's to print_error about.
        Err(error) if !path.exists() => Err(Error::new(
            Code::FailedPrecondition,
            format!(
                "cannot make the users' database {}: {error}",
                path.display()
            ),
        )),
        _ => Ok(()),
    }
}

// === the task that writes ===

struct GroupWriter {
    options: SqliteConnectOptions,
    /// None after a failure that may be the connection's.
    connection: Option<SqliteConnection>,
    clock: Clock,
}

impl GroupWriter {
    async fn run(mut self, mut queue: mpsc::Receiver<Box<dyn QueuedJob>>) {
        let mut group = Vec::new();
        while queue.recv_many(&mut group, GROUP).await > 0 {
            // Nobody waits for these, and nothing of them has been done.
            group.retain(|job| !job.is_abandoned());
            match self.transaction(&mut group).await {
                Ok(()) => group.drain(..).for_each(QueuedJob::finish),
                Err(TransactionError::Begin(trouble)) => {
                    // Each of them alone would meet the same.
                    let error = trouble.into_error();
                    group.drain(..).for_each(|job| job.fail(error.clone()));
                }
                Err(TransactionError::Within(_)) if group.len() > 1 => {
                    for mut job in group.drain(..) {
                        match self.transaction(std::slice::from_mut(&mut job)).await {
                            Ok(()) => job.finish(),
                            Err(
                                TransactionError::Begin(trouble)
                                | TransactionError::Within(trouble),
                            ) => {
                                job.fail(trouble.into_error());
                            }
                        }
                    }
                }
                Err(TransactionError::Within(trouble)) => {
                    let error = trouble.into_error();
                    group.drain(..).for_each(|job| job.fail(error.clone()));
                }
            }
        }
    }

    /// Does all of these, or none.
    async fn transaction(
        &mut self,
        group: &mut [Box<dyn QueuedJob>],
    ) -> Result<(), TransactionError> {
        if group.is_empty() {
            return Ok(());
        }
        // A connection that goes through a failure is not used again: whether it is in a transaction, and which, is
        // then nothing that we have to know. It comes back only from here.
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
            Err(trouble) => {
                // Gives the lock up before the next connection asks for it.
                let _ = connection.close().await;
                Err(TransactionError::Within(trouble))
            }
        }
    }
}

/// Why a transaction was not.
enum TransactionError {
    /// It could not begin, whatever was to be done in it.
    Begin(StoreError),
    Within(StoreError),
}

fn begin(error: sqlx::Error) -> TransactionError {
    TransactionError::Begin(error.into())
}

// === the queue ===

/// An operation that waits for the writer, whatever it answers.
trait QueuedJob: Send {
    /// Whether nobody waits for the answer any more.
    fn is_abandoned(&self) -> bool;

    fn run<'a>(
        &'a mut self,
        session: &'a mut SqliteConnection,
        now: jiff::Timestamp,
    ) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + 'a>>;

    /// It is in the database.
    fn finish(self: Box<Self>);

    /// It is not.
    fn fail(self: Box<Self>, error: Error);
}

struct QueuedOperation<O: Operation> {
    operation: O,
    /// What the last run has answered.
    done: Option<(O::Output, Vec<AuditEvent>)>,
    answer: oneshot::Sender<Result<O::Output>>,
    /// The call that waits, so that the log lines are its.
    context: Context,
    span: Span,
}

impl<O: Operation> QueuedJob for QueuedOperation<O> {
    fn is_abandoned(&self) -> bool {
        self.answer.is_closed()
    }

    fn run<'a>(
        &'a mut self,
        session: &'a mut SqliteConnection,
        now: jiff::Timestamp,
    ) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + 'a>> {
        Box::pin(async move {
            let mut ledger = Ledger::open(session, now);
            let answer = self.operation.run(&mut ledger).await?;
            self.done = Some((answer, ledger.events));
            Ok(())
        })
    }

    fn finish(self: Box<Self>) {
        let Some((answer, events)) = self.done else {
            return;
        };
        self.span.in_scope(|| {
            self.context
                .enter(|| events.iter().for_each(AuditEvent::log))
        });
        // Nobody waits any more where the caller went away.
        let _ = self.answer.send(Ok(answer));
    }

    fn fail(self: Box<Self>, error: Error) {
        let _ = self.answer.send(Err(error));
    }
}

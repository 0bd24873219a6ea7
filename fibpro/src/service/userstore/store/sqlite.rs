//! SQLite: one task that writes, and a few connections that read.
//!
//! With `synchronous = FULL`, committed changes survive a power failure.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rpc_runtime::{Code, Context, Error, Result};
use sqlx::pool::PoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Sqlite, SqliteConnection, SqlitePool};
use tokio::sync::{mpsc, oneshot};
use tracing::Span;

use super::super::clock::Clock;
use super::super::database::Database;
use super::error::{self, StoreError};
use super::ledger::Ledger;
use super::lock_wait::{LOCK_TIMEOUT, LockState};
use super::marker::StoreMarker;
use super::operations::{Operation, Subject};
use super::session::SqlSession as _;
use super::sqlite_file::DatabaseFiles;
use super::sqlite_start;
use super::sqlite_writer::{GroupWriter, Message, QueuedOperation};
use super::start_lock::StartLock;
use super::write_queue::WriteQueue;

/// Maximum number of operations that wait for the writer.
const QUEUE: usize = 2048;

/// Number of connections that read.
const READERS: u32 = 4;

/// Delay before a caller retries when the queue is full.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Database in a file.
#[derive(Debug)]
pub(crate) struct Engine {
    jobs: mpsc::Sender<Message>,
    readers: SqlitePool,
    clock: Clock,
    files: Arc<DatabaseFiles>,
    locks: Arc<LockState>,
    marker: Arc<StoreMarker>,
}

impl Engine {
    pub(super) async fn open(
        database: &Database,
        options: &SqliteConnectOptions,
        clock: Clock,
        wal_limit: u64,
    ) -> Result<(Self, StartLock)> {
        let path = options.get_filename();
        let cannot_open = |error| error::cannot_open(database, error);
        sqlite_start::check_files(path)?;
        let marker = Arc::new(StoreMarker::share(path)?);
        let lock = StartLock::of_file(path).await?;
        sqlite_start::check(database, path, &marker).await?;
        create_for_the_owner_only(path)?;
        let options = options
            .clone()
            .create_if_missing(true)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(LOCK_TIMEOUT)
            .disable_statement_logging();
        let anchor = migrated(database, &options).await?;
        let files = Arc::new(DatabaseFiles::open(path).map_err(|error| cannot_open(error.into()))?);
        // From now on waits are in `LockState`.
        let options = options.busy_timeout(Duration::ZERO);
        let readers = PoolOptions::<Sqlite>::new()
            .max_connections(READERS)
            .test_before_acquire(false)
            .connect_lazy_with(options.clone().pragma("query_only", "on"));
        let locks = Arc::<LockState>::default();
        let (jobs, queue) = mpsc::channel(QUEUE);
        let writer = GroupWriter::new(
            options,
            anchor,
            clock.clone(),
            readers.clone(),
            Arc::clone(&files),
            Arc::clone(&locks),
            Arc::clone(&marker),
        );
        // Ends after the engine is dropped and all queued operations are done.
        tokio::spawn(writer.with_wal_limit(wal_limit).run(queue));
        let engine = Self {
            jobs,
            readers,
            clock,
            files,
            locks,
            marker,
        };
        Ok((engine, lock))
    }

    pub(super) async fn read<O: Operation>(&self, operation: O) -> Result<O::Output> {
        if let Err(fault) = self.files.check() {
            // The writer saves what it can. A full queue has a write, which does the same.
            let _ = self.jobs.try_send(Message::Check);
            return Err(StoreError::File(fault).into_error());
        }
        let mut wait = self.locks.begin();
        loop {
            match self.look(&operation).await {
                Err(error) if error.is_locked() && wait.again().await => {}
                Err(error) => {
                    error.report_damage(&self.files);
                    return Err(error.into_error());
                }
                Ok(output) => return Ok(output),
            }
        }
    }

    async fn look<O: Operation>(&self, operation: &O) -> Result<O::Output, StoreError> {
        let mut reader = self.readers.acquire().await?;
        let mut ledger = Ledger::open(&mut *reader, &self.clock);
        operation.run(&mut ledger).await
    }

    pub(super) async fn write<O: Operation>(
        &self,
        operation: O,
        queue: &WriteQueue,
    ) -> Result<O::Output> {
        let place = match operation.subject() {
            Subject::User(username) => queue.enter(Some(username))?,
            Subject::Purchase(_) | Subject::Unknown => queue.enter(None)?,
        };
        let (reply, received) = oneshot::channel();
        let job = Message::Job(Box::new(QueuedOperation {
            operation,
            _place: place,
            done: None,
            reply,
            context: Context::current(),
            span: Span::current(),
        }));
        self.jobs.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                let text = "too many changes of the users' database are queued; retry later";
                Error::new(Code::ResourceExhausted, text).with_retry_after(RETRY_AFTER)
            }
            mpsc::error::TrySendError::Closed(_) => ended(),
        })?;
        received.await.map_err(|_| ended())?
    }

    /// Returns whether a change could be written now. A full queue is no reason to be not ready.
    pub(super) async fn writable<O: Operation<Output = ()>>(
        &self,
        probe: O,
        queue: &WriteQueue,
    ) -> Result<()> {
        if queue.is_full() {
            return Ok(());
        }
        self.write(probe, queue).await
    }

    pub(super) fn marker(&self) -> &StoreMarker {
        &self.marker
    }

    /// Finishes queued operations, moves all changes into the main file, and closes it.
    pub(super) async fn close(&self) -> Result<()> {
        let (done, closed) = oneshot::channel();
        // The writer has ended if it was closed before.
        if self.jobs.send(Message::Close(done)).await.is_err() {
            return Ok(());
        }
        let outcome = closed.await.map_err(|_| ended())?;
        let released = self.marker.release().map_err(|error| {
            Error::new(
                Code::Internal,
                "cannot release the lock of the users' database",
            )
            .with_source(error)
        });
        outcome.and(released)
    }
}

/// Opens the first connection, and applies migrations.
async fn migrated(database: &Database, options: &SqliteConnectOptions) -> Result<SqliteConnection> {
    let cannot_open = |error| error::cannot_open(database, error);
    let mut connection = options.connect().await.map_err(cannot_open)?;
    sqlx::migrate!("migrations/sqlite")
        .run(&mut connection)
        .await
        .map_err(|error| error::cannot_migrate(database, error))?;
    // Until then a copy of the main file has no tables. Does nothing while another process reads.
    connection
        .rows("PRAGMA wal_checkpoint(PASSIVE)", &[])
        .await
        .map_err(cannot_open)?;
    Ok(connection)
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
fn create_for_the_owner_only(path: &Path) -> Result<()> {
    // SQLite accepts an empty file as a new database, and gives its mode to `-wal` and `-shm`. The
    // marker is in the same folder, so that exists.
    let created = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match created {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(Error::new(
            Code::FailedPrecondition,
            format!(
                "cannot create the users' database {}: {error}",
                path.display()
            ),
        )),
        _ => Ok(()),
    }
}

//! The task that writes to an SQLite database.
//!
//! SQLite allows one write transaction at a time, and a commit waits for the disk. So operations
//! that arrive during a commit share the next transaction (group commit). If a group fails, each of
//! its operations is run again alone, so that a caller only receives its own error. The loop is not
//! shared with the log store, which refuses a failed group as a whole.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rpc_runtime::{Context, Error, Result};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection, SqlitePool};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tracing::Span;

use super::super::clock::Clock;
use super::audit::AuditLine;
use super::error::StoreError;
use super::ledger::Ledger;
use super::lock_wait::{LOCK_TIMEOUT, LockState};
use super::marker::{FileStamp, StoreMarker};
use super::operations::Operation;
use super::session::{ColumnReader as _, SqlSession as _};
use super::sqlite_file::{DatabaseFiles, FileFault, FileFaultKind};
use super::sqlite_rescue;
use super::sqlite_wal::WalBound;
use super::write_queue::QueuePlace;

/// Maximum number of operations per transaction; it bounds the wait of the first one.
const GROUP: usize = 128;

/// Time without a change after which changes are moved into the main file, so that it is nearly
/// complete without its `-wal`.
const IDLE: Duration = Duration::from_secs(1);

/// Message to the writer.
pub(super) enum Message {
    Job(Box<dyn QueuedJob>),
    /// A file of the database has a fault: the writer saves what it can.
    Check,
    /// Ends the writer after all operations that are queued.
    Close(oneshot::Sender<Result<()>>),
}

pub(super) struct GroupWriter {
    options: SqliteConnectOptions,
    /// `None` after an error that may affect the connection.
    connection: Option<SqliteConnection>,
    /// Open all the time and without transactions: the last connection removes the `-wal` file.
    anchor: SqliteConnection,
    clock: Clock,
    readers: SqlitePool,
    files: Arc<DatabaseFiles>,
    locks: Arc<LockState>,
    marker: Arc<StoreMarker>,
    wal: WalBound,
    /// Whether changes may be in `-wal` only.
    is_ahead: bool,
    /// The fault for which content was saved.
    rescued: Option<FileFault>,
}

impl GroupWriter {
    pub(super) fn new(
        options: SqliteConnectOptions,
        anchor: SqliteConnection,
        clock: Clock,
        readers: SqlitePool,
        files: Arc<DatabaseFiles>,
        locks: Arc<LockState>,
        marker: Arc<StoreMarker>,
    ) -> Self {
        Self {
            options,
            connection: None,
            anchor,
            clock,
            readers,
            files,
            locks,
            marker,
            wal: WalBound::new(u64::MAX),
            is_ahead: true,
            rescued: None,
        }
    }

    /// Bounds the length of `-wal`, in bytes. It is unbounded by default.
    pub(super) fn with_wal_limit(mut self, limit: u64) -> Self {
        self.wal = WalBound::new(limit);
        self
    }

    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Message>) {
        let (mut messages, mut group, mut closing) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            let received = queue.recv_many(&mut messages, GROUP);
            let received = if self.is_ahead {
                timeout(IDLE, received).await
            } else {
                Ok(received.await)
            };
            match received {
                Ok(0) => break,
                Ok(_) => {}
                Err(_) => {
                    self.checkpoint().await;
                    continue;
                }
            }
            for message in messages.drain(..) {
                match message {
                    Message::Job(job) => group.push(job),
                    // The check precedes each transaction, also an empty one.
                    Message::Check => {}
                    Message::Close(done) => {
                        queue.close();
                        closing.push(done);
                    }
                }
            }
            self.write(&mut group).await;
        }
        let outcome = self.close().await;
        for done in closing {
            // The closer may be gone.
            let _ = done.send(outcome.clone());
        }
    }

    async fn write(&mut self, group: &mut Vec<Box<dyn QueuedJob>>) {
        // Their callers are gone, and they have not been started.
        group.retain(|job| !job.is_abandoned());
        match self.transaction(group).await {
            Ok(()) => group.drain(..).for_each(QueuedJob::finish),
            Err(TransactionError::Within(_)) if group.len() > 1 => {
                for mut job in group.drain(..) {
                    match self.transaction(std::slice::from_mut(&mut job)).await {
                        Ok(()) => job.finish(),
                        Err(error) => job.fail(error.into_inner().into_error()),
                    }
                }
            }
            // Each of them alone would fail in the same way.
            Err(error) => {
                let error = error.into_inner().into_error();
                group.drain(..).for_each(|job| job.fail(error.clone()));
            }
        }
    }

    /// Checks the files of the database, and saves what it can after a fault.
    async fn check(&mut self) -> Result<(), StoreError> {
        match self.files.check() {
            Ok(()) => {
                self.rescued = None;
                Ok(())
            }
            Err(fault) => {
                if self.rescued.replace(fault) != Some(fault) {
                    let path = self.options.get_filename().to_owned();
                    sqlite_rescue::save(&mut self.anchor, &path, &self.marker, fault).await;
                }
                Err(StoreError::File(fault))
            }
        }
    }

    /// Runs all operations in one transaction, or none.
    async fn transaction(
        &mut self,
        group: &mut [Box<dyn QueuedJob>],
    ) -> Result<(), TransactionError> {
        self.check().await.map_err(TransactionError::Begin)?;
        if group.is_empty() {
            return Ok(());
        }
        let room = self.wal.keep(&mut self.anchor, &self.files).await;
        room.map_err(TransactionError::Begin)?;
        let mut connection = self.begin().await.map_err(TransactionError::Begin)?;
        self.is_ahead = true;
        let outcome = commit(group, &mut connection, &self.clock).await;
        match outcome {
            Ok(changes) => {
                // Only a change in the files that others will open is acknowledged. It is not
                // repeated, since it is committed.
                if let Err(error) = self.check().await {
                    let _ = connection.close().await;
                    return Err(TransactionError::Files(error));
                }
                if let Some(changes) = changes {
                    self.marker.record(changes);
                }
                self.connection = Some(connection);
                Ok(())
            }
            Err(error) => {
                error.report_damage(&self.files);
                // Releases the lock before the next connection requests it.
                let _ = connection.close().await;
                Err(TransactionError::Within(error))
            }
        }
    }

    /// Begins a transaction. Waits for the lock of another process.
    async fn begin(&mut self) -> Result<SqliteConnection, StoreError> {
        let locks = Arc::clone(&self.locks);
        let mut wait = locks.begin();
        loop {
            // A connection is not reused after an error, because its transaction state is unknown.
            // It is put back after the commit.
            let attempt = async {
                let mut connection = match self.connection.take() {
                    Some(connection) => connection,
                    None => self.options.connect().await?,
                };
                connection.rows("BEGIN IMMEDIATE", &[]).await?;
                Ok::<_, sqlx::Error>(connection)
            };
            match attempt.await.map_err(StoreError::from) {
                Ok(connection) => {
                    wait.succeeded();
                    return Ok(connection);
                }
                Err(error) if error.is_locked() && wait.again().await => {}
                Err(error) => {
                    error.report_damage(&self.files);
                    return Err(error);
                }
            }
        }
    }

    /// Moves changes into the main file. What is not moved now is moved later.
    async fn checkpoint(&mut self) {
        self.is_ahead = false;
        if self.check().await.is_err() {
            return;
        }
        self.marker.keep();
        let moved = self.anchor.rows("PRAGMA wal_checkpoint(PASSIVE)", &[]);
        if let Err(error) = moved.await {
            let path = self.options.get_filename().display();
            tracing::debug!(
                ?error,
                "cannot move changes from {path}-wal into the users' database yet; \
                 tried again after the next change"
            );
            StoreError::from(error).report_damage(&self.files);
        }
    }

    /// Moves all changes into the main file and closes it.
    async fn close(self) -> Result<()> {
        let Self {
            connection,
            mut anchor,
            readers,
            files,
            options,
            marker,
            ..
        } = self;
        let fault = files.check();
        if let Err(fault) = fault
            && fault.kind != FileFaultKind::Removed
        {
            // The last connection would move `-wal` into a main file that it does not belong to,
            // and remove a `-wal` of this name, which may be that of others.
            std::mem::forget((connection, anchor));
            return Err(StoreError::File(fault).into_error());
        }
        readers.close().await;
        if let Some(connection) = connection {
            // An error of closing changes nothing: the changes are committed.
            let _ = connection.close().await;
        }
        let moved = sqlite_rescue::checkpoint(&mut anchor, LOCK_TIMEOUT).await;
        let closed = anchor.close().await.map_err(|error| error.to_string());
        // Open until here, since closing it releases the locks of the connections.
        drop(files);
        fault.map_err(|fault| StoreError::File(fault).into_error())?;
        let path = options.get_filename();
        marker.keep();
        if let Err(error) = moved.and(closed) {
            tracing::warn!(
                "changes remain in {}-wal, which belongs to the database: {error}",
                path.display()
            );
        } else if let Ok(metadata) = std::fs::metadata(path) {
            marker.record_closed(FileStamp::of(&metadata));
        }
        Ok(())
    }
}

/// Runs all operations and commits. Returns the number of the transaction, if it has changed
/// anything.
async fn commit(
    group: &mut [Box<dyn QueuedJob>],
    connection: &mut SqliteConnection,
    clock: &Clock,
) -> Result<Option<i64>, StoreError> {
    const COUNT: &str = "UPDATE revision SET changes = changes + 1 RETURNING changes";
    let mut has_changed = false;
    for job in group {
        // Its caller may have left while the transaction waited for a lock.
        if !job.is_abandoned() {
            has_changed |= job.run(connection, clock).await?;
        }
    }
    let mut changes = None;
    if has_changed {
        let rows = connection.rows(COUNT, &[]).await?;
        changes = rows.first().map(|row| row.int(0)).transpose()?;
    }
    connection.rows("COMMIT", &[]).await?;
    Ok(changes)
}

/// Error of a transaction.
enum TransactionError {
    /// The transaction could not begin; its operations do not matter.
    Begin(StoreError),
    Within(StoreError),
    /// The files are not those of the database after the commit.
    Files(StoreError),
}

impl TransactionError {
    fn into_inner(self) -> StoreError {
        match self {
            Self::Begin(error) | Self::Within(error) | Self::Files(error) => error,
        }
    }
}

// === the queue ===

/// A queued operation of any output type.
pub(super) trait QueuedJob: Send {
    /// Returns whether the caller is gone.
    fn is_abandoned(&self) -> bool;

    /// Runs the operation, and returns whether it has changed anything.
    fn run<'a>(
        &'a mut self,
        session: &'a mut SqliteConnection,
        clock: &'a Clock,
    ) -> Pin<Box<dyn Future<Output = Result<bool, StoreError>> + Send + 'a>>;

    /// Sends the output, after the commit.
    fn finish(self: Box<Self>);

    /// Sends an error, after a rollback.
    fn fail(self: Box<Self>, error: Error);
}

pub(super) struct QueuedOperation<O: Operation> {
    pub(super) operation: O,
    pub(super) _place: QueuePlace,
    /// Output and log events of the last run.
    pub(super) done: Option<(O::Output, Vec<AuditLine>)>,
    pub(super) reply: oneshot::Sender<Result<O::Output>>,
    /// Context of the caller, for the log lines.
    pub(super) context: Context,
    pub(super) span: Span,
}

impl<O: Operation> QueuedJob for QueuedOperation<O> {
    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn run<'a>(
        &'a mut self,
        session: &'a mut SqliteConnection,
        clock: &'a Clock,
    ) -> Pin<Box<dyn Future<Output = Result<bool, StoreError>> + Send + 'a>> {
        Box::pin(async move {
            let mut ledger = Ledger::open(session, clock);
            let output = self.operation.run(&mut ledger).await?;
            let has_changed = ledger.has_changed;
            self.done = Some((output, ledger.events));
            Ok(has_changed)
        })
    }

    fn finish(self: Box<Self>) {
        let Some((output, events)) = self.done else {
            return;
        };
        self.span.in_scope(|| {
            self.context
                .enter(|| events.iter().for_each(AuditLine::log));
        });
        // The caller may be gone.
        let _ = self.reply.send(Ok(output));
    }

    fn fail(self: Box<Self>, error: Error) {
        let _ = self.reply.send(Err(error));
    }
}

//! Writes records to the file. Waiting jobs share one transaction.
//!
//! The loop is not shared with the user store: a failed group is refused as a whole here, while the
//! user store repeats its operations one by one.

use std::sync::Arc;
use std::time::Duration;

use rpc_runtime::files::FileLock;
use rpc_runtime::{Code, Error, Result};
use sqlx::SqliteConnection;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::Instant;

use super::super::{count, missing::MissingRecords, sequence::SequenceTracker};
use super::StoreShared;
use super::error::{LogStoreError, LogStoreErrorKind, RETRY_AFTER};
use super::file::{self, FileIdentity};
use super::insert::{self, Tables};
use super::retention::Retention;
use super::shares::text_bytes;
use super::wal::WalBound;
use crate::api::logsink::Record;

/// Number of records at which a transaction takes no further job.
const GROUP: usize = 4096;

/// Bytes of text at which a transaction takes no further job.
const GROUP_BYTES: usize = 1 << 20;

/// Divisor of the size limit: this part is freed when SQLite reports a full file despite the
/// estimate.
const EXTRA_SPACE_DIVISOR: u64 = 8;

/// Time for which a missing file may come back before a new one is created. What a new file takes
/// is lost if the old one is then renamed over it. The advice of the error names the time.
const RENAME_TIMEOUT: Duration = Duration::from_secs(5);

/// Number of newly stored records of a call. Several calls share the error.
pub(in super::super) type StoreResult = Result<u32, Arc<LogStoreError>>;

/// Records of one call, waiting to be stored.
#[derive(Debug)]
pub(in super::super) struct StoreJob {
    pub(in super::super) records: Arc<[Record]>,
    pub(in super::super) reply: oneshot::Sender<StoreResult>,
    pub(in super::super) permit: OwnedSemaphorePermit,
}

impl StoreJob {
    /// Responds to the call with the number of new records, or with the error.
    fn complete(self, stored: StoreResult) {
        // Released first, so that a caller with a response finds the capacity free.
        drop(self.permit);
        // The caller may be gone.
        let _ = self.reply.send(stored);
    }
}

/// Task that stores the records of queued jobs.
pub(super) struct StoreWriter {
    shared: Arc<StoreShared>,
    jobs: mpsc::UnboundedReceiver<StoreJob>,
    lock: Option<FileLock>,
    open: Option<OpenStore>,
    /// The last error and when it occurred.
    last_error: Option<(Arc<LogStoreError>, Instant)>,
    /// Records not stored since the first error.
    refused: MissingRecords,
    /// Whether the file was checked since it may have been damaged.
    checked: bool,
}

/// An open database file.
struct OpenStore {
    connection: SqliteConnection,
    identity: FileIdentity,
    tables: Tables,
    retention: Retention,
    wal: WalBound,
    /// Sequence numbers of stored records, including evicted ones.
    seen: SequenceTracker,
    /// When the file was first seen to be missing.
    missing_since: Option<Instant>,
}

impl StoreWriter {
    pub(super) fn new(shared: Arc<StoreShared>, jobs: mpsc::UnboundedReceiver<StoreJob>) -> Self {
        Self {
            shared,
            jobs,
            lock: None,
            open: None,
            last_error: None,
            refused: MissingRecords::default(),
            checked: false,
        }
    }

    /// Opens the file and returns the stored sequence numbers. An error is logged and not returned.
    pub(super) async fn begin(&mut self) -> SequenceTracker {
        let outcome = self.open().await.map(|open| {
            let (last, seen) = (open.tables.last(), open.seen.clone());
            (last, seen)
        });
        self.log_change(outcome.as_ref().err(), &[]);
        let (last, seen) = outcome.unwrap_or_default();
        self.shared.head.send_replace(last);
        seen
    }

    pub(super) async fn run(mut self) -> Result<()> {
        let mut group = Vec::new();
        while let Some(first) = self.jobs.recv().await {
            let (mut records, mut bytes) = (0, 0);
            let mut next = Some(first);
            while let Some(job) = next {
                records += job.records.len();
                bytes += job.records.iter().map(text_bytes).sum::<usize>();
                group.push(job);
                next = (records < GROUP && bytes < GROUP_BYTES)
                    .then(|| self.jobs.try_recv().ok())
                    .flatten();
            }
            let outcome = self.store(&group).await;
            self.log_change(outcome.as_ref().err(), &group);
            match outcome {
                Ok(counts) => {
                    for (job, new) in group.drain(..).zip(counts) {
                        job.complete(Ok(new));
                    }
                }
                Err(problem) => {
                    for job in group.drain(..) {
                        job.complete(Err(Arc::clone(&problem)));
                    }
                }
            }
        }
        self.close().await;
        match (self.last_error, self.refused.count()) {
            (Some((problem, _)), refused) if refused > 0 => {
                let advice = problem.advice(&self.shared.options.path);
                let text = format!("{refused} log records were not stored: {advice}");
                Err(Error::new(Code::DataLoss, text).public())
            }
            _ => Ok(()),
        }
    }

    /// Stores the records of all jobs in one transaction, or none. Returns the number of new
    /// records of each job.
    async fn store(&mut self, group: &[StoreJob]) -> Result<Vec<u32>, Arc<LogStoreError>> {
        self.close_if_replaced().await?;
        let mut again = true;
        loop {
            let open = self.open().await?;
            let problem = match open.append(group).await {
                Ok(counts) => {
                    let last = open.tables.last();
                    self.shared.head.send_replace(last);
                    return Ok(counts);
                }
                Err(problem) => problem,
            };
            if problem.kind == LogStoreErrorKind::Corrupt && std::mem::take(&mut again) {
                self.checked = false;
                self.close().await;
                continue;
            }
            if !problem.leaves_connection() {
                self.close().await;
            }
            return Err(Arc::new(problem));
        }
    }

    /// Returns the open file, and opens it if necessary. After an error it is not reopened before
    /// [`RETRY_AFTER`].
    async fn open(&mut self) -> Result<&mut OpenStore, Arc<LogStoreError>> {
        if self.open.is_none() {
            if let Some((problem, since)) = &self.last_error
                && since.elapsed() < RETRY_AFTER
            {
                return Err(Arc::clone(problem));
            }
            let opened = match self.try_open().await {
                Err(problem) if problem.kind == LogStoreErrorKind::Corrupt => {
                    self.replace_damaged(problem).await
                }
                outcome => outcome,
            }?;
            return Ok(self.open.insert(opened));
        }
        // Not part of one `match` with the code above, because of the borrow checker.
        self.open.as_mut().ok_or_else(|| {
            Arc::new(LogStoreError::new(
                LogStoreErrorKind::CannotOpen,
                "no connection",
            ))
        })
    }

    async fn try_open(&mut self) -> Result<OpenStore, LogStoreError> {
        let StoreShared { options, .. } = &*self.shared;
        if self.lock.is_none() {
            self.lock = Some(file::lock(&options.path)?);
        }
        if FileIdentity::of(&options.path).is_wal_alone() {
            // SQLite would delete the `-wal` beside a new file.
            let aside = file::move_aside(&options.path)
                .map_err(|error| LogStoreError::move_failed(&error))?;
            tracing::error!(
                "{}: the file is missing; its `-wal` file was renamed to {}-wal; the store starts with an empty file",
                options.path.display(),
                aside.display()
            );
        }
        let mut connection = file::open(&options.path, options.bytes).await?;
        let look = async {
            if !self.checked {
                file::check(&mut connection, &options.path).await?;
                self.checked = true;
            }
            let seen = insert::seen(&mut connection).await?;
            let tables = Tables::new(&mut connection).await?;
            let retention = Retention::new(&mut connection, options.bytes).await?;
            Ok((seen, tables, retention))
        };
        match look.await {
            Ok((seen, tables, retention)) => Ok(OpenStore {
                connection,
                identity: FileIdentity::of(&options.path),
                tables,
                retention,
                wal: WalBound::new(&options.path, options.bytes),
                seen,
                missing_since: None,
            }),
            Err(problem) => {
                // The first error is reported; an error of closing adds nothing.
                let _ = file::close(connection).await;
                Err(problem)
            }
        }
    }

    /// Renames a damaged file and starts with an empty one.
    async fn replace_damaged(&mut self, damage: LogStoreError) -> Result<OpenStore, LogStoreError> {
        let path = self.shared.options.path.clone();
        self.shared.renew_readers().await;
        let aside = file::move_aside(&path).map_err(|error| LogStoreError::move_failed(&error))?;
        tracing::error!(
            "{}: damaged ({}), renamed to {}; the store starts with an empty file",
            path.display(),
            damage.detail,
            aside.display()
        );
        self.shared.renew_readers().await;
        self.try_open().await
    }

    /// Closes the file if the file or its `-wal` was removed or replaced: records stored in it
    /// would be lost with the process.
    ///
    /// # Errors
    ///
    /// [`Removed`](LogStoreErrorKind::Removed) if only the file is missing, for
    /// [`RENAME_TIMEOUT`].
    async fn close_if_replaced(&mut self) -> Result<(), Arc<LogStoreError>> {
        let path = &self.shared.options.path;
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        let now = FileIdentity::of(path);
        if now == open.identity {
            open.missing_since = None;
            return Ok(());
        }
        if now.is_wal_alone() {
            let since = open.missing_since.get_or_insert_with(Instant::now);
            if since.elapsed() < RENAME_TIMEOUT {
                let kind = LogStoreErrorKind::Removed;
                return Err(Arc::new(LogStoreError::new(kind, "no such file")));
            }
        }
        tracing::warn!(
            records = open.retention.records(),
            "{}: the file of the log store or its `-wal` file was removed or replaced; reopening the store; \
             `records` were stored before",
            path.display()
        );
        self.close().await;
        Ok(())
    }

    /// Closes the file after its readers: the last connection performs the checkpoint.
    async fn close(&mut self) {
        let Some(open) = self.open.take() else {
            return;
        };
        self.shared.renew_readers().await;
        if let Err(problem) = file::close(open.connection).await {
            // Accepted records are in the file or in its write-ahead log.
            let path = self.shared.options.path.display();
            tracing::warn!(
                "records remain in {path}-wal, which belongs to the log store: {}",
                problem.detail
            );
        }
    }

    /// Logs the first error and the first success after it. Callers receive their errors in any
    /// case.
    fn log_change(&mut self, problem: Option<&Arc<LogStoreError>>, group: &[StoreJob]) {
        match problem {
            Some(problem) => {
                let records = group.iter().flat_map(|job| &*job.records);
                records.for_each(|record| self.refused.add(record));
                let news = self
                    .last_error
                    .as_ref()
                    .is_none_or(|(before, _)| before.kind != problem.kind);
                if news {
                    let advice = problem.advice(&self.shared.options.path);
                    tracing::error!("cannot store log records: {advice}");
                }
                let repeated = self
                    .last_error
                    .as_ref()
                    .is_some_and(|(before, _)| Arc::ptr_eq(before, problem));
                if !repeated {
                    self.last_error = Some((Arc::clone(problem), Instant::now()));
                }
            }
            None => {
                if self.last_error.take().is_some() {
                    let refused = std::mem::take(&mut self.refused).count();
                    tracing::warn!(refused, "log records are stored again");
                }
            }
        }
    }
}

impl OpenStore {
    /// Stores records that are not stored yet. Returns their number for each job.
    async fn append(&mut self, group: &[StoreJob]) -> Result<Vec<u32>, LogStoreError> {
        let mut fresh = Vec::new();
        let mut counts = Vec::with_capacity(group.len());
        for job in group {
            let before = fresh.len();
            for record in &*job.records {
                let unstored = match (record.epoch, record.sequence) {
                    (Some(epoch), Some(sequence)) => {
                        self.seen.insert(&record.source, epoch, sequence)
                    }
                    _ => true,
                };
                if unstored {
                    fresh.push(record);
                }
            }
            counts.push(count(fresh.len() - before));
        }
        if fresh.is_empty() {
            return Ok(counts);
        }
        let mut outcome = self.write(&fresh, 0).await;
        if matches!(&outcome, Err(problem) if problem.kind == LogStoreErrorKind::Full) {
            outcome = self.write(&fresh, EXTRA_SPACE_DIVISOR).await;
        }
        if outcome.is_err() {
            for record in fresh {
                if let (Some(epoch), Some(sequence)) = (record.epoch, record.sequence) {
                    self.seen.remove(&record.source, epoch, sequence);
                }
            }
        }
        outcome.map(|()| counts)
    }

    /// Inserts records in one transaction.
    async fn write(&mut self, records: &[&Record], spare: u64) -> Result<(), LogStoreError> {
        let outcome = self.write_parts(records, spare).await;
        if outcome.is_err() {
            // Fails if SQLite has already rolled back. For this reason the transaction is not
            // managed by sqlx, which would stay in a failed transaction.
            let _ = sqlx::query("ROLLBACK").execute(&mut self.connection).await;
            self.tables.forget();
            self.retention.forget();
        }
        outcome
    }

    async fn write_parts(&mut self, records: &[&Record], spare: u64) -> Result<(), LogStoreError> {
        let connection = &mut self.connection;
        let added = records.len() as u64;
        let bytes = records.iter().map(|record| text_bytes(record) as u64).sum();
        self.wal.truncate_for(connection, added, bytes).await?;
        sqlx::query("BEGIN IMMEDIATE")
            .execute(&mut *connection)
            .await?;
        let removed = self
            .retention
            .evict_until_fits(connection, added, bytes, spare)
            .await?;
        if removed > 0 {
            self.tables.forget_sources(connection).await?;
        }
        let shares = self.retention.shares(connection).await?;
        self.tables.add(connection, records, shares).await?;
        self.tables
            .remember(connection, records, &mut self.seen)
            .await?;
        self.retention.save(connection).await?;
        sqlx::query("COMMIT").execute(&mut *connection).await?;
        Ok(())
    }
}

//! The one who writes to the file: what waits goes into one transaction.

use std::fs::File;
use std::sync::Arc;

use rpc_runtime::{Code, Error, Result};
use sqlx::SqliteConnection;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::Instant;

use super::super::line_writer::{AcceptResult, WriteError};
use super::super::{count, sequence::SequenceTracker};
use super::StoreShared;
use super::error::{LogStoreError, LogStoreErrorKind, RETRY_AFTER};
use super::file::{self, FileIdentity};
use super::insert::{self, Tables};
use super::retention::Retention;
use crate::api::logsink::Record;

/// How many records go into one transaction; the last call may bring more.
const GROUP: usize = 4096;

/// How many bytes of text go into one transaction; the last call may bring more.
const GROUP_BYTES: usize = 1 << 20;

/// The part of the bound that is freed where SQLite finds less room than was thought.
const MORE_ROOM: u64 = 8;

/// The records of one call, on their way from paper.
#[derive(Debug)]
pub(in super::super) struct PrintedJob {
    pub(in super::super) records: Vec<Record>,
    /// Of each record, whether it was not written before.
    pub(in super::super) new: Vec<bool>,
    /// Whether it is written now.
    pub(in super::super) written: Result<(), WriteError>,
    pub(in super::super) answer: oneshot::Sender<AcceptResult>,
    pub(in super::super) room: OwnedSemaphorePermit,
}

impl PrintedJob {
    /// Answers the call: how many of its records were new, unless they could not be written or stored.
    pub(in super::super) fn answer(self, stored: AcceptResult) {
        // The room first: a caller that has its answer finds it free.
        drop(self.room);
        // Nobody waits any more where the caller went away.
        let _ = self.answer.send(self.written.and(stored));
    }
}

/// Writes what comes, until nobody can send any more.
pub(super) struct StoreWriter {
    shared: Arc<StoreShared>,
    jobs: mpsc::UnboundedReceiver<PrintedJob>,
    lock: Option<File>,
    open: Option<OpenStore>,
    /// What kept it from storing the last time, and when that was.
    trouble: Option<(Arc<LogStoreError>, Instant)>,
    /// Records that were not stored since there is trouble.
    refused: usize,
    /// Whether the file was looked through since it may have been damaged.
    checked: bool,
}

/// The open file.
struct OpenStore {
    connection: SqliteConnection,
    identity: Option<FileIdentity>,
    tables: Tables,
    room: Retention,
    /// What is stored, or was.
    seen: SequenceTracker,
}

impl StoreWriter {
    pub(super) fn new(shared: Arc<StoreShared>, jobs: mpsc::UnboundedReceiver<PrintedJob>) -> Self {
        Self {
            shared,
            jobs,
            lock: None,
            open: None,
            trouble: None,
            refused: 0,
            checked: false,
        }
    }

    /// Opens the file, and says what came in earlier lives. Where it cannot be opened, the log says why.
    pub(super) async fn begin(&mut self) -> SequenceTracker {
        let outcome = self.open().await.map(|open| {
            let (last, seen) = (open.tables.last(), open.seen.clone());
            (last, seen)
        });
        self.note(outcome.as_ref().err(), 0);
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
            self.note(outcome.as_ref().err(), records);
            match outcome {
                Ok(counts) => {
                    for (job, new) in group.drain(..).zip(counts) {
                        job.answer(Ok(new));
                    }
                }
                Err(problem) => {
                    for job in group.drain(..) {
                        job.answer(Err(WriteError::Store(Arc::clone(&problem))));
                    }
                }
            }
        }
        self.close().await;
        match (self.trouble, self.refused) {
            (Some((problem, _)), refused) if refused > 0 => {
                let advice = problem.advice(&self.shared.options.path);
                let text = format!("{refused} records are not stored: {advice}");
                Err(Error::new(Code::DataLoss, text).public())
            }
            _ => Ok(()),
        }
    }

    /// Stores the records of all calls or none; of each call, how many were new.
    async fn store(&mut self, group: &[PrintedJob]) -> Result<Vec<u32>, Arc<LogStoreError>> {
        self.look().await;
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

    /// The file, opened where it is not. After a failure not at once again: callers are told to wait, too.
    async fn open(&mut self) -> Result<&mut OpenStore, Arc<LogStoreError>> {
        if self.open.is_none() {
            if let Some((problem, since)) = &self.trouble
                && since.elapsed() < RETRY_AFTER
            {
                return Err(Arc::clone(problem));
            }
            let opened = match self.try_open().await {
                Err(problem) if problem.kind == LogStoreErrorKind::Corrupt => {
                    self.start_afresh(problem).await
                }
                outcome => outcome,
            }?;
            return Ok(self.open.insert(opened));
        }
        // Not in one `match` with what is above: the borrow would last through it.
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
            self.lock = Some(file::take(&options.path)?);
        }
        let mut connection = file::open(&options.path, options.bytes).await?;
        let look = async {
            if !self.checked {
                file::check(&mut connection, &options.path).await?;
                self.checked = true;
            }
            let seen = insert::seen(&mut connection).await?;
            let tables = Tables::new(&mut connection).await?;
            let room = Retention::new(&mut connection, options.bytes).await?;
            Ok((seen, tables, room))
        };
        match look.await {
            Ok((seen, tables, room)) => Ok(OpenStore {
                connection,
                identity: FileIdentity::of(&options.path),
                tables,
                room,
                seen,
            }),
            Err(problem) => {
                // What is wrong is known; that it does not close well, too, is nothing new.
                let _ = file::close(connection).await;
                Err(problem)
            }
        }
    }

    /// Moves a damaged file out of the way and begins with an empty one.
    async fn start_afresh(&mut self, damage: LogStoreError) -> Result<OpenStore, LogStoreError> {
        let path = self.shared.options.path.clone();
        self.shared.renew_readers().await;
        let aside = file::move_aside(&path).map_err(|error| {
            LogStoreError::new(
                LogStoreErrorKind::CannotOpen,
                format!("damaged, and {error}"),
            )
        })?;
        tracing::error!(
            "{}: it is damaged ({}) and is {} now; the store begins anew",
            path.display(),
            damage.detail,
            aside.display()
        );
        self.shared.renew_readers().await;
        self.try_open().await
    }

    /// Closes the file where somebody has removed it, or what is written ahead of it, under our hands: what is stored
    /// then would be gone with the process.
    async fn look(&mut self) {
        let path = &self.shared.options.path;
        let Some(open) = &self.open else {
            return;
        };
        if FileIdentity::of(path) != open.identity {
            tracing::warn!(
                "{}: somebody removed or replaced it, or its -wal; it is opened again",
                path.display()
            );
            self.close().await;
        }
    }

    /// Closes the file, the readers first: what is written ahead is moved to its place by the last who closes.
    async fn close(&mut self) {
        let Some(open) = self.open.take() else {
            return;
        };
        self.shared.renew_readers().await;
        if let Err(problem) = file::close(open.connection).await {
            // What was answered is in the file, or in what is written ahead of it.
            tracing::debug!(?problem, "the store was not closed in order");
        }
    }

    /// Says once that storing fails, and once that it works again. Each caller gets its own answer anyway.
    fn note(&mut self, problem: Option<&Arc<LogStoreError>>, records: usize) {
        match problem {
            Some(problem) => {
                self.refused += records;
                let news = self
                    .trouble
                    .as_ref()
                    .is_none_or(|(before, _)| before.kind != problem.kind);
                if news {
                    let advice = problem.advice(&self.shared.options.path);
                    tracing::error!("cannot store the log: {advice}");
                }
                let repeated = self
                    .trouble
                    .as_ref()
                    .is_some_and(|(before, _)| Arc::ptr_eq(before, problem));
                if !repeated {
                    self.trouble = Some((Arc::clone(problem), Instant::now()));
                }
            }
            None => {
                if self.trouble.take().is_some() {
                    let refused = std::mem::take(&mut self.refused);
                    tracing::warn!(refused, "storing the log again");
                }
            }
        }
    }
}

impl OpenStore {
    /// Stores what is not stored yet; of each call, how many records were new to it or to paper.
    async fn append(&mut self, group: &[PrintedJob]) -> Result<Vec<u32>, LogStoreError> {
        let mut fresh = Vec::new();
        let mut counts = Vec::with_capacity(group.len());
        for job in group {
            let mut new = 0;
            for (record, &unwritten) in job.records.iter().zip(&job.new) {
                let unstored = match (record.epoch, record.sequence) {
                    (Some(epoch), Some(sequence)) => {
                        self.seen.insert(&record.source, epoch, sequence)
                    }
                    _ => true,
                };
                if unstored {
                    fresh.push(record);
                }
                new += usize::from(unstored || unwritten);
            }
            counts.push(count(new));
        }
        if fresh.is_empty() {
            return Ok(counts);
        }
        let mut outcome = self.write(&fresh, 0).await;
        if matches!(&outcome, Err(problem) if problem.kind == LogStoreErrorKind::Full) {
            outcome = self.write(&fresh, MORE_ROOM).await;
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

    /// Stores records in one transaction.
    async fn write(&mut self, records: &[&Record], spare: u64) -> Result<(), LogStoreError> {
        let outcome = self.write_parts(records, spare).await;
        if outcome.is_err() {
            // SQLite may have rolled back by itself, and then this fails. That is why the transaction is not one of
            // sqlx's, which would believe itself in it for ever.
            let _ = sqlx::query("ROLLBACK").execute(&mut self.connection).await;
            self.tables.forget();
        }
        outcome
    }

    async fn write_parts(&mut self, records: &[&Record], spare: u64) -> Result<(), LogStoreError> {
        let connection = &mut self.connection;
        let added = records.len() as u64;
        let bytes = records.iter().map(|record| text_bytes(record) as u64).sum();
        sqlx::query("BEGIN IMMEDIATE")
            .execute(&mut *connection)
            .await?;
        let removed = self
            .room
            .evict_until_fits(connection, added, bytes, spare)
            .await?;
        if removed > 0 {
            self.tables.forget_sources(connection).await?;
        }
        self.tables.add(connection, records).await?;
        self.tables
            .remember(connection, records, &mut self.seen)
            .await?;
        sqlx::query("COMMIT").execute(&mut *connection).await?;
        self.room.note(added, removed);
        Ok(())
    }
}

fn text_bytes(record: &Record) -> usize {
    record.text.len()
        + record.target.len()
        + record.request_id.as_ref().map_or(0, |id| id.as_str().len())
}

//! Queue of records to print and to store, bounded in bytes.
//!
//! A write blocks while the reader of a pipe is slow, and must not block a worker thread of tokio.
//! So a call enqueues its records and waits for the result. With a store, the result is whether the
//! records are stored; the lines have a queue of their own, and storing does not wait for them.
//! Without one, each failed write is reported to the caller.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use rpc_runtime::{Code, Error, Result, fail};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use super::line::append_line;
use super::line_writer::{LineWriter, PrintResult, PrintState, WriteJob};
use super::sequence::SequenceTracker;
use super::store::{Intake, StoreJob, StoreResult, StoreTask};
use crate::api::logsink::Record;

/// Capacity for records that wait to be stored, and for lines that wait to be written, in bytes.
/// More than the largest message needs, even if each of its characters is escaped.
const CAPACITY: u32 = 32 << 20;

/// Overhead of a queued job, in bytes. It bounds the number of small jobs.
const JOB_BYTES: usize = 256;

/// Delay before a caller retries when the queue is full.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Time that a call waits for its lines after its records are stored. After that, the output counts
/// as blocked, and calls do not wait for lines until it takes some.
const LINE_WAIT: Duration = Duration::from_secs(1);

/// Handle of the print queue. Cheap to clone; the printing thread ends after the last clone is
/// dropped.
#[derive(Debug, Clone)]
pub struct PrintQueue {
    /// Locked while a call enqueues its records, so that they are stored in the order of the lines.
    queues: Arc<Mutex<Queues>>,
    free_bytes: Arc<Semaphore>,
    /// The part of the lines that wait beside a store. Without one, [`Self::free_bytes`] is for
    /// both.
    free_line_bytes: Arc<Semaphore>,
    capacity: u32,
    /// Whether a call was rejected because the queue was full and the queue has not been empty
    /// since.
    is_refusing: Arc<AtomicBool>,
    state: Arc<PrintState>,
}

#[derive(Debug)]
struct Queues {
    lines: mpsc::Sender<WriteJob>,
    /// Queue of the store's writer; `None` without a store.
    store: Option<UnboundedSender<StoreJob>>,
}

/// The results that a call waits for.
enum Enqueued {
    /// That of the lines; there is no store.
    Lines(oneshot::Receiver<PrintResult>),
    /// That of the store, and that of the lines unless they are skipped.
    Records(
        oneshot::Receiver<StoreResult>,
        Option<oneshot::Receiver<PrintResult>>,
    ),
}

impl PrintQueue {
    /// Starts a thread that writes to `out`. Records also go to `store`.
    ///
    /// # Errors
    ///
    /// Fails when the system cannot create a thread.
    pub fn start(
        out: impl Write + Send + 'static,
        store: Option<Intake>,
    ) -> io::Result<(Self, WriterHandle)> {
        Self::with_capacity(out, store, CAPACITY)
    }

    /// Like [`start`](Self::start), with a capacity of `bytes` for waiting records, and as much for
    /// waiting lines if there is a store.
    ///
    /// # Errors
    ///
    /// Those of [`start`](Self::start).
    pub fn with_capacity(
        out: impl Write + Send + 'static,
        store: Option<Intake>,
        bytes: u32,
    ) -> io::Result<(Self, WriterHandle)> {
        let (lines, queue) = mpsc::channel();
        let (ending, ended) = oneshot::channel::<()>();
        let state = Arc::new(PrintState::default());
        let (store, seen, storing) = match store.map(Intake::split) {
            Some((store, seen, storing)) => (Some(store), seen, Some(storing)),
            None => (None, SequenceTracker::default(), None),
        };
        let has_store = store.is_some();
        // Records that an earlier process stored were also printed by it.
        let mut writer = LineWriter::new(out, seen, has_store, Arc::clone(&state));
        thread::Builder::new()
            .name("printer".to_owned())
            .spawn(move || {
                writer.write_all(&queue);
                drop(writer);
                drop(ending);
            })?;
        Ok((
            Self {
                queues: Arc::new(Mutex::new(Queues { lines, store })),
                free_bytes: Arc::new(Semaphore::new(bytes as usize)),
                free_line_bytes: Arc::new(Semaphore::new(bytes as usize)),
                capacity: bytes,
                is_refusing: Arc::default(),
                state: Arc::clone(&state),
            },
            WriterHandle {
                ended,
                storing,
                state,
            },
        ))
    }

    /// Writes each record as a line and stores it if there is a store. Returns how many records are
    /// new.
    ///
    /// With a store, lines that cannot be written, or wait for too long, are left to the printing
    /// thread.
    ///
    /// # Errors
    ///
    /// `resource_exhausted` when the queue or the store is full; `unavailable` when records could
    /// not be stored or, without a store, lines not be written. Some of them may be written or
    /// stored nevertheless.
    ///
    /// # Cancellation
    ///
    /// Enqueued records are written and stored even if the future is dropped: a record without a
    /// response is better than a response without a record.
    pub async fn accept(&self, records: Vec<Record>) -> Result<u32> {
        if records.is_empty() {
            return Ok(0);
        }
        let (stored, printed) = match self.enqueue(&records.into())? {
            Enqueued::Lines(printed) => return printed_lines(printed.await.ok()),
            Enqueued::Records(stored, printed) => (stored, printed),
        };
        let stored = stored.await;
        if let Some(printed) = printed
            && !self.state.blocked.load(Ordering::Relaxed)
            && timeout(LINE_WAIT, printed).await.is_err()
            && !self.state.blocked.swap(true, Ordering::Relaxed)
        {
            tracing::error!(
                "the output of log lines takes none: they wait until it does, and their records are in the store"
            );
        }
        match stored {
            Ok(stored) => stored.map_err(|problem| problem.to_error()),
            Err(_) => ended_early(),
        }
    }

    /// Enqueues the lines and the records.
    fn enqueue(&self, records: &Arc<[Record]>) -> Result<Enqueued> {
        let mut lines = String::new();
        let mut ends = Vec::with_capacity(records.len());
        for record in &**records {
            append_line(record, &mut lines);
            ends.push(lines.len());
        }
        let kept: usize = records.iter().map(size_of_record).sum();
        // A call larger than the capacity takes all of it.
        let needed = u32::try_from(lines.len() + kept + JOB_BYTES)
            .unwrap_or(u32::MAX)
            .min(self.capacity);
        let permit = self.permit(needed)?;
        let (reply, printed) = oneshot::channel();
        let write = |permit| {
            let count = records.len() as u64;
            self.state.waiting.fetch_add(count, Ordering::Relaxed);
            WriteJob {
                records: Arc::clone(records),
                lines,
                ends,
                reply,
                permit,
            }
        };
        // If a receiver is gone, the reply channel is dropped, which the caller notices.
        let queues = self.queues.lock();
        let Some(store) = &queues.store else {
            let _ = queues.lines.send(write(permit));
            return Ok(Enqueued::Lines(printed));
        };
        let line_permit = Arc::clone(&self.free_line_bytes).try_acquire_many_owned(needed);
        let printed = match line_permit {
            Ok(permit) => {
                let _ = queues.lines.send(write(permit));
                Some(printed)
            }
            Err(_) => None,
        };
        let (reply, stored) = oneshot::channel();
        let _ = store.send(StoreJob {
            records: Arc::clone(records),
            reply,
            permit,
        });
        drop(queues);
        if printed.is_none() {
            self.state.skip(records);
        }
        Ok(Enqueued::Records(stored, printed))
    }

    /// Takes a part of the capacity for waiting records.
    fn permit(&self, bytes: u32) -> Result<OwnedSemaphorePermit> {
        let is_empty = self.free_bytes.available_permits() == self.capacity as usize;
        let permit = Arc::clone(&self.free_bytes).try_acquire_many_owned(bytes);
        match permit {
            Ok(permit) => {
                if is_empty && self.is_refusing.swap(false, Ordering::Relaxed) {
                    tracing::info!("the log queue is empty again");
                }
                Ok(permit)
            }
            Err(_) => {
                if !self.is_refusing.swap(true, Ordering::Relaxed) {
                    tracing::warn!("the log queue is full; callers receive `resource_exhausted`");
                }
                let text = "the log queue is full; retry later";
                Err(Error::new(Code::ResourceExhausted, text).with_retry_after(RETRY_AFTER))
            }
        }
    }

    /// Returns how many records are missing from the output. Without a store, their callers
    /// received errors.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.state.lost()
    }
}

/// Returns the result of a call without a store; `None` if the printing thread has ended.
fn printed_lines(printed: Option<PrintResult>) -> Result<u32> {
    match printed {
        Some(Ok(new)) => Ok(new),
        Some(Err(kind)) => fail!(Code::Unavailable, "cannot write log lines: {kind}"),
        None => ended_early(),
    }
}

fn ended_early<T>() -> Result<T> {
    fail!(
        Code::Unavailable,
        "internal error: the log's writer has ended"
    )
}

/// Returns the memory that a waiting record takes, in bytes.
fn size_of_record(record: &Record) -> usize {
    size_of::<Record>() + record.text.len() + record.target.len() + record.source.as_str().len()
}

/// Waits for the end of the printing thread and of the store's task.
#[derive(Debug)]
#[must_use = "call `finish`: queued records are lost when the process ends"]
pub struct WriterHandle {
    ended: oneshot::Receiver<()>,
    storing: Option<StoreTask>,
    state: Arc<PrintState>,
}

impl WriterHandle {
    /// Waits until all enqueued records are stored and written. Drop all clones of the
    /// [`PrintQueue`] before. With a store, lines that are not written in time are skipped.
    ///
    /// # Errors
    ///
    /// `deadline_exceeded` when this takes longer than `timeout`, such as without a store when a
    /// pipe is not read; `data_loss` when records could not be stored at the end or, without a
    /// store, not be written.
    pub async fn finish(self, timeout: Duration) -> Result<()> {
        let deadline = Instant::now() + timeout;
        let has_store = self.storing.is_some();
        let stored = match self.storing {
            Some(storing) => timeout_at(deadline, storing.ended()).await,
            None => Ok(Ok(())),
        };
        // The thread sends no value; it drops the sender.
        let printed = timeout_at(deadline, self.ended).await;
        let waiting = self.state.waiting.load(Ordering::Relaxed);
        let skipped = self.state.lost() + waiting;
        match (stored, printed) {
            (Ok(stored), _) if has_store => {
                if skipped > 0 {
                    tracing::warn!(
                        lost = skipped,
                        "log lines were not written: their records are in the store"
                    );
                }
                stored
            }
            (Err(_), _) => fail!(
                Code::DeadlineExceeded,
                "queued log records were not stored within {} s",
                timeout.as_secs()
            ),
            (_, Err(_)) => fail!(
                Code::DeadlineExceeded,
                "queued log records were not written within {} s",
                timeout.as_secs()
            ),
            _ if skipped > 0 => fail!(
                Code::DataLoss,
                "{skipped} records could not be written to the log"
            ),
            _ => Ok(()),
        }
    }
}

//! Queue of records to print, bounded in bytes.
//!
//! A write blocks while the reader of a pipe is slow, and must not block a worker thread of tokio.
//! So a call enqueues its records and waits for the result. With a store, the result is whether the
//! records are stored, and lines that cannot be written are counted. Without one, each failed write
//! is reported to the caller.

use std::io::{self, Write};
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use rpc_runtime::{Code, Error, Result, fail};
use tokio::sync::{Semaphore, oneshot};

use super::line::append_line;
use super::line_writer::{LineWriter, PrintState, WriteJob};
use super::sequence::SequenceTracker;
use super::store::{Intake, StoreTask, WriteError};
use crate::api::logsink::Record;

/// Capacity for records that wait to be written and stored, in bytes. More than the largest message
/// needs, even if each of its characters is escaped.
const CAPACITY: u32 = 32 << 20;

/// Overhead of a queued job, in bytes. It bounds the number of small jobs.
const JOB_BYTES: usize = 256;

/// Delay before a caller retries when the queue is full.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Handle of the print queue. Cheap to clone; the printing thread ends after the last clone is
/// dropped.
#[derive(Debug, Clone)]
pub struct PrintQueue {
    jobs: mpsc::Sender<WriteJob>,
    free_bytes: Arc<Semaphore>,
    capacity: u32,
    state: Arc<PrintState>,
}

impl PrintQueue {
    /// Starts a thread that writes to `out`. Records go to `store` afterwards.
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

    /// Like [`start`](Self::start), with a capacity of `bytes` for waiting records.
    ///
    /// # Errors
    ///
    /// Those of [`start`](Self::start).
    pub fn with_capacity(
        out: impl Write + Send + 'static,
        store: Option<Intake>,
        bytes: u32,
    ) -> io::Result<(Self, WriterHandle)> {
        let (jobs, queue) = mpsc::channel();
        let (ending, ended) = oneshot::channel::<()>();
        let state = Arc::new(PrintState::default());
        let (store, seen, storing) = match store.map(Intake::split) {
            Some((store, seen, storing)) => (Some(store), seen, Some(storing)),
            None => (None, SequenceTracker::default(), None),
        };
        // Records that an earlier process stored were also printed by it.
        let mut writer = LineWriter::new(out, seen, store, Arc::clone(&state));
        thread::Builder::new()
            .name("printer".to_owned())
            .spawn(move || {
                writer.write_all(&queue);
                // Also closes the store's queue, and the store's task ends.
                drop(writer);
                drop(ending);
            })?;
        let free_bytes = Arc::new(Semaphore::new(bytes as usize));
        Ok((
            Self {
                jobs,
                free_bytes,
                capacity: bytes,
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
        let mut lines = String::new();
        let mut ends = Vec::with_capacity(records.len());
        for record in &records {
            append_line(record, &mut lines);
            ends.push(lines.len());
        }
        let kept: usize = records.iter().map(size_of_record).sum();
        // A call larger than the capacity takes all of it.
        let needed = u32::try_from(lines.len() + kept + JOB_BYTES)
            .unwrap_or(u32::MAX)
            .min(self.capacity);
        let Ok(permit) = Arc::clone(&self.free_bytes).try_acquire_many_owned(needed) else {
            if !self.state.behind.swap(true, Ordering::Relaxed) {
                tracing::warn!("the log queue is full; callers receive `resource_exhausted`");
            }
            let text = "the log queue is full; retry later";
            return Err(Error::new(Code::ResourceExhausted, text).with_retry_after(RETRY_AFTER));
        };
        let (reply, outcome) = oneshot::channel();
        // If the thread is gone, the reply channel is dropped, which is reported below.
        let _ = self.jobs.send(WriteJob {
            records,
            lines,
            ends,
            reply,
            permit,
        });
        match outcome.await {
            Ok(Ok(new)) => Ok(new),
            Ok(Err(WriteError::Output(kind))) => {
                fail!(Code::Unavailable, "cannot write log lines: {kind}")
            }
            Ok(Err(WriteError::Store(problem))) => Err(problem.to_error()),
            Err(_) => fail!(
                Code::Unavailable,
                "internal error: the thread that writes log lines has ended"
            ),
        }
    }

    /// Returns how many records are missing from the output. Without a store, their callers
    /// received errors.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.state.lost.load(Ordering::Relaxed)
    }
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
    /// Waits until all enqueued records are written and stored. Drop all clones of the
    /// [`PrintQueue`] before.
    ///
    /// # Errors
    ///
    /// `deadline_exceeded` when this takes longer than `timeout`, such as when a pipe is not read;
    /// `data_loss` when records could not be stored at the end or, without a store, not be written.
    pub async fn finish(self, timeout: Duration) -> Result<()> {
        let has_store = self.storing.is_some();
        let ended = async {
            // The thread sends no value; it drops the sender.
            let _ = self.ended.await;
            match self.storing {
                Some(storing) => storing.ended().await,
                None => Ok(()),
            }
        };
        let Ok(stored) = tokio::time::timeout(timeout, ended).await else {
            fail!(
                Code::DeadlineExceeded,
                "queued log records were not written within {} s",
                timeout.as_secs()
            );
        };
        match self.state.lost.load(Ordering::Relaxed) {
            0 => stored,
            lost if has_store => {
                tracing::warn!(
                    lost,
                    "log lines were not written: their records are in the store"
                );
                stored
            }
            lost => fail!(
                Code::DataLoss,
                "{lost} records could not be written to the log"
            ),
        }
    }
}

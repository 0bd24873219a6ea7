//! The way to the thread that writes: a queue that is bounded in bytes.
//!
//! WriterHandle blocks when the reader of a pipe is slow, and a worker of tokio must not. So a call hands its records over
//! and waits for word of them, which comes from the store where there is one; what cannot be written or stored is the
//! caller's to know, and nothing is lost silently.

use std::io::{self, Write};
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use rpc_runtime::{Code, Error, Result, fail};
use tokio::sync::{Semaphore, oneshot};

use super::line::append_line;
use super::line_writer::{LineWriter, PrintState, WriteError, WriteJob};
use super::sequence::SequenceTracker;
use super::store::{Intake, StoreTask};
use crate::api::logsink::Record;

/// What may wait to be written and stored, in bytes. More than one message can make, even if all of it turns into
/// escapes.
const CAPACITY: u32 = 32 << 20;

/// What a waiting job takes beside its records, in bytes, so that small ones cannot pile up without end either.
const JOB_BYTES: usize = 256;

/// How long a caller should leave the sink alone when there is no room.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// The way to the thread that writes. Cheap to clone; the thread ends when the last clone is gone.
#[derive(Debug, Clone)]
pub struct PrintQueue {
    jobs: mpsc::Sender<WriteJob>,
    room: Arc<Semaphore>,
    capacity: u32,
    state: Arc<PrintState>,
}

impl PrintQueue {
    /// Starts the thread that writes to `out`, and passes what it wrote on to `store`.
    ///
    /// # Errors
    ///
    /// When the system gives no thread.
    pub fn start(
        out: impl Write + Send + 'static,
        store: Option<Intake>,
    ) -> io::Result<(Self, WriterHandle)> {
        Self::with_capacity(out, store, CAPACITY)
    }

    /// As [`start`](Self::start), with room for `bytes` of waiting records.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
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
        // What was stored in an earlier life was written in it, too.
        let mut paper = LineWriter::new(out, seen, store, Arc::clone(&state));
        thread::Builder::new()
            .name("printer".to_owned())
            .spawn(move || {
                paper.write_all(&queue);
                // And with it the way to the store, which then ends as well.
                drop(paper);
                drop(ending);
            })?;
        let room = Arc::new(Semaphore::new(bytes as usize));
        Ok((
            Self {
                jobs,
                room,
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

    /// Writes records, a line each, and stores them where there is a store. Answers how many of them were not written
    /// and stored before.
    ///
    /// # Errors
    ///
    /// `resource_exhausted` when too much waits already, or the store has no room; `unavailable` when the lines could
    /// not be written, or the records not stored. Then some of them may be.
    ///
    /// # Cancellation
    ///
    /// Records that were handed over are written and stored, whether or not anybody still waits: a record without an
    /// answer is better than an answer without a record.
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
        // What is larger than the room takes all of it, and waits for nobody.
        let needed = u32::try_from(lines.len() + kept + JOB_BYTES)
            .unwrap_or(u32::MAX)
            .min(self.capacity);
        let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(needed) else {
            if !self.state.behind.swap(true, Ordering::Relaxed) {
                tracing::warn!("the log is behind; callers get `resource_exhausted`");
            }
            let text = "the log is behind: too much waits to be written";
            return Err(Error::new(Code::ResourceExhausted, text).with_retry_after(RETRY_AFTER));
        };
        let (answer, answered) = oneshot::channel();
        // A thread that is gone has dropped the answer's other end, which says so below.
        let _ = self.jobs.send(WriteJob {
            records,
            lines,
            ends,
            answer,
            room,
        });
        match answered.await {
            Ok(Ok(new)) => Ok(new),
            Ok(Err(WriteError::Output(kind))) => {
                fail!(Code::Unavailable, "the log cannot be written: {kind}")
            }
            Ok(Err(WriteError::Store(problem))) => Err(problem.to_error()),
            Err(_) => fail!(
                Code::Unavailable,
                "the log cannot be written: its thread has ended"
            ),
        }
    }

    /// How many records could not be written so far. Their callers know.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.state.lost.load(Ordering::Relaxed)
    }
}

/// What a record takes while it waits, in bytes.
fn size_of_record(record: &Record) -> usize {
    size_of::<Record>() + record.text.len() + record.target.len() + record.source.as_str().len()
}

/// The thread that writes and the task that stores, for the one who has to wait for their end.
#[derive(Debug)]
#[must_use = "a process that ends does not wait for its threads; `finish` does"]
pub struct WriterHandle {
    ended: oneshot::Receiver<()>,
    storing: Option<StoreTask>,
    state: Arc<PrintState>,
}

impl WriterHandle {
    /// Waits until all records that were handed over are written and stored. The [`PrintQueue`] has to be gone, with all
    /// its clones.
    ///
    /// # Errors
    ///
    /// `deadline_exceeded` when that takes longer than `timeout`, as when nobody reads the other end of a pipe;
    /// `data_loss` when records could not be written while the thread ran, or not be stored at the end of it.
    pub async fn finish(self, timeout: Duration) -> Result<()> {
        let ended = async {
            // The thread sends nothing: it drops its end.
            let _ = self.ended.await;
            match self.storing {
                Some(storing) => storing.ended().await,
                None => Ok(()),
            }
        };
        let Ok(stored) = tokio::time::timeout(timeout, ended).await else {
            fail!(
                Code::DeadlineExceeded,
                "the log was not written out within {} s",
                timeout.as_secs()
            );
        };
        match self.state.lost.load(Ordering::Relaxed) {
            0 => stored,
            lost => fail!(
                Code::DataLoss,
                "{lost} records could not be written to the log"
            ),
        }
    }
}

//! Writes queued records as lines, on a thread of its own.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::count;
use super::sequence::SequenceTracker;
use super::store::{LogStoreError, PrintedJob};
use crate::api::logsink::Record;

/// Jobs are combined into one write up to this size, in bytes, to save system calls.
const GROUP_BYTES: usize = 64 << 10;

/// Number of newly accepted records of a call.
pub(super) type AcceptResult = Result<u32, WriteError>;

/// Error of a call whose records were not accepted.
#[derive(Debug, Clone)]
pub(super) enum WriteError {
    /// The lines could not be written. Only the kind is kept, because several calls share the
    /// error.
    Output(io::ErrorKind),
    /// The records could not be stored. Their lines may have been written.
    Store(Arc<LogStoreError>),
}

/// Records of one call, waiting to be written.
#[derive(Debug)]
pub(super) struct WriteJob {
    pub(super) records: Vec<Record>,
    /// The formatted lines of all records.
    pub(super) lines: String,
    /// End of each record's line in `lines`, as a byte offset.
    pub(super) ends: Vec<usize>,
    pub(super) reply: oneshot::Sender<AcceptResult>,
    /// The job's share of the queue's capacity.
    pub(super) room: OwnedSemaphorePermit,
}

/// State shared by the queue and the writing thread.
#[derive(Debug, Default)]
pub(super) struct PrintState {
    /// Number of records that could not be written.
    pub(super) lost: AtomicU64,
    /// Whether a call was rejected because the queue was full and the queue has not been empty
    /// since.
    pub(super) behind: AtomicBool,
}

/// Writes the lines of queued jobs, and forwards the records to the store.
pub(super) struct LineWriter<W> {
    out: W,
    /// Whether the last write failed, possibly in the middle of a line.
    mid_line: bool,
    /// Sequence numbers of the records that were written.
    seen: SequenceTracker,
    /// Queue of the store's writer; `None` without a store.
    store: Option<UnboundedSender<PrintedJob>>,
    state: Arc<PrintState>,
}

impl<W: Write> LineWriter<W> {
    pub(super) fn new(
        out: W,
        seen: SequenceTracker,
        store: Option<UnboundedSender<PrintedJob>>,
        state: Arc<PrintState>,
    ) -> Self {
        Self {
            out,
            mid_line: false,
            seen,
            store,
            state,
        }
    }

    /// Processes jobs until all senders are gone.
    pub(super) fn write_all(&mut self, queue: &mpsc::Receiver<WriteJob>) {
        let mut text = String::new();
        let mut group = Vec::new();
        while let Some(first) = self.next(queue) {
            text.clear();
            if self.mid_line {
                // Ends the partial line, so that the next record starts on a new one. At worst this
                // adds an empty line.
                text.push('\n');
            }
            let start = text.len();
            let mut next = Some(first);
            while let Some(job) = next {
                group.push((self.append_new_lines(&job, &mut text), job));
                next = (text.len() < GROUP_BYTES)
                    .then(|| queue.try_recv().ok())
                    .flatten();
            }
            let outcome = if text.len() > start {
                self.write(&text, &group)
            } else {
                // All records of the group were written before.
                Ok(())
            };
            for (new, job) in group.drain(..) {
                self.forward(new, job, outcome);
            }
        }
    }

    /// Returns the next job; `None` once the queue is closed.
    fn next(&self, queue: &mpsc::Receiver<WriteJob>) -> Option<WriteJob> {
        queue.try_recv().ok().or_else(|| {
            if self.state.behind.swap(false, Ordering::Relaxed) {
                tracing::info!("the log queue is empty again");
            }
            queue.recv().ok()
        })
    }

    /// Appends the lines that were not written before. Returns for each record whether its line is
    /// new.
    fn append_new_lines(&mut self, job: &WriteJob, text: &mut String) -> Vec<bool> {
        let mut start = 0;
        let records = job.records.iter().zip(&job.ends);
        records
            .map(|(record, &end)| {
                let new = match (record.epoch, record.sequence) {
                    (Some(epoch), Some(sequence)) => {
                        self.seen.insert(&record.source, epoch, sequence)
                    }
                    _ => true,
                };
                if new {
                    text.push_str(&job.lines[start..end]);
                }
                start = end;
                new
            })
            .collect()
    }

    fn write(&mut self, text: &str, group: &[(Vec<bool>, WriteJob)]) -> Result<(), io::ErrorKind> {
        let outcome = self
            .out
            .write_all(text.as_bytes())
            .and_then(|()| self.out.flush());
        if outcome.is_err() {
            let jobs = group.iter();
            let unwritten = jobs.flat_map(|(new, job)| new.iter().zip(&job.records));
            let mut lost = 0;
            for (_, record) in unwritten.filter(|(new, _)| **new) {
                lost += 1;
                if let (Some(epoch), Some(sequence)) = (record.epoch, record.sequence) {
                    self.seen.remove(&record.source, epoch, sequence);
                }
            }
            self.state.lost.fetch_add(lost, Ordering::Relaxed);
        }
        self.seen.forget();
        self.log_change(outcome)
    }

    /// Logs the first failed write and the first success after it. Callers receive their errors in
    /// any case.
    fn log_change(&mut self, outcome: io::Result<()>) -> Result<(), io::ErrorKind> {
        match (
            &outcome,
            std::mem::replace(&mut self.mid_line, outcome.is_err()),
        ) {
            (Err(error), false) => {
                tracing::error!(%error, "cannot write log lines; callers receive `unavailable`");
            }
            (Ok(()), true) => {
                let lost = self.state.lost.load(Ordering::Relaxed);
                tracing::warn!(lost, "log lines are written again");
            }
            (Err(_), true) | (Ok(()), false) => {}
        }
        outcome.map_err(|error| error.kind())
    }

    /// Forwards the records to the store, also when their lines could not be written. Without a
    /// store, the call is completed here.
    fn forward(&self, new: Vec<bool>, job: WriteJob, outcome: Result<(), io::ErrorKind>) {
        let written = outcome.map_err(WriteError::Output);
        let printed = PrintedJob {
            records: job.records,
            new,
            written,
            reply: job.reply,
            room: job.room,
        };
        match &self.store {
            // If the store's task is gone, the reply channel is dropped and the caller notices.
            Some(store) => drop(store.send(printed)),
            None => {
                let new = printed.new.iter().filter(|new| **new).count();
                printed.complete(Ok(count(new)));
            }
        }
    }
}

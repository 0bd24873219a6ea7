//! The thread that writes.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::count;
use super::sequence::SequenceTracker;
use super::store::{LogStoreError, PrintedJob};
use crate::api::logsink::Record;

/// What waits is written together up to this size, in bytes, since each write is a call of the system.
const GROUP_BYTES: usize = 64 << 10;

/// How many records of a call had not been accepted before; or why that cannot be said.
pub(super) type AcceptResult = Result<u32, WriteError>;

/// Why records were not accepted.
#[derive(Debug, Clone)]
pub(super) enum WriteError {
    /// They could not be written; the error's kind is all of it that several callers can share.
    Output(io::ErrorKind),
    /// They could not be stored. They may be written.
    Store(Arc<LogStoreError>),
}

/// The records of one call.
#[derive(Debug)]
pub(super) struct WriteJob {
    pub(super) records: Vec<Record>,
    /// Their lines.
    pub(super) lines: String,
    /// Where in `lines` the line of each record ends.
    pub(super) ends: Vec<usize>,
    pub(super) answer: oneshot::Sender<AcceptResult>,
    /// What the job takes of the queue.
    pub(super) room: OwnedSemaphorePermit,
}

/// What both ends of the queue know.
#[derive(Debug, Default)]
pub(super) struct PrintState {
    /// Records that could not be written.
    pub(super) lost: AtomicU64,
    /// A call was refused for want of room, and the thread has not caught up since.
    pub(super) behind: AtomicBool,
}

/// What is written on, and how that goes.
pub(super) struct LineWriter<W> {
    out: W,
    /// A write failed, perhaps in the middle of a line, and none has succeeded since.
    mid_line: bool,
    /// What was written.
    seen: SequenceTracker,
    /// Where records go that were written.
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

    /// Writes until nobody can send jobs any more.
    pub(super) fn write_all(&mut self, queue: &mpsc::Receiver<WriteJob>) {
        let mut text = String::new();
        let mut group = Vec::new();
        while let Some(first) = self.next(queue) {
            text.clear();
            if self.mid_line {
                // So that the next record does not continue half a line of another. At worst a line stays empty.
                text.push('\n');
            }
            let start = text.len();
            let mut next = Some(first);
            while let Some(job) = next {
                group.push((self.take(&job, &mut text), job));
                next = (text.len() < GROUP_BYTES)
                    .then(|| queue.try_recv().ok())
                    .flatten();
            }
            let outcome = if text.len() > start {
                self.write(&text, &group)
            } else {
                // Nothing but what has been written before.
                Ok(())
            };
            for (new, job) in group.drain(..) {
                self.pass_on(new, job, outcome);
            }
        }
    }

    /// The next job, when there is one; `None` when there will be none.
    fn next(&self, queue: &mpsc::Receiver<WriteJob>) -> Option<WriteJob> {
        queue.try_recv().ok().or_else(|| {
            if self.state.behind.swap(false, Ordering::Relaxed) {
                tracing::info!("the log has caught up");
            }
            queue.recv().ok()
        })
    }

    /// Appends the lines that were not written before, and says of each record whether it is one of them.
    fn take(&mut self, job: &WriteJob, text: &mut String) -> Vec<bool> {
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
        self.note(outcome)
    }

    /// Says once that writing fails, and once that it works again. Each caller gets its own answer anyway.
    fn note(&mut self, outcome: io::Result<()>) -> Result<(), io::ErrorKind> {
        match (
            &outcome,
            std::mem::replace(&mut self.mid_line, outcome.is_err()),
        ) {
            (Err(error), false) => {
                tracing::error!(%error, "cannot write the log; callers get `unavailable`");
            }
            (Ok(()), true) => {
                let lost = self.state.lost.load(Ordering::Relaxed);
                tracing::warn!(lost, "writing the log again");
            }
            (Err(_), true) | (Ok(()), false) => {}
        }
        outcome.map_err(|error| error.kind())
    }

    /// Hands the records to the store, written or not: where paper fails, the store is all that there is. Answers where
    /// there is no store.
    fn pass_on(&self, new: Vec<bool>, job: WriteJob, outcome: Result<(), io::ErrorKind>) {
        let written = outcome.map_err(WriteError::Output);
        let printed = PrintedJob {
            records: job.records,
            new,
            written,
            answer: job.answer,
            room: job.room,
        };
        match &self.store {
            // A task that is gone has dropped the answer's other end, which its caller notices.
            Some(store) => drop(store.send(printed)),
            None => {
                let new = printed.new.iter().filter(|new| **new).count();
                printed.answer(Ok(count(new)));
            }
        }
    }
}

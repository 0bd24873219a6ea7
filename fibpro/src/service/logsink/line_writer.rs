//! Writes the lines of queued records, on a thread of its own.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::count;
use super::missing::MissingRecords;
use super::sequence::SequenceTracker;
use crate::api::logsink::Record;
use crate::output::LineOutput;

/// Jobs are combined into one write up to this size, in bytes, to save system calls.
const GROUP_BYTES: usize = 64 << 10;

/// Number of new lines of a call; the kind of the error if a line could not be written. Only the
/// kind is kept, because several calls share the error.
pub(super) type PrintResult = Result<u32, io::ErrorKind>;

/// Lines of one call, waiting to be written.
#[derive(Debug)]
pub(super) struct WriteJob {
    pub(super) records: Arc<[Record]>,
    /// The formatted lines of all records.
    pub(super) lines: String,
    /// End of each record's line in `lines`, as a byte offset.
    pub(super) ends: Vec<usize>,
    pub(super) reply: oneshot::Sender<PrintResult>,
    /// The job's share of the queue's capacity.
    pub(super) permit: OwnedSemaphorePermit,
}

/// State of the line of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LineState {
    /// It is about to be written.
    New,
    /// It was written by an earlier call.
    Known,
    Written,
    /// It could not be written.
    Skipped,
}

/// State shared by the queue and the writing thread.
#[derive(Debug, Default)]
pub(super) struct PrintState {
    /// Number of lines that wait in the queue or in a write that blocks.
    pub(super) waiting: AtomicU64,
    /// Whether a line waited too long and none was written since.
    pub(super) blocked: AtomicBool,
    /// Whether lines were skipped because the queue was full and the queue has not been empty
    /// since.
    pub(super) skipping: AtomicBool,
    /// The records whose lines are not in the output.
    missing: Mutex<MissingRecords>,
}

impl PrintState {
    /// Counts records whose lines are not written, because the queue of lines is full.
    pub(super) fn skip(&self, records: &[Record]) {
        let mut missing = self.missing.lock();
        records.iter().for_each(|record| missing.add(record));
        drop(missing);
        if !self.skipping.swap(true, Ordering::Relaxed) {
            tracing::error!(
                "the queue of log lines is full: they are skipped, and their records are in the store"
            );
        }
    }

    /// Returns the number of records whose lines are not in the output.
    pub(super) fn lost(&self) -> u64 {
        self.missing.lock().count()
    }
}

/// Writes the lines of queued jobs.
pub(super) struct LineWriter<W> {
    out: LineOutput<W>,
    /// Whether the last write failed.
    is_failing: bool,
    /// Sequence numbers of the records that were written.
    seen: SequenceTracker,
    /// Whether the records are also stored.
    has_store: bool,
    state: Arc<PrintState>,
}

impl<W: Write> LineWriter<W> {
    pub(super) fn new(
        out: W,
        seen: SequenceTracker,
        has_store: bool,
        state: Arc<PrintState>,
    ) -> Self {
        Self {
            out: LineOutput::new(out),
            is_failing: false,
            seen,
            has_store,
            state,
        }
    }

    /// Processes jobs until all senders are gone.
    pub(super) fn write_all(&mut self, queue: &mpsc::Receiver<WriteJob>) {
        let mut text = String::new();
        let mut group = Vec::new();
        while let Some(first) = self.next(queue) {
            text.clear();
            let mut next = Some(first);
            while let Some(job) = next {
                group.push((self.append_new_lines(&job, &mut text), job));
                next = (text.len() < GROUP_BYTES)
                    .then(|| queue.try_recv().ok())
                    .flatten();
            }
            let outcome = self.write(&text, &mut group);
            for (states, job) in group.drain(..) {
                let lines = job.records.len() as u64;
                self.state.waiting.fetch_sub(lines, Ordering::Relaxed);
                complete(&states, job, outcome);
            }
        }
    }

    /// Returns the next job; `None` once the queue is closed.
    fn next(&self, queue: &mpsc::Receiver<WriteJob>) -> Option<WriteJob> {
        queue.try_recv().ok().or_else(|| {
            if self.state.skipping.swap(false, Ordering::Relaxed) {
                let lost = self.state.lost();
                tracing::warn!(lost, "the queue of log lines is empty again");
            }
            queue.recv().ok()
        })
    }

    /// Appends the lines that were not written before.
    fn append_new_lines(&mut self, job: &WriteJob, text: &mut String) -> Vec<LineState> {
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
                if new {
                    LineState::New
                } else {
                    LineState::Known
                }
            })
            .collect()
    }

    /// Writes the new lines of the jobs, and updates the state of each line. A line that was not
    /// written is skipped: its record counts as missing, and is new if it is sent again.
    fn write(
        &mut self,
        text: &str,
        group: &mut [(Vec<LineState>, WriteJob)],
    ) -> Result<(), io::ErrorKind> {
        if text.is_empty() {
            // All records of the group were written before.
            return Ok(());
        }
        let result = self.out.write_lines(text.as_bytes());
        if self.state.blocked.swap(false, Ordering::Relaxed) && result.bytes > 0 {
            tracing::warn!("the output of log lines takes lines again");
        }
        let mut missing = self.state.missing.lock();
        let mut end = 0;
        for (states, job) in group {
            let starts = [0].iter().chain(&job.ends);
            let records = job.records.iter().zip(starts.zip(&job.ends));
            for (state, (record, (start, line_end))) in states.iter_mut().zip(records) {
                if *state == LineState::Known {
                    continue;
                }
                end += line_end - start;
                if end <= result.bytes {
                    *state = LineState::Written;
                    missing.remove(record);
                } else {
                    *state = LineState::Skipped;
                    missing.add(record);
                    if let (Some(epoch), Some(sequence)) = (record.epoch, record.sequence) {
                        self.seen.remove(&record.source, epoch, sequence);
                    }
                }
            }
        }
        drop(missing);
        self.seen.forget();
        self.log_change(result.outcome)
    }

    /// Logs the first failed write and the first success after it.
    fn log_change(&mut self, outcome: io::Result<()>) -> Result<(), io::ErrorKind> {
        let was_failing = std::mem::replace(&mut self.is_failing, outcome.is_err());
        match (&outcome, was_failing) {
            (Err(error), false) if self.has_store => {
                tracing::error!(%error, "cannot write log lines: they are skipped, and their records are in the store");
            }
            (Err(error), false) => {
                tracing::error!(%error, "cannot write log lines; callers receive `unavailable`");
            }
            (Ok(()), true) => {
                let lost = self.state.lost();
                tracing::warn!(lost, "log lines are written again");
            }
            (Err(_), true) | (Ok(()), false) => {}
        }
        outcome.map_err(|error| error.kind())
    }
}

/// Responds to the call with the number of its new lines, or with the error.
fn complete(states: &[LineState], job: WriteJob, outcome: Result<(), io::ErrorKind>) {
    let result = match outcome {
        Err(kind) if states.contains(&LineState::Skipped) => Err(kind),
        _ => {
            let new = states.iter().filter(|state| **state == LineState::Written);
            Ok(count(new.count()))
        }
    };
    // Released first, so that a caller with a response finds the capacity free.
    drop(job.permit);
    // The caller may be gone.
    let _ = job.reply.send(result);
}

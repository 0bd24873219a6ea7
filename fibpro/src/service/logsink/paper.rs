//! The thread that writes.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// What waits is written together up to this size, in bytes, since each write is a call of the system.
const GROUP_BYTES: usize = 64 << 10;

/// Whether lines were written; the error's kind is all of it that several callers can share.
pub(super) type Outcome = Result<(), io::ErrorKind>;

/// The lines of one call.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) lines: String,
    pub(super) records: u32,
    pub(super) answer: oneshot::Sender<Outcome>,
    /// What the lines take of the queue.
    pub(super) room: OwnedSemaphorePermit,
}

/// What both ends of the queue know.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Records that could not be written.
    pub(super) lost: AtomicU64,
    /// A call was refused for want of room, and the thread has not caught up since.
    pub(super) behind: AtomicBool,
}

/// What is written on, and how that goes.
pub(super) struct Paper<W> {
    out: W,
    /// A write failed, perhaps in the middle of a line, and none has succeeded since.
    torn: bool,
    state: Arc<State>,
}

impl<W: Write> Paper<W> {
    pub(super) fn new(out: W, state: Arc<State>) -> Self {
        Self {
            out,
            torn: false,
            state,
        }
    }

    /// Writes until nobody can send jobs any more.
    pub(super) fn write_all(&mut self, queue: &mpsc::Receiver<Job>) {
        let mut text = String::new();
        let mut group = Vec::new();
        while let Some(first) = self.next(queue) {
            text.clear();
            if self.torn {
                // So that the next record does not continue half a line of another. At worst a line stays empty.
                text.push('\n');
            }
            text.push_str(&first.lines);
            group.push(first);
            while text.len() < GROUP_BYTES
                && let Ok(next) = queue.try_recv()
            {
                text.push_str(&next.lines);
                group.push(next);
            }
            let outcome = self
                .out
                .write_all(text.as_bytes())
                .and_then(|()| self.out.flush());
            let records = group.iter().map(|job| u64::from(job.records)).sum();
            let outcome = self.note(outcome, records);
            for job in group.drain(..) {
                // The room first: a caller that has its answer finds it free.
                drop(job.room);
                // Nobody waits any more where the caller went away.
                let _ = job.answer.send(outcome);
            }
        }
    }

    /// The next job, when there is one; `None` when there will be none.
    fn next(&self, queue: &mpsc::Receiver<Job>) -> Option<Job> {
        queue.try_recv().ok().or_else(|| {
            if self.state.behind.swap(false, Ordering::Relaxed) {
                tracing::info!("the log has caught up");
            }
            queue.recv().ok()
        })
    }

    /// Says once that writing fails, and once that it works again. Each caller gets its own answer anyway.
    fn note(&mut self, outcome: io::Result<()>, records: u64) -> Outcome {
        let failed = outcome.is_err();
        if failed {
            self.state.lost.fetch_add(records, Ordering::Relaxed);
        }
        match (&outcome, std::mem::replace(&mut self.torn, failed)) {
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
}

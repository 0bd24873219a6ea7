//! One thread that writes lines, and the bounded queue in front of it.
//!
//! Writing blocks when the reader of a pipe is slow, and a worker of tokio must not. So a call hands its lines over and
//! waits for word that they are written; what cannot be written is the caller's to know, and nothing is lost silently.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use rpc_runtime::{Code, Error, Result, fail};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// What may wait to be written, in bytes. More than one message can make, even if all of it turns into escapes.
const ROOM: u32 = 16 << 20;

/// What a waiting job takes beside its lines, in bytes, so that small ones cannot pile up without end either.
const JOB_BYTES: usize = 256;

/// The thread writes what waits together up to this size, in bytes, since each write is a call of the system.
const GROUP_BYTES: usize = 64 << 10;

/// How long a caller should leave the sink alone when there is no room.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Whether lines were written; the error's kind is all that several callers can share.
type Outcome = Result<(), io::ErrorKind>;

/// The way to the thread that writes. Cheap to clone; the thread ends when the last clone is gone.
#[derive(Debug, Clone)]
pub struct Printer {
    jobs: mpsc::Sender<Job>,
    room: Arc<Semaphore>,
    capacity: u32,
    lost: Arc<AtomicU64>,
}

/// The lines of one call.
#[derive(Debug)]
struct Job {
    lines: String,
    records: u32,
    answer: oneshot::Sender<Outcome>,
    /// Given back when the job is done.
    _room: OwnedSemaphorePermit,
}

impl Printer {
    /// Starts the thread that writes to `out`.
    ///
    /// # Errors
    ///
    /// When the system gives no thread.
    pub fn start(out: impl Write + Send + 'static) -> io::Result<(Self, Writing)> {
        Self::with_room(out, ROOM)
    }

    /// As [`start`](Self::start), with room for `bytes` of waiting lines.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn with_room(out: impl Write + Send + 'static, bytes: u32) -> io::Result<(Self, Writing)> {
        let (jobs, queue) = mpsc::channel();
        let (ending, ended) = oneshot::channel::<()>();
        let lost = Arc::new(AtomicU64::new(0));
        let mut paper = Paper {
            out,
            torn: false,
            lost: Arc::clone(&lost),
        };
        thread::Builder::new()
            .name("printer".to_owned())
            .spawn(move || {
                paper.write_all(&queue);
                drop(ending);
            })?;
        let room = Arc::new(Semaphore::new(bytes as usize));
        Ok((
            Self {
                jobs,
                room,
                capacity: bytes,
                lost: Arc::clone(&lost),
            },
            Writing { ended, lost },
        ))
    }

    /// Writes whole lines, which hold `records` records, and returns when they are out.
    ///
    /// # Errors
    ///
    /// `resource_exhausted` when too much waits already, `unavailable` when the lines could not be written. Then some
    /// of them may be out.
    ///
    /// # Cancellation
    ///
    /// Lines that were handed over are written, whether or not anybody still waits: a record without an answer is
    /// better than an answer without a record.
    pub async fn print(&self, lines: String, records: u32) -> Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let (answer, answered) = oneshot::channel();
        // What is larger than the room takes all of it, and waits for nobody.
        let needed = u32::try_from(lines.len() + JOB_BYTES)
            .unwrap_or(u32::MAX)
            .min(self.capacity);
        let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(needed) else {
            let error = Error::new(
                Code::ResourceExhausted,
                "the log is behind: too much waits to be written",
            );
            return Err(error.with_retry_after(RETRY_AFTER));
        };
        // A thread that is gone has dropped the answer's other end, which says so below.
        let _ = self.jobs.send(Job {
            lines,
            records,
            answer,
            _room: room,
        });
        match answered.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(kind)) => fail!(Code::Unavailable, "the log cannot be written: {kind}"),
            Err(_) => fail!(
                Code::Unavailable,
                "the log cannot be written: its thread has ended"
            ),
        }
    }

    /// How many records could not be written so far. Their callers know.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

/// The thread that writes, for the one who has to wait for its end.
#[derive(Debug)]
#[must_use = "a process that ends does not wait for its threads; `finish` does"]
pub struct Writing {
    ended: oneshot::Receiver<()>,
    lost: Arc<AtomicU64>,
}

impl Writing {
    /// Waits until all lines that were handed over are written. The [`Printer`] has to be gone, with all its clones.
    ///
    /// # Errors
    ///
    /// `deadline_exceeded` when that takes longer than `patience`, as when nobody reads the other end of a pipe;
    /// `data_loss` when records could not be written while the thread ran.
    pub async fn finish(self, patience: Duration) -> Result<()> {
        // The thread sends nothing: it drops its end.
        if tokio::time::timeout(patience, self.ended).await.is_err() {
            fail!(
                Code::DeadlineExceeded,
                "the log was not written out within {} s",
                patience.as_secs()
            );
        }
        match self.lost.load(Ordering::Relaxed) {
            0 => Ok(()),
            lost => fail!(
                Code::DataLoss,
                "{lost} records could not be written to the log"
            ),
        }
    }
}

/// What is written on, and what has become of it.
struct Paper<W> {
    out: W,
    /// A write failed, perhaps in the middle of a line, and none has succeeded since.
    torn: bool,
    lost: Arc<AtomicU64>,
}

impl<W: Write> Paper<W> {
    /// Writes until nobody can send jobs any more.
    fn write_all(&mut self, queue: &mpsc::Receiver<Job>) {
        let mut text = String::new();
        let mut group = Vec::new();
        while let Ok(first) = queue.recv() {
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
                // Nobody waits any more where the caller went away.
                let _ = job.answer.send(outcome);
            }
        }
    }

    /// Says once that writing fails, and once that it works again. Each caller gets its own answer anyway.
    fn note(&mut self, outcome: io::Result<()>, records: u64) -> Outcome {
        let failed = outcome.is_err();
        if failed {
            self.lost.fetch_add(records, Ordering::Relaxed);
        }
        let lost = self.lost.load(Ordering::Relaxed);
        match (&outcome, std::mem::replace(&mut self.torn, failed)) {
            (Err(error), false) => {
                tracing::error!(%error, "cannot write the log; callers get `unavailable`");
            }
            (Ok(()), true) => tracing::warn!(lost, "writing the log again"),
            (Err(_), true) | (Ok(()), false) => {}
        }
        outcome.map_err(|error| error.kind())
    }
}

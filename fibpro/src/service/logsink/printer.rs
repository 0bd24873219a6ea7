//! The way to the thread that writes: a queue that is bounded in bytes.
//!
//! Writing blocks when the reader of a pipe is slow, and a worker of tokio must not. So a call hands its lines over and
//! waits for word that they are written; what cannot be written is the caller's to know, and nothing is lost silently.

use std::io::{self, Write};
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use rpc_runtime::{Code, Error, Result, fail};
use tokio::sync::{Semaphore, oneshot};

use super::paper::{Job, Paper, State};

/// What may wait to be written, in bytes. More than one message can make, even if all of it turns into escapes.
const ROOM: u32 = 16 << 20;

/// What a waiting job takes beside its lines, in bytes, so that small ones cannot pile up without end either.
const JOB_BYTES: usize = 256;

/// How long a caller should leave the sink alone when there is no room.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// The way to the thread that writes. Cheap to clone; the thread ends when the last clone is gone.
#[derive(Debug, Clone)]
pub struct Printer {
    jobs: mpsc::Sender<Job>,
    room: Arc<Semaphore>,
    capacity: u32,
    state: Arc<State>,
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
        let state = Arc::new(State::default());
        let mut paper = Paper::new(out, Arc::clone(&state));
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
                state: Arc::clone(&state),
            },
            Writing { ended, state },
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
            if !self.state.behind.swap(true, Ordering::Relaxed) {
                tracing::warn!("the log is behind; callers get `resource_exhausted`");
            }
            let text = "the log is behind: too much waits to be written";
            return Err(Error::new(Code::ResourceExhausted, text).with_retry_after(RETRY_AFTER));
        };
        // A thread that is gone has dropped the answer's other end, which says so below.
        let _ = self.jobs.send(Job {
            lines,
            records,
            answer,
            room,
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
        self.state.lost.load(Ordering::Relaxed)
    }
}

/// The thread that writes, for the one who has to wait for its end.
#[derive(Debug)]
#[must_use = "a process that ends does not wait for its threads; `finish` does"]
pub struct Writing {
    ended: oneshot::Receiver<()>,
    state: Arc<State>,
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
        match self.state.lost.load(Ordering::Relaxed) {
            0 => Ok(()),
            lost => fail!(
                Code::DataLoss,
                "{lost} records could not be written to the log"
            ),
        }
    }
}

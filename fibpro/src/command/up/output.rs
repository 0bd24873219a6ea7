//! Output of child processes, forwarded in whole lines.

use std::io::Write;
use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use fibpro::output::LineOutput;
use fibpro::process::print_note;
use parking_lot::Mutex;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// Timeout for the end of a dead process's output; another process may hold the pipe open.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Prefix of the line with which a program reports why it exits.
const ERROR: &str = "error: ";

/// Copies whole lines to an output until the input ends. Lines that cannot be written are skipped
/// and counted, so that the child can go on.
pub(super) async fn forward_lines<W: Write + Send + 'static>(
    mut from: impl AsyncBufRead + Unpin,
    out: W,
) {
    let mut out = SkippingOutput::new(out);
    let mut begun = Vec::new();
    loop {
        let bytes = match from.fill_buf().await {
            Ok([]) | Err(_) => break,
            Ok(bytes) => bytes,
        };
        let length = bytes.len();
        // Bytes after the last line end wait for their own line end.
        let whole = bytes
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        begun.extend_from_slice(&bytes[..whole]);
        let lines = if whole == 0 {
            Vec::new()
        } else {
            mem::take(&mut begun)
        };
        begun.extend_from_slice(&bytes[whole..]);
        from.consume(length);
        if !lines.is_empty() && !out.write(lines).await {
            return;
        }
    }
    if !begun.is_empty() {
        out.write(begun).await;
    }
    out.report_end();
}

/// An output that reports when it fails and when it works again.
struct SkippingOutput<W> {
    /// `None` while a thread writes.
    out: Option<LineOutput<W>>,
    is_failing: bool,
    skipped: u64,
}

impl<W: Write + Send + 'static> SkippingOutput<W> {
    fn new(out: W) -> Self {
        Self {
            out: Some(LineOutput::new(out)),
            is_failing: false,
            skipped: 0,
        }
    }

    /// Writes lines on a thread that may block. Returns false if that thread has panicked.
    async fn write(&mut self, lines: Vec<u8>) -> bool {
        let Some(mut out) = self.out.take() else {
            return false;
        };
        let writing = tokio::task::spawn_blocking(move || {
            let written = out.write_lines(&lines);
            (out, written.skipped(&lines), written.outcome)
        });
        let Ok((out, skipped, outcome)) = writing.await else {
            return false;
        };
        self.out = Some(out);
        self.skipped += skipped;
        match (
            &outcome,
            mem::replace(&mut self.is_failing, outcome.is_err()),
        ) {
            (Err(error), false) => print_note(format_args!(
                "cannot write the log to standard output: {error}; lines are skipped until it works again, and their \
                 records are in the log store"
            )),
            (Ok(()), true) => print_note(format_args!(
                "the log is written to standard output again; {} lines were skipped",
                self.skipped
            )),
            (Err(_), true) | (Ok(()), false) => {}
        }
        true
    }

    fn report_end(&self) {
        if self.is_failing {
            print_note(format_args!(
                "{} lines of the log were not written to standard output",
                self.skipped
            ));
        }
    }
}

/// Forwards the stderr of a child: each line under the child's name. The line with the reason of
/// its exit is kept for the error that reports the exit.
pub(super) struct StderrTail {
    last: Arc<Mutex<Option<String>>>,
    /// Changes with each line.
    lines: watch::Receiver<()>,
    reading: Option<JoinHandle<()>>,
}

impl StderrTail {
    pub(super) fn of(name: Arc<str>, stderr: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let last = Arc::new(Mutex::new(None));
        let kept = Arc::clone(&last);
        let (line_read, lines) = watch::channel(());
        let reading = tokio::spawn(async move {
            let mut lines = BufReader::new(stderr).split(b'\n');
            while let Ok(Some(line)) = lines.next_segment().await {
                line_read.send_replace(());
                let line = String::from_utf8_lossy(&line);
                match line.strip_prefix(ERROR) {
                    Some(error) => {
                        let mut kept = kept.lock();
                        *kept = Some(error.to_owned());
                    }
                    None => print_note(format_args!("[{name}] {line}")),
                }
            }
        });
        Self {
            last,
            lines,
            reading: Some(reading),
        }
    }

    /// Waits for `work` as long as the process prints a line within each `limit`, such as one about
    /// its progress. Returns `None` if it has printed nothing for that time.
    pub(super) async fn while_heard<T>(
        &mut self,
        limit: Duration,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Some(done),
                line = self.lines.changed() => if line.is_err() {
                    return timeout(limit, work).await.ok();
                },
                () = sleep(limit) => return None,
            }
        }
    }

    /// Returns the last error line of a process that has exited.
    pub(super) async fn last(&mut self) -> Option<String> {
        if let Some(reading) = self.reading.take() {
            // After the timeout, the lines read so far are used.
            let _ = timeout(TIMEOUT, reading).await;
        }
        self.last.lock().take()
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::io::AsyncWriteExt as _;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    /// Returns whether work of this length is waited for, while a line is printed in each interval.
    async fn is_waited_for(length: Duration, interval: Duration) -> bool {
        let (mut child, stderr) = tokio::io::duplex(64);
        let mut stderr = StderrTail::of("test".into(), stderr);
        let printing = tokio::spawn(async move {
            loop {
                sleep(interval).await;
                child.write_all(b"progress\n").await.unwrap();
            }
        });
        let waited = stderr.while_heard(LIMIT, sleep(length)).await;
        printing.abort();
        waited.is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn a_child_has_time_while_it_prints_lines() {
        let minutes = |n: u64| Duration::from_secs(60 * n);
        assert!(is_waited_for(minutes(3), Duration::from_secs(2)).await);
        assert!(is_waited_for(minutes(10), Duration::from_secs(29)).await);
        assert!(!is_waited_for(minutes(10), Duration::from_secs(31)).await);
        assert!(is_waited_for(Duration::from_secs(29), minutes(5)).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_child_that_closes_its_stderr_has_the_limit() {
        let mut stderr = StderrTail::of("test".into(), tokio::io::empty());
        assert!(stderr.while_heard(LIMIT, pending::<()>()).await.is_none());
        let mut stderr = StderrTail::of("test".into(), tokio::io::empty());
        let work = sleep(Duration::from_secs(20));
        assert!(stderr.while_heard(LIMIT, work).await.is_some());
    }
}

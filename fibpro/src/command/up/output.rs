//! Output of child processes, forwarded in whole lines.

use std::io::Write;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use fibpro::output::LineOutput;
use fibpro::process::print_note;
use parking_lot::Mutex;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, BufReader};
use tokio::process::ChildStderr;
use tokio::task::JoinHandle;
use tokio::time::timeout;

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
    reading: Option<JoinHandle<()>>,
}

impl StderrTail {
    pub(super) fn of(name: &'static str, stderr: ChildStderr) -> Self {
        let last = Arc::new(Mutex::new(None));
        let kept = Arc::clone(&last);
        let reading = tokio::spawn(async move {
            let mut lines = BufReader::new(stderr).split(b'\n');
            while let Ok(Some(line)) = lines.next_segment().await {
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
            reading: Some(reading),
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

//! Output of child processes, forwarded in whole lines.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fibpro::process::print_note;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::ChildStderr;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Timeout for the end of a dead process's output; another process may hold the pipe open.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Prefix of the line with which a program reports why it exits.
const ERROR: &str = "error: ";

/// Copies whole lines to standard output until the input ends or the output is closed.
pub(super) async fn forward_lines(mut from: impl AsyncBufRead + Unpin) {
    let mut out = tokio::io::stdout();
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
        let written = if whole == 0 {
            Ok(())
        } else {
            begun.extend_from_slice(&bytes[..whole]);
            let written = out.write_all(&begun).await;
            begun.clear();
            written.and(out.flush().await)
        };
        begun.extend_from_slice(&bytes[whole..]);
        from.consume(length);
        if written.is_err() {
            return;
        }
    }
    // The output is closed, so nothing is left to do.
    let _ = out.write_all(&begun).await;
    let _ = out.flush().await;
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
                        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
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
        self.last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

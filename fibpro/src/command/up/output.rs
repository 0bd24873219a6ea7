//! What children print: lines go on whole.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fibpro::process::print_note;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::ChildStderr;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long to wait for the end of what a dead process has said; somebody else may hold the pipe.
const TIMEOUT: Duration = Duration::from_secs(1);

/// What programs begin with that say why they end.
const ERROR: &str = "error: ";

/// Copies to standard output, whole lines at a time, until one of both ends.
pub(super) async fn forward_lines(mut from: impl AsyncBufRead + Unpin) {
    let mut out = tokio::io::stdout();
    let mut begun = Vec::new();
    loop {
        let bytes = match from.fill_buf().await {
            Ok([]) | Err(_) => break,
            Ok(bytes) => bytes,
        };
        let length = bytes.len();
        // What is behind the last line end waits for its own.
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
    // Nobody reads it: then nothing is left to do.
    let _ = out.write_all(&begun).await;
    let _ = out.flush().await;
}

/// The stderr of a child: each line goes on under the child's name, but for the last words, which are kept for the one
/// who tells of its end.
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

    /// The last words of a process that has ended.
    pub(super) async fn last(&mut self) -> Option<String> {
        if let Some(reading) = self.reading.take() {
            // Late or not, there is what there is.
            let _ = timeout(TIMEOUT, reading).await;
        }
        self.last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

//! Standard error of a process, for writers that must not wait without end.
//!
//! A terminal takes nothing after Ctrl-S, and a pipe nothing when it is full and not read. A
//! program that writes to it then blocks, with all threads that log, and does not even receive the
//! signal that ends it. [`Stderr`] hands each text to a thread and waits for it at most a second.
//! While standard error blocks, texts wait in memory up to a limit; beyond it they are skipped and
//! counted.
//!
//! ```
//! use std::io::Write as _;
//!
//! use rpc_runtime::stderr::Stderr;
//!
//! writeln!(Stderr, "the disk is nearly full")?;
//! # std::io::Result::Ok(())
//! ```

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use crate::sync::{Mutex, MutexExt as _};

/// Time that a writer waits for its text. After that, standard error counts as blocked, and writers
/// do not wait until it takes texts again.
const WAIT: Duration = Duration::from_secs(1);

/// Limit of the texts that wait, in bytes. A longer text waits if it is the only one.
const CAPACITY: usize = 1 << 20;

/// The writer of this process; `None` if the system could not create its thread.
static WRITER: OnceLock<Option<PatientWriter>> = OnceLock::new();

/// Standard error. Each call of [`write`](Write::write) is one text, which is written as a whole.
/// Errors of standard error, such as a closed one, are ignored.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stderr;

impl Write for Stderr {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let writer = WRITER.get_or_init(|| PatientWriter::start(io::stderr(), CAPACITY, WAIT).ok());
        match writer {
            Some(writer) => writer.write(text),
            // Only the exit code remains of a program whose stderr is closed.
            None => drop(io::stderr().write_all(text)),
        }
        Ok(text.len())
    }

    /// Formats the text first, so that it is one.
    fn write_fmt(&mut self, arguments: fmt::Arguments<'_>) -> io::Result<()> {
        self.write_all(fmt::format(arguments).as_bytes())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes texts on a thread of its own.
struct PatientWriter {
    shared: Arc<Shared>,
    capacity: usize,
    wait: Duration,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// Notified when a text was added.
    added: Condvar,
    /// Notified when a text was written.
    written: Condvar,
}

#[derive(Default)]
struct Queue {
    texts: VecDeque<Vec<u8>>,
    /// Size of the texts that are not written, with the one that is being written.
    bytes: usize,
    added: u64,
    written: u64,
    skipped: u64,
    is_blocked: bool,
}

impl PatientWriter {
    fn start(
        out: impl Write + Send + 'static,
        capacity: usize,
        wait: Duration,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        thread::Builder::new()
            .name("stderr".to_owned())
            .spawn(move || own.write_all(out))?;
        Ok(Self {
            shared,
            capacity,
            wait,
        })
    }

    fn write(&self, text: &[u8]) {
        let mut queue = self.shared.queue.lock_unpoisoned();
        if queue.bytes > 0 && queue.bytes + text.len() > self.capacity {
            queue.skipped += 1;
            return;
        }
        queue.bytes += text.len();
        queue.added += 1;
        queue.texts.push_back(text.to_vec());
        self.shared.added.notify_one();
        let number = queue.added;
        let waits = |queue: &mut Queue| !queue.is_blocked && queue.written < number;
        let waited = self
            .shared
            .written
            .wait_timeout_while(queue, self.wait, waits);
        let (mut queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if queue.written < number {
            queue.is_blocked = true;
        }
    }
}

impl Shared {
    fn write_all(&self, mut out: impl Write) {
        loop {
            let text = self.next();
            // As above, of a closed stderr only the exit code remains.
            let _ = out.write_all(&text);
            let mut queue = self.queue.lock_unpoisoned();
            queue.bytes -= text.len();
            queue.written += 1;
            queue.is_blocked &= !queue.texts.is_empty();
            let skipped = match queue.texts.is_empty() {
                true => std::mem::take(&mut queue.skipped),
                false => 0,
            };
            drop(queue);
            self.written.notify_all();
            if skipped > 0 {
                let note = format!("standard error was blocked: {skipped} texts were skipped\n");
                let _ = out.write_all(note.as_bytes());
            }
        }
    }

    fn next(&self) -> Vec<u8> {
        let mut queue = self.queue.lock_unpoisoned();
        loop {
            match queue.texts.pop_front() {
                Some(text) => return text,
                None => {
                    let added = self.added.wait(queue);
                    queue = added.unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Takes a text when the test allows it, and sends it to the test.
    struct Terminal {
        go_on: mpsc::Receiver<()>,
        taken: mpsc::Sender<String>,
    }

    impl Write for Terminal {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            if self.go_on.recv().is_err() {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            let shown = String::from_utf8(text.to_vec()).unwrap();
            // The test may have seen enough.
            let _ = self.taken.send(shown);
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn stopped(
        capacity: usize,
        wait: Duration,
    ) -> (PatientWriter, mpsc::Sender<()>, mpsc::Receiver<String>) {
        let (allow, go_on) = mpsc::channel();
        let (taken, shown) = mpsc::channel();
        let terminal = Terminal { go_on, taken };
        (
            PatientWriter::start(terminal, capacity, wait).unwrap(),
            allow,
            shown,
        )
    }

    #[test]
    fn a_blocked_terminal_holds_no_writer() {
        let (writer, allow, shown) = stopped(12, Duration::from_millis(1));
        for text in ["one", "two", "three", "four", "five"] {
            writer.write(text.as_bytes());
        }
        assert!(writer.shared.queue.lock_unpoisoned().is_blocked);
        for _ in 0..4 {
            allow.send(()).unwrap();
        }
        let shown: Vec<_> = (0..4).map(|_| shown.recv().unwrap()).collect();
        assert_eq!(
            shown,
            [
                "one",
                "two",
                "three",
                "standard error was blocked: 2 texts were skipped\n"
            ]
        );
    }

    #[test]
    fn a_text_is_written_when_its_writer_goes_on() {
        let (writer, allow, shown) = stopped(12, Duration::from_secs(600));
        for text in ["one", "longer than the whole capacity", "three"] {
            allow.send(()).unwrap();
            writer.write(text.as_bytes());
            assert_eq!(shown.try_recv().unwrap(), text);
        }
        assert!(!writer.shared.queue.lock_unpoisoned().is_blocked);
    }

    #[test]
    fn after_the_block_writers_wait_again() {
        let (writer, allow, shown) = stopped(100, Duration::from_millis(1));
        writer.write(b"one");
        assert!(writer.shared.queue.lock_unpoisoned().is_blocked);
        allow.send(()).unwrap();
        assert_eq!(shown.recv().unwrap(), "one");
        let patient = PatientWriter {
            wait: Duration::from_secs(600),
            ..writer
        };
        let mut queue = patient.shared.queue.lock_unpoisoned();
        while queue.is_blocked {
            queue = patient.shared.written.wait(queue).unwrap();
        }
        drop(queue);
        allow.send(()).unwrap();
        patient.write(b"two");
        assert_eq!(shown.try_recv().unwrap(), "two");
    }

    #[test]
    fn a_closed_stderr_holds_no_writer() {
        let (writer, allow, _) = stopped(100, Duration::from_secs(600));
        drop(allow);
        writer.write(b"one");
        writer.write(b"two");
        assert_eq!(writer.shared.queue.lock_unpoisoned().written, 2);
    }
}

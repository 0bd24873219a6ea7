//! Writes whole lines to an output that may fail for some time, such as a full disk or a closed
//! pipe.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::thread;
use std::time::Duration;

/// Delay before a write is repeated on an output that another process made non-blocking.
const PAUSE: Duration = Duration::from_millis(10);

/// Returns standard output without a buffer.
///
/// The buffer of [`io::stdout`] keeps what could not be written and writes it later, so it cannot
/// be known which lines were written.
///
/// # Errors
///
/// The I/O error if the process has too many open files.
pub fn unbuffered_stdout() -> io::Result<File> {
    Ok(io::stdout().as_fd().try_clone_to_owned()?.into())
}

/// An output for whole lines.
#[derive(Debug)]
pub struct LineOutput<W> {
    out: W,
    /// Whether the last write ended in the middle of a line.
    is_mid_line: bool,
}

/// The result of writing some lines.
#[derive(Debug)]
#[must_use = "lines may be missing from the output"]
pub struct LinesWritten {
    /// The number of bytes that were written. The line feed of a line whose text was written
    /// counts, because it is written before the next line.
    pub bytes: usize,
    /// The error, if not all bytes were written.
    pub outcome: io::Result<()>,
}

impl LinesWritten {
    /// Returns the number of lines that were not or only partly written.
    #[must_use]
    pub fn skipped(&self, lines: &[u8]) -> u64 {
        lines[self.bytes..]
            .iter()
            .map(|byte| u64::from(*byte == b'\n'))
            .sum()
    }
}

impl<W: Write> LineOutput<W> {
    /// Creates an output. `out` must not have a buffer.
    pub fn new(out: W) -> Self {
        Self {
            out,
            is_mid_line: false,
        }
    }

    /// Writes lines, each with a line feed at its end. Blocks. After an error, the rest of the
    /// lines is not written later. A line that was written in part is ended before the next one.
    pub fn write_lines(&mut self, lines: &[u8]) -> LinesWritten {
        if lines.is_empty() {
            return LinesWritten {
                bytes: 0,
                outcome: Ok(()),
            };
        }
        if !self.is_mid_line {
            return self.write_all(lines);
        }
        let mut text = Vec::with_capacity(lines.len() + 1);
        text.push(b'\n');
        text.extend_from_slice(lines);
        let written = self.write_all(&text);
        LinesWritten {
            bytes: written.bytes.saturating_sub(1),
            ..written
        }
    }

    fn write_all(&mut self, text: &[u8]) -> LinesWritten {
        let mut bytes = 0;
        let mut outcome = Ok(());
        while bytes < text.len() && outcome.is_ok() {
            match self.out.write(&text[bytes..]) {
                Ok(0) => outcome = Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => bytes += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Blocks, as the output would by itself.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    thread::park_timeout(PAUSE);
                }
                Err(error) => outcome = Err(error),
            }
        }
        if let Some(last) = bytes.checked_sub(1) {
            self.is_mid_line = text[last] != b'\n';
            if self.is_mid_line && text.get(bytes) == Some(&b'\n') {
                // Only its line feed is missing, which is written before the next line.
                bytes += 1;
            }
        }
        LinesWritten { bytes, outcome }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// Takes as many bytes as each step allows, and fails when a step is an error.
    struct Disk {
        text: Vec<u8>,
        steps: VecDeque<Result<usize, io::ErrorKind>>,
    }

    impl Write for Disk {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            let count = match self.steps.pop_front() {
                Some(step) => step?.min(text.len()),
                None => text.len(),
            };
            self.text.extend_from_slice(&text[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Writes three lines, then one. Returns the text, and how many of the three were skipped.
    fn written(steps: &[Result<usize, io::ErrorKind>]) -> (String, u64) {
        let steps = steps.iter().copied().collect();
        let mut out = LineOutput::new(Disk {
            text: Vec::new(),
            steps,
        });
        let lines = b"one\ntwo\nthree\n";
        let skipped = out.write_lines(lines).skipped(lines);
        let last = out.write_lines(b"four\n");
        last.outcome.unwrap();
        assert_eq!(last.bytes, 5);
        (String::from_utf8(out.out.text).unwrap(), skipped)
    }

    #[test]
    fn what_could_not_be_written_is_skipped_and_counted() {
        let full = io::ErrorKind::StorageFull;
        for (steps, text, skipped) in [
            (&[][..], "one\ntwo\nthree\nfour\n", 0),
            (&[Ok(4), Ok(1), Ok(3)], "one\ntwo\nthree\nfour\n", 0),
            (&[Err(full)], "four\n", 3),
            (&[Ok(4), Err(full)], "one\nfour\n", 2),
            (&[Ok(6), Err(full)], "one\ntw\nfour\n", 2),
            (&[Ok(7), Err(full)], "one\ntwo\nfour\n", 1),
            (&[Ok(13), Ok(0)], "one\ntwo\nthree\nfour\n", 0),
            (
                &[
                    Err(io::ErrorKind::Interrupted),
                    Ok(5),
                    Err(io::ErrorKind::WouldBlock),
                ],
                "one\ntwo\nthree\nfour\n",
                0,
            ),
        ] {
            assert_eq!(written(steps), (text.to_owned(), skipped), "{steps:?}");
        }
    }

    #[test]
    fn a_line_is_ended_once_the_output_works_again() {
        let full = io::ErrorKind::StorageFull;
        let mut out = LineOutput::new(Disk {
            text: Vec::new(),
            steps: [Ok(2), Err(full), Err(full), Ok(1), Err(full)].into(),
        });
        for (bytes, skipped) in [(2, 1), (0, 1), (0, 1), (4, 0)] {
            let written = out.write_lines(b"one\n");
            assert_eq!((written.bytes, written.skipped(b"one\n")), (bytes, skipped));
        }
        assert_eq!(String::from_utf8(out.out.text).unwrap(), "on\none\n");
        let nothing = LineOutput::new(io::empty()).write_lines(b"");
        assert_eq!((nothing.bytes, nothing.skipped(b"")), (0, 0));
    }
}

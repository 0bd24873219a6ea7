//! A segment file of the spool: one record per line, as a checksum and JSON.
//!
//! ```text
//! 1f2e3d4c {"source":"userstore@prod/127.0.0.1:9003","epoch":1764000000000000,"sequence":17,…}
//! ```
//!
//! The JSON contains no line feed, so damage in one line does not affect the next.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::vec;

use super::directory;
use crate::logs::Record;

/// An open or finished segment file.
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    /// Number of records.
    records: usize,
    /// Number of records that were taken, from the first.
    taken: usize,
    /// Number of records that the sink has, from the first.
    acknowledged: usize,
    /// Records that were not taken; `None` until the file is read.
    read: Option<vec::IntoIter<Record>>,
}

impl Segment {
    /// Creates a new file, named after its number.
    pub(super) fn create(folder: &Path, number: u64) -> io::Result<(Self, File)> {
        let path = folder.join(format!("{number:08}.{}", directory::EXTENSION));
        let file = directory::new_file(&path)?;
        Ok((Self::new(path, 0, 0), file))
    }

    /// Opens a file of an orphaned session.
    pub(super) fn open_existing(path: PathBuf) -> io::Result<Self> {
        let content = fs::read(&path)?;
        let bytes = u64::try_from(content.len()).unwrap_or(u64::MAX);
        let records = lines(&content).count();
        Ok(Self::new(path, bytes, records))
    }

    fn new(path: PathBuf, bytes: u64, records: usize) -> Self {
        Self {
            path,
            bytes,
            records,
            taken: 0,
            acknowledged: 0,
            read: None,
        }
    }

    /// Updates the counts after an append.
    pub(super) fn record_append(&mut self, bytes: u64, records: usize, taken: bool) {
        self.bytes += bytes;
        self.records += records;
        if taken {
            self.taken += records;
        }
    }

    /// Takes the next records. Also returns the number of damaged lines that were found.
    pub(super) fn take(
        &mut self,
        records: usize,
        bytes: usize,
    ) -> io::Result<(Vec<Record>, usize)> {
        let mut damaged = 0;
        let read = match &mut self.read {
            Some(read) => read,
            None => {
                let content = fs::read(&self.path)?;
                // Skips lines, not records: some of the lines already taken may be damaged.
                let rest: Vec<_> = lines(&content)
                    .skip(self.taken)
                    .filter_map(record)
                    .collect();
                let expected = self.records.saturating_sub(self.taken);
                damaged = expected.saturating_sub(rest.len());
                self.records = self.taken + rest.len();
                let read = rest.into_iter();
                self.read.insert(read)
            }
        };
        let mut taken = Vec::new();
        let mut size = 0;
        while taken.len() < records
            && (size < bytes || taken.is_empty())
            && let Some(record) = read.next()
        {
            size += record.text.len();
            taken.push(record);
        }
        self.taken += taken.len();
        Ok((taken, damaged))
    }

    pub(super) fn acknowledge(&mut self, records: usize) {
        self.acknowledged = (self.acknowledged + records).min(self.taken);
    }

    /// Returns the number of records that the sink does not have.
    pub(super) fn unacknowledged(&self) -> usize {
        self.records - self.acknowledged
    }

    /// Returns the number of records that were taken and that the sink does not have.
    pub(super) fn in_flight(&self) -> usize {
        self.taken - self.acknowledged
    }

    /// Returns whether all records were taken.
    pub(super) fn is_drained(&self) -> bool {
        self.taken == self.records
    }

    pub(super) fn is_in(&self, folder: &Path) -> bool {
        self.path.parent() == Some(folder)
    }
}

/// Appends a record to encoded lines.
pub(in crate::logs) fn append_line(lines: &mut Vec<u8>, record: &Record) {
    let start = lines.len();
    lines.extend_from_slice(b"00000000 ");
    // Cannot fail: a record consists of text and numbers.
    if serde_json::to_writer(&mut *lines, record).is_err() {
        return lines.truncate(start);
    }
    let sum = crc32fast::hash(&lines[start + 9..]);
    lines[start..start + 8].copy_from_slice(format!("{sum:08x}").as_bytes());
    lines.push(b'\n');
}

/// Returns the lines of a file. The last one has no line feed if its writer was killed while
/// writing.
fn lines(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    content.split_inclusive(|byte| *byte == b'\n')
}

/// Decodes a line; `None` if it is damaged.
fn record(line: &[u8]) -> Option<Record> {
    let (sum, json) = line.strip_suffix(b"\n")?.split_at_checked(9)?;
    let sum = std::str::from_utf8(sum).ok()?.strip_suffix(' ')?;
    if u32::from_str_radix(sum, 16).ok()? != crc32fast::hash(json) {
        return None;
    }
    serde_json::from_slice(json).ok()
}

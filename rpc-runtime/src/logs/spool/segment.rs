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
use crate::files::{self, FileError};
use crate::logs::Record;

/// Limit of a segment that is read, in bytes: far more than this version writes. Another file in
/// the folder must not exhaust memory.
const READ_LIMIT: u64 = 64 << 20;

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
    id: FileId,
}

/// State of the file of a segment since it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SegmentFile {
    Intact,
    /// It was removed or replaced.
    Removed,
    /// It has fewer bytes than were written.
    Truncated,
}

/// Device and inode number of a file, to notice when it is replaced.
type FileId = Option<(u64, u64)>;

impl Segment {
    /// Creates a new file, named after its number.
    pub(super) fn create(folder: &Path, number: u64) -> io::Result<(Self, File)> {
        let path = folder.join(format!("{number:08}.{}", directory::EXTENSION));
        let file = directory::new_file(&path)?;
        let id = id(&file.metadata()?);
        Ok((Self::new(path, 0, 0, id), file))
    }

    /// Opens a file of an orphaned session.
    pub(super) fn open_existing(path: PathBuf) -> io::Result<Self> {
        let content = read(&path)?;
        let bytes = u64::try_from(content.len()).unwrap_or(u64::MAX);
        let records = lines(&content).count();
        let id = id(&fs::symlink_metadata(&path)?);
        Ok(Self::new(path, bytes, records, id))
    }

    /// Looks at the file.
    pub(super) fn look(&self) -> SegmentFile {
        match fs::symlink_metadata(&self.path) {
            Ok(found) if id(&found) != self.id => SegmentFile::Removed,
            Ok(found) if found.len() < self.bytes => SegmentFile::Truncated,
            // Or a file is in the place of the folder.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                SegmentFile::Removed
            }
            // Another error may pass. It is reported when the file is read.
            Ok(_) | Err(_) => SegmentFile::Intact,
        }
    }

    fn new(path: PathBuf, bytes: u64, records: usize, id: FileId) -> Self {
        Self {
            path,
            bytes,
            records,
            taken: 0,
            acknowledged: 0,
            read: None,
            id,
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
        let damaged = self.load()?;
        let read = self.read.get_or_insert_default();
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

    /// Reads the records that were not taken into memory, unless they are there already. Returns
    /// the number of damaged lines that were found.
    fn load(&mut self) -> io::Result<usize> {
        if self.read.is_some() {
            return Ok(0);
        }
        self.load_again()
    }

    /// Reads the records that were not taken from what the file has now. Returns the number of
    /// those that it has no longer.
    pub(super) fn load_again(&mut self) -> io::Result<usize> {
        let content = read(&self.path)?;
        self.bytes = self
            .bytes
            .min(u64::try_from(content.len()).unwrap_or(u64::MAX));
        // Skips lines, not records: some of the lines already taken may be damaged.
        let rest: Vec<_> = lines(&content)
            .skip(self.taken)
            .filter_map(record)
            .collect();
        let expected = self.records.saturating_sub(self.taken);
        let damaged = expected.saturating_sub(rest.len());
        self.records = self.taken + rest.len();
        self.read = Some(rest.into_iter());
        Ok(damaged)
    }

    /// Returns whether the records that were not taken are in memory.
    pub(super) fn is_loaded(&self) -> bool {
        self.read.is_some()
    }

    /// Returns the number of records that were not taken.
    pub(super) fn untaken(&self) -> usize {
        self.records - self.taken
    }

    /// Gives up the records that were taken and not acknowledged. Returns whether there are any.
    pub(super) fn release_in_flight(&mut self) -> bool {
        let any = self.in_flight() > 0;
        self.acknowledged = self.taken;
        any
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

/// Returns the valid records of a segment.
#[cfg(feature = "_fuzz")]
pub(crate) fn read_segment(content: &[u8]) -> Vec<Record> {
    lines(content).filter_map(record).collect()
}

/// Returns a segment with these records.
#[cfg(feature = "_fuzz")]
pub(crate) fn write_segment(records: &[Record]) -> Vec<u8> {
    let mut lines = Vec::new();
    records
        .iter()
        .for_each(|record| append_line(&mut lines, record));
    lines
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    files::read_regular(path, READ_LIMIT).map_err(|error| match error {
        FileError::Io(error) => error,
        error => io::Error::new(io::ErrorKind::InvalidData, error),
    })
}

#[cfg(unix)]
fn id(metadata: &fs::Metadata) -> FileId {
    use std::os::unix::fs::MetadataExt as _;

    Some((metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn id(_: &fs::Metadata) -> FileId {
    None
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

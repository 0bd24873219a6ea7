//! Bounded queue of records on disk, used while the sink is unavailable.
//!
//! Each session (one run of a process) has a folder named after its epoch, which is locked while
//! the process runs. The next process takes over unlocked folders and sends their records
//! first. A record is a line of a segment file; a segment is deleted once the sink has all of it. A
//! record that is sent twice because a process was killed has the same numbers, so the sink ignores
//! it.
//!
//! Files are never synced. A killed process loses nothing that was written; a host that loses power
//! may lose the last seconds.

mod directory;
mod segment;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

pub(super) use self::directory::{SpoolDir, now};
use self::directory::{SpoolSession, remove};
pub(super) use self::segment::append_line;
use self::segment::{Segment, SegmentFile};
#[cfg(feature = "_fuzz")]
pub(crate) use self::segment::{read_segment, write_segment};
use super::Record;

/// Segments per spool: a segment is full at a sixteenth of the limit. Eviction drops a whole
/// segment, and after a kill a whole segment is sent again.
const SEGMENTS: u64 = 16;

/// Limit of a segment, in bytes. A segment is read into memory as a whole.
const SEGMENT_LIMIT: u64 = 1 << 20;

/// The spool of a process, including the records of orphaned sessions.
pub(super) struct Spool {
    directory: SpoolDir,
    own: SpoolSession,
    /// Recovered sessions. Their folders are deleted after their last segment.
    orphaned: Vec<SpoolSession>,
    /// All segments, oldest first.
    segments: VecDeque<Segment>,
    /// File of the last segment, while it is not full.
    open: Option<File>,
    limit: u64,
    /// Number of the next segment.
    next: u64,
    losses: Losses,
}

/// Losses of a spool since the last [`Spool::take_losses`].
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Losses {
    /// Records evicted because the spool was full.
    pub(super) evicted: usize,
    /// Lines that could not be read.
    pub(super) damaged: usize,
    /// Records whose files were removed by others.
    pub(super) removed: usize,
    /// Whether the records that were taken and not acknowledged are no longer on disk. The other
    /// fields do not count them.
    pub(super) in_flight: bool,
}

impl Spool {
    /// Opens a spool and starts a new session in it.
    ///
    /// # Errors
    ///
    /// The I/O error if the folder cannot be used.
    pub(super) fn open(directory: SpoolDir, limit: u64) -> io::Result<Self> {
        let own = directory.begin_session()?;
        Ok(Self {
            directory,
            own,
            orphaned: Vec::new(),
            segments: VecDeque::new(),
            open: None,
            limit,
            next: 1,
            losses: Losses::default(),
        })
    }

    /// Returns the epoch of this session. It is larger than that of every earlier one.
    pub(super) fn epoch(&self) -> u64 {
        self.own.epoch()
    }

    /// Takes over the segments of orphaned sessions. Must be called before the first append,
    /// because these records are older.
    ///
    /// Files that cannot be read are left in place, with a warning.
    pub(super) fn recover(&mut self) {
        let sessions = self.directory.orphaned_sessions(self.own.epoch());
        for session in sessions.unwrap_or_else(|error| warn_not_recovered(&error)) {
            let paths = session.segments();
            for path in paths.unwrap_or_else(|error| warn_not_recovered(&error)) {
                match Segment::open_existing(path) {
                    Ok(segment) => self.segments.push_back(segment),
                    Err(error) => warn_not_recovered(&error),
                }
            }
            self.orphaned.push(session);
        }
        self.evict_until_fits(0);
        self.remove_acknowledged();
    }

    /// Returns the folder.
    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Returns whether all records have been taken.
    pub(super) fn is_drained(&self) -> bool {
        self.segments.iter().all(Segment::is_drained)
    }

    /// Returns the size in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Returns the losses since the last call.
    pub(super) fn take_losses(&mut self) -> Losses {
        std::mem::take(&mut self.losses)
    }

    /// Looks for files that others removed, replaced or truncated, and counts their records as
    /// lost. Records that are in memory already are not lost.
    pub(super) fn check_files(&mut self) {
        self.count_missing(false);
    }

    /// Like [`check_files`](Self::check_files), before this process ends: what is in memory only is
    /// lost as well.
    pub(super) fn check_files_at_end(&mut self) {
        self.count_missing(true);
    }

    fn count_missing(&mut self, at_end: bool) {
        let losses = &mut self.losses;
        let last = self.segments.len().saturating_sub(1);
        let mut ends_open = false;
        let mut index = 0;
        self.segments.retain_mut(|segment| {
            let is_last = index == last;
            index += 1;
            let file = segment.look();
            if file == SegmentFile::Intact {
                return true;
            }
            ends_open |= is_last;
            // The sender still has them in memory.
            losses.in_flight |= segment.release_in_flight();
            let is_in_memory = segment.is_loaded() && !at_end;
            if file == SegmentFile::Truncated
                && !is_in_memory
                && let Ok(damaged) = segment.load_again()
            {
                losses.damaged += damaged;
                return true;
            }
            if is_in_memory {
                return true;
            }
            losses.removed += segment.untaken();
            false
        });
        if ends_open {
            self.open = None;
        }
    }

    /// Appends lines (see [`append_line`]). With `taken`, the records count as already taken by the
    /// caller, who sends them before all others; this is only allowed if the spool is drained.
    ///
    /// # Errors
    ///
    /// The I/O error; nothing was appended then.
    pub(super) fn append(&mut self, lines: &[u8], records: usize, taken: bool) -> io::Result<()> {
        let bytes = u64::try_from(lines.len()).unwrap_or(u64::MAX);
        self.evict_until_fits(bytes);
        let mut file = match self.open.take() {
            Some(file) => file,
            None => {
                let (segment, file) = Segment::create(self.own.folder()?, self.next)?;
                self.next += 1;
                self.segments.push_back(segment);
                file
            }
        };
        let Some(segment) = self.segments.back_mut() else {
            return Ok(());
        };
        if let Err(error) = file.write_all(lines) {
            // Removes a partial line. If this fails too, the reader counts a damaged line.
            let _ = file.set_len(segment.bytes);
            self.remove_acknowledged();
            return Err(error);
        }
        segment.record_append(bytes, records, taken);
        if segment.bytes < self.segment_limit() {
            self.open = Some(file);
        }
        Ok(())
    }

    /// Takes the oldest records: at most `records`, and none after their text has reached `bytes`.
    /// They stay on disk until [`acknowledge`](Self::acknowledge).
    pub(super) fn take(&mut self, records: usize, bytes: usize) -> Vec<Record> {
        loop {
            self.remove_acknowledged();
            if self.segments.len() == 1 {
                // A segment that is being read is not appended to.
                self.open = None;
            }
            let Some(first) = self.segments.front_mut() else {
                return Vec::new();
            };
            if first.is_drained() {
                // All of its records are in flight.
                return Vec::new();
            }
            match first.take(records, bytes) {
                Ok((taken, damaged)) => {
                    self.losses.damaged += damaged;
                    if !taken.is_empty() {
                        return taken;
                    }
                }
                Err(error) => {
                    let path = first.path.display();
                    tracing::warn!(target: "rpc", %error, "cannot read a segment of the log spool, skipping it: {path}");
                    // The file is kept: the next session tries to read it again.
                    if error.kind() == io::ErrorKind::NotFound {
                        self.losses.removed += first.unacknowledged();
                    } else {
                        self.losses.damaged += first.unacknowledged();
                    }
                    self.segments.pop_front();
                }
            }
        }
    }

    /// Acknowledges the oldest `records` of those that were taken: the sink has them.
    pub(super) fn acknowledge(&mut self, records: usize) {
        if let Some(first) = self.segments.front_mut() {
            first.acknowledge(records);
        }
        self.remove_acknowledged();
    }

    /// Ends the session. Remaining records stay for the next one.
    pub(super) fn close(mut self) {
        self.open = None;
        self.remove_acknowledged();
        if self.segments.is_empty() {
            self.own.remove();
            self.directory.remove_if_empty();
        }
    }

    /// Returns the size of a full segment, in bytes.
    pub(super) fn segment_bytes(&self) -> usize {
        usize::try_from(self.segment_limit()).unwrap_or(usize::MAX)
    }

    /// Returns whether these lines fit into the limit if everything else is evicted.
    pub(super) fn could_fit(&self, lines: &[u8]) -> bool {
        u64::try_from(lines.len()).is_ok_and(|bytes| bytes <= self.limit)
    }

    fn segment_limit(&self) -> u64 {
        (self.limit / SEGMENTS).min(SEGMENT_LIMIT)
    }

    /// Evicts the oldest segments until `bytes` more fit.
    fn evict_until_fits(&mut self, bytes: u64) {
        while self.bytes().saturating_add(bytes) > self.limit {
            let Some(first) = self.segments.pop_front() else {
                return;
            };
            if self.segments.is_empty() {
                self.open = None;
            }
            self.losses.evicted += first.unacknowledged() - first.in_flight();
            self.losses.in_flight |= first.in_flight() > 0;
            remove(&first.path);
        }
    }

    /// Deletes segments that the sink has completely, and the folders of recovered sessions.
    fn remove_acknowledged(&mut self) {
        while let Some(first) = self.segments.front()
            && first.unacknowledged() == 0
        {
            remove(&first.path);
            self.segments.pop_front();
            if self.segments.is_empty() {
                self.open = None;
            }
        }
        let own = self.own.path();
        if self.segments.iter().all(|segment| segment.is_in(own)) {
            for session in self.orphaned.drain(..) {
                session.remove();
            }
        }
    }
}

/// Logs that files of an orphaned session are left in place.
fn warn_not_recovered<T: Default>(error: &io::Error) -> T {
    tracing::warn!(target: "rpc", %error, "cannot recover a part of the log spool left by an earlier session");
    T::default()
}

#[cfg(test)]
mod tests;

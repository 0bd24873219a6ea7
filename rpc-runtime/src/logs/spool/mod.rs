//! Records on disk while the sink is away: written at the end, read from the start, bounded in between.
//!
//! Each life of a process has a folder of its own, named after its epoch and locked for as long as the process lives.
//! Folders that nobody locks belong to the dead: whoever starts next takes them over, and sends what is in them first.
//! A record is a line of a segment; a segment that is sent is deleted. What is sent twice, because a process was killed
//! in between, has the same numbers, and the sink knows it by those.
//!
//! Nothing waits for the disk to have it: a killed process loses nothing that was written, a host without power may
//! lose the last seconds.

mod directory;
mod segment;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use self::directory::{Session, remove};
pub(super) use self::directory::{SpoolDir, now};
use self::segment::Segment;
pub(super) use self::segment::append_line;
use super::Record;

/// A segment is full at a sixteenth of the limit: that is what is dropped at once, and what is sent again after a kill.
const SEGMENTS: u64 = 16;

/// The largest segment, in bytes: it is read as a whole.
const SEGMENT_LIMIT: u64 = 1 << 20;

/// The spool of a process, with what earlier ones have left.
pub(super) struct Spool {
    directory: SpoolDir,
    own: Session,
    /// Drained over. Their folders go with their last segment.
    orphaned: Vec<Session>,
    /// From the oldest.
    segments: VecDeque<Segment>,
    /// The last segment, while it may still grow.
    open: Option<File>,
    limit: u64,
    /// The number of the next segment.
    next: u64,
    losses: Losses,
}

/// What the spool could not keep since it was last asked.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Losses {
    /// Records that had to go because it was full.
    pub(super) evicted: usize,
    /// Lines that could not be read.
    pub(super) damaged: usize,
    /// Whether the records that were taken and not acknowledged are no longer on disk. They are not counted above.
    pub(super) in_flight: bool,
}

impl Spool {
    /// Opens a spool, and a new life in it.
    ///
    /// # Errors
    ///
    /// What the system says of the folder.
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

    /// The life that it was opened for: larger than that of every process before.
    pub(super) fn epoch(&self) -> u64 {
        self.own.epoch()
    }

    /// Takes over what processes that are gone have left. To be done before anything is written: theirs is older.
    ///
    /// What cannot be read stays where it is, and a warning says so.
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

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Whether there is nothing left to take.
    pub(super) fn is_drained(&self) -> bool {
        self.segments.iter().all(Segment::is_drained)
    }

    /// How large it is, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// What was lost since this was last asked.
    pub(super) fn take_losses(&mut self) -> Losses {
        std::mem::take(&mut self.losses)
    }

    /// Writes lines (see [`append_line`]) at the end. `taken` says that the caller has those records in hand and sends
    /// them before all others: so it may only be said where nothing else is left to take.
    ///
    /// # Errors
    ///
    /// What the system says; nothing was written then.
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
            // Half a line would be a damaged one. Where this fails too, the reader finds and counts it.
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

    /// Takes the oldest records: at most `records` of them, and no more once they have `bytes` of text. They stay on
    /// disk until [`acknowledge`](Self::acknowledge).
    pub(super) fn take(&mut self, records: usize, bytes: usize) -> Vec<Record> {
        loop {
            self.remove_acknowledged();
            if self.segments.len() == 1 {
                // What is being read grows no more.
                self.open = None;
            }
            let Some(first) = self.segments.front_mut() else {
                return Vec::new();
            };
            if first.is_drained() {
                // It is in hand, all of it.
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
                    tracing::warn!(target: "rpc", %error, "a segment of the log spool cannot be read: {path}");
                    // The file stays: whoever starts next may have more luck.
                    self.losses.damaged += first.unacknowledged();
                    self.segments.pop_front();
                }
            }
        }
    }

    /// The sink has the oldest `records` of those that were taken.
    pub(super) fn acknowledge(&mut self, records: usize) {
        if let Some(first) = self.segments.front_mut() {
            first.acknowledge(records);
        }
        self.remove_acknowledged();
    }

    /// Ends the life. What is left stays for the next one.
    pub(super) fn close(mut self) {
        self.open = None;
        self.remove_acknowledged();
        if self.segments.is_empty() {
            self.own.remove();
            self.directory.remove_if_empty();
        }
    }

    /// As much as a segment has, in bytes.
    pub(super) fn segment_bytes(&self) -> usize {
        usize::try_from(self.segment_limit()).unwrap_or(usize::MAX)
    }

    /// Whether these lines fit if all else goes.
    pub(super) fn could_fit(&self, lines: &[u8]) -> bool {
        u64::try_from(lines.len()).is_ok_and(|bytes| bytes <= self.limit)
    }

    fn segment_limit(&self) -> u64 {
        (self.limit / SEGMENTS).min(SEGMENT_LIMIT)
    }

    /// Drops the oldest segments until so many more bytes fit.
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

    /// Deletes what the sink has.
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

fn warn_not_recovered<T: Default>(error: &io::Error) -> T {
    tracing::warn!(target: "rpc", %error, "a part of the log spool is not taken over");
    T::default()
}

#[cfg(test)]
mod tests;

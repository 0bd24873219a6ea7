//! The file next to a database that records what a store knows of it.
//!
//! For `users.sqlite` it is `.users.sqlite.store`. A store holds a shared lock on it, and a restore
//! an exclusive one. It tells an empty database from a new one, and a database that has lost
//! transactions from a complete one: without it, a database that was removed would be created anew,
//! with the credit of the first day, and purchases in a lost `-wal` would be undone.
//!
//! The number of the last transaction is written after each commit and before it is acknowledged.
//! It is not synced: after a power failure the number may be too low, and then less is noticed, but
//! never too high.

use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use rpc_runtime::files::{self, FileError};
use rpc_runtime::{Code, Error, Result};

use super::sqlite_file::{check_made_file, folder_of};

/// Maximum number of bytes that are read; the file may be any file.
const LIMIT: usize = 4096;

/// Start of the line with the number of the last transaction.
const CHANGES: &str = "changes ";

/// Length of what follows in that line, so that each version overwrites the previous one.
const STATE_LENGTH: usize = 64;

/// Length and time of the last change of a database file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileStamp {
    length: u64,
    changed: (i64, i64),
}

impl FileStamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            length: metadata.len(),
            changed: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

/// Content of a marker.
#[derive(Debug, Clone, Copy, Default)]
struct Content {
    has_users: bool,
    /// Number of the last acknowledged transaction.
    changes: i64,
    /// The database file when the last store closed it.
    closed: Option<FileStamp>,
}

/// An open and locked marker of a database.
#[derive(Debug)]
pub(crate) struct StoreMarker {
    path: PathBuf,
    database: PathBuf,
    /// Content when the marker was opened.
    found: Content,
    written: Mutex<WrittenMarker>,
}

/// The file and what it has now.
#[derive(Debug)]
struct WrittenMarker {
    file: File,
    length: u64,
    content: Content,
    is_failing: bool,
}

impl StoreMarker {
    /// Opens the marker of a running store. Several stores may use one database.
    pub(super) fn share(database: &Path) -> Result<Self> {
        Self::open(
            database,
            File::try_lock_shared,
            "it is being restored; try again later",
        )
    }

    /// Opens the marker for a restore, while no store uses the database.
    pub(crate) fn lock(database: &Path) -> Result<Self> {
        let advice = "a user store uses it; stop the user store first";
        Self::open(database, File::try_lock, advice)
    }

    fn open(
        database: &Path,
        lock: impl FnOnce(&File) -> Result<(), TryLockError>,
        advice: &str,
    ) -> Result<Self> {
        let path = path_of(database);
        let failed = |error: FileError| {
            let verb = if database.exists() { "open" } else { "create" };
            let text = format!(
                "cannot {verb} the users' database {}: cannot open {}: {error}",
                database.display(),
                path.display()
            );
            Error::new(Code::FailedPrecondition, text)
        };
        files::create_folder(folder_of(&path)).map_err(|error| failed(error.into()))?;
        let file = create(&path).map_err(failed)?;
        match lock(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let text = format!(
                    "cannot open the users' database {}: {advice}",
                    database.display()
                );
                return Err(Error::new(Code::FailedPrecondition, text));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error.into())),
        }
        let found = Content::read(&file).map_err(|error| failed(error.into()))?;
        let metadata = file.metadata();
        let length = metadata.map_err(|error| failed(error.into()))?.len();
        Ok(Self {
            database: database.to_owned(),
            path,
            found,
            written: Mutex::new(WrittenMarker {
                file,
                length,
                content: found,
                is_failing: false,
            }),
        })
    }

    /// Returns whether the database had users when the marker was opened.
    pub(super) fn had_users(&self) -> bool {
        self.found.has_users
    }

    /// Returns the number of transactions that the database must have.
    pub(super) fn acknowledged(&self) -> i64 {
        self.found.changes
    }

    /// Returns whether a database file is the one that the last store closed.
    pub(super) fn is_as_closed(&self, file: &Metadata) -> bool {
        self.found.closed == Some(FileStamp::of(file))
    }

    /// Remembers that the database has users.
    pub(super) fn remember_users(&self) -> Result<()> {
        self.written.lock().catch_up();
        self.change(|content| {
            content.has_users = true;
            content.closed = None;
        })
    }

    /// Remembers a restored database: its users, and the number of its transactions.
    pub(crate) fn remember_restored(&self, has_users: bool, changes: i64) -> Result<()> {
        self.change(|content| {
            content.has_users |= has_users;
            content.changes = changes;
            content.closed = None;
        })
    }

    fn change(&self, change: impl FnOnce(&mut Content)) -> Result<()> {
        let mut written = self.written.lock();
        change(&mut written.content);
        written.write(&self.database).map_err(|error| {
            let text = format!("cannot write {}: {error}", self.path.display());
            Error::new(Code::FailedPrecondition, text)
        })
    }

    /// Remembers the number of a committed transaction, before it is acknowledged.
    pub(super) fn record(&self, changes: i64) {
        let mut written = self.written.lock();
        if changes <= written.content.changes {
            return;
        }
        written.content.changes = changes;
        written.content.closed = None;
        self.update(&mut written);
    }

    /// Remembers the database file that is closed with all its changes.
    pub(super) fn record_closed(&self, stamp: FileStamp) {
        let mut written = self.written.lock();
        written.catch_up();
        written.content.closed = Some(stamp);
        self.update(&mut written);
    }

    /// Creates the marker again if it was removed, as by `rm -rf` of all files in the folder.
    pub(super) fn keep(&self) {
        let mut written = self.written.lock();
        if fs::symlink_metadata(&self.path).is_ok() {
            return;
        }
        let Ok(file) = create(&self.path) else {
            // The folder is missing as well.
            return;
        };
        // No other process knows the new file.
        let _ = file.try_lock_shared();
        written.file = file;
        written.length = 0;
        self.update(&mut written);
    }

    /// Writes the content. A failure is logged and changes nothing else: less is noticed after it.
    fn update(&self, written: &mut WrittenMarker) {
        let outcome = written.write(&self.database);
        let was_failing = std::mem::replace(&mut written.is_failing, outcome.is_err());
        if let (Err(error), false) = (outcome, was_failing) {
            tracing::warn!(
                "cannot write {}: {error}; a loss of later changes may not be noticed",
                self.path.display()
            );
        }
    }

    /// Releases the lock, after the database is closed.
    pub(super) fn release(&self) -> io::Result<()> {
        self.written.lock().file.unlock()
    }

    /// Returns the error for a database that has lost its users.
    #[track_caller]
    pub(super) fn lost(&self, what: &str, rescued: &[PathBuf]) -> Error {
        self.refused(
            &format!("{what}, but it has had users"),
            rescued,
            "begin anew with the users file",
        )
    }

    /// Returns the error for a database that lacks transactions.
    #[track_caller]
    pub(super) fn behind(&self, missing: i64, rescued: &[PathBuf]) -> Error {
        let name = self.database.file_name().unwrap_or_default().display();
        self.refused(
            &format!(
                "lacks the last {missing} acknowledged transactions: {name}-wal is missing or damaged, or {name} is an \
                 older copy"
            ),
            rescued,
            "go on without these transactions",
        )
    }

    #[track_caller]
    fn refused(&self, what: &str, rescued: &[PathBuf], purpose: &str) -> Error {
        let path = self.path.display();
        let mut text = format!(
            "the users' database {} {what}; put it back, or restore {}; to {purpose}, remove {path}",
            self.database.display(),
            restorable(rescued)
        );
        for file in rescued {
            text.push_str(&format!(" and {}", file.display()));
        }
        Error::new(Code::FailedPrecondition, text)
    }
}

impl Drop for StoreMarker {
    fn drop(&mut self) {
        // Closing the file would not suffice: a child process that is being started has it as well.
        // Fails only where locks are not supported.
        let _ = self.release();
    }
}

/// Names what an operator can restore.
pub(super) fn restorable(rescued: &[PathBuf]) -> String {
    match rescued.last() {
        Some(newest) => format!(
            "{} (what was saved when its files were lost) or a backup with `fibpro restore`",
            newest.display()
        ),
        None => "a backup with `fibpro restore`".to_owned(),
    }
}

impl WrittenMarker {
    /// Takes over the number that another store of the database has written.
    fn catch_up(&mut self) {
        // A marker that cannot be read is written with the own number.
        if let Ok(theirs) = Content::read(&self.file) {
            self.content.changes = self.content.changes.max(theirs.changes);
        }
    }

    fn write(&mut self, database: &Path) -> io::Result<()> {
        if !self.content.has_users {
            return Ok(());
        }
        let text = self.content.text(database);
        let length = text.len() as u64;
        self.file.write_all_at(text.as_bytes(), 0)?;
        if self.length != length {
            self.file.set_len(length)?;
            // The first time, since an empty marker is that of a new database.
            self.file.sync_all()?;
            self.length = length;
        }
        Ok(())
    }
}

impl Content {
    fn text(&self, database: &Path) -> String {
        let name = database.file_name().unwrap_or_default().display();
        let state = match self.closed {
            None => "open".to_owned(),
            Some(FileStamp { length, changed }) => {
                format!("closed {length} {} {}", changed.0, changed.1)
            }
        };
        format!(
            "{name} has users. Without this file, an empty database would be filled with the users file again.\n\
             {CHANGES}{:020} {state:<STATE_LENGTH$}\n",
            self.changes
        )
    }

    fn read(file: &File) -> io::Result<Self> {
        let mut bytes = [0; LIMIT];
        let length = file.read_at(&mut bytes, 0)?;
        Ok(Self::parse(&bytes[..length]))
    }

    /// Parses what can be read. Any content means that there have been users.
    fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let line = text.lines().find_map(|line| line.strip_prefix(CHANGES));
        let words: Vec<_> = line.unwrap_or_default().split_whitespace().collect();
        let number = |at: usize| words.get(at).and_then(|word| word.parse::<i64>().ok());
        let stamp = || {
            Some(FileStamp {
                length: u64::try_from(number(2)?).ok()?,
                changed: (number(3)?, number(4)?),
            })
        };
        let is_closed = words.get(1) == Some(&"closed");
        Self {
            has_users: !bytes.is_empty(),
            changes: number(0).unwrap_or(0),
            closed: is_closed.then(stamp).flatten(),
        }
    }
}

fn path_of(database: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(database.file_name().unwrap_or_default());
    name.push(".store");
    database.with_file_name(name)
}

fn create(path: &Path) -> Result<File, FileError> {
    // Opening a pipe would wait for its other end.
    check_made_file(path)?;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_parsed_as_it_was_written() {
        let stamp = FileStamp {
            length: 40_960,
            changed: (1_764_213_123, 999_999_999),
        };
        for closed in [None, Some(stamp)] {
            let content = Content {
                has_users: true,
                changes: 42,
                closed,
            };
            let text = content.text(Path::new("data/users.sqlite"));
            let parsed = Content::parse(text.as_bytes());
            assert_eq!((parsed.has_users, parsed.changes), (true, 42), "{text}");
            assert_eq!(parsed.closed, closed, "{text}");
        }
    }

    #[test]
    fn any_other_content_means_users() {
        for (bytes, has_users, changes) in [
            (&b""[..], false, 0),
            (b"\n", true, 0),
            (b"users.sqlite has users.\n", true, 0),
            (b"\xff\xfe\0garbage", true, 0),
            (b"x\nchanges 7", true, 7),
            (b"x\nchanges many closed 1", true, 0),
            (b"x\nchanges 7 closed 1 2", true, 7),
        ] {
            let parsed = Content::parse(bytes);
            assert_eq!((parsed.has_users, parsed.changes), (has_users, changes));
            assert_eq!(parsed.closed, None);
        }
    }
}

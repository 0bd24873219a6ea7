//! Notices when the files of a running database are removed, replaced, truncated or overwritten.
//!
//! SQLite works on open files and does not look at their names. After `rm users.sqlite` it goes on
//! and acknowledges changes that are lost when the process ends.

use std::fmt;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use rpc_runtime::files::{self, FileError};
use sha2::{Digest as _, Sha256};

/// First bytes of a database.
const MAGIC: &[u8] = b"SQLite format 3\0";

/// Length of the header of a database, in bytes: https://sqlite.org/fileformat.html
const HEADER: usize = 100;

/// Length of the part of `-shm` that is read: two copies of its header, of 48 bytes each, and the
/// state of checkpoints: https://sqlite.org/walformat.html
const INDEX: usize = 136;

/// Length of the beginning of the database that is compared when only its time has changed, in
/// bytes.
const SAMPLE: u64 = 64 << 10;

/// Length of the header of `-wal`, and of the header of each of its frames, in bytes.
const WAL_HEADER: u64 = 32;
const FRAME_HEADER: u64 = 24;

/// A fault of a file of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileFault {
    /// End of the file's name: empty, `-wal` or `-shm`.
    pub(super) suffix: &'static str,
    pub(super) kind: FileFaultKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileFaultKind {
    /// There is no file of this name any more.
    Removed,
    /// Another file has its name.
    Replaced,
    /// The end of the file is missing.
    Truncated,
    /// The file has the content of another one.
    Overwritten,
    /// SQLite has found an error in the content.
    Damaged,
}

impl fmt::Display for FileFaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Removed => "was removed or renamed",
            Self::Replaced => "was replaced by another file",
            Self::Truncated => "was truncated",
            Self::Overwritten => "was overwritten",
            Self::Damaged => "is damaged",
        })
    }
}

/// The files of an open database. Some connection must be open all the time, since the last one
/// removes `-wal`.
#[derive(Debug)]
pub(super) struct DatabaseFiles {
    path: PathBuf,
    main: WatchedFile,
    wal: WatchedFile,
    index: WatchedFile,
    last: Mutex<LastState>,
    /// Whether SQLite has found an error in the content. Stays until a restart, which checks all of
    /// it.
    is_damaged: AtomicBool,
    /// Length of `-wal` at the last check, in bytes.
    wal_length: AtomicU64,
}

/// Result of the last check.
#[derive(Debug)]
struct LastState {
    length: u64,
    /// Time of the last change of the main file.
    changed: (i64, i64),
    header: Header,
    checkpoint: Checkpoint,
    /// Digest of the beginning of the main file.
    sample: [u8; 32],
    fault: Option<FileFault>,
}

/// An open file and its name. Held open as long as SQLite has it open: closing any descriptor of a
/// file releases all POSIX locks of the process on it.
#[derive(Debug)]
struct WatchedFile {
    suffix: &'static str,
    path: PathBuf,
    file: File,
    identity: (u64, u64),
}

impl DatabaseFiles {
    /// Opens the files of a database that has an open connection.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let main = WatchedFile::open(path, "")?;
        let index = WatchedFile::open(path, "-shm")?;
        let metadata = main.file.metadata()?;
        let last = LastState {
            length: metadata.len(),
            changed: (metadata.mtime(), metadata.mtime_nsec()),
            header: Header::read(&main.file)?,
            checkpoint: Checkpoint::of(&read_index(&index.file)?),
            sample: sample(&main.file)?,
            fault: None,
        };
        Ok(Self {
            wal: WatchedFile::open(path, "-wal")?,
            last: Mutex::new(last),
            index,
            main,
            path: path.to_owned(),
            is_damaged: AtomicBool::new(false),
            wal_length: AtomicU64::new(0),
        })
    }

    /// Checks that the files are those that were opened, and complete. Logs the first fault and the
    /// first success after it.
    pub(super) fn check(&self) -> Result<(), FileFault> {
        let mut last = self.last.lock();
        let outcome = self.look(&mut last);
        let fault = outcome.err();
        if fault != last.fault {
            self.log(fault);
            last.fault = fault;
        }
        outcome
    }

    /// Notes that SQLite has found an error in the content. From then on nothing is read or
    /// changed.
    pub(super) fn note_damage(&self) {
        self.is_damaged.store(true, Ordering::Relaxed);
    }

    /// Returns the length of `-wal` at the last check, in bytes.
    pub(super) fn wal_length(&self) -> u64 {
        self.wal_length.load(Ordering::Relaxed)
    }

    pub(super) fn wal_path(&self) -> &Path {
        &self.wal.path
    }

    fn log(&self, fault: Option<FileFault>) {
        let path = self.path.display();
        match fault {
            None => tracing::warn!("the files of the users' database {path} are back"),
            Some(FileFault {
                kind: FileFaultKind::Damaged,
                ..
            }) => tracing::error!(
                "{path} is damaged; nothing is read or changed any more; stop the user store and restore a backup with \
                 `fibpro restore`"
            ),
            Some(FileFault { suffix, kind }) => tracing::error!(
                "{path}{suffix} {kind} while the user store runs; nothing is read or changed until it is back; \
                 put it back, or stop the user store and restore a backup with `fibpro restore`"
            ),
        }
    }

    fn look(&self, last: &mut LastState) -> Result<(), FileFault> {
        let main = self.main.metadata()?;
        self.index.metadata()?;
        self.look_into_main(&main, last)?;
        self.look_into_wal()?;
        // Last, since a file that is another one is no damage.
        if self.is_damaged.load(Ordering::Relaxed) {
            return Err(self.main.fault(FileFaultKind::Damaged));
        }
        Ok(())
    }

    fn look_into_main(&self, main: &Metadata, last: &mut LastState) -> Result<(), FileFault> {
        let length = main.len();
        let fault = |kind| Err(self.main.fault(kind));
        let Ok(header) = Header::read(&self.main.file) else {
            return fault(if length < HEADER as u64 {
                FileFaultKind::Truncated
            } else {
                FileFaultKind::Overwritten
            });
        };
        if !header.follows(&last.header) {
            return fault(FileFaultKind::Overwritten);
        }
        // A smaller file is complete if the database was vacuumed.
        if length < last.length && length < header.length() {
            return fault(FileFaultKind::Truncated);
        }
        let checkpoint = self.checkpoint()?;
        // Read after the state of checkpoints: what a checkpoint changes from here on comes with
        // another state in the next look, if not below.
        let main = self.main.metadata()?;
        let changed = (main.mtime(), main.mtime_nsec());
        if changed != last.changed || checkpoint != last.checkpoint {
            let Ok(sample) = sample(&self.main.file) else {
                return fault(FileFaultKind::Truncated);
            };
            // In WAL mode only a checkpoint changes the main file, before it says that it is done.
            let is_idle = checkpoint == last.checkpoint && checkpoint.is_done();
            if is_idle && sample != last.sample && self.checkpoint()? == checkpoint {
                return fault(FileFaultKind::Overwritten);
            }
            last.sample = sample;
            last.changed = changed;
        }
        last.checkpoint = checkpoint;
        last.length = length;
        last.header = header;
        Ok(())
    }

    fn checkpoint(&self) -> Result<Checkpoint, FileFault> {
        let index = read_index(&self.index.file);
        let index = index.map_err(|_| self.index.fault(FileFaultKind::Truncated))?;
        Ok(Checkpoint::of(&index))
    }

    /// Checks that `-wal` has all frames of which `-shm` knows. Checks twice, since a checkpoint
    /// between two reads may change both.
    fn look_into_wal(&self) -> Result<(), FileFault> {
        let mut outcome = Ok(());
        for _ in 0..2 {
            outcome = self.look_into_wal_once();
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }

    fn look_into_wal_once(&self) -> Result<(), FileFault> {
        let Ok(index) = read_index(&self.index.file) else {
            return Err(self.index.fault(FileFaultKind::Truncated));
        };
        let length = self.wal.metadata()?.len();
        self.wal_length.store(length, Ordering::Relaxed);
        let (header, copy) = (&index[..48], &index[48..96]);
        let frames = u64::from(u32::from_ne_bytes(word(header, 16)));
        // A header that is being written differs from its copy.
        if header != copy || frames == 0 {
            return Ok(());
        }
        let page = match u16::from_ne_bytes([header[14], header[15]]) {
            1 => 65_536,
            size => u64::from(size),
        };
        if length < WAL_HEADER + frames * (FRAME_HEADER + page) {
            return Err(self.wal.fault(FileFaultKind::Truncated));
        }
        let mut salt = [0; 8];
        let is_read = self.wal.file.read_exact_at(&mut salt, 16).is_ok();
        if !is_read || salt[..] != header[32..40] {
            return Err(self.wal.fault(FileFaultKind::Overwritten));
        }
        Ok(())
    }
}

impl WatchedFile {
    fn open(path: &Path, suffix: &'static str) -> io::Result<Self> {
        let path = with_suffix(path, suffix);
        let file = File::open(&path)?;
        let metadata = file.metadata()?;
        Ok(Self {
            suffix,
            identity: (metadata.dev(), metadata.ino()),
            path,
            file,
        })
    }

    fn fault(&self, kind: FileFaultKind) -> FileFault {
        FileFault {
            suffix: self.suffix,
            kind,
        }
    }

    /// Returns the metadata of the file, if the name still belongs to it.
    fn metadata(&self) -> Result<Metadata, FileFault> {
        match fs::metadata(&self.path) {
            Ok(metadata) if (metadata.dev(), metadata.ino()) == self.identity => Ok(metadata),
            Ok(_) => Err(self.fault(FileFaultKind::Replaced)),
            Err(_) => Err(self.fault(FileFaultKind::Removed)),
        }
    }
}

/// The state of checkpoints in `-shm`: it changes with each checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Checkpoint {
    salt: [u8; 8],
    /// Number of frames that are in the main file, and that a checkpoint has begun to move there.
    moved: u32,
    begun: u32,
}

impl Checkpoint {
    fn of(index: &[u8; INDEX]) -> Self {
        let mut salt = [0; 8];
        salt.copy_from_slice(&index[32..40]);
        Self {
            salt,
            moved: u32::from_ne_bytes(word(index, 96)),
            begun: u32::from_ne_bytes(word(index, 128)),
        }
    }

    fn is_done(&self) -> bool {
        self.moved >= self.begun
    }
}

fn read_index(file: &File) -> io::Result<[u8; INDEX]> {
    let mut index = [0; INDEX];
    file.read_exact_at(&mut index, 0)?;
    Ok(index)
}

/// Returns a digest of the beginning of a database.
fn sample(file: &File) -> io::Result<[u8; 32]> {
    let mut digest = Sha256::new();
    let mut part = [0; 4096];
    for at in (0..SAMPLE).step_by(part.len()) {
        match file.read_at(&mut part, at)? {
            0 => break,
            length => digest.update(&part[..length]),
        }
    }
    Ok(digest.finalize().into())
}

/// Fields of the header of a database.
#[derive(Debug, Clone, Copy)]
struct Header {
    page: u32,
    pages: u32,
    changes: u32,
}

impl Header {
    fn read(file: &File) -> io::Result<Self> {
        let mut bytes = [0; HEADER];
        file.read_exact_at(&mut bytes, 0)?;
        if !bytes.starts_with(MAGIC) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(Self {
            page: match u16::from_be_bytes([bytes[16], bytes[17]]) {
                1 => 65_536,
                size => u32::from(size),
            },
            changes: u32::from_be_bytes(word(&bytes, 24)),
            pages: u32::from_be_bytes(word(&bytes, 28)),
        })
    }

    /// Returns whether this may be a later header of the same database. Its counter of changes only
    /// grows.
    fn follows(&self, before: &Self) -> bool {
        self.changes.wrapping_sub(before.changes) < u32::MAX / 2
    }

    fn length(&self) -> u64 {
        u64::from(self.page) * u64::from(self.pages)
    }
}

fn word(bytes: &[u8], at: usize) -> [u8; 4] {
    [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]
}

/// Checks a database and the files beside it that SQLite reads. It would wait for the other end of
/// a pipe, and follow the changes of another user.
///
/// # Errors
///
/// Returns the file and what is wrong with it. A file that is missing or cannot be accessed is
/// reported by what opens it.
pub(crate) fn check_database_files(path: &Path) -> Result<(), (PathBuf, FileError)> {
    let check = |path: PathBuf, checked: Result<(), FileError>| match checked {
        Ok(()) | Err(FileError::Io(_)) => Ok(()),
        Err(error) => Err((path, error)),
    };
    check(path.to_owned(), files::check_file(path))?;
    // SQLite puts its files beside the database and not beside a link to it.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    for suffix in ["-wal", "-shm", "-journal"] {
        let path = with_suffix(&path, suffix);
        let checked = check_made_file(&path);
        check(path, checked)?;
    }
    Ok(())
}

/// Checks a file that only SQLite or a store makes. They make no links: one that is there leads to
/// a file of this user that is none of theirs.
pub(super) fn check_made_file(path: &Path) -> Result<(), FileError> {
    if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink()) {
        return Err(FileError::NotRegular("a symbolic link"));
    }
    files::check_file(path)
}

/// Appends a suffix to a path: `users.sqlite` and `-wal` give `users.sqlite-wal`.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut suffixed = path.as_os_str().to_owned();
    suffixed.push(suffix);
    suffixed.into()
}

/// Returns the folder of a file.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests;

//! Files and folders that a process relies on: who may have written them, and what they may be.
//!
//! A file that another user can write decides what this process does: a key, a password, a flag.
//! Like `ssh`, the functions here reject a file or folder that belongs to another user, or that
//! other users can write. The superuser is trusted. Only regular files are read, and only up to a
//! limit, so that `/dev/zero` or a pipe as a path neither takes all memory nor waits without end.
//!
//! On systems other than Unix there are neither owners nor modes, and only the kind and the size of
//! a file are checked.
//!
//! ```
//! use rpc_runtime::files::{self, FileError};
//!
//! let folder = std::env::temp_dir();
//! assert!(matches!(files::read_text(&folder, 1024), Err(FileError::NotRegular("a directory"))));
//! ```

mod lock;
#[cfg(unix)]
mod unix;
#[cfg(not(unix))]
#[path = "other.rs"]
mod unix;

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};

pub use lock::FileLock;
pub(crate) use unix::private_folder;

/// The byte order mark that some editors write at the start of a text.
pub(crate) const BYTE_ORDER_MARK: char = '\u{feff}';

/// Maximum number of symbolic links on the way to a file, as Linux has it.
const LINKS: u32 = 40;

/// Reads a text file of at most `limit` bytes. A byte order mark at its start is left out. Blocks.
///
/// # Errors
///
/// Any [`FileError`].
pub fn read_text(path: &Path, limit: u64) -> Result<String, FileError> {
    let bytes = read_trusted(path, limit)?;
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(FileError::Utf16);
    }
    let mut text = String::from_utf8(bytes).map_err(|_| FileError::NotUtf8)?;
    let mark = text.len() - without_mark(&text).len();
    text.drain(..mark);
    Ok(text)
}

/// Checks that a file is a regular one that only this user and the superuser can write, as
/// [`read_text`] does. Where there is no file, checks the folder in which it would be created, if
/// there is one. Blocks.
///
/// # Errors
///
/// Any [`FileError`] except those about the content.
pub fn check_file(path: &Path) -> Result<(), FileError> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => match check_way(path) {
            Err(FileError::Io(error)) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            checked => checked,
        },
        Err(error) => Err(error.into()),
        Ok(metadata) => {
            check_regular(&metadata)?;
            check_way(path)?;
            unix::check_owner(&metadata).map_err(FileError::Untrusted)
        }
    }
}

/// Creates a folder that only this user can use, and the folders that it is in, where they are
/// missing. Blocks.
///
/// # Errors
///
/// The I/O error. It names the path that is in the way, such as a file or a symbolic link that
/// leads nowhere.
pub fn create_folder(path: &Path) -> io::Result<()> {
    private_folder()
        .recursive(true)
        .create(path)
        .map_err(|error| {
            let parts = path.ancestors();
            let existing = parts
                .filter_map(|part| Some((part, fs::symlink_metadata(part).ok()?)))
                .find(|(part, _)| !part.is_dir());
            let Some((part, metadata)) = existing else {
                return error;
            };
            let what = if metadata.is_symlink() && !part.exists() {
                "a symbolic link that leads nowhere"
            } else {
                "no folder"
            };
            io::Error::new(error.kind(), format!("{} is {what}", part.display()))
        })
}

/// Checks that a folder belongs to this user or to the superuser, and that no other user can write
/// it, the folder that it is in, or the folder of a symbolic link on the way to it. Blocks.
///
/// # Errors
///
/// [`FileError::NotFolder`], [`FileError::Untrusted`], [`FileError::UntrustedFolder`], or the I/O
/// error.
pub fn check_folder(path: &Path) -> Result<(), FileError> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_dir() {
        return Err(FileError::NotFolder);
    }
    check_way(path)?;
    unix::check_owner(&metadata).map_err(FileError::Untrusted)
}

/// Checks a folder like [`check_folder`]. Other users may also create files of their own in it if
/// it is sticky, like `/tmp`. Blocks.
///
/// # Errors
///
/// As [`check_folder`].
pub fn check_shared_folder(path: &Path) -> Result<(), FileError> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_dir() {
        return Err(FileError::NotFolder);
    }
    check_way(path)?;
    unix::check_shared(&metadata).map_err(FileError::Untrusted)
}

/// Reads a regular file, whatever its owner, of at most `limit` bytes. Blocks.
pub(crate) fn read_regular(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    // Before the file is opened: opening a pipe waits for its other end.
    check_regular(&fs::metadata(path)?)?;
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    check_regular(&metadata)?;
    read_bounded(file, &metadata, limit)
}

/// Returns whether other users can read a file.
pub(crate) fn is_readable_by_others(path: &Path) -> io::Result<Option<u32>> {
    Ok(unix::open_mode(&fs::metadata(path)?))
}

/// Returns the text without a byte order mark at its start.
pub(crate) fn without_mark(text: &str) -> &str {
    text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text)
}

fn read_trusted(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    check_regular(&fs::metadata(path)?)?;
    // Also before the file is opened: no other user can put a pipe in its place after this.
    check_way(path)?;
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    check_regular(&metadata)?;
    unix::check_owner(&metadata).map_err(FileError::Untrusted)?;
    read_bounded(file, &metadata, limit)
}

fn read_bounded(file: File, metadata: &Metadata, limit: u64) -> Result<Vec<u8>, FileError> {
    if metadata.len() > limit {
        return Err(FileError::TooLarge(limit));
    }
    let mut bytes = Vec::new();
    // The file may grow, and a file of a virtual file system may be longer than its size.
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit {
        return Err(FileError::TooLarge(limit));
    }
    Ok(bytes)
}

fn check_regular(metadata: &Metadata) -> Result<(), FileError> {
    if metadata.is_file() {
        return Ok(());
    }
    Err(FileError::NotRegular(if metadata.is_dir() {
        "a directory"
    } else {
        unix::special_kind(metadata)
    }))
}

/// Checks each symbolic link on the way to a file or folder, the folder of each link, and the
/// folder of the file itself: a user who can write one of these folders can put another file in the
/// place of this one. Returns an error for a missing file.
fn check_way(path: &Path) -> Result<(), FileError> {
    let mut way: Vec<_> = reversed_parts(path);
    let mut at = PathBuf::new();
    let mut links = 0;
    while let Some(part) = way.pop() {
        match Path::new(&part).components().next() {
            Some(Component::Normal(name)) => at.push(name),
            // No links are left in `at`.
            Some(Component::ParentDir) => match at.components().next_back() {
                Some(Component::Normal(_)) => drop(at.pop()),
                Some(Component::RootDir | Component::Prefix(_)) => {}
                _ => at.push(Component::ParentDir),
            },
            // Replaces the path.
            Some(Component::RootDir | Component::Prefix(_)) => at.push(&part),
            Some(Component::CurDir) | None => {}
        }
        let metadata = match fs::symlink_metadata(&at) {
            Ok(metadata) => metadata,
            // The current folder.
            Err(_) if at.as_os_str().is_empty() => continue,
            Err(error) => {
                if way.is_empty() && error.kind() == io::ErrorKind::NotFound {
                    check_folder_of(&at)?;
                }
                return Err(error.into());
            }
        };
        if !metadata.is_symlink() {
            continue;
        }
        links += 1;
        if links > LINKS {
            return Err(io::Error::other("it leads over too many symbolic links").into());
        }
        check_folder_of(&at)?;
        // In a sticky folder, other users can make links to the files of this user.
        unix::check_link(&metadata).map_err(FileError::Untrusted)?;
        way.extend(reversed_parts(&fs::read_link(&at)?));
        at.pop();
    }
    check_folder_of(&at)
}

/// Returns the parts of a path, the last one first.
fn reversed_parts(path: &Path) -> Vec<OsString> {
    let parts = path.components().rev();
    parts.map(|part| part.as_os_str().to_owned()).collect()
}

fn check_folder_of(path: &Path) -> Result<(), FileError> {
    let folder = folder_of(path);
    let metadata = fs::metadata(folder)?;
    unix::check_shared(&metadata)
        .map_err(|problem| FileError::UntrustedFolder(folder.to_owned(), problem))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// The reason for which a file or folder is rejected. Displays as a sentence about "it", to be put
/// after the path.
#[derive(Debug)]
#[non_exhaustive]
pub enum FileError {
    /// The file cannot be accessed.
    Io(io::Error),
    /// It is not a regular file but this.
    NotRegular(&'static str),
    /// It is not a folder.
    NotFolder,
    /// Another user owns it or can write it.
    Untrusted(UntrustedOwner),
    /// Another user owns or can write the folder that it is in.
    UntrustedFolder(PathBuf, UntrustedOwner),
    /// It has more bytes than this limit.
    TooLarge(u64),
    /// Its content is not UTF-8.
    NotUtf8,
    /// Its content is UTF-16.
    Utf16,
}

/// The reason for which the owner or the mode of a file is not trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum UntrustedOwner {
    /// Another user than this one and the superuser owns it.
    Owner {
        /// The user ID of the owner.
        owner: u32,
        /// The user ID of this process.
        own: u32,
    },
    /// Other users can write it: its mode.
    Mode(u32),
}

impl FileError {
    /// Returns whether the content is wrong, and not the access to the file.
    #[must_use]
    pub fn is_about_content(&self) -> bool {
        matches!(self, Self::TooLarge(_) | Self::NotUtf8 | Self::Utf16)
    }
}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::NotRegular(kind) => write!(f, "it is {kind}, expected a regular file"),
            Self::NotFolder => f.write_str("it is not a folder"),
            Self::Untrusted(problem) => write!(f, "it {problem}"),
            Self::UntrustedFolder(folder, problem) => {
                write!(f, "its folder {} {problem}", folder.display())
            }
            Self::TooLarge(limit) => write!(f, "it is larger than {limit} bytes"),
            Self::NotUtf8 => f.write_str("it is not UTF-8"),
            Self::Utf16 => f.write_str("it is UTF-16; save it as UTF-8"),
        }
    }
}

impl fmt::Display for UntrustedOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Owner { owner, own } => write!(
                f,
                "belongs to user {owner}, who can change it; run `chown {own}` on it"
            ),
            Self::Mode(mode) => write!(
                f,
                "has mode {mode:o}, so other users can write it; run `chmod go-w` on it"
            ),
        }
    }
}

impl std::error::Error for FileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests;

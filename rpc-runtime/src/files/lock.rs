//! Lock files.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

use super::{FileError, check_regular};

/// An exclusive lock on a file, released when this is dropped or the process ends.
///
/// Dropping it unlocks the file explicitly. Closing the file would not suffice: a child process
/// that is being started has all open files of this one until it runs its program, and would hold
/// the lock until then.
#[derive(Debug)]
#[must_use = "the lock is released when this is dropped"]
pub struct FileLock(File);

impl FileLock {
    /// Opens the file, creates it for this user only if it is missing, and locks it. Returns `None`
    /// if another process, or another part of this one, holds the lock.
    ///
    /// # Errors
    ///
    /// The I/O error; `InvalidInput` if the file is not a regular one.
    pub fn acquire(path: &Path) -> io::Result<Option<Self>> {
        match std::fs::metadata(path) {
            // Opening a pipe would wait for its other end.
            Ok(metadata) => check_regular(&metadata).map_err(invalid)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Returns whether the file at `path` is the locked one, and was not removed or replaced.
    #[cfg(unix)]
    #[must_use]
    pub fn is_at(&self, path: &Path) -> bool {
        use std::os::unix::fs::MetadataExt as _;

        let at_path = std::fs::symlink_metadata(path);
        let ids = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
        at_path.is_ok_and(|at_path| self.0.metadata().is_ok_and(|own| ids(own) == ids(at_path)))
    }

    /// Returns whether there is a file at `path`.
    #[cfg(not(unix))]
    #[must_use]
    pub fn is_at(&self, path: &Path) -> bool {
        path.exists()
    }

    /// Returns another handle of the open file, as a child process that is being started has it.
    #[cfg(test)]
    pub(crate) fn inherited(&self) -> File {
        self.0.try_clone().unwrap()
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::debug!(target: "rpc", %error, "cannot release the lock of a file before it is closed");
        }
    }
}

fn invalid(error: FileError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}

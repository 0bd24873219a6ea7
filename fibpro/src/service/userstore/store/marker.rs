//! The file next to a database that records whether the database has had users.
//!
//! For `users.sqlite` it is `.users.sqlite.store`. A store holds a shared lock on it, and a restore
//! an exclusive one. Its content tells an empty database from a new one: without it, a database
//! that was removed would be created anew, with the credit of the first day.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rpc_runtime::files::{self, FileError};
use rpc_runtime::{Code, Error, Result};

/// An open and locked marker of a database.
#[derive(Debug)]
pub(crate) struct StoreMarker {
    path: PathBuf,
    database: PathBuf,
    file: File,
    had_users: bool,
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
        let mut file = create(&path).map_err(failed)?;
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
        let mut content = Vec::new();
        // One byte is enough; the file may be any file.
        let had_users = Read::take(&mut file, 1)
            .read_to_end(&mut content)
            .map_err(|error| failed(error.into()))?
            > 0;
        Ok(Self {
            database: database.to_owned(),
            path,
            file,
            had_users,
        })
    }

    /// Returns whether the database has had users.
    pub(super) fn had_users(&self) -> bool {
        self.had_users
    }

    /// Remembers that the database has users.
    pub(crate) fn remember_users(&self) -> Result<()> {
        if self.had_users {
            return Ok(());
        }
        let name = self.database.file_name().unwrap_or_default();
        let text = format!(
            "{} has users. Without this file, an empty database would be filled with the users file again.\n",
            Path::new(name).display()
        );
        let written = (&self.file)
            .write_all(text.as_bytes())
            .and_then(|()| self.file.sync_all());
        written.map_err(|error| {
            let text = format!("cannot write {}: {error}", self.path.display());
            Error::new(Code::FailedPrecondition, text)
        })
    }

    /// Releases the lock, after the database is closed.
    pub(super) fn release(&self) -> io::Result<()> {
        self.file.unlock()
    }

    /// Returns the error for a database that has lost its users.
    #[track_caller]
    pub(super) fn lost(&self, what: &str) -> Error {
        Error::new(
            Code::FailedPrecondition,
            format!(
                "the users' database {} {what}, but it has had users; put it back, or restore a backup with \
                 `fibpro restore`; to begin anew with the users file, remove {}",
                self.database.display(),
                self.path.display()
            ),
        )
    }
}

fn path_of(database: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(database.file_name().unwrap_or_default());
    name.push(".store");
    database.with_file_name(name)
}

fn create(path: &Path) -> Result<File, FileError> {
    if let Some(folder) = path.parent()
        && !folder.as_os_str().is_empty()
    {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    // Only a store makes this file, and it makes no links: one that is there leads to a file of this
    // user that is none of its own.
    if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink()) {
        return Err(FileError::NotRegular("a symbolic link"));
    }
    // Opening a pipe would wait for its other end.
    files::check_file(path)?;
    let file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)?;
    Ok(file)
}

//! The lock of a store that starts.
//!
//! Of several stores that start on one database, one applies migrations and adds the users, and the
//! others wait for it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rpc_runtime::files::{FileError, FileLock};
use rpc_runtime::{Code, Error, Result};

use super::postgres_start::StartSession;
use super::sqlite_file::check_made_file;

/// Pause between two attempts to get the lock of a file.
const PAUSE: Duration = Duration::from_millis(25);

/// Held from before the migrations until the users are added.
#[derive(Debug)]
#[must_use = "the lock is released when this is dropped"]
pub(crate) enum StartLock {
    /// The locked file; it is removed when the lock is released.
    File(FileLock, PathBuf),
    Session(StartSession),
}

impl StartLock {
    /// Waits for the lock of an SQLite database: for `users.sqlite` it is `.users.sqlite.start`.
    pub(super) async fn of_file(database: &Path) -> Result<Self> {
        let path = path_of(database);
        let failed = |error: &dyn std::fmt::Display| {
            let text = format!(
                "cannot open the users' database {}: cannot lock {}: {error}",
                database.display(),
                path.display()
            );
            Error::new(Code::FailedPrecondition, text)
        };
        loop {
            match check_made_file(&path) {
                Err(FileError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {}
                checked => checked.map_err(|error| failed(&error))?,
            }
            match FileLock::acquire(&path) {
                Ok(Some(lock)) if lock.is_at(&path) => return Ok(Self::File(lock, path)),
                // Its holder has removed it since it was opened.
                Ok(Some(_)) => {}
                Ok(None) => tokio::time::sleep(PAUSE).await,
                Err(error) => return Err(failed(&error)),
            }
        }
    }

    pub(crate) async fn release(self) {
        match self {
            Self::File(lock, path) => {
                // One that stays does not matter.
                let _ = fs::remove_file(path);
                drop(lock);
            }
            Self::Session(session) => session.close().await,
        }
    }
}

fn path_of(database: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(database.file_name().unwrap_or_default());
    name.push(".start");
    database.with_file_name(name)
}

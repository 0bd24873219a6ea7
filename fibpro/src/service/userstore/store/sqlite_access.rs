//! Files of an SQLite database that this user cannot write.
//!
//! SQLite opens a read-only file without an error, and its texts name no file.

use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::path::Path;

use rpc_runtime::{Code, Error, Result};

use super::sqlite_file::{folder_of, with_suffix};

/// Refuses a database whose main file cannot be written.
pub(super) fn check(path: &Path) -> Result<()> {
    // What is not a file, such as a pipe, is reported by later checks; opening it could wait.
    if !fs::metadata(path).is_ok_and(|metadata| metadata.is_file()) {
        return Ok(());
    }
    let Err(error) = OpenOptions::new().append(true).open(path) else {
        return Ok(());
    };
    let advice = match error.kind() {
        ErrorKind::PermissionDenied => advice(path, "file"),
        _ => String::new(),
    };
    Err(Error::new(
        Code::FailedPrecondition,
        format!(
            "cannot write the users' database: {}: {error}{advice}",
            path.display()
        ),
    ))
}

/// Adds to an error of opening a database which of its files are read-only, and what to do.
pub(super) fn explain(path: &Path, error: Error) -> Error {
    if error.code() == Code::DataLoss {
        return error;
    }
    let is_read_only =
        |path: &Path| fs::metadata(path).is_ok_and(|found| found.permissions().readonly());
    let beside = ["-wal", "-shm"].map(|suffix| with_suffix(path, suffix));
    let folder = folder_of(path);
    let advice = match beside.iter().find(|path| is_read_only(path)) {
        Some(file) => advice(file, "file"),
        None if is_read_only(folder) => advice(folder, "folder"),
        None => return error,
    };
    Error::new(error.code(), format!("{}{advice}", error.message()))
}

fn advice(path: &Path, kind: &str) -> String {
    let path = path.display();
    format!("; the {kind} {path} must be writable for the user store: `chmod u+w {path}`")
}

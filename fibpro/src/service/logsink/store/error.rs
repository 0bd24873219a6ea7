//! Errors of the log store and advice for operators.

use std::io;
use std::path::Path;
use std::time::Duration;

use rpc_runtime::{Code, Error};
use sqlx::migrate::MigrateError;

use crate::sqlite::SqliteErrorKind;

/// Delay before a caller retries, and before the writer reopens a file that failed to open.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Error of the log store.
#[derive(Debug)]
pub(in super::super) struct LogStoreError {
    pub(super) kind: LogStoreErrorKind,
    /// Message of SQLite or the operating system.
    pub(super) detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LogStoreErrorKind {
    /// The disk is full, or the size limit is reached.
    Full,
    /// Another process holds a write lock on the file.
    Locked,
    /// Searches or other processes have been reading the file for long, so its `-wal` is full.
    Read,
    /// The search takes too long.
    Slow,
    /// Another log sink uses the file.
    InUse,
    ReadOnly,
    /// The content of the file is damaged or not a store.
    Corrupt,
    /// The file cannot be opened.
    CannotOpen,
    /// The file was removed or renamed; its `-wal` was not.
    Removed,
    /// Other users can write the file, or it is not a regular one.
    Untrusted,
    /// A newer version of this program created the file.
    Newer,
    /// The file is a database of another program or service.
    Foreign,
    /// Any other error.
    Failed,
}

impl LogStoreError {
    #[expect(
        clippy::needless_pass_by_value,
        reason = "`map_err` passes errors by value"
    )]
    pub(super) fn new(kind: LogStoreErrorKind, detail: impl ToString) -> Self {
        Self {
            kind,
            detail: detail.to_string(),
        }
    }

    /// Creates the error of a damaged or incomplete file that cannot be renamed.
    pub(super) fn move_failed(error: &io::Error) -> Self {
        let text = format!("damaged, and cannot be renamed: {error}");
        Self::new(LogStoreErrorKind::CannotOpen, text)
    }

    /// Returns whether the connection is still usable after this error.
    pub(super) fn leaves_connection(&self) -> bool {
        matches!(
            self.kind,
            LogStoreErrorKind::Full | LogStoreErrorKind::Locked | LogStoreErrorKind::Removed
        )
    }

    fn description(&self) -> &'static str {
        match self.kind {
            LogStoreErrorKind::Full => "the disk of the log store is full",
            LogStoreErrorKind::Locked => "another process holds a lock on the log store",
            LogStoreErrorKind::Read => {
                "the log store has been read for long, so its write-ahead log is full"
            }
            LogStoreErrorKind::Slow => {
                "the search takes too long; narrow it by time, source, level or request"
            }
            LogStoreErrorKind::InUse => "another log sink uses the log store",
            LogStoreErrorKind::ReadOnly => "the log store is read-only",
            LogStoreErrorKind::Corrupt => "the log store is damaged",
            LogStoreErrorKind::CannotOpen => "the log store cannot be opened",
            LogStoreErrorKind::Removed => "the file of the log store was removed or renamed",
            LogStoreErrorKind::Untrusted => {
                "the log store is not a file that only this user can write"
            }
            LogStoreErrorKind::Newer => {
                "the log store was created by a newer version of this program"
            }
            LogStoreErrorKind::Foreign => "the file is another database and not a log store",
            LogStoreErrorKind::Failed => "an SQLite operation on the log store failed",
        }
    }

    /// Returns the description and the advice for the operator of the sink.
    pub(super) fn advice(&self, path: &Path) -> String {
        let what = self.description();
        let advice = match self.kind {
            LogStoreErrorKind::Full => "free disk space; the store resumes by itself",
            LogStoreErrorKind::Locked => {
                "stop the process that writes to the file; the store resumes by itself"
            }
            LogStoreErrorKind::Read => {
                "end the process that reads the file; the store resumes by itself"
            }
            LogStoreErrorKind::Slow => "narrow the search by time, source, level or request",
            LogStoreErrorKind::InUse => {
                "stop the other log sink, or choose another file with `--store FILE`"
            }
            LogStoreErrorKind::ReadOnly => {
                "make file and folder writable, or choose another file with `--store FILE`"
            }
            LogStoreErrorKind::Corrupt => "move its file away and restart the log sink",
            LogStoreErrorKind::CannotOpen => {
                "check that its folder exists and is writable, or choose another file with `--store FILE`"
            }
            LogStoreErrorKind::Removed => {
                "move it back within 5 seconds, or the store begins a new file"
            }
            LogStoreErrorKind::Untrusted => {
                "make it a regular file of this user, or choose another file with `--store FILE`"
            }
            LogStoreErrorKind::Newer => {
                "run that version, or choose another file with `--store FILE`"
            }
            LogStoreErrorKind::Foreign => {
                "move the file to its place; the store begins a new one, or choose another file with `--store FILE`"
            }
            LogStoreErrorKind::Failed => "check the disk",
        };
        format!("{}: {what} ({}): {advice}", path.display(), self.detail)
    }

    /// Converts into the error for a caller whose records were not stored.
    #[track_caller]
    pub(in super::super) fn to_error(&self) -> Error {
        self.error("cannot store log records")
    }

    /// Converts into the error for a caller of a search.
    #[track_caller]
    pub(super) fn to_search_error(&self) -> Error {
        self.error("cannot read stored log records")
    }

    #[track_caller]
    fn error(&self, what: &str) -> Error {
        let code = match self.kind {
            LogStoreErrorKind::Full | LogStoreErrorKind::Read => Code::ResourceExhausted,
            LogStoreErrorKind::Slow => Code::DeadlineExceeded,
            _ => Code::Unavailable,
        };
        Error::new(code, format!("{what}: {}", self.description())).with_retry_after(RETRY_AFTER)
    }
}

impl From<sqlx::Error> for LogStoreError {
    fn from(error: sqlx::Error) -> Self {
        let code = match &error {
            sqlx::Error::Database(error) => error.code(),
            _ => None,
        };
        let kind = match code.map(|code| SqliteErrorKind::from_code(&code)) {
            Some(SqliteErrorKind::Locked) => LogStoreErrorKind::Locked,
            Some(SqliteErrorKind::ReadOnly) => LogStoreErrorKind::ReadOnly,
            Some(SqliteErrorKind::Corrupt) => LogStoreErrorKind::Corrupt,
            Some(SqliteErrorKind::Full | SqliteErrorKind::WriteRefused) => LogStoreErrorKind::Full,
            Some(SqliteErrorKind::CannotOpen) => LogStoreErrorKind::CannotOpen,
            Some(SqliteErrorKind::Interrupted) => LogStoreErrorKind::Slow,
            Some(SqliteErrorKind::Io | SqliteErrorKind::Other) | None => LogStoreErrorKind::Failed,
        };
        Self::new(kind, error)
    }
}

impl From<MigrateError> for LogStoreError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
            MigrateError::VersionMissing(_) => Self::new(LogStoreErrorKind::Newer, error),
            other => Self::new(LogStoreErrorKind::Failed, other),
        }
    }
}

//! Why the store cannot take or give records, and what to do about it.

use std::path::Path;
use std::time::Duration;

use rpc_runtime::{Code, Error};
use sqlx::migrate::MigrateError;

/// How long a caller should leave the sink alone, and the writer a file that it cannot open.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What is wrong with the store.
#[derive(Debug)]
pub(in super::super) struct LogStoreError {
    pub(super) kind: LogStoreErrorKind,
    /// In SQLite's or the system's words.
    pub(super) detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LogStoreErrorKind {
    /// No room on the disk, or in the bound.
    Full,
    /// Another process writes to the file and does not let go.
    Locked,
    /// Another log sink has the file.
    InUse,
    ReadOnly,
    /// What is in the file is no store.
    Corrupt,
    /// The file cannot be opened.
    CannotOpen,
    /// A later version of this program made the file.
    Newer,
    /// Everything else.
    Failed,
}

impl LogStoreError {
    #[expect(clippy::needless_pass_by_value, reason = "errors come by value")]
    pub(super) fn new(kind: LogStoreErrorKind, detail: impl ToString) -> Self {
        Self {
            kind,
            detail: detail.to_string(),
        }
    }

    /// Whether the connection that met it is as good as before.
    pub(super) fn leaves_connection(&self) -> bool {
        matches!(
            self.kind,
            LogStoreErrorKind::Full | LogStoreErrorKind::Locked
        )
    }

    fn what(&self) -> &'static str {
        match self.kind {
            LogStoreErrorKind::Full => "there is no room on its disk",
            LogStoreErrorKind::Locked => "another process holds a lock on it",
            LogStoreErrorKind::InUse => "another log sink uses it",
            LogStoreErrorKind::ReadOnly => "it is read-only",
            LogStoreErrorKind::Corrupt => "it is damaged",
            LogStoreErrorKind::CannotOpen => "it cannot be opened",
            LogStoreErrorKind::Newer => "a later version of this program made it",
            LogStoreErrorKind::Failed => "it failed",
        }
    }

    /// For the one who runs the sink.
    pub(super) fn advice(&self, path: &Path) -> String {
        let what = self.what();
        let advice = match self.kind {
            LogStoreErrorKind::Full => "make room; it goes on by itself",
            LogStoreErrorKind::Locked => {
                "end the process that has the file open for writing; it goes on by itself"
            }
            LogStoreErrorKind::InUse => {
                "end the other one, or give this one a file of its own with `--store FILE`"
            }
            LogStoreErrorKind::ReadOnly => {
                "make file and folder writable, or name another file with `--store FILE`"
            }
            LogStoreErrorKind::Corrupt => "move it away",
            LogStoreErrorKind::CannotOpen => {
                "see that its folder is there and may be written to, or name another file with `--store FILE`"
            }
            LogStoreErrorKind::Newer => {
                "run that version, or name another file with `--store FILE`"
            }
            LogStoreErrorKind::Failed => "see the disk",
        };
        format!("{}: {what} ({}): {advice}", path.display(), self.detail)
    }

    /// For the one whose records are not stored.
    #[track_caller]
    pub(in super::super) fn to_error(&self) -> Error {
        self.error("the log cannot be stored")
    }

    /// For the one who searches.
    #[track_caller]
    pub(super) fn to_search_error(&self) -> Error {
        self.error("the stored log cannot be read")
    }

    #[track_caller]
    fn error(&self, what: &str) -> Error {
        let code = match self.kind {
            LogStoreErrorKind::Full => Code::ResourceExhausted,
            _ => Code::Unavailable,
        };
        Error::new(code, format!("{what}: {}", self.what())).with_retry_after(RETRY_AFTER)
    }
}

impl From<sqlx::Error> for LogStoreError {
    fn from(error: sqlx::Error) -> Self {
        let code = match &error {
            sqlx::Error::Database(error) => error.code().and_then(|code| code.parse::<i32>().ok()),
            _ => None,
        };
        // The low byte of a result code is its kind: https://sqlite.org/rescode.html
        let kind = match code.map(|code| code & 0xff) {
            Some(5 | 6) => LogStoreErrorKind::Locked,
            Some(8) => LogStoreErrorKind::ReadOnly,
            Some(11 | 26) => LogStoreErrorKind::Corrupt,
            Some(13) => LogStoreErrorKind::Full,
            Some(14) => LogStoreErrorKind::CannotOpen,
            _ => LogStoreErrorKind::Failed,
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

//! Why the store cannot take or give records, and what to do about it.

use std::path::Path;
use std::time::Duration;

use rpc_runtime::{Code, Error};
use sqlx::migrate::MigrateError;

/// How long a caller should leave the sink alone, and the writer a file that it cannot open.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What is wrong with the store.
#[derive(Debug)]
pub(in super::super) struct Problem {
    pub(super) kind: Kind,
    /// In SQLite's or the system's words.
    pub(super) detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// No room on the disk, or in the bound.
    Full,
    /// Another process writes to the file and does not let go.
    Locked,
    /// Another log sink has the file.
    Taken,
    ReadOnly,
    /// What is in the file is no store.
    Corrupt,
    /// The file cannot be opened.
    Closed,
    /// A later version of this program made the file.
    Newer,
    /// Everything else.
    Failed,
}

impl Problem {
    #[expect(clippy::needless_pass_by_value, reason = "errors come by value")]
    pub(super) fn new(kind: Kind, detail: impl ToString) -> Self {
        Self {
            kind,
            detail: detail.to_string(),
        }
    }

    /// Whether the connection that met it is as good as before.
    pub(super) fn leaves_connection(&self) -> bool {
        matches!(self.kind, Kind::Full | Kind::Locked)
    }

    fn what(&self) -> &'static str {
        match self.kind {
            Kind::Full => "there is no room on its disk",
            Kind::Locked => "another process holds a lock on it",
            Kind::Taken => "another log sink uses it",
            Kind::ReadOnly => "it is read-only",
            Kind::Corrupt => "it is damaged",
            Kind::Closed => "it cannot be opened",
            Kind::Newer => "a later version of this program made it",
            Kind::Failed => "it failed",
        }
    }

    /// For the one who runs the sink.
    pub(super) fn advice(&self, path: &Path) -> String {
        let what = self.what();
        let advice = match self.kind {
            Kind::Full => "make room; it goes on by itself",
            Kind::Locked => {
                "end the process that has the file open for writing; it goes on by itself"
            }
            Kind::Taken => {
                "end the other one, or give this one a file of its own with `--store FILE`"
            }
            Kind::ReadOnly => {
                "make file and folder writable, or name another file with `--store FILE`"
            }
            Kind::Corrupt => "move it away",
            Kind::Closed => {
                "see that its folder is there and may be written to, or name another file with `--store FILE`"
            }
            Kind::Newer => "run that version, or name another file with `--store FILE`",
            Kind::Failed => "see the disk",
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
            Kind::Full => Code::ResourceExhausted,
            _ => Code::Unavailable,
        };
        Error::new(code, format!("{what}: {}", self.what())).with_retry_after(RETRY_AFTER)
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        let code = match &error {
            sqlx::Error::Database(error) => error.code().and_then(|code| code.parse::<i32>().ok()),
            _ => None,
        };
        // The low byte of a result code is its kind: https://sqlite.org/rescode.html
        let kind = match code.map(|code| code & 0xff) {
            Some(5 | 6) => Kind::Locked,
            Some(8) => Kind::ReadOnly,
            Some(11 | 26) => Kind::Corrupt,
            Some(13) => Kind::Full,
            Some(14) => Kind::Closed,
            _ => Kind::Failed,
        };
        Self::new(kind, error)
    }
}

impl From<MigrateError> for Problem {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
            MigrateError::VersionMissing(_) => Self::new(Kind::Newer, error),
            other => Self::new(Kind::Failed, other),
        }
    }
}

//! Errors of the database and their conversion for callers.

use std::time::Duration;

use rpc_runtime::{Code, Error};
use sqlx::error::DatabaseError;
use sqlx::migrate::MigrateError;

use super::super::database::Database;
use super::postgres_error::{self, PostgresErrorKind};
use super::sqlite_file::{DatabaseFiles, FileFault, FileFaultKind};
use crate::sqlite::SqliteErrorKind;

/// Retry delay while the database is busy.
pub(super) const RETRY_WHEN_BUSY: Duration = Duration::from_millis(500);

/// Retry delay while the database is full or unreachable, which an operator has to fix.
const RETRY_WHEN_DOWN: Duration = Duration::from_secs(2);

const STALLED_TEXT: &str = "the users' database confirms no changes: a lock, its disk or a standby keeps them \
     waiting; nothing was changed";

const USER_STALLED_TEXT: &str =
    "changes of this user wait for a lock in the users' database; nothing was changed";

const WAL_FULL_TEXT: &str = "another process has been reading the users' database for long, so its -wal is full; \
     nothing was changed";

const DAMAGED_TEXT: &str = "the users' database is damaged";

/// Error of an operation. The operation was rolled back.
#[derive(Debug)]
pub(crate) enum StoreError {
    /// A concurrent operation was faster. Repeating this one sees its result.
    Conflict,
    /// A file of the database was removed, replaced or damaged while the database is open.
    File(FileFault),
    /// Error of the database.
    Database(sqlx::Error),
    /// No session of the database could be opened.
    Session(sqlx::Error),
    /// The changes that were begun do not end, so this one was not begun.
    Stalled,
    /// The same for the changes of one user.
    UserStalled,
    /// `-wal` of an SQLite database has its maximum length.
    WalFull,
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match sql_state(&error) {
            Some(state) if PostgresErrorKind::from_state(&state) == PostgresErrorKind::Conflict => {
                Self::Conflict
            }
            _ => Self::Database(error),
        }
    }
}

impl StoreError {
    /// Returns whether a repeated attempt may succeed, after the other operation or on another
    /// connection.
    pub(super) fn is_transient(&self) -> bool {
        matches!(self, Self::Conflict) || self.ends_session()
    }

    /// Returns whether the session of PostgreSQL cannot be used any more, while a new one may
    /// succeed.
    pub(super) fn ends_session(&self) -> bool {
        match self {
            Self::Conflict | Self::File(_) | Self::Stalled | Self::UserStalled | Self::WalFull => {
                false
            }
            Self::Database(sqlx::Error::Io(_) | sqlx::Error::Protocol(_))
            | Self::Session(sqlx::Error::Io(_) | sqlx::Error::Protocol(_)) => true,
            Self::Database(error) | Self::Session(error) => {
                sql_state(error).is_some_and(|state| postgres_error::ends_session(&state))
            }
        }
    }

    /// Tells the files of the database if it is damaged.
    pub(super) fn report_damage(&self, files: &DatabaseFiles) {
        if let Self::Database(error) = self
            && is_damage(error)
        {
            files.note_damage();
        }
    }

    /// Returns whether another process or session holds a lock.
    pub(super) fn is_locked(&self) -> bool {
        let Self::Database(error) = self else {
            return false;
        };
        sqlite_kind(error) == Some(SqliteErrorKind::Locked)
            || sql_state(error).is_some_and(|state| {
                PostgresErrorKind::from_state(&state) == PostgresErrorKind::Locked
            })
    }

    /// Converts into the error for a caller. The database's error becomes the source, which stays
    /// in this process.
    pub(super) fn into_error(self) -> Error {
        let ((code, text, wait), error) = match self {
            Self::Conflict => {
                let text = "too many concurrent changes of the same purchase; retry";
                return Error::new(Code::Unavailable, text).with_retry_after(RETRY_WHEN_BUSY);
            }
            Self::File(FileFault {
                kind: FileFaultKind::Damaged,
                ..
            }) => return Error::new(Code::DataLoss, DAMAGED_TEXT),
            Self::File(FileFault { suffix, kind }) => {
                let file = if suffix.is_empty() { "main" } else { suffix };
                let text = format!(
                    "the users' database cannot be used: its {file} file {kind} while the user store runs"
                );
                return Error::new(Code::Unavailable, text).with_retry_after(RETRY_WHEN_DOWN);
            }
            Self::Stalled => return stalled(STALLED_TEXT),
            Self::UserStalled => return stalled(USER_STALLED_TEXT),
            Self::WalFull => return stalled(WAL_FULL_TEXT),
            Self::Session(error) => match classify(&error) {
                (Code::Internal, ..) => (AWAY, error),
                class => (class, error),
            },
            Self::Database(error) => (classify(&error), error),
        };
        let response = Error::new(code, text).with_source(error);
        match wait {
            Some(wait) => response.with_retry_after(wait),
            None => response,
        }
    }
}

#[track_caller]
fn stalled(text: &'static str) -> Error {
    Error::new(Code::Unavailable, text).with_retry_after(RETRY_WHEN_BUSY)
}

/// Converts an error of connecting. For the operator at the start, so it contains the database's
/// error and the URL without password.
#[track_caller]
pub(super) fn cannot_open(database: &Database, error: sqlx::Error) -> Error {
    let advice = match is_damage(&error) {
        true => "; restore a backup with `fibpro restore`",
        false => "",
    };
    let text = format!("cannot open the users' database: {database}: {error}{advice}");
    Error::new(classify(&error).0, text).with_source(error)
}

/// Returns whether an SQLite database is damaged, or is no database.
pub(super) fn is_damage(error: &sqlx::Error) -> bool {
    sqlite_kind(error) == Some(SqliteErrorKind::Corrupt)
}

/// Returns the text of an error without the codes of the database.
pub(super) fn bare_text(error: &sqlx::Error) -> String {
    match error.as_database_error() {
        Some(error) => error.message().to_owned(),
        None => error.to_string(),
    }
}

/// Converts an error of the migrations. As [`cannot_open`].
#[track_caller]
pub(super) fn cannot_migrate(database: &Database, error: MigrateError) -> Error {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            cannot_open(database, error)
        }
        error => Error::new(
            Code::FailedPrecondition,
            format!(
                "the users' database {database} belongs to another version of this program: {error}"
            ),
        ),
    }
}

/// Returns the state of an error of PostgreSQL.
fn sql_state(error: &sqlx::Error) -> Option<String> {
    let error = error.as_database_error()?;
    let state = error.code()?;
    is_postgres(error).then(|| state.into())
}

/// Returns the kind of an error of SQLite.
fn sqlite_kind(error: &sqlx::Error) -> Option<SqliteErrorKind> {
    let error = error.as_database_error()?;
    let code = error.code()?;
    (!is_postgres(error)).then(|| SqliteErrorKind::from_code(&code))
}

/// Code, text and retry delay of an error.
type Class = (Code, &'static str, Option<Duration>);

const FULL: Class = (
    Code::ResourceExhausted,
    "the disk of the users' database is full; nothing was changed",
    Some(RETRY_WHEN_DOWN),
);

const REFUSED: Class = (
    Code::ResourceExhausted,
    "the users' database cannot be written: a limit on file sizes or a quota is reached, or the disk fails; \
     nothing was changed",
    Some(RETRY_WHEN_DOWN),
);

const LOCKED: Class = (
    Code::Unavailable,
    "the users' database is locked by another process; nothing was changed",
    Some(RETRY_WHEN_BUSY),
);

const READ_ONLY: Class = (
    Code::Unavailable,
    "the users' database is read-only; nothing was changed",
    Some(RETRY_WHEN_DOWN),
);

const AWAY: Class = (
    Code::Unavailable,
    postgres_error::AWAY,
    Some(RETRY_WHEN_DOWN),
);

const DAMAGED: Class = (Code::DataLoss, DAMAGED_TEXT, None);

const OTHER: Class = (Code::Internal, "user database error", None);

fn classify(error: &sqlx::Error) -> Class {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => AWAY,
        sqlx::Error::Database(error) => match error.code() {
            Some(state) if is_postgres(error.as_ref()) => classify_postgres(&state),
            Some(code) => classify_sqlite(&code),
            None => OTHER,
        },
        _ => OTHER,
    }
}

fn classify_postgres(state: &str) -> Class {
    match PostgresErrorKind::from_state(state) {
        PostgresErrorKind::Full => FULL,
        PostgresErrorKind::Locked | PostgresErrorKind::Conflict => LOCKED,
        PostgresErrorKind::ReadOnly => READ_ONLY,
        PostgresErrorKind::Damaged => DAMAGED,
        PostgresErrorKind::Unavailable(text) => (Code::Unavailable, text, Some(RETRY_WHEN_DOWN)),
        PostgresErrorKind::Other => OTHER,
    }
}

fn classify_sqlite(code: &str) -> Class {
    match SqliteErrorKind::from_code(code) {
        SqliteErrorKind::Locked => LOCKED,
        SqliteErrorKind::Full => FULL,
        SqliteErrorKind::WriteRefused => REFUSED,
        SqliteErrorKind::ReadOnly => READ_ONLY,
        SqliteErrorKind::Io | SqliteErrorKind::CannotOpen => AWAY,
        SqliteErrorKind::Corrupt => DAMAGED,
        SqliteErrorKind::Interrupted | SqliteErrorKind::Other => OTHER,
    }
}

fn is_postgres(error: &dyn DatabaseError) -> bool {
    error
        .try_downcast_ref::<sqlx::postgres::PgDatabaseError>()
        .is_some()
}

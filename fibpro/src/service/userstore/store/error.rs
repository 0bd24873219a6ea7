//! What a database says when it cannot, and what its callers are told.

use std::time::Duration;

use rpc_runtime::{Code, Error};
use sqlx::error::DatabaseError;
use sqlx::migrate::MigrateError;

use super::super::database::Database;

/// How long a caller should leave a database alone that is busy.
const BUSY_FOR: Duration = Duration::from_millis(500);

/// The same for one that is full or away: somebody has to do something.
const AWAY_FOR: Duration = Duration::from_secs(2);

/// Why an operation was not done. Nothing of it is in the database.
#[derive(Debug)]
pub(crate) enum StoreError {
    /// Another operation was faster; done again, this one will find what the other has left.
    Conflict,
    /// The database could not.
    Database(sqlx::Error),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        // Two transactions that wait for each other, or that cannot have run one after the other.
        if let Some("40001" | "40P01") = sql_state(&error).as_deref() {
            return Self::Conflict;
        }
        Self::Database(error)
    }
}

impl StoreError {
    /// Whether the operation may succeed when it is done again: after another one, or on another connection.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Conflict | Self::Database(sqlx::Error::Io(_) | sqlx::Error::Protocol(_)) => true,
            // The server was told to stop, and closes its connections.
            Self::Database(error) => sql_state(error).is_some_and(|state| state.starts_with("57P")),
        }
    }

    /// The answer for a caller. What the database said itself goes along as the source, which stays in this process.
    pub(super) fn into_error(self) -> Error {
        let error = match self {
            Self::Conflict => {
                let text = "too many changes of the same purchase at one time";
                return Error::new(Code::Unavailable, text).with_retry_after(BUSY_FOR);
            }
            Self::Database(error) => error,
        };
        let (code, text, wait) = classify(&error);
        let answer = Error::new(code, text).with_source(error);
        match wait {
            Some(wait) => answer.with_retry_after(wait),
            None => answer,
        }
    }
}

/// Why there is no connection. For the one who starts the service, so with all that the database says, and with what it
/// does not say: which one was meant.
#[track_caller]
pub(super) fn cannot_open(database: &Database, error: sqlx::Error) -> Error {
    let text = format!("cannot open the users' database: {database}: {error}");
    Error::new(classify(&error).0, text).with_source(error)
}

/// Why the schema is not as it has to be. As [`cannot_open`].
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

fn sql_state(error: &sqlx::Error) -> Option<String> {
    error.as_database_error()?.code().map(Into::into)
}

fn classify(error: &sqlx::Error) -> (Code, &'static str, Option<Duration>) {
    const FULL: (Code, &str, Option<Duration>) = (
        Code::ResourceExhausted,
        "the disk of the users' database is full; nothing was changed",
        Some(AWAY_FOR),
    );
    const LOCKED: (Code, &str, Option<Duration>) = (
        Code::Unavailable,
        "the users' database is locked by another process; nothing was changed",
        Some(BUSY_FOR),
    );
    const READ_ONLY: (Code, &str, Option<Duration>) = (
        Code::Unavailable,
        "the users' database can only be read; nothing was changed",
        Some(AWAY_FOR),
    );
    const AWAY: (Code, &str, Option<Duration>) = (
        Code::Unavailable,
        "the users' database cannot be reached",
        Some(AWAY_FOR),
    );
    const DAMAGED: (Code, &str, Option<Duration>) =
        (Code::DataLoss, "the users' database is damaged", None);
    const OTHER: (Code, &str, Option<Duration>) = (
        Code::Internal,
        "the users' database does not do what it should",
        None,
    );
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => AWAY,
        sqlx::Error::Database(error) => {
            let Some(code) = error.code() else {
                return OTHER;
            };
            if is_postgres(error.as_ref()) {
                match code.as_ref() {
                    "53100" => FULL,
                    "55P03" | "57014" => LOCKED,
                    "25006" => READ_ONLY,
                    "XX001" | "XX002" => DAMAGED,
                    // Connections, resources, and an operator who steps in.
                    code if ["08", "53", "57"]
                        .iter()
                        .any(|class| code.starts_with(class)) =>
                    {
                        AWAY
                    }
                    _ => OTHER,
                }
            } else {
                // The low byte is the kind of error, the rest says more about it.
                match code.parse::<i32>().map(|code| code & 0xff) {
                    Ok(5 | 6) => LOCKED,
                    Ok(13) => FULL,
                    Ok(8) => READ_ONLY,
                    Ok(10 | 14) => AWAY,
                    Ok(11 | 26) => DAMAGED,
                    _ => OTHER,
                }
            }
        }
        _ => OTHER,
    }
}

fn is_postgres(error: &dyn DatabaseError) -> bool {
    error
        .try_downcast_ref::<sqlx::postgres::PgDatabaseError>()
        .is_some()
}

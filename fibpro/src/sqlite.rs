//! The result codes of SQLite, and its write-ahead log.

use std::time::Duration;

use sqlx::{AssertSqlSafe, SqliteConnection};
use tokio::time::Instant;

/// Timeout for readers to leave the write-ahead log before it is emptied. Changes wait meanwhile.
/// Short reads take less.
const READER_TIMEOUT: Duration = Duration::from_millis(50);

/// Time between two attempts to empty the log.
const PAUSE: Duration = Duration::from_millis(500);

/// Empties the write-ahead log of a database: waits for its readers, and truncates `-wal`. An
/// attempt that a reader prevents is not repeated at once.
#[derive(Debug, Default)]
pub(crate) struct WalCheckpoints {
    failed: Option<Instant>,
}

impl WalCheckpoints {
    /// Returns whether the log is empty now. `busy_timeout` is that of the connection.
    pub(crate) async fn empty(
        &mut self,
        connection: &mut SqliteConnection,
        busy_timeout: Duration,
    ) -> sqlx::Result<bool> {
        if self.failed.is_some_and(|failed| failed.elapsed() < PAUSE) {
            return Ok(false);
        }
        let outcome = empty_wal(connection, READER_TIMEOUT).await;
        self.failed = (!matches!(outcome, Ok(true))).then(Instant::now);
        set_busy_timeout(connection, busy_timeout).await?;
        outcome
    }
}

/// Moves all changes into the main file and truncates `-wal`. Returns `false` if a reader needs it,
/// or another process writes. The connection has another busy timeout after that.
pub(crate) async fn empty_wal(
    connection: &mut SqliteConnection,
    timeout: Duration,
) -> sqlx::Result<bool> {
    set_busy_timeout(connection, timeout).await?;
    let is_busy: i64 = sqlx::query_scalar("PRAGMA wal_checkpoint(TRUNCATE)")
        .fetch_one(connection)
        .await?;
    Ok(is_busy == 0)
}

async fn set_busy_timeout(
    connection: &mut SqliteConnection,
    timeout: Duration,
) -> sqlx::Result<()> {
    let sql = format!("PRAGMA busy_timeout = {}", timeout.as_millis());
    sqlx::query(AssertSqlSafe(sql))
        .execute(connection)
        .await
        .map(drop)
}

/// Class of an SQLite error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SqliteErrorKind {
    /// Another connection holds a lock.
    Locked,
    /// The file is read-only.
    ReadOnly,
    /// The operating system reported an I/O error.
    Io,
    /// The file is damaged or not a database.
    Corrupt,
    /// The disk is full, or the size limit is reached.
    Full,
    /// The operating system refused a write: a limit on file sizes or a quota is reached, or the
    /// disk fails.
    WriteRefused,
    /// The file cannot be opened.
    CannotOpen,
    /// The statement was interrupted.
    Interrupted,
    /// Any other error.
    Other,
}

impl SqliteErrorKind {
    /// Classifies a result code in decimal, as sqlx returns it.
    pub(crate) fn from_code(code: &str) -> Self {
        // The extended code of a write that failed, other than because of a full disk.
        if code == "778" {
            return Self::WriteRefused;
        }
        // The low byte of a result code is the primary code: https://sqlite.org/rescode.html
        match code.parse::<i32>().map(|code| code & 0xff) {
            Ok(5 | 6) => Self::Locked,
            Ok(8) => Self::ReadOnly,
            Ok(9) => Self::Interrupted,
            Ok(10) => Self::Io,
            Ok(11 | 26) => Self::Corrupt,
            Ok(13) => Self::Full,
            Ok(14) => Self::CannotOpen,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extended_code_has_the_kind_of_its_primary_code() {
        for (code, kind) in [
            ("5", SqliteErrorKind::Locked),
            ("6", SqliteErrorKind::Locked),
            ("261", SqliteErrorKind::Locked),
            ("8", SqliteErrorKind::ReadOnly),
            ("778", SqliteErrorKind::WriteRefused),
            ("9", SqliteErrorKind::Interrupted),
            ("266", SqliteErrorKind::Io),
            ("1034", SqliteErrorKind::Io),
            ("11", SqliteErrorKind::Corrupt),
            ("26", SqliteErrorKind::Corrupt),
            ("13", SqliteErrorKind::Full),
            ("14", SqliteErrorKind::CannotOpen),
            ("2067", SqliteErrorKind::Other),
            ("", SqliteErrorKind::Other),
        ] {
            assert_eq!(SqliteErrorKind::from_code(code), kind, "{code}");
        }
    }
}

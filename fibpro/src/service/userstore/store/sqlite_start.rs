//! Checks a database before a store opens it for changes.
//!
//! A store that opens a database moves `-wal` into the main file, sooner or later. If one of the
//! two is damaged, or of another time than the other, that would destroy what could still be
//! restored.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rpc_runtime::{Code, Error, Result};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use super::super::database::Database;
use super::error;
use super::lock_wait::LOCK_TIMEOUT;
use super::marker::{StoreMarker, restorable};
use super::soundness::{CheckDepth, changes, count, find_fault};
use super::sqlite_file::{check_database_files, with_suffix};
use super::sqlite_rescue::rescued_copies;

/// Checks that a database is complete and sound. Changes no content: what is refused can still be
/// repaired.
pub(super) async fn check(database: &Database, path: &Path, marker: &StoreMarker) -> Result<()> {
    let rescued = rescued_copies(path);
    let metadata = match fs::metadata(path) {
        Ok(metadata) if metadata.len() > 0 => metadata,
        Ok(_) if marker.had_users() => return Err(marker.lost("is empty", &rescued)),
        Err(error) if marker.had_users() => {
            return Err(marker.lost(&format!("is missing ({error})"), &rescued));
        }
        // What was saved is the content of this database.
        _ if !rescued.is_empty() => return Err(marker.lost("is missing", &rescued)),
        _ => return Ok(()),
    };
    // With a `-wal`, the main file may be of another time.
    let depth = match has_wal(path) {
        true => Some(CheckDepth::Rules),
        false if marker.is_as_closed(&metadata) => None,
        false => Some(CheckDepth::Structure),
    };
    let checked = async {
        let mut connection = open_unchanged(path, LOCK_TIMEOUT).await?;
        let outcome = look(&mut connection, marker, depth, &rescued).await;
        // Only read.
        let _ = connection.close().await;
        outcome
    };
    match checked.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(Unfit::Refused(error))) => Err(error),
        Ok(Err(Unfit::Damaged(what))) => {
            let what = format!("it is damaged: {what}");
            Err(damaged(database, &what, &rescued))
        }
        Err(error) if error::is_damage(&error) => {
            Err(damaged(database, &error::bare_text(&error), &rescued))
        }
        Err(error) => Err(error::cannot_open(database, error)),
    }
}

/// Opens a database for reading, so that closing it does not move `-wal` into the main file.
pub(crate) async fn open_unchanged(
    path: &Path,
    lock_timeout: Duration,
) -> sqlx::Result<SqliteConnection> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        // Without a `-wal` there is nothing to move, and such a connection would leave one behind.
        .read_only(has_wal(path))
        .busy_timeout(lock_timeout)
        .disable_statement_logging();
    options.connect().await
}

fn has_wal(path: &Path) -> bool {
    fs::metadata(with_suffix(path, "-wal")).is_ok_and(|wal| wal.len() > 0)
}

/// The reason for which a database is not opened.
enum Unfit {
    Refused(Error),
    Damaged(String),
}

async fn look(
    connection: &mut SqliteConnection,
    marker: &StoreMarker,
    depth: Option<CheckDepth>,
    rescued: &[PathBuf],
) -> sqlx::Result<Result<(), Unfit>> {
    const USERS: &str =
        "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'users'";
    if count(connection, USERS).await? == 0 {
        return Ok(match marker.had_users() {
            true => Err(Unfit::Refused(marker.lost("has no tables", rescued))),
            // A new database, or one of another program, which the migrations report.
            false => Ok(()),
        });
    }
    if let Some(depth) = depth
        && let Some(fault) = find_fault(connection, depth).await?
    {
        return Ok(Err(Unfit::Damaged(fault)));
    }
    let missing = marker.acknowledged() - changes(connection).await?;
    if missing > 0 {
        return Ok(Err(Unfit::Refused(marker.behind(missing, rescued))));
    }
    Ok(Ok(()))
}

#[track_caller]
fn damaged(database: &Database, what: &str, rescued: &[PathBuf]) -> Error {
    Error::new(
        Code::DataLoss,
        format!(
            "cannot open the users' database: {database}: {what}; its files are unchanged; restore {}",
            restorable(rescued)
        ),
    )
}

/// Checks the files of a database, see [`check_database_files`], and that it is no link.
pub(super) fn check_files(path: &Path) -> Result<()> {
    let refused = |path: &Path, why: &dyn std::fmt::Display| {
        let text = format!(
            "cannot open the users' database: sqlite://{}: {why}",
            path.display()
        );
        Error::new(Code::FailedPrecondition, text)
    };
    check_database_files(path).map_err(|(path, error)| refused(&path, &error))?;
    // SQLite has `-wal` beside the file to which a link leads.
    if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink()) {
        let target = fs::canonicalize(path).or_else(|_| fs::read_link(path));
        let target = target.unwrap_or_default();
        let why = format!(
            "it is a symbolic link; use the database itself: `--database sqlite://{}`",
            target.display()
        );
        return Err(refused(path, &why));
    }
    Ok(())
}

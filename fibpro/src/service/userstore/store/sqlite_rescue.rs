//! Saves the content of a database whose files were removed while it is open.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::SqliteConnection;

use super::session::{ColumnReader as _, SqlSession as _};
use super::sqlite_file::{FileFault, FileFaultKind, with_suffix};

/// Saves what an open connection can still read, and logs where it is.
pub(super) async fn save(connection: &mut SqliteConnection, path: &Path, fault: FileFault) {
    let (is_main, kind) = (fault.suffix.is_empty(), fault.kind);
    let saved = match kind {
        FileFaultKind::Removed if !is_main => checkpoint(connection, Duration::ZERO)
            .await
            .map(|()| path.to_owned())
            .map_err(|error| error.to_string()),
        FileFaultKind::Removed | FileFaultKind::Replaced if is_main => {
            copy_beside(connection, path).await
        }
        // The content is not known to be complete.
        _ => return,
    };
    match saved {
        Ok(saved) if is_main => tracing::error!(
            "the content of the users' database is saved in {}; stop the user store and restore it with \
             `fibpro restore`",
            saved.display()
        ),
        Ok(saved) => tracing::error!(
            "all changes of the users' database are saved in {}; restart the user store",
            saved.display()
        ),
        Err(error) => tracing::error!("cannot save the content of the users' database: {error}"),
    }
}

/// Moves all changes into the main file and empties `-wal`.
pub(super) async fn checkpoint(
    connection: &mut SqliteConnection,
    timeout: Duration,
) -> sqlx::Result<()> {
    let sql = format!("PRAGMA busy_timeout = {}", timeout.as_millis());
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .execute(&mut *connection)
        .await?;
    let rows = connection
        .rows("PRAGMA wal_checkpoint(TRUNCATE)", &[])
        .await?;
    match rows.first().map_or(Ok(0), |row| row.int(0))? {
        0 => Ok(()),
        _ => Err(sqlx::Error::Protocol("another process reads it".to_owned())),
    }
}

/// Writes a copy of the database into its folder.
async fn copy_beside(connection: &mut SqliteConnection, path: &Path) -> Result<PathBuf, String> {
    let free = (1..1000)
        .map(|number| with_suffix(path, &format!(".rescued-{number}")))
        .find(|copy| !copy.exists())
        .ok_or("there are too many copies already")?;
    copy_into(connection, &free).await?;
    Ok(free)
}

/// Writes a consistent copy of the database into a new file for its owner only, while others read
/// and write it.
pub(crate) async fn copy_into(
    connection: &mut SqliteConnection,
    copy: &Path,
) -> Result<(), String> {
    let failed =
        |error: &dyn std::fmt::Display| format!("cannot write {}: {error}", copy.display());
    let file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(copy)
        .map_err(|error| failed(&error))?;
    let Some(name) = copy.to_str() else {
        return Err(failed(&"its name is not valid UTF-8"));
    };
    // SQLite writes into an empty file, but does not sync it.
    let written = sqlx::query("VACUUM INTO ?")
        .bind(name)
        .execute(&mut *connection)
        .await;
    let outcome = match written {
        Ok(_) => file.sync_all().map_err(|error| failed(&error)),
        Err(error) => Err(failed(&error)),
    };
    if outcome.is_err() {
        // A part of a copy looks like one.
        let _ = std::fs::remove_file(copy);
    }
    outcome
}

//! Backups of an SQLite database, while a store uses it.
//!
//! A copy is a consistent snapshot: it has all changes that were acknowledged before it was begun,
//! and none in part. It is checked before it gets its name.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rpc_runtime::files;
use rpc_runtime::{Code, Error, Result};
use sqlx::{Connection as _, SqliteConnection};

use super::database::Database;
use super::store::{
    CheckDepth, StoreMarker, changes, check_database_files, copy_into, count, find_fault,
    folder_of, open_unchanged, with_suffix,
};

/// Timeout for a lock that another process holds.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// Content of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupSummary {
    /// Number of users.
    pub users: i64,
    /// Number of purchases.
    pub purchases: i64,
}

/// Result of a restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Content of the restored database.
    pub content: BackupSummary,
    /// The database that was there before, under its new name.
    pub replaced: Option<PathBuf>,
}

/// Writes a consistent copy of a database into a new file, also while stores use the database.
///
/// # Errors
///
/// `failed_precondition` with a text for the operator: the database is on a PostgreSQL server, it
/// does not exist or is not sound, or the copy exists already or cannot be written.
pub async fn backup(database: &Database, copy: &Path) -> Result<BackupSummary> {
    let path = file_of(
        database,
        "back it up with `pg_dump --format=custom --file=FILE`",
    )?;
    must_not_exist(copy)?;
    let (content, _) = copy_checked(path, copy, copy).await?;
    Ok(content)
}

/// Replaces a database by a backup. The database that is there is renamed and not removed.
///
/// # Errors
///
/// `failed_precondition` with a text for the operator: a store uses the database, the backup is not
/// sound, or a file cannot be written. The database is unchanged then.
pub async fn restore(backup: &Path, database: &Database) -> Result<Restored> {
    let path = file_of(
        database,
        "restore it with `pg_restore --clean --dbname=NAME FILE`",
    )?;
    let marker = StoreMarker::lock(path)?;
    // No other restore uses this name, because it would have the marker.
    let copy = with_suffix(path, ".restoring");
    remove_if_there(&copy)
        .map_err(|error| failed(format!("cannot replace {}: {error}", path.display())))?;
    let (content, changes) = copy_checked(backup, &copy, path).await?;
    let moved = move_into_place(&copy, path);
    if moved.is_err() {
        // Not the backup, but a copy of it.
        let _ = fs::remove_file(&copy);
    }
    let replaced =
        moved.map_err(|error| failed(format!("cannot replace {}: {error}", path.display())))?;
    marker.remember_restored(content.users > 0, changes)?;
    Ok(Restored { content, replaced })
}

fn file_of<'a>(database: &'a Database, advice: &str) -> Result<&'a Path> {
    match database {
        Database::Sqlite(options) => Ok(options.get_filename()),
        Database::Postgres(_) => Err(failed(format!(
            "{database} is on a PostgreSQL server, which has tools of its own: {advice}"
        ))),
    }
}

/// Copies a database under a temporary name, checks the copy, and renames it. `name` is that of the
/// copy in error texts.
async fn copy_checked(from: &Path, to: &Path, name: &Path) -> Result<(BackupSummary, i64)> {
    let partial = &with_suffix(to, ".partial");
    remove_abandoned(partial)
        .map_err(|error| failed(format!("cannot write {}: {error}", name.display())))?;
    let copied = async {
        check_database_files(from)
            .map_err(|(path, error)| failed(format!("cannot read {}: {error}", path.display())))?;
        let mut source = open(from).await?;
        let copied = copy_into(&mut source, from, partial, name).await;
        // Only read.
        let _ = source.close().await;
        let locked = copied.map_err(|why| failed(why))?;
        let checked = check(partial, from).await?;
        Ok((checked, locked))
    };
    let outcome = match copied.await {
        Ok((content, _locked)) => {
            let named = fs::hard_link(partial, to).and_then(|()| sync_folder(to));
            named
                .map(|()| content)
                .map_err(|error| failed(format!("cannot write {}: {error}", name.display())))
        }
        Err(error) => Err(error),
    };
    if let Err(error) = remove_if_there(partial) {
        tracing::warn!("cannot remove {}: {error}", partial.display());
    }
    outcome
}

/// Removes what a killed process has left of a copy.
fn remove_abandoned(partial: &Path) -> Result<(), String> {
    if fs::symlink_metadata(partial).is_ok() {
        // The writer of a copy has it locked.
        files::check_file(partial).map_err(|error| error.to_string())?;
        let file = File::open(partial).map_err(|error| error.to_string())?;
        file.try_lock()
            .map_err(|_| "another process writes it".to_owned())?;
        remove_if_there(partial).map_err(|error| error.to_string())?;
    }
    remove_if_there(&with_suffix(partial, "-journal")).map_err(|error| error.to_string())
}

/// Opens a database for reading.
async fn open(path: &Path) -> Result<SqliteConnection> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => {}
        Ok(_) => return Err(failed(format!("{} is not a file", path.display()))),
        Err(error) => return Err(failed(format!("cannot read {}: {error}", path.display()))),
    }
    open_unchanged(path, LOCK_TIMEOUT)
        .await
        .map_err(|error| failed(format!("cannot read {}: {error}", path.display())))
}

/// Checks that a copy is a sound database of users. Returns its content, and the number of its
/// transactions.
async fn check(copy: &Path, original: &Path) -> Result<(BackupSummary, i64)> {
    let unsound =
        |why: &dyn std::fmt::Display| failed(format!("{} is not sound: {why}", original.display()));
    let mut connection = open(copy).await?;
    let checked = async {
        if let Some(fault) = find_fault(&mut connection, CheckDepth::Full).await? {
            return Ok(Err(fault));
        }
        let content = BackupSummary {
            users: count(&mut connection, "SELECT COUNT(*) FROM users").await?,
            purchases: count(&mut connection, "SELECT COUNT(*) FROM purchases").await?,
        };
        Ok(Ok((content, changes(&mut connection).await?)))
    };
    let outcome: sqlx::Result<Result<(BackupSummary, i64), String>> = checked.await;
    // Only read.
    let _ = connection.close().await;
    match outcome {
        Ok(Ok(checked)) => Ok(checked),
        Ok(Err(why)) => Err(unsound(&why)),
        Err(error) => Err(unsound(&error)),
    }
}

/// Renames the present database, if any, and gives its name to the copy. A crash in between leaves
/// no database, with which a store does not start.
fn move_into_place(copy: &Path, path: &Path) -> io::Result<Option<PathBuf>> {
    let replaced = if path.try_exists()? {
        Some(move_aside(path)?)
    } else {
        // What belongs to a database that was removed must not be taken for a part of the copy.
        for suffix in ["-wal", "-shm"] {
            remove_if_there(&with_suffix(path, suffix))?;
        }
        None
    };
    fs::rename(copy, path)?;
    sync_folder(path)?;
    Ok(replaced)
}

fn move_aside(path: &Path) -> io::Result<PathBuf> {
    let aside = (1..u32::MAX)
        .map(|number| with_suffix(path, &format!(".replaced-{number}")))
        .find(|aside| !aside.exists())
        .ok_or(io::ErrorKind::AlreadyExists)?;
    // The main file first: without it, a store does not start.
    for suffix in ["", "-wal", "-shm"] {
        match fs::rename(with_suffix(path, suffix), with_suffix(&aside, suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(aside)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes a rename or a new file of a folder survive a power failure.
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

fn must_not_exist(path: &Path) -> Result<()> {
    match path.try_exists() {
        Ok(false) => Ok(()),
        Ok(true) => Err(failed(format!(
            "{} exists already; choose another name",
            path.display()
        ))),
        Err(error) => Err(failed(format!("cannot write {}: {error}", path.display()))),
    }
}

#[track_caller]
fn failed(text: String) -> Error {
    Error::new(Code::FailedPrecondition, text)
}

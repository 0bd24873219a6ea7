//! Saves the content of a database whose files were removed while it is open.

use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::SqliteConnection;

use super::error;
use super::marker::StoreMarker;
use super::sqlite_file::{FileFault, FileFaultKind, folder_of, with_suffix};
use crate::sqlite::empty_wal;

/// End of the name of a saved copy, before its number.
const RESCUED: &str = ".rescued-";

/// Saves what an open connection can still read, and logs where it is.
pub(super) async fn save(
    connection: &mut SqliteConnection,
    path: &Path,
    marker: &StoreMarker,
    fault: FileFault,
) {
    let (is_main, kind) = (fault.suffix.is_empty(), fault.kind);
    let saved = match kind {
        FileFaultKind::Removed if !is_main => checkpoint(connection, Duration::ZERO)
            .await
            .map(|()| path.to_owned()),
        FileFaultKind::Removed | FileFaultKind::Replaced if is_main => {
            copy_beside(connection, path).await
        }
        // The content is not known to be complete.
        _ => return,
    };
    // With it, a restart does not begin anew.
    marker.keep();
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
) -> Result<(), String> {
    match empty_wal(connection, timeout).await {
        Ok(true) => Ok(()),
        Ok(false) => Err("another process uses it".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Writes a copy of the database into its folder; beside the folder if that was removed or renamed,
/// so that it can be put back.
async fn copy_beside(connection: &mut SqliteConnection, path: &Path) -> Result<PathBuf, String> {
    let base = match beside_folder(path) {
        Some(beside) if !folder_of(path).is_dir() => beside,
        _ => path.to_owned(),
    };
    let free = (1..1000)
        .map(|number| with_suffix(&base, &format!("{RESCUED}{number}")))
        .find(|copy| !copy.exists())
        .ok_or("there are too many copies already")?;
    copy_into(connection, path, &free, &free).await?;
    Ok(free)
}

/// Returns the saved copies of a database, the newest last.
pub(super) fn rescued_copies(path: &Path) -> Vec<PathBuf> {
    let mut copies = Vec::new();
    for base in [Some(path.to_owned()), beside_folder(path)]
        .into_iter()
        .flatten()
    {
        let Some(prefix) = base.file_name() else {
            continue;
        };
        let prefix = with_suffix(Path::new(prefix), RESCUED);
        let prefix = prefix.as_os_str().as_encoded_bytes();
        // A folder that cannot be read has no copy that could be restored.
        let entries = fs::read_dir(folder_of(&base))
            .into_iter()
            .flatten()
            .flatten();
        for entry in entries {
            let name = entry.file_name();
            let number = name.as_encoded_bytes().strip_prefix(prefix);
            if number.is_some_and(|number| number.iter().all(u8::is_ascii_digit)) {
                let changed = entry
                    .metadata()
                    .and_then(|metadata| metadata.modified())
                    .ok();
                copies.push((changed, base.with_file_name(name)));
            }
        }
    }
    copies.sort();
    copies.into_iter().map(|(_, path)| path).collect()
}

/// Returns the name for what belongs to `folder/file` and is beside the folder: `folder.file`.
fn beside_folder(path: &Path) -> Option<PathBuf> {
    let folder = path.parent()?;
    let mut name = folder.file_name()?.to_owned();
    name.push(".");
    name.push(path.file_name()?);
    Some(folder.with_file_name(name))
}

/// Writes a consistent copy of the database into a new file for its owner only, while others read
/// and write it. Returns the copy, which is locked until this handle is closed. `source` and
/// `target` are the names for error texts.
pub(crate) async fn copy_into(
    connection: &mut SqliteConnection,
    source: &Path,
    copy: &Path,
    target: &Path,
) -> Result<File, String> {
    let failed =
        |error: &dyn std::fmt::Display| format!("cannot write {}: {error}", target.display());
    let file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(copy)
        .map_err(|error| failed(&error))?;
    // Fails only where locks are not supported.
    let _ = file.try_lock();
    let Some(name) = copy.to_str() else {
        return Err(failed(&"its name is not valid UTF-8"));
    };
    // SQLite writes into an empty file, but does not sync it.
    let written = sqlx::query("VACUUM INTO ?")
        .bind(name)
        .execute(&mut *connection)
        .await;
    let outcome = match written {
        Ok(_) => file
            .sync_all()
            .map(|()| file)
            .map_err(|error| failed(&error)),
        Err(error) if error::is_damage(&error) => Err(format!(
            "{} is not sound: {}",
            source.display(),
            error::bare_text(&error)
        )),
        Err(error) => Err(failed(&error)),
    };
    if outcome.is_err() {
        // A part of a copy looks like one.
        let _ = fs::remove_file(copy);
    }
    outcome
}

//! Directories and files of a spool, and their ownership.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Error, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use sha2::{Digest as _, Sha256};

use crate::files::{self, FileError, FileLock};

pub(super) const EXTENSION: &str = "jsonl";

/// Name of the file that is locked while the process runs. The system releases the lock when the
/// process ends.
const LOCK: &str = "lock";

/// Name of the file with the last epoch, used when the clock was set back.
const EPOCH: &str = "epoch";

/// Limit of the file with the last epoch, in bytes.
const EPOCH_BYTES: u64 = 64;

/// Epochs to try if several processes start in the same microsecond.
const ATTEMPTS: u64 = 1000;

/// Location of the spools for one sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::logs) struct SpoolDir {
    /// Directory of the sessions.
    folder: PathBuf,
    /// Directory of the file with the last epoch.
    root: PathBuf,
    /// Whether the folder is a default one, which is deleted when it is empty.
    is_temporary: bool,
}

impl SpoolDir {
    /// Uses a folder that the operator chose for one sink.
    pub(in crate::logs) fn named(folder: PathBuf) -> Self {
        Self {
            root: folder.clone(),
            folder,
            is_temporary: false,
        }
    }

    /// Uses a directory of this user under the temporary directory, for the sink at `target`.
    pub(in crate::logs) fn temporary(target: &str) -> Self {
        let root = env::temp_dir().join(format!("rpc-log-spool{}", user()));
        Self {
            folder: root.join(folder_name(target)),
            root,
            is_temporary: true,
        }
    }

    pub(in crate::logs) fn path(&self) -> &Path {
        &self.folder
    }

    /// Creates the folder of a new session. Its epoch is larger than all earlier ones, even if
    /// the clock was set back.
    pub(super) fn begin_session(&self) -> io::Result<SpoolSession> {
        files::create_folder(&self.root)?;
        if self.is_temporary {
            // Every user can write to the temporary directory.
            check_private(&self.root)?;
        }
        files::create_folder(&self.folder)?;
        // Several users may share a folder that an operator chose.
        files::check_shared_folder(&self.folder).map_err(denied)?;
        let first = now().max(self.last_epoch().saturating_add(1));
        for epoch in first..first.saturating_add(ATTEMPTS) {
            let path = self.folder.join(format!("{epoch:020}"));
            match files::private_folder().create(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(error),
            }
            match SpoolSession::claim(epoch, path) {
                Ok(Some(session)) => {
                    self.remember(epoch)?;
                    return Ok(session);
                }
                Ok(None) => {}
                // Another process took the new folder for that of an ended one, and removed it.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::other(format!(
            "cannot create a session in the log spool {}: another process has \
             taken all of its next {ATTEMPTS} numbers; use one spool for each program",
            self.folder.display()
        )))
    }

    /// Claims the sessions of processes that have ended, and returns them oldest first.
    pub(super) fn orphaned_sessions(&self, own: u64) -> io::Result<Vec<SpoolSession>> {
        let mut sessions = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let Some(epoch) = name
                .filter(|name| name.len() == 20)
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            if epoch == own {
                continue;
            }
            match SpoolSession::claim(epoch, path) {
                Ok(Some(session)) => sessions.push(session),
                // Its process is running.
                Ok(None) => {}
                // Usually the session of another user who shares the folder.
                Err(error) => {
                    tracing::warn!(target: "rpc", %error, epoch, "cannot take over the log spool of an earlier session");
                }
            }
        }
        sessions.sort_by_key(|session| session.epoch);
        Ok(sessions)
    }

    /// Deletes a default folder if it is empty.
    pub(super) fn remove_if_empty(&self) {
        if self.is_temporary {
            // Fails if other processes have sessions in it.
            let _ = fs::remove_dir(&self.folder);
        }
    }

    fn last_epoch(&self) -> u64 {
        let text = files::read_text(&self.root.join(EPOCH), EPOCH_BYTES);
        text.ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(0)
    }

    fn remember(&self, epoch: u64) -> io::Result<()> {
        let temporary = self.root.join(format!("{EPOCH}.{epoch}"));
        new_file(&temporary)?.write_all(epoch.to_string().as_bytes())?;
        fs::rename(&temporary, self.root.join(EPOCH))
    }
}

/// The locked folder of a session: of this process, or of one that has ended.
#[derive(Debug)]
pub(super) struct SpoolSession {
    epoch: u64,
    path: PathBuf,
    lock: FileLock,
}

impl SpoolSession {
    /// Locks the folder. Returns `None` if another process holds the lock.
    fn claim(epoch: u64, path: PathBuf) -> io::Result<Option<Self>> {
        files::check_folder(&path).map_err(denied)?;
        let lock = FileLock::acquire(&path.join(LOCK))?;
        Ok(lock.map(|lock| Self { epoch, path, lock }))
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the folder. It is created and locked again if it or its lock was deleted.
    pub(super) fn folder(&mut self) -> io::Result<&Path> {
        if !self.lock.is_at(&self.path.join(LOCK)) {
            files::create_folder(&self.path)?;
            if let Some(again) = Self::claim(self.epoch, self.path.clone())? {
                *self = again;
            }
        }
        Ok(&self.path)
    }

    /// Returns another handle of the lock, as a child process that is being started has it.
    #[cfg(test)]
    pub(super) fn inherited_lock(&self) -> File {
        self.lock.inherited()
    }

    /// Returns the segment files, oldest first.
    pub(super) fn segments(&self) -> io::Result<Vec<PathBuf>> {
        let mut segments = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let path = entry?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == EXTENSION)
            {
                segments.push(path);
            }
        }
        segments.sort();
        Ok(segments)
    }

    /// Deletes the folder if it has no segments.
    pub(super) fn remove(&self) {
        if self.segments().is_ok_and(|segments| segments.is_empty()) {
            remove(&self.path.join(LOCK));
            let _ = fs::remove_dir(&self.path);
        }
    }
}

/// Deletes a file. If that fails, the next session sends its records again with the same numbers.
pub(super) fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != ErrorKind::NotFound
    {
        let path = path.display();
        tracing::warn!(target: "rpc", %error, "cannot delete a file of the log spool: {path}");
    }
}

/// Converts the reason for which a folder is not used.
fn denied(error: FileError) -> Error {
    match error {
        FileError::Io(error) => error,
        error => Error::new(ErrorKind::PermissionDenied, error),
    }
}

/// Creates a file that only this user can read, because logs are confidential.
pub(super) fn new_file(path: &Path) -> io::Result<File> {
    private(OpenOptions::new().create_new(true).write(true)).open(path)
}

#[cfg(unix)]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600)
}

/// Returns an error if other users can read or write the folder.
#[cfg(unix)]
pub(super) fn check_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;

    let folder = fs::symlink_metadata(path)?;
    // The owner of a new file is the current user.
    let probe = path.join(format!("{LOCK}.{:x}", fastrand::u64(..)));
    let own = new_file(&probe)?.metadata()?.uid();
    remove(&probe);
    if !folder.is_dir() || folder.mode() & 0o077 != 0 || folder.uid() != own {
        let text = format!(
            "{} is not a directory of this user only; choose another one or remove access for others",
            path.display()
        );
        return Err(Error::new(ErrorKind::PermissionDenied, text));
    }
    Ok(())
}

/// Returns a name suffix with the user id. On other systems it is empty: there the temporary
/// folder usually belongs to the user.
#[cfg(target_os = "linux")]
fn user() -> String {
    use std::os::unix::fs::MetadataExt as _;

    fs::metadata("/proc/self").map_or_else(|_| String::new(), |own| format!("-{}", own.uid()))
}

#[cfg(not(target_os = "linux"))]
fn user() -> String {
    String::new()
}

#[cfg(not(unix))]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

#[cfg(not(unix))]
pub(super) fn check_private(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Returns a folder name that is readable and unique for the target.
fn folder_name(target: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    let readable: String = target
        .chars()
        .map(|c| if plain(c) { c } else { '_' })
        .take(48)
        .collect();
    let digest = Sha256::digest(target);
    let digest: String = digest
        .iter()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{readable}-{digest}")
}

/// Returns the microseconds since the Unix epoch.
pub(in crate::logs) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_micros()).unwrap_or(u64::MAX)
}

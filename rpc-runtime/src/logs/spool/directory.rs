//! The folders and files of a spool, and who they belong to.

use std::env;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Error, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use sha2::{Digest as _, Sha256};

pub(super) const EXTENSION: &str = "jsonl";

/// The file that is locked for as long as the process lives. The system lets go of it when the process dies.
const LOCK: &str = "lock";

/// The file that remembers the last epoch, for clocks that are set back.
const EPOCH: &str = "epoch";

/// How many epochs are tried, where several processes start in the same microsecond.
const ATTEMPTS: u64 = 1000;

/// Where spools are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::logs) struct SpoolDir {
    /// The folder of the spools of one sink.
    folder: PathBuf,
    /// Where the last epoch is remembered.
    root: PathBuf,
    /// Whether the folder was made up here, and is not to be left behind.
    is_temporary: bool,
}

impl SpoolDir {
    /// A folder that an operator names, for one sink.
    pub(in crate::logs) fn named(folder: PathBuf) -> Self {
        Self {
            root: folder.clone(),
            folder,
            is_temporary: false,
        }
    }

    /// A folder of this user in the folder for temporary files, for the sink at `target`.
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

    /// Makes the folder of a new life, whose epoch is later than all before, whatever the clock says.
    pub(super) fn begin_session(&self) -> io::Result<Session> {
        create_folder(&self.root)?;
        if self.is_temporary {
            // Anybody may write in the folder for temporary files.
            check_private(&self.root)?;
        }
        create_folder(&self.folder)?;
        let first = now().max(self.last_epoch().saturating_add(1));
        for epoch in first..first.saturating_add(ATTEMPTS) {
            let path = self.folder.join(format!("{epoch:020}"));
            match private_folder().create(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(error),
            }
            if let Some(session) = Session::claim(epoch, path)? {
                self.remember(epoch)?;
                return Ok(session);
            }
        }
        Err(Error::other("no epoch is free"))
    }

    /// The lives of processes that are gone, from the oldest; they are ours from now on.
    pub(super) fn orphaned_sessions(&self, own: u64) -> io::Result<Vec<Session>> {
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
            match Session::claim(epoch, path) {
                Ok(Some(session)) => sessions.push(session),
                // It lives.
                Ok(None) => {}
                // Of another user, as a rule, who shares the folder.
                Err(error) => {
                    tracing::warn!(target: "rpc", %error, epoch, "a log spool is not taken over");
                }
            }
        }
        sessions.sort_by_key(|session| session.epoch);
        Ok(sessions)
    }

    pub(super) fn remove_if_empty(&self) {
        if self.is_temporary {
            // Other processes may have theirs in it.
            let _ = fs::remove_dir(&self.folder);
        }
    }

    fn last_epoch(&self) -> u64 {
        let text = fs::read_to_string(self.root.join(EPOCH));
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

/// The folder of a process: of this one, or of one that is gone.
#[derive(Debug)]
pub(super) struct Session {
    epoch: u64,
    path: PathBuf,
    _lock: File,
}

impl Session {
    /// `None` where somebody else has it.
    fn claim(epoch: u64, path: PathBuf) -> io::Result<Option<Self>> {
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        let lock = private(&mut options).open(path.join(LOCK))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(Self {
                epoch,
                path,
                _lock: lock,
            })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The folder, which is there again where somebody has tidied up.
    pub(super) fn folder(&mut self) -> io::Result<&Path> {
        if !self.path.exists() {
            create_folder(&self.path)?;
            if let Some(again) = Self::claim(self.epoch, self.path.clone())? {
                *self = again;
            }
        }
        Ok(&self.path)
    }

    /// Its segments, from the oldest.
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

    /// Removes the folder, where no segment is in it.
    pub(super) fn remove(&self) {
        if self.segments().is_ok_and(|segments| segments.is_empty()) {
            remove(&self.path.join(LOCK));
            let _ = fs::remove_dir(&self.path);
        }
    }
}

/// Deletes a file. One that stays is found by the next life, and then its records come twice with the same numbers.
pub(super) fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != ErrorKind::NotFound
    {
        let path = path.display();
        tracing::warn!(target: "rpc", %error, "a file of the log spool cannot be deleted: {path}");
    }
}

/// A new file that nobody else reads: logs are nobody's business.
pub(super) fn new_file(path: &Path) -> io::Result<File> {
    private(OpenOptions::new().create_new(true).write(true)).open(path)
}

fn create_folder(path: &Path) -> io::Result<()> {
    private_folder().recursive(true).create(path)
}

#[cfg(unix)]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600)
}

#[cfg(unix)]
fn private_folder() -> DirBuilder {
    let mut builder = DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

/// Refuses a folder in which somebody else could put or read something.
#[cfg(unix)]
pub(super) fn check_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;

    let folder = fs::symlink_metadata(path)?;
    // The file is ours, so its owner tells who we are.
    let probe = path.join(format!("{LOCK}.{:x}", fastrand::u64(..)));
    let own = new_file(&probe)?.metadata()?.uid();
    remove(&probe);
    if !folder.is_dir() || folder.mode() & 0o077 != 0 || folder.uid() != own {
        let text = format!(
            "{} is not a folder of this user alone; name another one",
            path.display()
        );
        return Err(Error::new(ErrorKind::PermissionDenied, text));
    }
    Ok(())
}

/// Tells the folders of users apart, where the system says who we are. Elsewhere temporary files are a user's own.
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
fn private_folder() -> DirBuilder {
    DirBuilder::new()
}

#[cfg(not(unix))]
pub(super) fn check_private(_: &Path) -> io::Result<()> {
    Ok(())
}

/// A name that a person recognises and no other target has.
fn folder_name(target: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    let words: String = target
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
    format!("{words}-{digest}")
}

/// Microseconds since 1970.
pub(in crate::logs) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_micros()).unwrap_or(u64::MAX)
}

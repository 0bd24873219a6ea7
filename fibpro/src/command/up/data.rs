//! The data folder, and the identity key that the services share.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rpc_runtime::Secret;
use rpc_runtime::files::{self, FileLock};

/// Name of the key file.
const KEY: &str = "identity.key";

/// The data folder of a running system.
#[derive(Debug)]
pub(super) struct DataDir {
    folder: PathBuf,
    is_new: bool,
    /// Holds the lock on the folder until dropped.
    _lock: FileLock,
}

impl DataDir {
    /// Creates the folder (accessible to its owner only) and the key where they are missing, and
    /// locks the folder.
    pub(super) fn prepare(folder: &Path) -> Result<Self, String> {
        files::create_folder(folder).map_err(|error| {
            let folder = folder.display();
            format!("cannot create the data folder {folder} (`--data-dir`): {error}")
        })?;
        // Another user who can write here could exchange the users or the key.
        files::check_folder(folder).map_err(|error| {
            let folder = folder.display();
            format!("cannot use the data folder {folder} (`--data-dir`): {error}")
        })?;
        let lock = take(folder)?;
        let key = folder.join(KEY);
        let is_new = make_key(&key).map_err(|error| {
            format!(
                "cannot create the identity key file {}: {error}",
                key.display()
            )
        })?;
        Ok(Self {
            folder: folder.to_owned(),
            is_new,
            _lock: lock,
        })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns whether this is the first start with this folder.
    pub(super) fn is_new(&self) -> bool {
        self.is_new
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(super) fn identity_key(&self) -> PathBuf {
        self.file(KEY)
    }

    /// Returns the spool folder of a service, which holds its records while the log sink is
    /// unavailable.
    pub(super) fn log_spool(&self, service: &str) -> PathBuf {
        self.folder.join("log-spool").join(service)
    }
}

/// Locks the folder. Two systems in one folder would share users and read each other's spool.
fn take(folder: &Path) -> Result<FileLock, String> {
    let path = folder.join("up.lock");
    let lock = FileLock::acquire(&path)
        .map_err(|error| format!("cannot open the lock file {}: {error}", path.display()))?;
    lock.ok_or_else(|| {
        format!(
            "another `fibpro up` uses the data folder {}: stop it, or choose another folder with `--data-dir` and \
             other ports with `--base-port`",
            folder.display()
        )
    })
}

/// Creates the key unless it exists, and returns whether it did. The file appears complete or not
/// at all.
fn make_key(path: &Path) -> io::Result<bool> {
    if path.try_exists()? {
        return Ok(false);
    }
    let secret = Secret::new(random()?);
    let new = path.with_extension(format!("key.{}", std::process::id()));
    let written = write_key(&new, &secret).and_then(|()| match fs::hard_link(&new, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        outcome => outcome,
    });
    // The temporary name is removed in every case; the link has made the file visible under its
    // final name.
    let removed = fs::remove_file(&new);
    written.and(removed).map(|()| true)
}

fn write_key(path: &Path, secret: &Secret<[u8; 32]>) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    let secret = STANDARD.encode(secret.expose());
    writeln!(
        file,
        "# Created by `fibpro up`. A process with this key can act as any service.\nup {secret}"
    )?;
    file.sync_all()
}

fn random() -> io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use rpc_runtime::IdentityKeys;

    use super::*;

    #[test]
    fn the_key_is_made_once_and_for_its_owner_only() {
        let name = format!("fibpro-data-{}", std::process::id());
        let folder = std::env::temp_dir().join(name).join("inner");
        let data = DataDir::prepare(&folder).unwrap();
        let key = fs::read(data.identity_key()).unwrap();
        let mode = fs::metadata(data.identity_key()).unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
        let mode = fs::metadata(&folder).unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o700);
        let keys = IdentityKeys::from_file(data.identity_key()).unwrap();
        assert_eq!(keys.ids(), ["up"]);
        assert!(data.is_new());
        let taken = DataDir::prepare(&folder).unwrap_err();
        assert!(
            taken.starts_with("another `fibpro up` uses the data folder "),
            "{taken}"
        );
        drop(data);
        let again = DataDir::prepare(&folder).unwrap();
        assert!(!again.is_new());
        assert_eq!(fs::read(again.identity_key()).unwrap(), key);
        // The key and the lock.
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
        fs::remove_dir_all(folder.parent().unwrap()).unwrap();
    }
}

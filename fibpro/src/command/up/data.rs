//! The data folder, and the key by which the services know each other.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rpc_runtime::Secret;

/// The folder that everything is kept in.
#[derive(Debug)]
pub(super) struct Data(PathBuf);

impl Data {
    /// Makes the folder, for its owner only, and the key, where they are not there.
    pub(super) fn prepare(folder: &Path) -> Result<Self, String> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| format!("no data folder {}: {error}", folder.display()))?;
        let data = Self(folder.to_owned());
        let key = data.identity_key();
        make_key(&key).map_err(|error| format!("no key in {}: {error}", key.display()))?;
        Ok(data)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.0
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(super) fn identity_key(&self) -> PathBuf {
        self.file("identity.key")
    }

    /// Where the records of a service wait while the log sink is away.
    pub(super) fn log_spool(&self, service: &str) -> PathBuf {
        self.0.join("log-spool").join(service)
    }
}

/// Makes a key unless there is one. Whoever comes second takes what is there, and nobody finds half a file.
fn make_key(path: &Path) -> io::Result<()> {
    if path.try_exists()? {
        return Ok(());
    }
    let secret = Secret::new(random()?);
    let new = path.with_extension(format!("key.{}", std::process::id()));
    let written = write_key(&new, &secret).and_then(|()| match fs::hard_link(&new, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        outcome => outcome,
    });
    // Under its own name it is of no use, whether or not it has another one by now.
    let removed = fs::remove_file(&new);
    written.and(removed)
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
        "# Made by `fibpro up`. Whoever has it may be each of the services.\nup {secret}"
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
        let data = Data::prepare(&folder).unwrap();
        let key = fs::read(data.identity_key()).unwrap();
        let mode = fs::metadata(data.identity_key()).unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
        let mode = fs::metadata(&folder).unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o700);
        let keys = IdentityKeys::from_file(data.identity_key()).unwrap();
        assert_eq!(keys.ids(), ["up"]);
        let again = Data::prepare(&folder).unwrap();
        assert_eq!(fs::read(again.identity_key()).unwrap(), key);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        fs::remove_dir_all(folder.parent().unwrap()).unwrap();
    }
}

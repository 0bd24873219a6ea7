//! Unix sockets. The file of one outlives a process that is killed, and whoever may open it is believed.
//!
//! Two traps are avoided. Between binding and setting the mode anybody might connect: so the socket is made in a
//! folder that only we can enter, and moved to its place when it is right. Of two processes that find a file left
//! behind, the second might remove what the first has just bound: so whoever holds the lock on `PATH.lock` owns the
//! path. That file stays, since removing a lock file is the same race again.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{Error, ErrorKind, Result};
use std::iter;
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _,
};
use std::os::unix::net::SocketAddr;
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

/// A listening Unix socket with its file, which is removed with it.
#[derive(Debug)]
pub(crate) struct Socket {
    /// There until it is closed.
    listener: Option<UnixListener>,
    path: PathBuf,
    /// Device and number of the file: what stands at the path later may be somebody else's.
    file: (u64, u64),
    _lock: File,
}

impl Socket {
    /// Listens on `path`; who may connect is what `mode` says of writing.
    pub(crate) async fn bind(path: &Path, mode: u32) -> Result<Self> {
        let parent = match path.parent() {
            Some(parent) if path.is_absolute() => parent,
            _ => {
                let text = "the path of a socket is absolute and names a file";
                return Err(Error::new(ErrorKind::InvalidInput, text));
            }
        };
        // Moving it to a path that is too long for a connect would work.
        SocketAddr::from_pathname(path)?;
        let lock = lock(path)?;
        ensure_not_in_use(path).await?;
        let staging = StagingDir::new(parent)?;
        let listener = UnixListener::bind(staging.socket())?;
        fs::set_permissions(staging.socket(), Permissions::from_mode(mode))?;
        let metadata = fs::symlink_metadata(staging.socket())?;
        // Replaces what was left behind, in one step.
        fs::rename(staging.socket(), path)?;
        Ok(Self {
            listener: Some(listener),
            path: path.to_owned(),
            file: (metadata.dev(), metadata.ino()),
            _lock: lock,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The next connection. Dropping the future loses none.
    pub(crate) async fn accept(&self) -> Result<UnixStream> {
        match &self.listener {
            Some(listener) => Ok(listener.accept().await?.0),
            None => std::future::pending().await,
        }
    }

    /// Closes it, and hands out those who are waiting to be accepted.
    pub(crate) fn close(mut self) -> Vec<UnixStream> {
        let Some(Ok(listener)) = self.listener.take().map(UnixListener::into_std) else {
            return Vec::new();
        };
        // First, so that nobody finds the way to a socket that is about to close.
        drop(self);
        let waiting: Vec<_> = iter::from_fn(|| listener.accept().ok()).collect();
        drop(listener);
        let waiting = waiting.into_iter().filter_map(|(stream, _)| {
            stream.set_nonblocking(true).ok()?;
            UnixStream::from_std(stream).ok()
        });
        waiting.collect()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.file);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(target: "rpc", %error, path = %self.path.display(), "the file of a socket stays");
        }
    }
}

/// The lock on a path, until the file is closed. The system lets go of it when the process dies.
fn lock(path: &Path) -> Result<File> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(name)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(ErrorKind::AddrInUse.into()),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// The lock binds processes of ours only. Anybody else's socket may stand at the path, or a file that is no socket.
async fn ensure_not_in_use(path: &Path) -> Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            let text = "there is something that is no socket";
            return Err(Error::new(ErrorKind::AlreadyExists, text));
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        // A full queue (`WouldBlock`) has an owner too.
        Ok(_) => Err(ErrorKind::AddrInUse.into()),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Err(ErrorKind::AddrInUse.into()),
        Err(error) => Err(error),
    }
}

/// A folder that only this user can enter, for as long as a socket in it is not ready to be seen.
struct StagingDir(PathBuf);

impl StagingDir {
    fn new(parent: &Path) -> Result<Self> {
        let folder = parent.join(format!(".rpc-{:08x}", fastrand::u32(..)));
        DirBuilder::new().mode(0o700).create(&folder)?;
        Ok(Self(folder))
    }

    fn socket(&self) -> PathBuf {
        self.0.join("s")
    }
}

impl Drop for StagingDir {
    fn drop(&mut self) {
        // There only where binding failed half-way.
        let _ = fs::remove_file(self.socket());
        if let Err(error) = fs::remove_dir(&self.0) {
            tracing::warn!(target: "rpc", %error, folder = %self.0.display(), "a folder was left behind");
        }
    }
}

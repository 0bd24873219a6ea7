//! Unix sockets. A socket file outlives a killed process, and an internal listener trusts every
//! process that may open it.
//!
//! Two races are avoided:
//!
//! - Between binding and setting the mode, any user could connect. The socket is therefore bound in
//!   a folder that only this user can enter, and renamed to its path after its mode is set.
//! - Of two processes that find a stale socket file, the second could remove the socket that the
//!   first has just bound. The process that holds the lock on `PATH.lock` therefore owns the path.
//!   The lock file is never removed, because removing it would cause the same race.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{Error, ErrorKind, Result};
use std::iter;
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _,
};
use std::os::unix::net::SocketAddr;
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

use crate::files::FileLock;

/// A listening Unix socket. Dropping it removes its file.
#[derive(Debug)]
pub(crate) struct Socket {
    /// `None` once [`close`](Self::close) has taken it.
    listener: Option<UnixListener>,
    path: PathBuf,
    /// Device and inode number of the file. Another process may replace the file at the path later.
    file: (u64, u64),
    _lock: FileLock,
}

impl Socket {
    /// Listens on `path`, with a file of this `mode`. Users with write permission may connect.
    pub(crate) async fn bind(path: &Path, mode: u32) -> Result<Self> {
        let parent = match path.parent() {
            Some(parent) if path.is_absolute() => parent,
            _ => {
                let text = "a socket path must be absolute and name a file";
                return Err(Error::new(ErrorKind::InvalidInput, text));
            }
        };
        // Rejects a path that is too long to connect to; renaming to it would succeed.
        SocketAddr::from_pathname(path)?;
        let lock = lock(path)?;
        ensure_not_in_use(path).await?;
        let staging = StagingDir::new(parent)?;
        let listener = UnixListener::bind(staging.socket())?;
        fs::set_permissions(staging.socket(), Permissions::from_mode(mode))?;
        let metadata = fs::symlink_metadata(staging.socket())?;
        // Replaces a stale socket file atomically.
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

    /// Accepts the next connection.
    ///
    /// # Cancellation
    ///
    /// Dropping the future loses no connection.
    pub(crate) async fn accept(&self) -> Result<UnixStream> {
        match &self.listener {
            Some(listener) => Ok(listener.accept().await?.0),
            None => std::future::pending().await,
        }
    }

    /// Closes the socket, and returns the connections that are waiting to be accepted.
    pub(crate) fn close(mut self) -> Vec<UnixStream> {
        let Some(Ok(listener)) = self.listener.take().map(UnixListener::into_std) else {
            return Vec::new();
        };
        // Removes the file first, so that no client connects to a socket that is about to close.
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
            tracing::debug!(target: "rpc", %error, path = %self.path.display(), "failed to remove a socket file; the next start replaces it");
        }
    }
}

/// Locks a path until the returned lock is dropped.
fn lock(path: &Path) -> Result<FileLock> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    FileLock::acquire(Path::new(&name))?.ok_or_else(|| ErrorKind::AddrInUse.into())
}

/// Fails if the path holds a file that is not a socket, or a socket with a listener. The lock alone
/// is not enough: other programs do not take it.
async fn ensure_not_in_use(path: &Path) -> Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            let text = "a file that is not a socket exists at this path";
            return Err(Error::new(ErrorKind::AlreadyExists, text));
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        // The listener's queue is full (`WouldBlock`): the socket is in use as well.
        Ok(_) => Err(ErrorKind::AddrInUse.into()),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Err(ErrorKind::AddrInUse.into()),
        Err(error) => Err(error),
    }
}

/// A temporary folder that only this user can enter. It holds a socket until its mode is set.
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
        // The socket is still in the folder only if binding failed half-way.
        let _ = fs::remove_file(self.socket());
        if let Err(error) = fs::remove_dir(&self.0) {
            tracing::warn!(target: "rpc", %error, folder = %self.0.display(), "failed to remove the temporary folder of a socket");
        }
    }
}

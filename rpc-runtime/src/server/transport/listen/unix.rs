//! Unix sockets. A socket file outlives a killed process, and an internal listener trusts every
//! process that may open it.
//!
//! Two races are avoided:
//!
//! - Between binding and setting the mode, any user could connect. The socket therefore listens
//!   only after its mode is set: the system refuses connections to a bound socket that does not
//!   listen.
//! - Of two processes that find a stale socket file, the second could remove the socket that the
//!   first has just bound. The process that holds the lock on `PATH.lock` therefore owns the path.
//!   The lock file is never removed, because removing it would cause the same race.

use std::fs::{self, Permissions};
use std::io::{Error, ErrorKind, Result};
use std::iter;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Type};
use tokio::net::{UnixListener, UnixStream};

use super::BACKLOG;
use crate::files::FileLock;

/// A listening Unix socket. Dropping it removes its file, unless another process has bound it.
#[derive(Debug)]
pub(crate) struct Socket {
    /// `None` once [`close`](Self::close) has taken it.
    listener: Option<UnixListener>,
    path: PathBuf,
    /// `None` for a socket that another process has bound, and whose file it owns.
    file: Option<SocketFile>,
}

impl Socket {
    /// Listens on `path`, with a file of this `mode`. Users with write permission may connect.
    pub(crate) async fn bind(path: &Path, mode: u32) -> Result<Self> {
        if !path.is_absolute() || path.file_name().is_none() {
            let text = "a socket path must be absolute and name a file";
            return Err(Error::new(ErrorKind::InvalidInput, text));
        }
        let address = SockAddr::unix(path).map_err(|error| {
            let length = path.as_os_str().len();
            let text = format!("{error} (107 bytes; this one has {length})");
            Error::new(ErrorKind::InvalidInput, text)
        })?;
        let lock = lock(path)?;
        remove_stale(path).await?;
        let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&address)?;
        let metadata = fs::symlink_metadata(path)?;
        let file = SocketFile {
            path: path.to_owned(),
            id: (metadata.dev(), metadata.ino()),
            _lock: lock,
        };
        fs::set_permissions(path, Permissions::from_mode(mode))?;
        socket.listen(BACKLOG)?;
        let listener = OwnedFd::from(socket).into();
        Self::from_std(listener, path.to_owned(), Some(file))
    }

    /// Serves a bound socket; `file` is its file, if this process owns it.
    pub(super) fn from_std(
        listener: StdUnixListener,
        path: PathBuf,
        file: Option<SocketFile>,
    ) -> Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener: Some(UnixListener::from_std(listener)?),
            path,
            file,
        })
    }

    /// Returns the socket without tokio, its path and its file.
    pub(super) fn into_std(self) -> Result<(StdUnixListener, PathBuf, Option<SocketFile>)> {
        match self.listener {
            Some(listener) => Ok((listener.into_std()?, self.path, self.file)),
            None => Err(ErrorKind::NotConnected.into()),
        }
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

/// The file of a socket that this process has bound. Dropping it removes the file.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and inode number of the file. Another process may replace the file at the path later.
    id: (u64, u64),
    _lock: FileLock,
}

impl SocketFile {
    /// Returns whether the file at the path is the one of the socket.
    pub(super) fn is_in_place(&self) -> bool {
        fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.id)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.is_in_place()
            && let Err(error) = fs::remove_file(&self.path)
        {
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

/// Removes a socket file without a listener. Fails if the path holds a file that is not a socket,
/// or a socket with a listener. The lock alone is not enough: other programs do not take it.
async fn remove_stale(path: &Path) -> Result<()> {
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
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        // The listener's queue is full (`WouldBlock`): the socket is in use as well.
        Ok(_) => Err(ErrorKind::AddrInUse.into()),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Err(ErrorKind::AddrInUse.into()),
        Err(error) => Err(error),
    }
}

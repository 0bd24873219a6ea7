//! Binds sockets for servers that start later, in this process or in another.

use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd};

use socket2::SockRef;

use super::inherited::{self, InheritedSocket};
use super::{BACKLOG, Listener, refused, unix};
use crate::error::Result;

/// A listening socket that this process holds for a server which starts later, as systemd does for
/// socket activation.
///
/// While it is held, no other process can bind its address, and connections wait in its queue when
/// no server accepts them: restarting the server leaves no gap. Dropping it closes the socket in
/// this process, and removes the file of a Unix socket.
///
/// A server in another process takes the socket with [`bind`](crate::Server::bind) if it has the
/// same address and is started with the socket as descriptor 3, `LISTEN_FDS=1`, and its process ID
/// in `LISTEN_PID`. For a server in this process see [`release`](Self::release).
#[derive(Debug)]
pub struct ActivationSocket {
    socket: InheritedSocket,
    url: String,
    /// Whether the file of a Unix socket is gone, and could not be bound again yet.
    is_lost: bool,
}

impl ActivationSocket {
    /// Binds an address in the form of [`Server::listen`](crate::Server::listen) and listens on it,
    /// or takes an inherited socket as [`Server::bind`](crate::Server::bind) does. `server` is the
    /// name for error texts, `mode` the file mode of a Unix socket.
    ///
    /// # Errors
    ///
    /// `invalid_argument` for an invalid address, `unavailable` for an address that is in use or
    /// cannot be bound, `failed_precondition` if an inherited descriptor is not a listening socket.
    pub async fn bind(server: &str, address: &str, mode: u32) -> Result<Self> {
        let listener = match inherited::take(address).await? {
            Some(listener) => listener,
            None => Listener::bind(server, address, mode).await?,
        };
        let url = listener.url();
        // A socket of the standard library: one of tokio would wake this process for each
        // connection.
        let socket = match listener {
            Listener::Tcp(listener) => listener.into_std().and_then(|listener| {
                // A longer queue than that of tokio, for the time in which no server accepts.
                SockRef::from(&listener).listen(BACKLOG)?;
                let address = listener.local_addr()?;
                Ok(InheritedSocket::Tcp(listener, address))
            }),
            Listener::Unix(socket) => socket
                .into_std()
                .map(|(listener, path, file)| InheritedSocket::Unix(listener, path, file)),
            // Only programs have them, and none is bound or inherited.
            Listener::Any(_) => Err(ErrorKind::Unsupported.into()),
        };
        let socket = socket.map_err(|error| refused(server, address, error))?;
        Ok(Self {
            socket,
            url,
            is_lost: false,
        })
    }

    /// Returns the URL for clients on this host, such as `http://127.0.0.1:9002` or
    /// `unix:/run/logsink.sock`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Binds a Unix socket again if its file was removed or replaced, because no client can connect
    /// to it any more. Returns whether it did. A server that has taken the socket before keeps the
    /// lost one.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind). The next call tries it again.
    pub async fn bind_if_lost(&mut self, server: &str, mode: u32) -> Result<bool> {
        let InheritedSocket::Unix(_, path, file) = &mut self.socket else {
            return Ok(false);
        };
        if file.as_ref().is_some_and(|file| !file.is_in_place()) {
            // Releases the lock on the path as well.
            *file = None;
            self.is_lost = true;
        }
        if !self.is_lost {
            return Ok(false);
        }
        let bound = unix::Socket::bind(path, mode).await;
        let bound = bound.and_then(unix::Socket::into_std);
        let (listener, path, file) = bound.map_err(|error| refused(server, &self.url, error))?;
        self.socket = InheritedSocket::Unix(listener, path, file);
        self.is_lost = false;
        Ok(true)
    }

    /// Gives the socket to the server of this process that binds the same address next.
    ///
    /// # Errors
    ///
    /// `failed_precondition` if an inherited descriptor is not a listening socket.
    pub fn release(self) -> Result<()> {
        inherited::add(self.socket)
    }
}

impl AsFd for ActivationSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            InheritedSocket::Tcp(listener, _) => listener.as_fd(),
            InheritedSocket::Unix(listener, ..) => listener.as_fd(),
        }
    }
}

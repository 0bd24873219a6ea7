//! Listening sockets of a server, and parsing of their addresses.

#[cfg(unix)]
mod activation;
#[cfg_attr(not(unix), path = "inherited_absent.rs")]
mod inherited;
#[cfg(unix)]
mod unix;

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

#[cfg(unix)]
pub use activation::ActivationSocket;
pub(crate) use inherited::{take as take_inherited, take_rest as take_inherited_rest};
use tokio::net::TcpListener;
#[cfg(unix)]
pub(crate) use unix::Socket;

use crate::error::{Code, Error, Result};

/// Prefix of the address of a Unix socket.
const UNIX: &str = "unix:";

/// Number of connections that may wait to be accepted.
#[cfg(unix)]
const BACKLOG: i32 = 1024;

/// Default mode of a Unix socket file: only the user that the server runs as may connect.
pub(crate) const SOCKET_MODE: u32 = 0o600;

/// A listening socket. `accept::Listen` accepts connections from each variant.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(Socket),
}

impl Listener {
    /// Binds `HOST:PORT` or `unix:/PATH`. `server` is the name for error texts, `mode` the file
    /// mode of a Unix socket.
    ///
    /// # Errors
    ///
    /// `invalid_argument` for an invalid address, `unavailable` for an address that is in use or
    /// cannot be bound.
    pub(crate) async fn bind(server: &str, address: &str, mode: u32) -> Result<Self> {
        let bound = match address.strip_prefix(UNIX) {
            Some(path) => Self::bind_unix(path, mode).await,
            None => TcpListener::bind(address).await.map(Self::Tcp),
        };
        bound.map_err(|error| refused(server, address, error))
    }

    /// Serves a TCP socket of the standard library.
    #[cfg(unix)]
    fn from_std(listener: std::net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener).map(Self::Tcp)
    }

    #[cfg(unix)]
    async fn bind_unix(path: &str, mode: u32) -> io::Result<Self> {
        Socket::bind(path.as_ref(), mode).await.map(Self::Unix)
    }

    #[cfg(not(unix))]
    async fn bind_unix(_: &str, _: u32) -> io::Result<Self> {
        Err(ErrorKind::Unsupported.into())
    }

    /// Returns the address; `None` for a Unix socket.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match self {
            // Does not fail: a bound socket has an address.
            Self::Tcp(listener) => listener.local_addr().ok(),
            #[cfg(unix)]
            Self::Unix(_) => None,
        }
    }

    /// Returns the URL for clients on this host: `http://127.0.0.1:9002` or
    /// `unix:/run/logsink.sock`.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Tcp(_) => {
                let address = self.address().map(|address| address.to_string());
                format!("http://{}", address.unwrap_or_default())
            }
            #[cfg(unix)]
            Self::Unix(socket) => format!("{UNIX}{}", socket.path().display()),
        }
    }
}

fn refused(server: &str, address: &str, error: io::Error) -> Error {
    let (code, advice) = match error.kind() {
        ErrorKind::AddrInUse => (Code::Unavailable, "; another process listens there"),
        ErrorKind::InvalidInput => (
            Code::InvalidArgument,
            "; expected an address such as `127.0.0.1:9002` or `unix:/run/logsink.sock`",
        ),
        _ => (Code::Unavailable, ""),
    };
    let text = format!("{server} cannot listen on {address}: {error}{advice}");
    Error::without_location(code, text).with_source(error)
}

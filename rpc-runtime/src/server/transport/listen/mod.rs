//! Where a server listens: addresses as they are written, and the sockets that become of them.

#[cfg(unix)]
mod unix;

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use tokio::net::TcpListener;
#[cfg(unix)]
pub(crate) use unix::Socket;

use crate::error::{Code, Error, Result};

/// What the address of a Unix socket begins with.
const UNIX: &str = "unix:";

/// Who may connect to a Unix socket unless said: the user that the server runs as.
pub(crate) const SOCKET_MODE: u32 = 0o600;

/// A socket that listens. Accepting from each kind is `accept::Listen`.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(Socket),
}

impl Listener {
    /// Binds `HOST:PORT` or `unix:/PATH` for the server of this name; `mode` is the one of a Unix socket's file.
    ///
    /// # Errors
    ///
    /// `invalid_argument` for what is no address, `unavailable` for one that is taken or not to be had.
    pub(crate) async fn bind(server: &str, address: &str, mode: u32) -> Result<Self> {
        let bound = match address.strip_prefix(UNIX) {
            Some(path) => Self::bind_unix(path, mode).await,
            None => TcpListener::bind(address).await.map(Self::Tcp),
        };
        bound.map_err(|error| refused(server, address, error))
    }

    #[cfg(unix)]
    async fn bind_unix(path: &str, mode: u32) -> io::Result<Self> {
        Socket::bind(path.as_ref(), mode).await.map(Self::Unix)
    }

    #[cfg(not(unix))]
    async fn bind_unix(_: &str, _: u32) -> io::Result<Self> {
        Err(ErrorKind::Unsupported.into())
    }

    /// The address; `None` for a Unix socket.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match self {
            // A bound socket has an address; the system would have to lose it.
            Self::Tcp(listener) => listener.local_addr().ok(),
            #[cfg(unix)]
            Self::Unix(_) => None,
        }
    }

    /// What a client on this host connects to: `http://127.0.0.1:9002`, `unix:/run/logsink.sock`.
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
            "; an address reads `127.0.0.1:9002` or `unix:/run/logsink.sock`",
        ),
        _ => (Code::Unavailable, ""),
    };
    let text = format!("{server} cannot listen on {address}: {error}{advice}");
    Error::without_location(code, text).with_source(error)
}

//! Listening sockets of a server, and parsing of their addresses.

pub(crate) mod accept;
#[cfg(unix)]
mod activation;
mod address;
mod any;
#[cfg_attr(not(unix), path = "inherited_absent.rs")]
mod inherited;
pub(crate) mod settings;
#[cfg(unix)]
mod unix;

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

#[cfg(unix)]
pub use activation::ActivationSocket;
pub(crate) use inherited::{take as take_inherited, take_rest as take_inherited_rest};
use tokio::net::{TcpListener, lookup_host};
#[cfg(unix)]
pub(crate) use unix::Socket;

use self::address::{Address, UNIX};
pub(crate) use self::any::{AcceptLoop, AnyListener};
use self::settings::ListenerSettings;
use crate::error::{Code, Error, Result};

/// Number of connections that may wait to be accepted.
#[cfg(unix)]
const BACKLOG: i32 = 1024;

/// Default mode of a Unix socket file: only the user that the server runs as may connect.
pub(crate) const SOCKET_MODE: u32 = 0o600;

/// A listener, and the settings that its connections share.
#[derive(Debug)]
pub(crate) struct BoundListener {
    pub(crate) listener: Listener,
    pub(crate) settings: Arc<ListenerSettings>,
}

impl BoundListener {
    /// Returns the URL for clients on this host: `http://127.0.0.1:9002`, `https://127.0.0.1:9002`
    /// or `unix:/run/logsink.sock`.
    pub(crate) fn url(&self) -> String {
        match (&self.settings.tls, self.listener.url()) {
            (Some(_), url) => url.replacen("http://", "https://", 1),
            (None, url) => url,
        }
    }
}

/// A listening socket.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(Socket),
    /// That of the program; see [`Server::serve`](crate::Server::serve).
    Any(Box<dyn AnyListener>),
}

impl Listener {
    /// Binds `HOST:PORT`, `:PORT` or `unix:/PATH`. `server` is the name for error texts, `mode` the
    /// file mode of a Unix socket.
    ///
    /// # Errors
    ///
    /// `invalid_argument` for an invalid address or mode, `unavailable` for an address that is in
    /// use or cannot be bound.
    pub(crate) async fn bind(server: &str, address: &str, mode: u32) -> Result<Self> {
        let parsed = Address::parse(address);
        let parsed = parsed.map_err(|advice| invalid(server, address, &advice))?;
        let bound = match parsed {
            Address::Unix(path) => {
                check_mode(mode).map_err(|advice| invalid(server, address, &advice))?;
                Self::bind_unix(path, mode).await
            }
            Address::AllInterfaces(port) => bind_all_interfaces(port).await.map(Self::Tcp),
            Address::Tcp { host, port } => {
                // Without brackets, with which no zone such as `%lo` is found.
                let name = host.trim_start_matches('[').trim_end_matches(']');
                let resolved = lookup_host((name, port)).await;
                let addresses: Vec<_> = match resolved {
                    Ok(addresses) => addresses.collect(),
                    Err(error) => return Err(unresolved(server, address, host, error)),
                };
                TcpListener::bind(&*addresses).await.map(Self::Tcp)
            }
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
            Self::Any(listener) => listener.address(),
        }
    }

    /// Returns whether the TLS of the server applies to a listener without its own.
    pub(crate) fn takes_default_tls(&self) -> bool {
        match self {
            Self::Tcp(_) | Self::Any(_) => true,
            #[cfg(unix)]
            Self::Unix(_) => false,
        }
    }

    /// Returns the URL for clients on this host, without TLS.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Tcp(_) | Self::Any(_) => {
                let address = self.address().map(|address| address.to_string());
                format!("http://{}", address.unwrap_or_default())
            }
            #[cfg(unix)]
            Self::Unix(socket) => format!("{UNIX}{}", socket.path().display()),
        }
    }
}

/// Binds a port of all interfaces, of IPv6 and IPv4 where the system has both.
async fn bind_all_interfaces(port: u16) -> io::Result<TcpListener> {
    match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
        // Not a port in use: then the IPv4 half may be free, and would be bound alone.
        Err(error) if error.kind() != ErrorKind::AddrInUse => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await
        }
        bound => bound,
    }
}

fn check_mode(mode: u32) -> std::result::Result<(), String> {
    if mode > 0o777 || mode & 0o222 == 0 {
        return Err(format!(
            "`socket_mode` is {mode:o}, with which no client could connect; use three octal digits with a write bit, \
             such as 600"
        ));
    }
    Ok(())
}

fn invalid(server: &str, address: &str, advice: &str) -> Error {
    let text = format!(
        "{server} cannot listen on `{}`: {advice}",
        address.escape_debug()
    );
    Error::without_location(Code::InvalidArgument, text)
}

fn unresolved(server: &str, address: &str, host: &str, error: io::Error) -> Error {
    let text = format!(
        "{server} cannot listen on {address}: cannot resolve the host `{host}`: {error}; use an IP address, \
         `localhost`, or no host for all interfaces"
    );
    Error::without_location(Code::Unavailable, text).with_source(error)
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

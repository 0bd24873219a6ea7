//! Sources of connections: sockets, and whatever else accepts.

use std::future::Future;
use std::io::{Error, ErrorKind, Result};
use std::iter;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
#[cfg(unix)]
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

#[cfg(unix)]
use super::Socket;
use crate::server::call::peer_origin::PeerOrigin;

/// A source of connections for [`Server::serve`](crate::Server::serve).
///
/// Implemented for the TCP and Unix listeners of tokio, and for a channel of in-memory connections.
/// A socket that a service manager passes becomes one of the first two by `from_std`. Implement it
/// for another transport:
///
/// ```
/// use rpc_runtime::{Accept, ConnectionPeer};
/// use tokio::net::{TcpListener, TcpStream};
///
/// /// Accepts connections with a small send buffer.
/// struct Small(TcpListener);
///
/// impl Accept for Small {
///     type Io = TcpStream;
///
///     async fn accept(&mut self) -> std::io::Result<(TcpStream, ConnectionPeer)> {
///         let (stream, peer) = self.0.accept().await?;
///         stream.set_nodelay(true)?;
///         let local = stream.local_addr()?;
///         Ok((stream, ConnectionPeer::tcp(peer, local)))
///     }
/// }
/// # drop(Small);
/// ```
pub trait Accept: Send + 'static {
    /// A connection. Dropping it closes it.
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Accepts the next connection.
    ///
    /// After an error the server waits for a moment, up to a second, and calls it again. It does so
    /// at once after an error that concerns one connection, by its kind: `ConnectionAborted`,
    /// `ConnectionReset` and `ConnectionRefused`.
    ///
    /// # Cancellation
    ///
    /// Dropping the future must not lose a connection.
    fn accept(&mut self) -> impl Future<Output = Result<(Self::Io, ConnectionPeer)>> + Send;

    /// Closes the listener of a stopping server, and returns the connections that are already
    /// established and were not accepted, which are served. By default there are none.
    fn close(self) -> Vec<(Self::Io, ConnectionPeer)>
    where
        Self: Sized,
    {
        Vec::new()
    }

    /// Returns the address on which clients connect, if it is a TCP address. It names the instance
    /// of the server, and is one of its hosts; see [`Server::host`](crate::Server::host).
    fn local_address(&self) -> Option<SocketAddr> {
        None
    }
}

/// The other end of a connection, by which an internal listener decides whether to trust it; see
/// [`Trust::Internal`](crate::Trust::Internal).
#[derive(Debug, Clone, Copy)]
pub struct ConnectionPeer(pub(crate) PeerOrigin);

impl ConnectionPeer {
    /// Describes a peer on a network, by its address and that of this end. It is trusted if its
    /// address is loopback.
    #[must_use]
    pub fn tcp(peer: SocketAddr, local: SocketAddr) -> Self {
        Self(PeerOrigin::tcp(peer, Ok(local)))
    }

    /// Describes a peer on this host without an address, as on a Unix socket or in this process. It
    /// is trusted.
    #[must_use]
    pub fn local() -> Self {
        Self(PeerOrigin::Local)
    }
}

impl Accept for TcpListener {
    type Io = TcpStream;

    async fn accept(&mut self) -> Result<(TcpStream, ConnectionPeer)> {
        let (stream, address) = Self::accept(self).await?;
        // A response is one write; waiting for more data would only delay it.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(target: "rpc", %error, "failed to set TCP_NODELAY");
        }
        let origin = PeerOrigin::tcp(address, stream.local_addr());
        Ok((stream, ConnectionPeer(origin)))
    }

    /// Calls the system's `accept` directly, because tokio's readiness may be out of date. A
    /// connection that is established between the last `accept` and the close is still lost; only a
    /// few instructions lie between them.
    fn close(self) -> Vec<(TcpStream, ConnectionPeer)> {
        let Ok(listener) = self.into_std() else {
            return Vec::new();
        };
        let waiting: Vec<_> = iter::from_fn(|| listener.accept().ok()).collect();
        drop(listener);
        let waiting = waiting.into_iter().filter_map(|(stream, address)| {
            stream.set_nonblocking(true).ok()?;
            let origin = PeerOrigin::tcp(address, stream.local_addr());
            Some((TcpStream::from_std(stream).ok()?, ConnectionPeer(origin)))
        });
        waiting.collect()
    }

    fn local_address(&self) -> Option<SocketAddr> {
        // Does not fail: a bound socket has an address.
        self.local_addr().ok()
    }
}

#[cfg(unix)]
impl Accept for UnixListener {
    type Io = UnixStream;

    async fn accept(&mut self) -> Result<(UnixStream, ConnectionPeer)> {
        Ok((Self::accept(self).await?.0, ConnectionPeer::local()))
    }
}

#[cfg(unix)]
impl Accept for Socket {
    type Io = UnixStream;

    async fn accept(&mut self) -> Result<(UnixStream, ConnectionPeer)> {
        Ok((Self::accept(self).await?, ConnectionPeer::local()))
    }

    fn close(self) -> Vec<(UnixStream, ConnectionPeer)> {
        let waiting = Self::close(self).into_iter();
        waiting
            .map(|stream| (stream, ConnectionPeer::local()))
            .collect()
    }
}

/// Connections in memory: each is one end of [`tokio::io::duplex`]. Its peer is in this process.
impl Accept for mpsc::Receiver<DuplexStream> {
    type Io = DuplexStream;

    async fn accept(&mut self) -> Result<(DuplexStream, ConnectionPeer)> {
        match self.recv().await {
            Some(io) => Ok((io, ConnectionPeer::local())),
            // No connection can come any more.
            None => std::future::pending().await,
        }
    }

    fn close(mut self) -> Vec<(DuplexStream, ConnectionPeer)> {
        Self::close(&mut self);
        let waiting = iter::from_fn(|| self.try_recv().ok());
        waiting.map(|io| (io, ConnectionPeer::local())).collect()
    }
}

/// Returns whether the error concerns one connection and not the listener. The kernel reports each
/// such error once.
pub(crate) fn is_of_one_peer(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused
    )
}

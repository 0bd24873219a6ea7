//! The origin of a connection: the place of its peer.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::server::call::web_page::OwnHosts;

/// The address from which a request came: an extension of each request that
/// [`Server::http`](crate::server::Server::http) serves. Behind a proxy it is the proxy's, unless
/// the server trusts the proxy; see [`Context::peer_address`](crate::Context::peer_address), which
/// is the same. Missing on a Unix socket.
///
/// An application that mounts a server ([`Server::into_router`](crate::Server::into_router)) can
/// add it to the requests: then limits of callers go by it, as they do at a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddress(pub SocketAddr);

/// The origin of a peer's connection.
#[derive(Debug, Clone, Copy)]
pub(crate) enum PeerOrigin {
    Tcp {
        peer: SocketAddr,
        /// The address of this end.
        local: IpAddr,
    },
    /// On this host, without an address: on a Unix socket, with permission to open its file, or in
    /// this process.
    Local,
    /// Behind a proxy that has stated this address of its client.
    Proxied {
        client: SocketAddr,
        /// The address of this end.
        local: IpAddr,
    },
    /// A router mounted in another application, which is responsible for the trust in its peers.
    Mounted {
        /// The address of the peer, if the application states it.
        peer: Option<SocketAddr>,
    },
}

impl PeerOrigin {
    pub(crate) fn is_ours(self) -> bool {
        match self {
            Self::Tcp { peer, .. } => is_loopback(peer.ip()),
            Self::Local | Self::Mounted { .. } => true,
            // Others than those on this host reach the proxy.
            Self::Proxied { .. } => false,
        }
    }

    /// Returns whether a host, without a port, is the one of this server on such a connection.
    pub(crate) fn is_host(self, host: &str, hosts: &OwnHosts) -> bool {
        match self {
            Self::Tcp { local, .. } | Self::Proxied { local, .. } => {
                hosts.include_signed(host, local)
            }
            Self::Local => hosts.include_signed(host, Ipv4Addr::LOCALHOST.into()),
            Self::Mounted { .. } => hosts.include_mounted(host),
        }
    }

    /// Returns the address of the peer on a network.
    pub(crate) fn address(self) -> Option<SocketAddr> {
        match self {
            Self::Tcp { peer, .. } => Some(peer),
            Self::Proxied { client, .. } => Some(client),
            Self::Mounted { peer } => peer,
            Self::Local => None,
        }
    }

    /// Returns the origin of the client of a proxy on this connection. Without an address it is
    /// that of the proxy.
    pub(crate) fn behind_proxy(self, client: Option<SocketAddr>) -> Self {
        let local = match self {
            Self::Tcp { local, .. } | Self::Proxied { local, .. } => local,
            Self::Mounted { peer } => {
                let peer = client.or(peer);
                return Self::Mounted { peer };
            }
            Self::Local => Ipv4Addr::LOCALHOST.into(),
        };
        match client.or(self.address()) {
            Some(client) => Self::Proxied { client, local },
            None => self,
        }
    }

    /// Returns the origin of a TCP connection. An address of this end that the system does not tell
    /// is none by which a caller can address the server.
    pub(crate) fn tcp(peer: SocketAddr, local: std::io::Result<SocketAddr>) -> Self {
        let local = local.map_or(Ipv4Addr::UNSPECIFIED.into(), |local| local.ip());
        Self::Tcp { peer, local }
    }

    /// Returns the origin of a connection from an address to loopback.
    #[cfg(test)]
    pub(crate) fn to_loopback(peer: SocketAddr) -> Self {
        let local = Ipv4Addr::LOCALHOST.into();
        Self::Tcp { peer, local }
    }
}

/// Returns whether an address is a loopback address. A dual-stack listener reports IPv4 loopback as
/// an IPv4-mapped IPv6 address.
fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

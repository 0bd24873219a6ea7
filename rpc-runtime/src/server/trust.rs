//! Who may call, and what is believed of what a caller says.

use std::net::{IpAddr, SocketAddr};

use crate::error::{Code, Error};

/// The kind of a listener: whom it expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Other services of ours, whose request ids, sources and deadlines are carried on. Without a key it serves peers
    /// on its own host only: over loopback, and over a Unix socket.
    Internal,
    /// The outside world. No `x-rpc-*` header is believed, the trace is linked and not continued, baggage is dropped,
    /// an offered request id becomes the client's own, and errors go out without details.
    Edge,
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    listener: Trust,
    place: Place,
}

/// Where a peer is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    Tcp(SocketAddr),
    /// On this host, and allowed to open the socket's file.
    #[cfg(unix)]
    Unix,
    /// Behind a router that an application mounted itself. The application vouches for it.
    Mounted,
}

impl Peer {
    pub(crate) fn new(listener: Trust, place: Place) -> Self {
        Self { listener, place }
    }

    /// Whether what the peer says of its request is believed.
    pub(crate) fn is_believed(&self) -> bool {
        self.listener == Trust::Internal && self.place.is_ours()
    }

    pub(crate) fn is_mounted(&self) -> bool {
        matches!(self.place, Place::Mounted)
    }

    /// How the peer is answered: a stranger at an internal listener learns no more than one at an edge.
    pub(crate) fn trust(&self) -> Trust {
        if self.is_believed() {
            Trust::Internal
        } else {
            Trust::Edge
        }
    }

    /// Whether the peer is served at all.
    ///
    /// # Errors
    ///
    /// `permission_denied` for a peer on another host at an internal listener.
    pub(crate) fn admit(&self) -> Result<(), Error> {
        if self.listener == Trust::Edge || self.place.is_ours() {
            return Ok(());
        }
        Err(Error::unlocated(
            Code::PermissionDenied,
            "this listener serves peers on its own host only: call it from there, \
             or have the server listen for the outside world (`Server::listen_edge`)",
        ))
    }
}

impl Place {
    fn is_ours(self) -> bool {
        match self {
            Self::Tcp(address) => is_loopback(address.ip()),
            #[cfg(unix)]
            Self::Unix => true,
            Self::Mounted => true,
        }
    }
}

/// IPv4's loopback comes in IPv6's clothes where a listener takes both.
fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn whoever_may_open_a_socket_is_believed_unless_it_is_an_edge() {
        assert!(Peer::new(Trust::Internal, Place::Unix).is_believed());
        assert!(!Peer::new(Trust::Edge, Place::Unix).is_believed());
    }

    #[test]
    fn an_internal_listener_serves_its_own_host_and_an_edge_believes_nobody() {
        for (address, ours) in [
            ("127.0.0.1:1", true),
            ("127.9.9.9:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("10.0.0.1:1", false),
            ("0.0.0.0:1", false),
            ("[::ffff:10.0.0.1]:1", false),
            ("[fe80::1]:1", false),
        ] {
            let place = Place::Tcp(address.parse().unwrap());
            let internal = Peer::new(Trust::Internal, place);
            assert_eq!(internal.is_believed(), ours, "{address}");
            assert_eq!(internal.admit().is_ok(), ours, "{address}");
            assert_eq!(internal.trust() == Trust::Internal, ours, "{address}");
            let edge = Peer::new(Trust::Edge, place);
            assert!(edge.admit().is_ok() && !edge.is_believed(), "{address}");
        }
    }
}

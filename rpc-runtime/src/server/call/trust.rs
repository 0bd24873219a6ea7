//! Who may call, and what is believed of what a caller says.

use std::net::{IpAddr, SocketAddr};

use http::request;

use crate::error::{Code, Error};
use crate::identity::{BodyDigest, Verifier};
use crate::protocol::identity;

/// The kind of a listener: whom it expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Other services of ours, whose request ids, sources and deadlines are carried on. With keys
    /// ([`Server::identity`](crate::server::Server::identity)) it answers signed calls, wherever they come from, and no others;
    /// without keys it serves peers on its own host only: over loopback, and over a Unix socket.
    Internal,
    /// The outside world. No `x-rpc-*` header is believed, the trace is linked and not continued, baggage is dropped,
    /// an offered request id becomes the client's own, and errors go out without details.
    Edge,
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    listener: Trust,
    place: PeerOrigin,
}

/// Where a peer is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum PeerOrigin {
    Tcp(SocketAddr),
    /// On this host, and allowed to open the socket's file.
    #[cfg(unix)]
    Unix,
    /// Behind a router that an application mounted itself. The application vouches for it.
    Mounted,
}

impl Peer {
    pub(crate) fn new(listener: Trust, place: PeerOrigin) -> Self {
        Self { listener, place }
    }

    /// Whether what the peer says is believed for where it is. For a call with a signature see
    /// [`identify`](Self::identify).
    pub(crate) fn is_trusted(&self) -> bool {
        self.listener == Trust::Internal && self.place.is_ours()
    }

    pub(crate) fn is_mounted(&self) -> bool {
        matches!(self.place, PeerOrigin::Mounted)
    }

    /// Who sends this request.
    ///
    /// # Errors
    ///
    /// At an internal listener: `unauthenticated` for a call without a valid signature where the server has keys,
    /// `permission_denied` for a peer on another host where it has none.
    pub(crate) fn identify(
        &self,
        verifier: Option<&Verifier>,
        is_plain: bool,
        head: &request::Parts,
    ) -> Result<Caller, Error> {
        match verifier {
            // Whoever asks for a plain page is no client of ours and cannot sign: the rule without keys holds.
            Some(verifier) if self.listener == Trust::Internal && !is_plain => Ok(Caller {
                trust: Trust::Internal,
                body: Some(identity::verify(verifier, head)?),
            }),
            _ => self.by_place(),
        }
    }

    /// Who sends a request, by where it comes from alone.
    fn by_place(&self) -> Result<Caller, Error> {
        if self.is_trusted() {
            return Ok(Caller {
                trust: Trust::Internal,
                body: None,
            });
        }
        if self.listener == Trust::Edge {
            return Ok(Caller::ANONYMOUS);
        }
        Err(Error::without_location(
            Code::PermissionDenied,
            "this listener serves peers on its own host only: call it from there, have both sides sign by one \
             key file (`Server::identity`), or have the server listen for the outside world (`Server::listen_edge`)",
        ))
    }
}

/// Who sends a request, as far as it is known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller {
    trust: Trust,
    /// What the body must be, where the request is signed.
    body: Option<BodyDigest>,
}

impl Caller {
    /// Somebody of whom nothing is believed.
    pub(crate) const ANONYMOUS: Self = Self {
        trust: Trust::Edge,
        body: None,
    };

    /// Whether what the caller says of its request is believed.
    pub(crate) fn is_trusted(&self) -> bool {
        self.trust == Trust::Internal
    }

    /// How the caller is answered: a stranger at an internal listener learns no more than one at an edge.
    pub(crate) fn trust(&self) -> Trust {
        self.trust
    }

    /// Checks the bytes of a message as they came.
    ///
    /// # Errors
    ///
    /// `unauthenticated` for a body that is not the one that was signed.
    pub(crate) fn check_body(&self, body: &[u8]) -> Result<(), Error> {
        self.body.map_or(Ok(()), |digest| digest.check(body))
    }
}

impl PeerOrigin {
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
        assert!(Peer::new(Trust::Internal, PeerOrigin::Unix).is_trusted());
        assert!(!Peer::new(Trust::Edge, PeerOrigin::Unix).is_trusted());
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
            let place = PeerOrigin::Tcp(address.parse().unwrap());
            let internal = Peer::new(Trust::Internal, place);
            let caller = internal.by_place();
            assert_eq!(
                caller.is_ok_and(|caller| caller.is_trusted()),
                ours,
                "{address}"
            );
            let edge = Peer::new(Trust::Edge, place).by_place();
            assert!(edge.is_ok_and(|caller| !caller.is_trusted()), "{address}");
        }
    }
}

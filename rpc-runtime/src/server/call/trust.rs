//! Trust in callers: which peers a listener accepts, and whether their headers count.

use std::net::SocketAddr;
use std::sync::Arc;

use http::{HeaderMap, request};

use super::exposure::Exposure;
use super::peer_origin::PeerOrigin;
use crate::context::PeerCertificate;
use crate::error::{Code, Error};
use crate::identity::{BodyDigest, Verifier, unauthenticated};
use crate::metadata::Metadata;
use crate::protocol::{context, identity, metadata};
use crate::server::call::web_page::{self, OwnHosts};

/// The kind of a listener, by the callers that it expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trust {
    /// For other services of the same system, whose request IDs, sources and deadlines are
    /// propagated. With keys ([`Server::identity`](crate::Server::identity)) it accepts
    /// signed calls only, from any address; with verified client certificates
    /// ([`ServerTlsConfig`](crate::ServerTlsConfig)) calls of peers that have one, as well. Without
    /// both it serves peers on its own host only: over
    /// loopback or a Unix socket. Over loopback it then refuses requests of web pages, which a
    /// browser on this host may send: an `Origin` or `Sec-Fetch-Site` of another site, and a `Host`
    /// that is not this server (see [`Server::host`](crate::server::Server::host)).
    Internal,
    /// For untrusted callers. `x-rpc-*` headers are ignored, the trace is linked to and not
    /// continued, baggage is dropped, the caller's request ID is recorded as the client's and a new
    /// one is used, and errors are sent without the services that they passed.
    Edge,
}

/// The peer of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    listener: Trust,
    origin: PeerOrigin,
    /// Whether a proxy has passed the request on, so that the certificate is the proxy's.
    forwarded: bool,
    /// `None` at a listener that shows everything and verifies no certificates.
    details: Option<Arc<PeerDetails>>,
}

/// The facts that a listener with more than an address knows of a peer.
#[derive(Debug)]
pub(crate) struct PeerDetails {
    /// The part of the server that the listener shows; `None` for everything.
    pub(crate) exposure: Option<Arc<Exposure>>,
    /// Whether the listener verifies client certificates.
    pub(crate) verifies_certificates: bool,
    /// The verified certificate of the peer.
    pub(crate) certificate: Option<Arc<PeerCertificate>>,
}

impl Peer {
    pub(crate) fn new(listener: Trust, origin: PeerOrigin) -> Self {
        Self {
            listener,
            origin,
            forwarded: false,
            details: None,
        }
    }

    /// Returns the peer of a request to a mounted router.
    pub(crate) fn mounted(listener: Trust, address: Option<SocketAddr>) -> Self {
        Self::new(listener, PeerOrigin::Mounted { peer: address })
    }

    pub(crate) fn with_details(mut self, details: Option<Arc<PeerDetails>>) -> Self {
        self.details = details;
        self
    }

    /// Returns the verified client certificate of the peer.
    pub(crate) fn certificate(&self) -> Option<&Arc<PeerCertificate>> {
        self.details.as_ref()?.certificate.as_ref()
    }

    /// Returns what the listener shows, if that is not everything.
    pub(crate) fn exposure(&self) -> Option<&Exposure> {
        self.details.as_ref()?.exposure.as_deref()
    }

    fn verifies_certificates(&self) -> bool {
        let details = self.details.as_ref();
        details.is_some_and(|details| details.verifies_certificates)
    }

    /// Returns whether the peer is trusted because of its origin alone. For signed calls see
    /// [`identify`](Self::identify).
    pub(crate) fn is_trusted(&self) -> bool {
        self.listener == Trust::Internal && self.origin.is_ours() && !self.verifies_certificates()
    }

    /// Returns whether calls of the peer may be trusted: by its origin, or by their signatures.
    pub(crate) fn may_be_trusted(&self) -> bool {
        self.listener == Trust::Internal
    }

    /// Returns the peer's address on a network.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.origin.address()
    }

    /// Returns the client of a proxy at this peer. Without the address of the client it has that of
    /// the proxy, but not its trust: others than this host may reach the proxy.
    pub(crate) fn behind_proxy(&self, client: Option<SocketAddr>) -> Self {
        Self {
            origin: self.origin.behind_proxy(client),
            forwarded: true,
            ..self.clone()
        }
    }

    pub(crate) fn is_forwarded(&self) -> bool {
        self.forwarded
    }

    pub(crate) fn is_mounted(&self) -> bool {
        matches!(self.origin, PeerOrigin::Mounted { .. })
    }

    /// Returns the caller of a request.
    ///
    /// # Errors
    ///
    /// At an internal listener: `unauthenticated` for a call without a valid signature where the
    /// server has keys, and for one without a client certificate where the listener verifies them;
    /// `permission_denied` for a certificate of another server than the stated source. Without
    /// both, `permission_denied` for a peer on another host, and for a web page.
    pub(crate) fn identify(
        &self,
        verifier: Option<&Verifier>,
        is_plain: bool,
        hosts: &OwnHosts,
        head: &request::Parts,
    ) -> Result<Caller, Error> {
        if self.listener == Trust::Internal && self.verifies_certificates() {
            let is_verified = verifier.is_some() && identity::is_signed(head);
            if let Some(certificate) = self.certificate() {
                check_source(certificate, head)?;
            }
            if !is_verified {
                return self.by_certificate(is_plain, hosts, head);
            }
        }
        match verifier {
            // A browser cannot sign. Such a caller is not trusted, and the route decides whether to
            // serve it.
            Some(_)
                if self.listener == Trust::Internal && is_plain && !identity::is_signed(head) =>
            {
                let is_local = self.origin.is_ours() && self.check_web_page(hosts, head).is_ok();
                Ok(Caller::anonymous(CallerKind::Unsigned { is_local }))
            }
            Some(verifier) if self.listener == Trust::Internal => Ok(Caller {
                kind: CallerKind::Trusted,
                body: Some(identity::verify(verifier, head, |host| {
                    self.origin.is_host(host, hosts)
                })?),
                errors: ErrorScope::requested(head),
                is_layered: false,
            }),
            _ if is_plain && !self.is_trusted() && self.listener == Trust::Internal => {
                Ok(Caller::anonymous(CallerKind::Remote))
            }
            _ => self.by_origin(hosts, head),
        }
    }

    /// Returns the caller of an unsigned request at a listener that verifies client certificates.
    fn by_certificate(
        &self,
        is_plain: bool,
        hosts: &OwnHosts,
        head: &request::Parts,
    ) -> Result<Caller, Error> {
        if self.certificate().is_some() {
            // A browser may have a certificate as well.
            web_page::check_page(head)?;
            return Ok(Caller {
                kind: CallerKind::Trusted,
                body: None,
                errors: ErrorScope::requested(head),
                is_layered: false,
            });
        }
        if is_plain {
            let is_local = self.origin.is_ours() && self.check_web_page(hosts, head).is_ok();
            return Ok(Caller::anonymous(CallerKind::Unsigned { is_local }));
        }
        Err(unauthenticated(
            "this listener accepts only callers with a client certificate: set that of the caller with \
             `ClientTlsConfig::client_certificate`, or call an edge listener",
        ))
    }

    /// Rejects a request that a web page of another site has caused.
    fn check_web_page(&self, hosts: &OwnHosts, head: &request::Parts) -> Result<(), Error> {
        match self.origin {
            PeerOrigin::Tcp { .. } => web_page::check(head, hosts),
            _ => Ok(()),
        }
    }

    /// Returns whether a request, signed or not, comes from this host and not from a web page.
    pub(crate) fn is_trusted_caller(&self, hosts: &OwnHosts, head: &request::Parts) -> bool {
        self.by_origin(hosts, head)
            .is_ok_and(|caller| caller.is_trusted())
    }

    /// Returns the caller of a request by the origin of the peer alone.
    fn by_origin(&self, hosts: &OwnHosts, head: &request::Parts) -> Result<Caller, Error> {
        if self.is_trusted() {
            self.check_web_page(hosts, head)?;
            return Ok(Caller {
                kind: CallerKind::Trusted,
                body: None,
                errors: ErrorScope::requested(head),
                is_layered: false,
            });
        }
        if self.listener == Trust::Edge {
            return Ok(Caller::ANONYMOUS);
        }
        Err(Error::without_location(
            Code::PermissionDenied,
            "this listener only serves peers on its own host; call it from that host, configure both sides with \
             one identity key file (`Server::identity`), or add a listener for untrusted callers (`Server::listen_edge`)",
        ))
    }
}

/// The standing of a caller, by its listener, its signature and its origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallerKind {
    /// At an edge listener.
    Edge,
    /// At an internal listener: signed, or without keys a peer on this host.
    Trusted,
    /// At an internal listener with keys, for a plain HTTP route.
    Unsigned {
        /// Whether the peer is on this host.
        is_local: bool,
    },
    /// On another host, at an internal listener without keys, for a plain HTTP route.
    Remote,
}

/// The caller of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller {
    kind: CallerKind,
    /// The digest of the body, if the request is signed.
    body: Option<BodyDigest>,
    errors: ErrorScope,
    /// Whether HTTP layers of the server may have changed the request.
    is_layered: bool,
}

/// Scope of the errors that a caller receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorScope {
    /// The service's own details, as any server of the protocol sends them.
    Own,
    /// In addition, the services that the error passed, and the fields of a typed error. For
    /// trusted callers that ask for it.
    Chain,
}

impl ErrorScope {
    /// Returns what a trusted caller asks for.
    fn requested(head: &request::Parts) -> Self {
        if context::accepts_error_chain(&head.headers) {
            Self::Chain
        } else {
            Self::Own
        }
    }
}

impl Caller {
    /// A caller without any trust.
    pub(crate) const ANONYMOUS: Self = Self::anonymous(CallerKind::Edge);

    const fn anonymous(kind: CallerKind) -> Self {
        Self {
            kind,
            body: None,
            errors: ErrorScope::Own,
            is_layered: false,
        }
    }

    /// Returns the caller of a request that HTTP layers of the server hand on.
    pub(crate) fn behind_http_layers(self) -> Self {
        Self {
            is_layered: true,
            ..self
        }
    }

    pub(crate) fn kind(&self) -> CallerKind {
        self.kind
    }

    /// Returns whether a signature covers the body of the request.
    pub(crate) fn is_signed(&self) -> bool {
        self.body.is_some()
    }

    /// Reads the metadata of the caller's request: if it is signed, what the signature covers.
    pub(crate) fn metadata(&self, headers: &HeaderMap) -> Metadata {
        if self.is_signed() {
            identity::signed_metadata(headers)
        } else {
            metadata::read(headers)
        }
    }

    /// Returns whether the headers of the caller's requests are trusted.
    pub(crate) fn is_trusted(&self) -> bool {
        self.kind == CallerKind::Trusted
    }

    /// Returns how much of an error the caller receives.
    pub(crate) fn errors(&self) -> ErrorScope {
        self.errors
    }

    /// Checks the bytes of a message, as received, against the signature.
    ///
    /// # Errors
    ///
    /// `unauthenticated` for a body that differs from the signed one.
    pub(crate) fn check_body(&self, body: &[u8]) -> Result<(), Error> {
        let checked = self.body.map_or(Ok(()), |digest| digest.check(body));
        checked.map_err(|error| {
            if self.is_layered {
                unauthenticated(
                    "the body does not match the signature: it was changed in transit, or by an HTTP layer of this \
                     server (`Server::http_layer`)",
                )
            } else {
                error
            }
        })
    }
}

/// Checks that a certificate is that of the server which a request states as its source.
///
/// # Errors
///
/// `permission_denied` if it is that of another one.
fn check_source(certificate: &PeerCertificate, head: &request::Parts) -> Result<(), Error> {
    match context::read_source(&head.headers) {
        Some(source) if !certificate.is_of_server(source.server()) => Err(Error::without_location(
            Code::PermissionDenied,
            format!(
                "the call states the source `{}`, and the client certificate is that of `{certificate}`: use a \
                     certificate with the name of the calling server",
                source.server()
            ),
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unix_socket_peers_are_trusted_except_at_an_edge() {
        assert!(Peer::new(Trust::Internal, PeerOrigin::Local).is_trusted());
        assert!(!Peer::new(Trust::Edge, PeerOrigin::Local).is_trusted());
    }

    #[test]
    fn an_internal_listener_trusts_only_its_own_host() {
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
            let origin = PeerOrigin::to_loopback(address.parse().unwrap());
            let (head, ()) = http::Request::new(()).into_parts();
            let hosts = OwnHosts::default();
            let internal = Peer::new(Trust::Internal, origin);
            let caller = internal.by_origin(&hosts, &head);
            assert_eq!(
                caller.is_ok_and(|caller| caller.is_trusted()),
                ours,
                "{address}"
            );
            let edge = Peer::new(Trust::Edge, origin).by_origin(&hosts, &head);
            assert!(edge.is_ok_and(|caller| !caller.is_trusted()), "{address}");
        }
    }
}

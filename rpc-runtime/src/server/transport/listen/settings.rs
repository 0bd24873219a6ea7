//! The settings of one listener.

use std::sync::Arc;

use crate::context::PeerCertificate;
use crate::server::Trust;
use crate::server::call::exposure::Exposure;
use crate::server::call::peer_origin::PeerOrigin;
use crate::server::call::trust::{Peer, PeerDetails};
use crate::server::transport::tls::{ServerTls, ServerTlsConfig};

/// A listener: its address, the callers that it expects, and what it shows them. See
/// [`Server::listen_with`](crate::Server::listen_with).
///
/// ```
/// use rpc_runtime::{ListenOptions, Server};
///
/// let shop = ListenOptions::edge("0.0.0.0:8080").only(["shop.v1.Catalog", "http /metrics"]);
/// let server = Server::new("shop").listen("127.0.0.1:9002").listen_with(shop);
/// # drop(server);
/// ```
#[derive(Debug, Clone)]
#[must_use = "a listener has no effect until it is given to a server"]
pub struct ListenOptions {
    pub(crate) address: String,
    pub(crate) trust: Trust,
    /// The option that has set the address, for error messages.
    pub(crate) option: Option<&'static str>,
    /// Whether the option is one of every server, which has an address only.
    pub(crate) is_bare: bool,
    pub(crate) tls: Option<ServerTlsConfig>,
    pub(crate) only: Option<Vec<String>>,
    pub(crate) proxy_protocol: bool,
}

impl ListenOptions {
    /// Describes an internal listener, as [`Server::listen`](crate::Server::listen) does.
    #[allow(
        clippy::needless_pass_by_value,
        reason = "a builder that takes literals and addresses alike"
    )]
    pub fn internal(address: impl ToString) -> Self {
        Self::new(address.to_string(), Trust::Internal)
    }

    /// Describes an edge listener, as [`Server::listen_edge`](crate::Server::listen_edge) does.
    #[allow(clippy::needless_pass_by_value, reason = "as for `internal`")]
    pub fn edge(address: impl ToString) -> Self {
        Self::new(address.to_string(), Trust::Edge)
    }

    pub(crate) fn new(address: String, trust: Trust) -> Self {
        Self {
            address,
            trust,
            option: None,
            is_bare: false,
            tls: None,
            only: None,
            proxy_protocol: false,
        }
    }

    /// Takes the settings of another listener. The address, its option and the trust stay.
    pub(crate) fn with_settings_of(self, other: &Self) -> Self {
        Self {
            address: self.address,
            trust: self.trust,
            option: self.option,
            is_bare: self.is_bare,
            ..other.clone()
        }
    }

    /// Returns whether both differ in their addresses only.
    pub(crate) fn is_same_kind(&self, other: &Self) -> bool {
        self.trust == other.trust
            && self.tls == other.tls
            && self.only == other.only
            && self.proxy_protocol == other.proxy_protocol
    }

    /// Shows these services, methods and plain routes only: `shop.v1.Catalog`,
    /// `shop.v1.Catalog/List`, `http /metrics`, or `http` for all plain routes. All others are 404
    /// on this listener. `/healthz` and `/readyz` are always there. May be called repeatedly, which
    /// adds to the names.
    ///
    /// Checked when the server starts: `failed_precondition` for a name that the server does not
    /// have, and for an empty list.
    pub fn only(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let all = self.only.get_or_insert_default();
        all.extend(names.into_iter().map(Into::into));
        self
    }

    /// Reads the address of the peer from a header of the PROXY protocol, version 1 or 2, with
    /// which each connection must begin; one without it is closed. The header must arrive within
    /// [`first_byte_timeout`](crate::Limits::first_byte_timeout).
    ///
    /// For a listener that only a load balancer can reach. Where
    /// [`Server::trusted_proxies`](crate::Server::trusted_proxies) is set, others are refused.
    /// Peers are not trusted because of their address, and count for
    /// [`connections_per_peer`](crate::Limits::connections_per_peer) as one peer, the load
    /// balancer.
    pub fn proxy_protocol(mut self) -> Self {
        self.proxy_protocol = true;
        self
    }
}

/// The settings of a running listener, which its connections share.
#[derive(Debug)]
pub(crate) struct ListenerSettings {
    pub(crate) trust: Trust,
    pub(crate) tls: Option<ServerTls>,
    pub(crate) proxy_protocol: bool,
    exposure: Option<Arc<Exposure>>,
    /// Those of every peer without a certificate.
    details: Option<Arc<PeerDetails>>,
}

impl ListenerSettings {
    pub(crate) fn new(
        trust: Trust,
        tls: Option<ServerTls>,
        proxy_protocol: bool,
        exposure: Option<Exposure>,
    ) -> Self {
        let exposure = exposure.map(Arc::new);
        let verifies_clients = tls.as_ref().is_some_and(ServerTls::verifies_clients);
        let details = (verifies_clients || exposure.is_some()).then(|| {
            Arc::new(PeerDetails {
                exposure: exposure.clone(),
                verifies_certificates: verifies_clients,
                certificate: None,
            })
        });
        Self {
            trust,
            tls,
            proxy_protocol,
            exposure,
            details,
        }
    }

    /// Returns whether the listener verifies the certificates of its peers.
    pub(crate) fn verifies_clients(&self) -> bool {
        self.tls.as_ref().is_some_and(ServerTls::verifies_clients)
    }

    /// Returns whether a connection begins with HTTP.
    pub(crate) fn is_plain(&self) -> bool {
        self.tls.is_none() && !self.proxy_protocol
    }

    /// Returns the peer of a connection.
    pub(crate) fn peer(
        &self,
        origin: PeerOrigin,
        certificate: Option<Arc<PeerCertificate>>,
    ) -> Peer {
        let details = match certificate {
            None => self.details.clone(),
            Some(certificate) => Some(Arc::new(PeerDetails {
                exposure: self.exposure.clone(),
                verifies_certificates: true,
                certificate: Some(certificate),
            })),
        };
        Peer::new(self.trust, origin).with_details(details)
    }
}

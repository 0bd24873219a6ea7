//! The load balancer of a client: the endpoints of its addresses, and the one for each attempt by
//! the outlier policy.
//!
//! Hand-written because the services of `tower::balance` are driven by `poll_ready` and
//! `&mut self`, while attempts share the endpoints and pick one at the moment at which they are
//! sent.

use std::sync::{Arc, RwLock};

use tokio::time::Instant;

use super::endpoint::{Endpoint, InFlightGuard};
use super::outlier;
use super::transport::{ConnectOptions, Transport};
use crate::discovery::{Addresses, Discover};
use crate::error::{Code, Error, Result};
use crate::sync::RwLockExt as _;

/// The number of addresses that have left the list whose health is kept, for lists that flap.
const REMEMBERED: usize = 128;

/// The settings that all endpoints of a client share.
#[derive(Debug, Clone)]
pub(super) struct EndpointSettings {
    pub(super) http2: bool,
    pub(super) outlier_detection: bool,
    connect: ConnectOptions,
}

impl EndpointSettings {
    fn new(connect: ConnectOptions) -> Self {
        Self {
            http2: false,
            outlier_detection: true,
            connect,
        }
    }

    fn transport(&self, transport: Arc<Transport>) -> Arc<Transport> {
        if self.http2 {
            Arc::new(transport.http2())
        } else {
            transport
        }
    }
}

/// Picks the endpoint of each attempt of a client.
pub(super) struct Balancer {
    settings: EndpointSettings,
    /// The URL, or the name of the [`Discover`], in logs and errors.
    target: Arc<str>,
    kind: BalancerKind,
}

enum BalancerKind {
    Single(Arc<Endpoint>),
    Discovered(DiscoveredEndpoints),
}

/// The endpoints of a list that may change.
struct DiscoveredEndpoints {
    discover: Arc<dyn Discover>,
    set: RwLock<EndpointSet>,
    /// The moment from which the health of the endpoints counts time.
    since: Instant,
}

/// The endpoints of a list of addresses.
struct EndpointSet {
    addresses: Addresses,
    endpoints: Arc<[Arc<Endpoint>]>,
    /// The endpoints that have left the list, the latest first.
    left: Vec<Arc<Endpoint>>,
}

impl Balancer {
    pub(super) fn single(transport: Transport) -> Self {
        // The transport is there, so the options are of no use.
        let settings = EndpointSettings::new(ConnectOptions::default());
        Self::single_with(Arc::new(transport), settings)
    }

    /// The only address gets all attempts, so nothing is recorded about it.
    fn single_with(transport: Arc<Transport>, settings: EndpointSettings) -> Self {
        Self {
            target: Arc::clone(transport.target()),
            kind: BalancerKind::Single(Endpoint::new(settings.transport(transport), None)),
            settings,
        }
    }

    pub(super) fn discovered(discover: Arc<dyn Discover>, connect: ConnectOptions) -> Self {
        Self::discovered_with(discover, EndpointSettings::new(connect))
    }

    fn discovered_with(discover: Arc<dyn Discover>, settings: EndpointSettings) -> Self {
        Self {
            settings,
            target: discover.name().into(),
            kind: BalancerKind::Discovered(DiscoveredEndpoints {
                discover,
                set: RwLock::new(EndpointSet::empty()),
                since: Instant::now(),
            }),
        }
    }

    /// Returns a balancer of the same addresses with changed settings and without records of their
    /// health.
    pub(super) fn with_settings(&self, change: impl FnOnce(&mut EndpointSettings)) -> Self {
        let mut settings = self.settings.clone();
        change(&mut settings);
        match &self.kind {
            BalancerKind::Single(endpoint) => {
                Self::single_with(Arc::clone(endpoint.transport()), settings)
            }
            BalancerKind::Discovered(discovered) => {
                Self::discovered_with(Arc::clone(&discovered.discover), settings)
            }
        }
    }

    /// Returns the target of the calls in printable form.
    pub(super) fn target(&self) -> &Arc<str> {
        &self.target
    }

    /// Picks the endpoint of an attempt. Picks `avoid` only if no other endpoint is usable.
    ///
    /// # Errors
    ///
    /// `unavailable` if there are no addresses.
    pub(super) fn pick(&self, avoid: Option<&Arc<Endpoint>>) -> Result<InFlightGuard> {
        match &self.kind {
            BalancerKind::Single(endpoint) => Ok(endpoint.acquire()),
            BalancerKind::Discovered(discovered) => {
                let endpoints = self.endpoints(discovered);
                let avoided = |endpoint: &Arc<Endpoint>| {
                    avoid.is_some_and(|avoid| Arc::ptr_eq(avoid, endpoint))
                };
                match outlier::choose(&endpoints, avoided, || discovered.since.elapsed()) {
                    Some(endpoint) => Ok(endpoint.acquire()),
                    None => {
                        let text = format!("no server address is known for {}", self.target);
                        let error = Error::without_location(Code::Unavailable, text);
                        Err(error.not_executed())
                    }
                }
            }
        }
    }

    /// Returns whether an attempt that does not go to `endpoint` has a usable address.
    pub(super) fn has_other(&self, endpoint: &Arc<Endpoint>) -> bool {
        match &self.kind {
            BalancerKind::Single(_) => false,
            BalancerKind::Discovered(discovered) => {
                let endpoints = self.endpoints(discovered);
                let is_same = |other: &Arc<Endpoint>| Arc::ptr_eq(endpoint, other);
                outlier::has_other(&endpoints, is_same, discovered.since.elapsed())
            }
        }
    }

    /// Returns the endpoints of the current list of addresses.
    fn endpoints(&self, discovered: &DiscoveredEndpoints) -> Arc<[Arc<Endpoint>]> {
        let addresses = discovered.discover.addresses();
        {
            let set = discovered.set.read_unpoisoned();
            if set.addresses.is_same(&addresses) {
                return Arc::clone(&set.endpoints);
            }
        }
        let mut set = discovered.set.write_unpoisoned();
        if set.addresses != addresses {
            self.replace(&mut set, &addresses, discovered.since);
        }
        set.addresses = addresses;
        Arc::clone(&set.endpoints)
    }

    /// Replaces the endpoints of a set by those of the addresses. Known ones are kept.
    fn replace(&self, set: &mut EndpointSet, addresses: &Addresses, since: Instant) {
        let mut endpoints: Vec<Arc<Endpoint>> = Vec::with_capacity(addresses.len());
        for address in addresses.iter() {
            let transport = match Transport::from_url(address, &self.settings.connect) {
                Ok(transport) => transport,
                Err(error) => {
                    // The other addresses can still be used, so this is logged and not returned.
                    tracing::error!(target: "rpc", service = %self.target, %error, "skipped an invalid server address");
                    continue;
                }
            };
            let is_same =
                |endpoint: &&Arc<Endpoint>| endpoint.transport().is_same_server(&transport);
            if endpoints.iter().any(|endpoint| is_same(&endpoint)) {
                continue;
            }
            let known = set.endpoints.iter().chain(&set.left).find(is_same);
            endpoints.push(known.map_or_else(
                || {
                    let transport = self.settings.transport(Arc::new(transport));
                    let recorded = self.settings.outlier_detection.then_some(since);
                    Endpoint::new(transport, recorded)
                },
                Arc::clone,
            ));
        }
        let is_listed = |known: &Arc<Endpoint>| {
            let mut listed = endpoints.iter();
            listed.any(|endpoint| Arc::ptr_eq(endpoint, known))
        };
        let known = set.endpoints.iter().chain(&set.left);
        set.left = known
            .filter(|known| !is_listed(known))
            .take(REMEMBERED)
            .cloned()
            .collect();
        set.endpoints = endpoints.into();
    }
}

impl EndpointSet {
    fn empty() -> Self {
        Self {
            addresses: Addresses::from_iter([""; 0]),
            endpoints: Arc::new([]),
            left: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;

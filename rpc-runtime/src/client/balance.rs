//! Which of the addresses gets the next attempt: the less busy one of two that are drawn, out of those that work.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use super::breaker::{Breaker, BreakerAdmission, BreakerOutcome, Transition};
use super::transport::Transport;
use crate::discovery::{Addresses, Discover};
use crate::error::{Code, Delivery, Error, Result};
use crate::middleware::Response;

/// What holds for every address of a client.
#[derive(Debug, Clone, Copy)]
pub(super) struct EndpointSettings {
    pub(super) http2: bool,
    pub(super) breaker: bool,
}

/// One address: the road to it, and what is known of its health and load.
#[derive(Debug)]
pub(super) struct BalancedEndpoint {
    transport: Arc<Transport>,
    /// `None` where the developer wants none, and for a server in this process, which nothing can cut off.
    breaker: Option<Breaker>,
    in_flight: AtomicUsize,
}

impl BalancedEndpoint {
    fn new(transport: Arc<Transport>, settings: EndpointSettings) -> Arc<Self> {
        let breaker = settings.breaker && !transport.is_local();
        let transport = if settings.http2 {
            Arc::new(transport.http2())
        } else {
            transport
        };
        Arc::new(Self {
            transport,
            breaker: breaker.then(Breaker::default),
            in_flight: AtomicUsize::new(0),
        })
    }

    pub(super) fn transport(&self) -> &Arc<Transport> {
        &self.transport
    }

    fn load(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    fn admits(&self) -> bool {
        self.breaker.as_ref().is_none_or(Breaker::admits)
    }

    fn acquire(self: &Arc<Self>) -> Result<InFlightGuard, Duration> {
        let admission = self
            .breaker
            .as_ref()
            .map_or(BreakerAdmission::Allowed, Breaker::admit);
        if let BreakerAdmission::Rejected(wait) = admission {
            return Err(wait);
        }
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Ok(InFlightGuard {
            endpoint: Arc::clone(self),
            admission,
            outcome: BreakerOutcome::Cancelled,
        })
    }
}

/// Leave to send one attempt to one address, which counts as busy with it until the guard is dropped.
#[derive(Debug)]
pub(super) struct InFlightGuard {
    endpoint: Arc<BalancedEndpoint>,
    admission: BreakerAdmission,
    outcome: BreakerOutcome,
}

impl InFlightGuard {
    pub(super) fn endpoint(&self) -> &Arc<BalancedEndpoint> {
        &self.endpoint
    }

    /// The attempt has been answered, or has failed.
    pub(super) fn end(mut self, response: &Response) {
        // An address that tells of a fault behind it works: what is behind it has a breaker of its own. So does one that
        // is busy and says when to come back: to hold all calls back would end what it still does.
        let failed = response.error().is_some_and(|error| {
            error.code() == Code::Unavailable
                && !error.is_retried()
                && error.retry_after().is_none()
        });
        self.outcome = if failed {
            BreakerOutcome::Failure
        } else {
            BreakerOutcome::Success
        };
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.endpoint.in_flight.fetch_sub(1, Ordering::Relaxed);
        let Some(breaker) = &self.endpoint.breaker else {
            return;
        };
        let target = self.endpoint.transport.target();
        match breaker.report(self.admission, self.outcome) {
            Some(Transition::Opened { wait }) => tracing::warn!(
                target: "rpc",
                address = %target,
                wait_ms = wait.as_millis(),
                "circuit breaker opened: calls to this address are held back"
            ),
            Some(Transition::Closed) => tracing::info!(
                target: "rpc",
                address = %target,
                "circuit breaker closed: this address works again"
            ),
            None => {}
        }
    }
}

/// The addresses of a client.
pub(super) struct Balancer {
    settings: EndpointSettings,
    /// For people: the URL, or what is looked for.
    target: Arc<str>,
    kind: BalancerKind,
}

enum BalancerKind {
    Single(Arc<BalancedEndpoint>),
    Discovered {
        discover: Arc<dyn Discover>,
        set: RwLock<EndpointSet>,
    },
}

/// The endpoints that were made from a list.
struct EndpointSet {
    addresses: Addresses,
    endpoints: Arc<[Arc<BalancedEndpoint>]>,
}

impl Balancer {
    pub(super) fn single(transport: Transport) -> Self {
        let settings = EndpointSettings {
            http2: false,
            breaker: true,
        };
        Self {
            settings,
            target: Arc::clone(transport.target()),
            kind: BalancerKind::Single(BalancedEndpoint::new(Arc::new(transport), settings)),
        }
    }

    pub(super) fn discovered(discover: Arc<dyn Discover>) -> Self {
        Self {
            settings: EndpointSettings {
                http2: false,
                breaker: true,
            },
            target: discover.name().into(),
            kind: BalancerKind::Discovered {
                discover,
                set: RwLock::new(EndpointSet::empty()),
            },
        }
    }

    /// The same addresses under other settings; what is known of their health is forgotten.
    pub(super) fn with_settings(&self, change: impl FnOnce(&mut EndpointSettings)) -> Self {
        let mut settings = self.settings;
        change(&mut settings);
        let kind = match &self.kind {
            BalancerKind::Single(endpoint) => BalancerKind::Single(BalancedEndpoint::new(
                Arc::clone(&endpoint.transport),
                settings,
            )),
            BalancerKind::Discovered { discover, .. } => BalancerKind::Discovered {
                discover: Arc::clone(discover),
                set: RwLock::new(EndpointSet::empty()),
            },
        };
        Self {
            settings,
            target: Arc::clone(&self.target),
            kind,
        }
    }

    /// Where calls go, for people.
    pub(super) fn target(&self) -> &Arc<str> {
        &self.target
    }

    /// Picks the address for an attempt, another one than `avoid` where there is another that works.
    ///
    /// # Errors
    ///
    /// `unavailable` when no address is known, or all of them are held back by their circuit breakers.
    pub(super) fn pick(&self, avoid: Option<&Arc<BalancedEndpoint>>) -> Result<InFlightGuard> {
        match &self.kind {
            BalancerKind::Single(endpoint) => Self::pick_same(endpoint),
            BalancerKind::Discovered { discover, set } => {
                let endpoints = self.endpoints(&**discover, set);
                match choose(&endpoints, avoid) {
                    Some(guard) => Ok(guard),
                    None if endpoints.is_empty() => Err(unavailable_unsent(format!(
                        "no address is known of {}",
                        self.target
                    ))),
                    None if endpoints.len() == 1 => Err(breaker_open(&self.target, Duration::ZERO)),
                    None => {
                        let all = format!("all {} addresses of {}", endpoints.len(), self.target);
                        Err(breaker_open(&all, Duration::ZERO))
                    }
                }
            }
        }
    }

    /// The same address once more, whatever else there is.
    ///
    /// # Errors
    ///
    /// `unavailable` when it is held back by its circuit breaker.
    pub(super) fn pick_same(endpoint: &Arc<BalancedEndpoint>) -> Result<InFlightGuard> {
        let guard = endpoint.acquire();
        guard.map_err(|wait| breaker_open(endpoint.transport.target(), wait))
    }

    /// The endpoints of the list as it is now.
    fn endpoints(
        &self,
        discover: &dyn Discover,
        set: &RwLock<EndpointSet>,
    ) -> Arc<[Arc<BalancedEndpoint>]> {
        let addresses = discover.addresses();
        {
            let set = set.read().unwrap_or_else(PoisonError::into_inner);
            if set.addresses.is_same(&addresses) {
                return Arc::clone(&set.endpoints);
            }
        }
        let mut set = set.write().unwrap_or_else(PoisonError::into_inner);
        if set.addresses != addresses {
            set.endpoints = addresses
                .iter()
                .filter_map(|address| self.endpoint(&set.endpoints, address))
                .collect();
        }
        set.addresses = addresses;
        Arc::clone(&set.endpoints)
    }

    /// The endpoint of an address: the one that is there, or a new one.
    fn endpoint(
        &self,
        set: &[Arc<BalancedEndpoint>],
        address: &str,
    ) -> Option<Arc<BalancedEndpoint>> {
        let transport = match Transport::from_url(address) {
            Ok(transport) => transport,
            Err(error) => {
                // The others still work; that this one does not has to be seen by somebody.
                tracing::error!(target: "rpc", service = %self.target, %error, "an address was left out");
                return None;
            }
        };
        let same =
            |endpoint: &&Arc<BalancedEndpoint>| endpoint.transport.target() == transport.target();
        Some(match set.iter().find(same) {
            Some(endpoint) => Arc::clone(endpoint),
            None => BalancedEndpoint::new(Arc::new(transport), self.settings),
        })
    }
}

impl EndpointSet {
    fn empty() -> Self {
        Self {
            addresses: Addresses::from_iter([""; 0]),
            endpoints: Arc::new([]),
        }
    }
}

/// Power of two choices: of two addresses that are drawn, the one with fewer calls on their way. Drawing keeps many
/// clients from running to the same idle server at once; the comparison keeps away from a slow one.
fn choose(
    endpoints: &[Arc<BalancedEndpoint>],
    avoid: Option<&Arc<BalancedEndpoint>>,
) -> Option<InFlightGuard> {
    if endpoints.is_empty() {
        return None;
    }
    let avoided =
        |endpoint: &Arc<BalancedEndpoint>| avoid.is_some_and(|avoid| Arc::ptr_eq(avoid, endpoint));
    let first = fastrand::usize(..endpoints.len());
    if endpoints.len() > 1 {
        let step = fastrand::usize(1..endpoints.len());
        let drawn = [
            &endpoints[first],
            &endpoints[(first + step) % endpoints.len()],
        ];
        let best = drawn
            .into_iter()
            .filter(|endpoint| !avoided(endpoint) && endpoint.admits())
            .min_by_key(|endpoint| endpoint.load());
        if let Some(Ok(guard)) = best.map(BalancedEndpoint::acquire) {
            return Some(guard);
        }
    }
    // Both are out: whichever works, and the one to be avoided only where no other does.
    let around = || endpoints[first..].iter().chain(&endpoints[..first]);
    let others = around().filter(|endpoint| !avoided(endpoint));
    let again = around().filter(|endpoint| avoided(endpoint));
    others
        .chain(again)
        .find_map(|endpoint| endpoint.acquire().ok())
}

fn breaker_open(whom: &str, wait: Duration) -> Error {
    let mut error = unavailable_unsent(format!(
        "calls to {whom} are held back after repeated failures (the circuit breaker is open)"
    ));
    if !wait.is_zero() {
        error.set_retry_after(Some(wait));
    }
    // It is known to be down: who asks again at once gets the same answer.
    error.set_retried(true);
    error
}

fn unavailable_unsent(text: String) -> Error {
    Error::unlocated(Code::Unavailable, text).with_delivery(Delivery::Unsent)
}

#[cfg(test)]
mod tests;

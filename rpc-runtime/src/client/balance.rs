//! The load balancer of a client: power of two choices among the endpoints whose circuit breaker
//! admits calls.
//!
//! Hand-written because the services of `tower::balance` are driven by `poll_ready` and
//! `&mut self`, while attempts share the endpoints and pick one at the moment at which they are
//! sent.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use super::breaker::{Breaker, BreakerAdmission, BreakerOutcome, Transition};
use super::transport::Transport;
use crate::discovery::{Addresses, Discover};
use crate::error::{Code, Delivery, Error, Result};
use crate::middleware::Response;
use crate::sync::RwLockExt as _;

/// The settings that all endpoints of a client share.
#[derive(Debug, Clone, Copy)]
pub(super) struct EndpointSettings {
    pub(super) http2: bool,
    pub(super) breaker: bool,
}

/// One address: its transport, its circuit breaker and the number of its calls in flight.
#[derive(Debug)]
pub(super) struct Endpoint {
    transport: Arc<Transport>,
    /// `None` if disabled, and for a server in this process, which cannot become unreachable.
    breaker: Option<Breaker>,
    in_flight: AtomicUsize,
}

impl Endpoint {
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

    /// Admits an attempt, or returns the time until the breaker admits the next one.
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

/// An attempt that an endpoint has admitted. Counts as a call in flight until it is dropped, and
/// then reports its outcome to the circuit breaker.
#[derive(Debug)]
pub(super) struct InFlightGuard {
    endpoint: Arc<Endpoint>,
    admission: BreakerAdmission,
    outcome: BreakerOutcome,
}

impl InFlightGuard {
    pub(super) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// Records the response of the attempt.
    pub(super) fn finish(mut self, response: &Response) {
        // A server that passes on the failure of a dependency works itself; the dependency has its
        // own breaker. A server that sends a retry delay is overloaded but works, and rejecting all
        // calls would stop the ones that it can still handle.
        let failed = |error: &Error| {
            error.code() == Code::Unavailable
                && !error.retries_exhausted()
                && error.retry_after().is_none()
        };
        self.outcome = match response.error() {
            // It shows neither that the server works nor that it does not.
            Some(error) if error.delivery() == Delivery::NotProcessed => BreakerOutcome::Cancelled,
            Some(error) if failed(error) => BreakerOutcome::Failure,
            _ => BreakerOutcome::Success,
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
                "circuit breaker opened: no calls are sent to this address until a probe succeeds"
            ),
            Some(Transition::Closed) => tracing::info!(
                target: "rpc",
                address = %target,
                "circuit breaker closed: this address has recovered"
            ),
            None => {}
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
    Discovered {
        discover: Arc<dyn Discover>,
        set: RwLock<EndpointSet>,
    },
}

/// The endpoints of a list of addresses.
struct EndpointSet {
    addresses: Addresses,
    endpoints: Arc<[Arc<Endpoint>]>,
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
            kind: BalancerKind::Single(Endpoint::new(Arc::new(transport), settings)),
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

    /// Returns a balancer of the same addresses with changed settings and new circuit breakers.
    pub(super) fn with_settings(&self, change: impl FnOnce(&mut EndpointSettings)) -> Self {
        let mut settings = self.settings;
        change(&mut settings);
        let kind = match &self.kind {
            BalancerKind::Single(endpoint) => {
                BalancerKind::Single(Endpoint::new(Arc::clone(&endpoint.transport), settings))
            }
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

    /// Returns the target of the calls in printable form.
    pub(super) fn target(&self) -> &Arc<str> {
        &self.target
    }

    /// Picks the endpoint of an attempt. Picks `avoid` only if no other endpoint is available.
    ///
    /// # Errors
    ///
    /// `unavailable` if there are no addresses, or if the circuit breakers of all are open.
    pub(super) fn pick(&self, avoid: Option<&Arc<Endpoint>>) -> Result<InFlightGuard> {
        match &self.kind {
            BalancerKind::Single(endpoint) => Self::pick_same(endpoint),
            BalancerKind::Discovered { discover, set } => {
                let endpoints = self.endpoints(&**discover, set);
                match choose(&endpoints, avoid) {
                    Some(guard) => Ok(guard),
                    None if endpoints.is_empty() => Err(unavailable_unsent(format!(
                        "no server address is known for {}",
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

    /// Picks the given endpoint.
    ///
    /// # Errors
    ///
    /// `unavailable` if its circuit breaker is open.
    pub(super) fn pick_same(endpoint: &Arc<Endpoint>) -> Result<InFlightGuard> {
        let guard = endpoint.acquire();
        guard.map_err(|wait| breaker_open(endpoint.transport.target(), wait))
    }

    /// Returns the endpoints of the current list of addresses.
    fn endpoints(
        &self,
        discover: &dyn Discover,
        set: &RwLock<EndpointSet>,
    ) -> Arc<[Arc<Endpoint>]> {
        let addresses = discover.addresses();
        {
            let set = set.read_unpoisoned();
            if set.addresses.is_same(&addresses) {
                return Arc::clone(&set.endpoints);
            }
        }
        let mut set = set.write_unpoisoned();
        if set.addresses != addresses {
            set.endpoints = addresses
                .iter()
                .filter_map(|address| self.endpoint(&set.endpoints, address))
                .collect();
        }
        set.addresses = addresses;
        Arc::clone(&set.endpoints)
    }

    /// Returns the existing endpoint of an address, or a new one. `None` if the address is invalid.
    fn endpoint(&self, set: &[Arc<Endpoint>], address: &str) -> Option<Arc<Endpoint>> {
        let transport = match Transport::from_url(address) {
            Ok(transport) => transport,
            Err(error) => {
                // The other addresses can still be used, so this is logged and not returned.
                tracing::error!(target: "rpc", service = %self.target, %error, "skipped an invalid server address");
                return None;
            }
        };
        let same = |endpoint: &&Arc<Endpoint>| endpoint.transport.target() == transport.target();
        Some(match set.iter().find(same) {
            Some(endpoint) => Arc::clone(endpoint),
            None => Endpoint::new(Arc::new(transport), self.settings),
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

/// Chooses an endpoint by power of two choices: draws two at random and takes the one with fewer
/// calls in flight. Drawing keeps many clients from choosing the same idle server at once;
/// comparing avoids slow servers.
fn choose(endpoints: &[Arc<Endpoint>], avoid: Option<&Arc<Endpoint>>) -> Option<InFlightGuard> {
    if endpoints.is_empty() {
        return None;
    }
    let avoided =
        |endpoint: &Arc<Endpoint>| avoid.is_some_and(|avoid| Arc::ptr_eq(avoid, endpoint));
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
        if let Some(Ok(guard)) = best.map(Endpoint::acquire) {
            return Some(guard);
        }
    }
    // Neither can be used. Take any endpoint that admits the attempt, `avoid` last.
    let around = || endpoints[first..].iter().chain(&endpoints[..first]);
    let others = around().filter(|endpoint| !avoided(endpoint));
    let again = around().filter(|endpoint| avoided(endpoint));
    others
        .chain(again)
        .find_map(|endpoint| endpoint.acquire().ok())
}

fn breaker_open(target: &str, wait: Duration) -> Error {
    let mut error = unavailable_unsent(format!(
        "{target} failed repeatedly, so calls to it are not sent for now (the circuit breaker is open)"
    ));
    if !wait.is_zero() {
        error.set_retry_after(Some(wait));
    }
    // An immediate retry by a client further up would get the same error.
    error.set_retries_exhausted(true);
    error
}

fn unavailable_unsent(text: String) -> Error {
    Error::without_location(Code::Unavailable, text).with_delivery(Delivery::Unsent)
}

#[cfg(test)]
mod tests;

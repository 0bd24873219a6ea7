//! Which of the addresses gets the next attempt: the less busy one of two that are drawn, out of those that work.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use super::breaker::{Admission, Breaker, Change, Outcome};
use super::transport::Transport;
use crate::discovery::{Addresses, Discover};
use crate::error::{Code, Delivery, Error, Result};
use crate::middleware::Response;

/// What holds for every address of a client.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub(super) http2: bool,
    pub(super) breaker: bool,
}

/// One address: the road to it, and what is known of its health and load.
#[derive(Debug)]
pub(super) struct Node {
    transport: Arc<Transport>,
    /// `None` where the developer wants none, and for a server in this process, which nothing can cut off.
    breaker: Option<Breaker>,
    in_flight: AtomicUsize,
}

impl Node {
    fn new(transport: Arc<Transport>, settings: Settings) -> Arc<Self> {
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

    fn ticket(self: &Arc<Self>) -> Result<Ticket, Duration> {
        let admission = self
            .breaker
            .as_ref()
            .map_or(Admission::Free, Breaker::admit);
        if let Admission::Refused(wait) = admission {
            return Err(wait);
        }
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Ok(Ticket {
            node: Arc::clone(self),
            admission,
            outcome: Outcome::Abandoned,
        })
    }
}

/// Leave to send one attempt to one address, which counts as busy with it until the ticket is dropped.
#[derive(Debug)]
pub(super) struct Ticket {
    node: Arc<Node>,
    admission: Admission,
    outcome: Outcome,
}

impl Ticket {
    pub(super) fn node(&self) -> &Arc<Node> {
        &self.node
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
            Outcome::Failure
        } else {
            Outcome::Success
        };
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.node.in_flight.fetch_sub(1, Ordering::Relaxed);
        let Some(breaker) = &self.node.breaker else {
            return;
        };
        let target = self.node.transport.target();
        match breaker.report(self.admission, self.outcome) {
            Some(Change::Opened { wait }) => tracing::warn!(
                target: "rpc",
                address = %target,
                wait_ms = wait.as_millis(),
                "circuit breaker opened: calls to this address are held back"
            ),
            Some(Change::Closed) => tracing::info!(
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
    settings: Settings,
    /// For people: the URL, or what is looked for.
    target: Arc<str>,
    kind: Kind,
}

enum Kind {
    One(Arc<Node>),
    Discovered {
        discover: Arc<dyn Discover>,
        known: RwLock<Known>,
    },
}

/// The nodes that were made from a list.
struct Known {
    addresses: Addresses,
    nodes: Arc<[Arc<Node>]>,
}

impl Balancer {
    pub(super) fn one(transport: Transport) -> Self {
        let settings = Settings {
            http2: false,
            breaker: true,
        };
        Self {
            settings,
            target: Arc::clone(transport.target()),
            kind: Kind::One(Node::new(Arc::new(transport), settings)),
        }
    }

    pub(super) fn discovered(discover: Arc<dyn Discover>) -> Self {
        Self {
            settings: Settings {
                http2: false,
                breaker: true,
            },
            target: discover.name().into(),
            kind: Kind::Discovered {
                discover,
                known: RwLock::new(Known::nothing()),
            },
        }
    }

    /// The same addresses under other settings; what is known of their health is forgotten.
    pub(super) fn with_settings(&self, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = self.settings;
        change(&mut settings);
        let kind = match &self.kind {
            Kind::One(node) => Kind::One(Node::new(Arc::clone(&node.transport), settings)),
            Kind::Discovered { discover, .. } => Kind::Discovered {
                discover: Arc::clone(discover),
                known: RwLock::new(Known::nothing()),
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
    pub(super) fn pick(&self, avoid: Option<&Arc<Node>>) -> Result<Ticket> {
        match &self.kind {
            Kind::One(node) => Self::pick_again(node),
            Kind::Discovered { discover, known } => {
                let nodes = self.nodes(&**discover, known);
                match choose(&nodes, avoid) {
                    Some(ticket) => Ok(ticket),
                    None if nodes.is_empty() => {
                        Err(unsent(format!("no address is known of {}", self.target)))
                    }
                    None if nodes.len() == 1 => Err(held_back(&self.target, Duration::ZERO)),
                    None => {
                        let all = format!("all {} addresses of {}", nodes.len(), self.target);
                        Err(held_back(&all, Duration::ZERO))
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
    pub(super) fn pick_again(node: &Arc<Node>) -> Result<Ticket> {
        let ticket = node.ticket();
        ticket.map_err(|wait| held_back(node.transport.target(), wait))
    }

    /// The nodes of the list as it is now.
    fn nodes(&self, discover: &dyn Discover, known: &RwLock<Known>) -> Arc<[Arc<Node>]> {
        let addresses = discover.addresses();
        {
            let known = known.read().unwrap_or_else(PoisonError::into_inner);
            if known.addresses.is_same(&addresses) {
                return Arc::clone(&known.nodes);
            }
        }
        let mut known = known.write().unwrap_or_else(PoisonError::into_inner);
        if known.addresses != addresses {
            known.nodes = addresses
                .iter()
                .filter_map(|address| self.node(&known.nodes, address))
                .collect();
        }
        known.addresses = addresses;
        Arc::clone(&known.nodes)
    }

    /// The node of an address: the one that is there, or a new one.
    fn node(&self, known: &[Arc<Node>], address: &str) -> Option<Arc<Node>> {
        let transport = match Transport::to(address) {
            Ok(transport) => transport,
            Err(error) => {
                // The others still work; that this one does not has to be seen by somebody.
                tracing::error!(target: "rpc", service = %self.target, %error, "an address was left out");
                return None;
            }
        };
        let same = |node: &&Arc<Node>| node.transport.target() == transport.target();
        Some(match known.iter().find(same) {
            Some(node) => Arc::clone(node),
            None => Node::new(Arc::new(transport), self.settings),
        })
    }
}

impl Known {
    fn nothing() -> Self {
        Self {
            addresses: Addresses::from_iter([""; 0]),
            nodes: Arc::new([]),
        }
    }
}

/// Power of two choices: of two addresses that are drawn, the one with fewer calls on their way. Drawing keeps many
/// clients from running to the same idle server at once; the comparison keeps away from a slow one.
fn choose(nodes: &[Arc<Node>], avoid: Option<&Arc<Node>>) -> Option<Ticket> {
    if nodes.is_empty() {
        return None;
    }
    let avoided = |node: &Arc<Node>| avoid.is_some_and(|avoid| Arc::ptr_eq(avoid, node));
    let first = fastrand::usize(..nodes.len());
    if nodes.len() > 1 {
        let step = fastrand::usize(1..nodes.len());
        let drawn = [&nodes[first], &nodes[(first + step) % nodes.len()]];
        let best = drawn
            .into_iter()
            .filter(|node| !avoided(node) && node.admits())
            .min_by_key(|node| node.load());
        if let Some(Ok(ticket)) = best.map(Node::ticket) {
            return Some(ticket);
        }
    }
    // Both are out: whichever works, and the one to be avoided only where no other does.
    let around = || nodes[first..].iter().chain(&nodes[..first]);
    let others = around().filter(|node| !avoided(node));
    let again = around().filter(|node| avoided(node));
    others.chain(again).find_map(|node| node.ticket().ok())
}

fn held_back(whom: &str, wait: Duration) -> Error {
    let mut error = unsent(format!(
        "calls to {whom} are held back after repeated failures (the circuit breaker is open)"
    ));
    if !wait.is_zero() {
        error.set_retry_after(Some(wait));
    }
    // It is known to be down: who asks again at once gets the same answer.
    error.set_retried(true);
    error
}

fn unsent(text: String) -> Error {
    Error::unlocated(Code::Unavailable, text).with_delivery(Delivery::Unsent)
}

#[cfg(test)]
mod tests;

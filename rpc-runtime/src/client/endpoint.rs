//! One address of a service: its transport and its health.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::outbound::OutboundRequest;
use super::outlier::{Health, Node, Outcome};
use super::transport::Transport;
use crate::error::Error;
use crate::middleware::{BoxFuture, InnerService, Request, Response};
use crate::sync::MutexExt as _;

/// The least time between two warnings about one address. Others are logged at `debug`.
const WARNING_INTERVAL: Duration = Duration::from_secs(10);

/// One address.
#[derive(Debug)]
pub(super) struct Endpoint {
    transport: Arc<Transport>,
    health: Health,
    /// The moment from which the health counts time. `None` if no outcomes are recorded, because
    /// there is no other address or the outlier detection is disabled.
    recorded_since: Option<Instant>,
    /// Whether the current ejection was logged as a warning.
    warned: AtomicBool,
    last_warning: Mutex<Option<Instant>>,
}

impl Endpoint {
    pub(super) fn new(transport: Arc<Transport>, recorded_since: Option<Instant>) -> Arc<Self> {
        Arc::new(Self {
            transport,
            health: Health::default(),
            recorded_since,
            warned: AtomicBool::new(false),
            last_warning: Mutex::new(None),
        })
    }

    pub(super) fn transport(&self) -> &Arc<Transport> {
        &self.transport
    }

    /// Begins an attempt.
    pub(super) fn acquire(self: &Arc<Self>) -> InFlightGuard {
        self.health.attempt_started();
        InFlightGuard {
            endpoint: Arc::clone(self),
        }
    }

    /// Sends a request, and records the outcome where that is of use.
    /// The context of the call counts the requests that may have been executed.
    pub(super) async fn send(&self, request: &OutboundRequest) -> Response {
        request.context.call_begins();
        let response = self.exchange(request).await;
        if response.error().is_some_and(Error::is_not_executed) {
            request.context.call_not_executed();
        }
        response
    }

    async fn exchange(&self, request: &OutboundRequest) -> Response {
        let Some(since) = self.recorded_since else {
            return self.transport.send(request).await.0;
        };
        let mut exchange = Exchange {
            endpoint: self,
            since,
            started: Instant::now(),
            deadline: request.context.deadline().map(Instant::from_std),
            outcome: None,
        };
        let (response, outcome) = self.transport.send(request).await;
        exchange.outcome = Some(outcome);
        response
    }

    /// Returns whether a warning may be logged now, which is then the last one.
    fn may_warn(&self) -> bool {
        let mut last = self.last_warning.lock_unpoisoned();
        let may = last.is_none_or(|last| last.elapsed() >= WARNING_INTERVAL);
        if may {
            *last = Some(Instant::now());
        }
        may
    }
}

impl Node for Arc<Endpoint> {
    fn health(&self) -> &Health {
        &self.health
    }

    fn ejected(&self) {
        let address = self.transport.target();
        if self.may_warn() {
            self.warned.store(true, Ordering::Relaxed);
            tracing::warn!(
                target: "rpc",
                %address,
                "ejected an address that fails more than the others: it gets a probe every second until one succeeds"
            );
        } else {
            tracing::debug!(target: "rpc", %address, "ejected an address again");
        }
    }
}

/// Sends the attempts of clients with attempt layers. What a layer does by itself is no evidence.
impl InnerService for Endpoint {
    fn call(self: Arc<Self>, request: Request) -> BoxFuture<Response> {
        Box::pin(async move {
            let (request, _guards) = OutboundRequest::from_request(request);
            self.send(&request).await
        })
    }
}

/// An attempt to an endpoint. Counts as in flight until it is dropped.
#[derive(Debug)]
pub(super) struct InFlightGuard {
    endpoint: Arc<Endpoint>,
}

impl InFlightGuard {
    pub(super) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.endpoint.health.attempt_ended();
    }
}

/// A request that was sent. Records its outcome when it is dropped.
struct Exchange<'a> {
    endpoint: &'a Endpoint,
    since: Instant,
    started: Instant,
    deadline: Option<Instant>,
    /// `None` until there is a response.
    outcome: Option<Outcome>,
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        let now = Instant::now();
        let has_expired = self.deadline.is_some_and(|deadline| deadline <= now);
        let outcome = self.outcome.unwrap_or(if has_expired {
            Outcome::Deadline
        } else {
            Outcome::Canceled
        });
        let endpoint = self.endpoint;
        let (took, now) = (now - self.started, now - self.since);
        if endpoint.health.record(outcome, took, now) {
            let address = endpoint.transport.target();
            if endpoint.warned.swap(false, Ordering::Relaxed) {
                tracing::info!(target: "rpc", %address, "an ejected address responds again");
            } else {
                tracing::debug!(target: "rpc", %address, "an ejected address responds again");
            }
        }
    }
}

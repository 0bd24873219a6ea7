//! Hedging: a second attempt in parallel to a slow first one.
//!
//! Hand-written because `tower::hedge` needs a cloneable service with `poll_ready` and `&mut self`,
//! while an attempt borrows its request, its endpoint and the retry budget.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::ClientInner;
use super::attempt::{AttemptOutcome, attempt, is_retryable};
use super::endpoint::{Endpoint, InFlightGuard};
use super::outbound::OutboundRequest;
use crate::descriptor::Idempotency;

/// Returns the time after which the call is sent a second time, or `None` if it is not hedged.
pub(super) fn delay(
    client: &ClientInner,
    request: &OutboundRequest,
    attempts: u32,
    max_attempts: u32,
) -> Option<Duration> {
    // Retries are not hedged: a failing server must not get two attempts at once.
    let first = attempts == 0 && max_attempts > 1;
    // Two attempts cannot read one request stream, and both would have their response stream open.
    let first = first && !request.method.is_streaming();
    let safe = request.method.idempotency == Idempotency::NoSideEffects;
    client.hedge.filter(|_| first && safe)
}

/// Sends a request, and sends it again if it has no response after the time `after`.
///
/// Returns the first outcome that is not a retryable error, or else the second one. An attempt that
/// is still running is dropped, which cancels it.
pub(super) async fn run(
    client: &ClientInner,
    guard: InFlightGuard,
    request: &OutboundRequest,
    after: Duration,
) -> AttemptOutcome {
    let first_endpoint = Arc::clone(guard.endpoint());
    let mut first = pin!(attempt(client, guard, request));
    tokio::select! {
        biased;
        outcome = &mut first => return outcome,
        () = sleep(after) => {}
    }
    let Some((guard, request)) = second(client, request, &first_endpoint) else {
        return first.await;
    };
    let mut second = pin!(attempt(client, guard, &request));
    let (outcome, first_is_done) = tokio::select! {
        biased;
        outcome = &mut first => (outcome, true),
        outcome = &mut second => (outcome, false),
    };
    let failed = outcome.response.error();
    let outcome = if failed.is_some_and(|error| is_retryable(request.method, error)) {
        // The other attempt may still succeed.
        outcome.observation.end(&outcome.response, None);
        if first_is_done {
            second.await
        } else {
            first.await
        }
    } else {
        outcome
    };
    AttemptOutcome { sent: 2, ..outcome }
}

/// Returns the guard and the request of the second attempt, or `None` if no endpoint is available
/// or the retry budget is exhausted.
fn second(
    client: &ClientInner,
    request: &OutboundRequest,
    first_endpoint: &Arc<Endpoint>,
) -> Option<(InFlightGuard, OutboundRequest)> {
    // First, because an address that is picked but gets no request loses its probe.
    if !client.budget.withdraw() {
        return None;
    }
    let guard = client.balancer.pick(Some(first_endpoint)).ok()?;
    let context = request.context.for_attempt(2);
    let request = OutboundRequest {
        context,
        ..request.clone()
    };
    Some((guard, request))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::outlier::{Node as _, Outcome};
    use crate::client::{Client, RetryPolicy};
    use crate::context::Context;
    use crate::descriptor::MethodDescriptor;
    use crate::metadata::Metadata;
    use crate::middleware::{Body, Request};

    #[tokio::test(start_paused = true)]
    async fn a_hedge_without_a_budget_takes_no_probe() {
        static METHOD: MethodDescriptor = MethodDescriptor::new("a.B", "c", "C", "/a.B/C");
        let client = Client::from_urls(["http://a:1", "http://b:1"]).unwrap();
        let client = client.retry(RetryPolicy::default().budget_percent(0)).0;
        while client.budget.withdraw() {}
        let endpoint = |avoid| {
            let guard = client.balancer.pick(avoid).unwrap();
            Arc::clone(guard.endpoint())
        };
        let first = endpoint(None);
        let ejected = endpoint(Some(&first));
        let health = ejected.health();
        for _ in 0..10 {
            health.record(Outcome::Failure, Duration::from_millis(1), Duration::ZERO);
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        let (context, metadata) = (Context::current(), Metadata::new());
        let request = Request::new(&METHOD, context, metadata, Body::message("{}"));
        let (request, _guards) = OutboundRequest::from_request(request);
        for _ in 0..50 {
            assert!(second(&client, &request, &first).is_none());
        }
        let picked = (0..100).map(|_| endpoint(None));
        let probes = picked.filter(|endpoint| Arc::ptr_eq(endpoint, &ejected));
        assert_eq!(probes.count(), 1);
    }
}

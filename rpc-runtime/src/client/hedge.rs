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
    let guard = client.balancer.pick(Some(first_endpoint)).ok()?;
    client.budget.withdraw().then(|| {
        let context = request.context.for_attempt(2);
        let request = OutboundRequest {
            context,
            ..request.clone()
        };
        (guard, request)
    })
}

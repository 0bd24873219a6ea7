//! A second attempt beside the first one, when the first one is slow.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::ClientInner;
use super::balance::{BalancedEndpoint, InFlightGuard};
use super::outbound::OutboundRequest;
use super::retry::{AttemptOutcome, attempt, is_retryable};
use crate::descriptor::Idempotency;

/// When the second attempt of a call is due; `None` for a call that gets none.
pub(super) fn delay(
    client: &ClientInner,
    request: &OutboundRequest,
    attempts: u32,
    max_attempts: u32,
) -> Option<Duration> {
    // Retries go one after the other: a server that fails is not to be asked twice at once.
    let first = attempts == 0 && max_attempts > 1;
    let harmless = request.method.idempotency == Idempotency::NoSideEffects;
    client.hedge.filter(|_| first && harmless)
}

/// Sends a request, and once more when no answer has come `after` so much time. The first good answer counts; the
/// attempt that is still on its way is dropped, which cancels it.
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
        // The other one may still succeed.
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

/// The second attempt, where an address and the budget allow one.
fn second(
    client: &ClientInner,
    request: &OutboundRequest,
    first_endpoint: &Arc<BalancedEndpoint>,
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

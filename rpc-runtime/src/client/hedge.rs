//! A second attempt beside the first one, when the first one is slow.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::Inner;
use super::balance::{Node, Ticket};
use super::retry::{Tried, attempt, is_retryable};
use super::sending::Sending;
use crate::descriptor::Idempotency;

/// When the second attempt of a call is due; `None` for a call that gets none.
pub(super) fn after(
    client: &Inner,
    request: &Sending,
    attempts: u32,
    most: u32,
) -> Option<Duration> {
    // Retries go one after the other: a server that fails is not to be asked twice at once.
    let first = attempts == 0 && most > 1;
    let harmless = request.method.idempotency == Idempotency::NoSideEffects;
    client.hedge.filter(|_| first && harmless)
}

/// Sends a request, and once more when no answer has come `after` so much time. The first good answer counts; the
/// attempt that is still on its way is dropped, which cancels it.
pub(super) async fn run(
    client: &Inner,
    ticket: Ticket,
    request: &Sending,
    after: Duration,
) -> Tried {
    let busy = Arc::clone(ticket.node());
    let mut first = pin!(attempt(client, ticket, request));
    tokio::select! {
        biased;
        tried = &mut first => return tried,
        () = sleep(after) => {}
    }
    let Some((ticket, request)) = second(client, request, &busy) else {
        return first.await;
    };
    let mut second = pin!(attempt(client, ticket, &request));
    let (tried, first_is_done) = tokio::select! {
        biased;
        tried = &mut first => (tried, true),
        tried = &mut second => (tried, false),
    };
    let failed = tried.response.error();
    let tried = if failed.is_some_and(|error| is_retryable(request.method, error)) {
        // The other one may still succeed.
        tried.observation.end(&tried.response, None);
        if first_is_done {
            second.await
        } else {
            first.await
        }
    } else {
        tried
    };
    Tried { sent: 2, ..tried }
}

/// The second attempt, where an address and the budget allow one.
fn second(client: &Inner, request: &Sending, busy: &Arc<Node>) -> Option<(Ticket, Sending)> {
    let ticket = client.balancer.pick(Some(busy)).ok()?;
    client.budget.withdraw().then(|| {
        let context = request.context.for_attempt(2);
        let request = Sending {
            context,
            ..request.clone()
        };
        (ticket, request)
    })
}

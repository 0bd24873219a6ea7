//! The attempts of a call: one in nearly all cases, and one more where that can help and cannot harm.

use std::future::ready;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::balance::{Balancer, InFlightGuard};
use super::outbound::OutboundRequest;
use super::stack::MIN_REMAINING;
use super::{ClientInner, hedge};
use crate::descriptor::{Idempotency, MethodDescriptor};
use crate::error::{Code, Delivery, Error};
use crate::middleware::{BoxFuture, Guards, Request, Response};
use crate::observe::{AttemptObservation, CallStart, Side};

/// Sends a call until it is answered, or until no further attempt makes sense.
///
/// A call that needs one attempt pays for no other: its request is lent to the road and not copied.
///
/// The request is taken apart before there is a future, which would otherwise have room for it twice.
pub(super) fn run(client: Arc<ClientInner>, request: Request) -> BoxFuture<Response> {
    let max_attempts = if request.may_retry() {
        client.retry.attempts
    } else {
        1
    };
    match OutboundRequest::from_request(request) {
        Ok((request, guards)) => Box::pin(run_attempts(client, request, guards, max_attempts)),
        Err(error) => Box::pin(ready(error.into())),
    }
}

async fn run_attempts(
    client: Arc<ClientInner>,
    mut request: OutboundRequest,
    _guards: Guards,
    max_attempts: u32,
) -> Response {
    client.budget.deposit();
    let mut attempts = 0;
    let mut last: Option<(Arc<_>, Response)> = None;
    let mut same_endpoint = false;
    loop {
        let picked = match &last {
            Some((endpoint, _)) if same_endpoint => Balancer::pick_same(endpoint),
            Some((endpoint, _)) => client.balancer.pick(Some(endpoint)),
            None => client.balancer.pick(None),
        };
        let guard = match picked {
            Ok(guard) => guard,
            Err(breaker_open) => return no_endpoint(breaker_open, last, attempts),
        };
        let endpoint = Arc::clone(guard.endpoint());
        let AttemptOutcome {
            mut response,
            observation,
            sent,
        } = match hedge::delay(&client, &request, attempts, max_attempts) {
            // Boxed, so that calls without a hedge do not carry its size.
            Some(after) => Box::pin(hedge::run(&client, guard, &request, after)).await,
            None => attempt(&client, guard, &request).await,
        };
        attempts += sent;
        let decision = match response.error() {
            Some(error) => decide(&client, &request, error, attempts, max_attempts),
            None => RetryDecision::Done,
        };
        match decision {
            RetryDecision::Done => {
                observation.end(&response, None);
                if let Some(error) = response.error_mut() {
                    annotate(error, attempts, None);
                }
                return response;
            }
            RetryDecision::GiveUp(why) => {
                observation.end(&response, None);
                if let Some(error) = response.error_mut() {
                    annotate(error, attempts, why);
                    error.set_retried(true);
                }
                return response;
            }
            RetryDecision::Retry(wait) => {
                observation.end(&response, Some(wait));
                same_endpoint |= response
                    .error()
                    .is_some_and(|error| requires_same_endpoint(request.method, error));
                last = Some((endpoint, response));
                tokio::time::sleep(wait).await;
                request.context = request.context.for_attempt(attempts + 1);
            }
        }
    }
}

/// One attempt that has come to an end.
pub(super) struct AttemptOutcome {
    pub(super) response: Response,
    /// To be ended when it is known whether another one follows.
    pub(super) observation: AttemptObservation,
    /// How many attempts were sent for it: two where it was hedged.
    pub(super) sent: u32,
}

/// Sends a request to the address of the guard.
pub(super) async fn attempt(
    client: &ClientInner,
    guard: InFlightGuard,
    request: &OutboundRequest,
) -> AttemptOutcome {
    let transport = guard.endpoint().transport();
    let (method, context) = (request.method, &request.context);
    let start = || CallStart {
        side: Side::Client,
        method: Some(method),
        http: None,
        context: context.clone(),
        request_bytes: request.message.len(),
        target: Some(Arc::clone(transport.target())),
        attempt: context.attempt(),
        at: Instant::now(),
        line: None,
    };
    let observation = client.observers.start_attempt(method, context, start);
    let response = if client.attempt_layers.is_empty() {
        transport.send(request).await
    } else {
        let layers = &client.attempt_layers;
        layers.run(transport, request.to_request()).await
    };
    guard.end(&response);
    AttemptOutcome {
        response,
        observation,
        sent: 1,
    }
}

/// What follows an attempt.
enum RetryDecision {
    /// It is answered, or it failed in a way that another attempt does not heal.
    Done,
    /// Another attempt could help, and there is none left. The reason, where it is not their number.
    GiveUp(Option<&'static str>),
    /// Another one behind this wait.
    Retry(Duration),
}

fn decide(
    client: &ClientInner,
    request: &OutboundRequest,
    error: &Error,
    attempts: u32,
    max_attempts: u32,
) -> RetryDecision {
    if max_attempts == 1 || !is_retryable(request.method, error) {
        return RetryDecision::Done;
    }
    if attempts >= max_attempts {
        return RetryDecision::GiveUp(None);
    }
    let wait = client
        .retry
        .wait(attempts, error.retry_after(), fastrand::f64());
    let left = request.context.remaining();
    if left.is_some_and(|left| left <= wait.saturating_add(MIN_REMAINING)) {
        return RetryDecision::GiveUp(Some("the deadline is too near for another"));
    }
    if !client.budget.withdraw() {
        return RetryDecision::GiveUp(Some("the retry budget is used up"));
    }
    RetryDecision::Retry(wait)
}

/// Whether the same call may be sent once more, and whether that could help.
pub(super) fn is_retryable(method: &MethodDescriptor, error: &Error) -> bool {
    let heals = match error.code() {
        Code::Unavailable => true,
        // A quota does not come back by itself, unless the server says when.
        Code::ResourceExhausted => error.retry_after().is_some(),
        _ => false,
    };
    let harmless = match method.idempotency {
        Idempotency::Idempotent | Idempotency::Keyed { .. } | Idempotency::NoSideEffects => true,
        Idempotency::Unknown => error.delivery() == Delivery::Unsent,
    };
    heals && harmless && !error.is_retried()
}

/// Whether all further attempts have to go to the address at which this one failed: the call may run there, and what
/// remembers its key is a server's own store, as a rule. Another one would run it a second time.
fn requires_same_endpoint(method: &MethodDescriptor, error: &Error) -> bool {
    matches!(method.idempotency, Idempotency::Keyed { .. })
        && error.delivery() == Delivery::OutcomeUnknown
}

/// The answer when there is no address to send to. What an earlier attempt met says more than that.
fn no_endpoint<N>(breaker_open: Error, last: Option<(N, Response)>, attempts: u32) -> Response {
    match last {
        Some((_, mut response)) => {
            if let Some(error) = response.error_mut() {
                annotate(error, attempts, Some("then no address was left to try"));
                error.set_retried(true);
            }
            response
        }
        None => breaker_open.into(),
    }
}

/// Says how many attempts there were, unless there was one and no reason to expect more.
fn annotate(error: &mut Error, attempts: u32, why: Option<&str>) {
    let plural = if attempts == 1 { "" } else { "s" };
    match why {
        Some(why) => error.add_note(&format!("after {attempts} attempt{plural}; {why}")),
        None if attempts > 1 => error.add_note(&format!("after {attempts} attempts")),
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: MethodDescriptor = MethodDescriptor::new("a.B", "c", "C", "/a.B/C");

    fn error(code: Code) -> Error {
        Error::unlocated(code, "why")
    }

    #[test]
    fn only_what_heals_is_retried() {
        let soon = Duration::from_millis(1);
        let idempotent = PLAIN.idempotent();
        for code in Code::all() {
            assert_eq!(
                is_retryable(&idempotent, &error(code)),
                code == Code::Unavailable,
                "{code}"
            );
            assert_eq!(
                is_retryable(&idempotent, &error(code).with_retry_after(soon)),
                matches!(code, Code::Unavailable | Code::ResourceExhausted),
                "{code}"
            );
        }
    }

    #[test]
    fn row_63_a_method_that_may_do_harm_is_retried_only_when_it_was_not_sent() {
        let deliveries = [
            (Delivery::Unsent, true),
            (Delivery::OutcomeUnknown, false),
            (Delivery::Answered, false),
        ];
        for (delivery, plain) in deliveries {
            let error = error(Code::Unavailable).with_delivery(delivery);
            assert_eq!(is_retryable(&PLAIN, &error), plain, "{delivery:?}");
            assert!(is_retryable(&PLAIN.no_side_effects(), &error));
            let keyed = PLAIN.idempotency_key("key");
            assert!(is_retryable(&keyed, &error));
            let unknown = delivery == Delivery::OutcomeUnknown;
            assert_eq!(
                requires_same_endpoint(&keyed, &error),
                unknown,
                "{delivery:?}"
            );
            assert!(!requires_same_endpoint(&PLAIN.idempotent(), &error));
        }
    }

    #[test]
    fn row_62_what_had_its_retries_gets_no_more() {
        let mut error = error(Code::Unavailable).with_delivery(Delivery::Unsent);
        error.set_retried(true);
        assert!(!is_retryable(&PLAIN.idempotent(), &error));
    }

    #[test]
    fn the_text_counts() {
        let text = |attempts, why| {
            let mut error = error(Code::Unavailable);
            annotate(&mut error, attempts, why);
            error.message().to_owned()
        };
        assert_eq!(text(1, None), "why");
        assert_eq!(text(3, None), "why (after 3 attempts)");
        assert_eq!(text(1, Some("no")), "why (after 1 attempt; no)");
    }
}

//! Runs the attempts of a call and decides after each one whether to retry.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::attempt::{AttemptOutcome, attempt, is_retryable};
use super::endpoint::{Endpoint, InFlightGuard};
use super::outbound::OutboundRequest;
use super::response_stream::AttemptStream;
use super::stack::MIN_REMAINING;
use super::transport::is_passed_on;
use super::{ClientInner, hedge};
use crate::descriptor::{Idempotency, MethodDescriptor};
use crate::error::{Error, Execution};
use crate::middleware::{Body, BoxFuture, Guards, Request, Response};
use crate::observe::AttemptObservation;
use crate::streaming::Streaming;

/// The number of attempts of a call that a server may leave unprocessed (`GOAWAY`,
/// `REFUSED_STREAM`) without a cost: they count neither as attempts nor against the retry budget. A
/// server that closes each connection after some requests does so many times in a row, and nothing
/// is wrong with it.
const MAX_FREE: u32 = 5;

/// Sends a call and retries it as the policy of the client allows.
///
/// The request is borrowed by each attempt and not copied. It is converted before the future is
/// created, because the future would otherwise reserve memory for both forms.
pub(super) fn run(client: Arc<ClientInner>, request: Request) -> BoxFuture<Response> {
    let max_attempts = if request.may_retry() {
        client.retry.attempts
    } else {
        1
    };
    let (request, guards) = OutboundRequest::from_request(request);
    Box::pin(run_attempts(client, request, guards, max_attempts))
}

async fn run_attempts(
    client: Arc<ClientInner>,
    mut request: OutboundRequest,
    _guards: Guards,
    max_attempts: u32,
) -> Response {
    client.budget.deposit();
    let mut attempts = Attempts::default();
    let mut last: Option<(Arc<Endpoint>, Response)> = None;
    loop {
        let before = last.as_ref().map(|(endpoint, _)| endpoint);
        let guard = match pick(&client, before, &attempts, request.method) {
            Ok(guard) => guard,
            Err(unavailable) => return no_endpoint(unavailable, last, &attempts),
        };
        let endpoint = Arc::clone(guard.endpoint());
        if let Some(log) = &request.attempts {
            log.begin();
        }
        let AttemptOutcome {
            mut response,
            observation,
            sent,
        } = match hedge::delay(&client, &request, attempts.sent, max_attempts) {
            // Boxed to keep the future of calls without a hedge small.
            Some(after) => Box::pin(hedge::run(&client, guard, &request, after)).await,
            None => attempt(&client, guard, &request).await,
        };
        attempts.record(sent, response.error());
        if let Some(log) = &request.attempts {
            log.end(sent, response.error());
        }
        let decision = match response.error() {
            Some(error) => {
                // A busy server asks for a pause; another one may have capacity now.
                let waits = attempts.require_same_endpoint(request.method)
                    || is_passed_on(error)
                    || !client.balancer.has_other(&endpoint);
                let pause = error.retry_after().filter(|_| waits);
                decide(&client, &request, error, pause, &mut attempts, max_attempts)
            }
            None => RetryDecision::Done,
        };
        if let RetryDecision::Retry(delay) = decision {
            observation.end(&response, Some(delay));
            last = Some((endpoint, response));
            tokio::time::sleep(delay).await;
            request.context = request.context.for_attempt(attempts.sent + 1);
            continue;
        }
        match response.body_mut().and_then(Body::as_stream_mut) {
            Some(messages) => observe_stream(messages, observation),
            None => observation.end(&response, None),
        }
        if let Some(error) = response.error_mut() {
            let reason = match decision {
                RetryDecision::GiveUp(reason) => {
                    error.set_retries_exhausted(true);
                    reason
                }
                _ => None,
            };
            attempts.finish(error, reason);
        }
        return response;
    }
}

/// Ends the observation of an attempt with its response stream.
fn observe_stream(messages: &mut Streaming<Bytes>, observation: AttemptObservation) {
    if observation.is_observed() {
        *messages = Streaming::from_source(AttemptStream {
            messages: std::mem::take(messages),
            observation: Some(observation),
            received: 0,
        });
    }
}

/// Takes an endpoint for the next attempt: another one than `before`, unless only that one may get
/// the call.
fn pick(
    client: &ClientInner,
    before: Option<&Arc<Endpoint>>,
    attempts: &Attempts,
    method: &MethodDescriptor,
) -> Result<InFlightGuard, Error> {
    match before {
        Some(endpoint) if attempts.require_same_endpoint(method) => Ok(endpoint.acquire()),
        _ => client.balancer.pick(before),
    }
}

/// The attempts of a call so far.
#[derive(Default)]
struct Attempts {
    sent: u32,
    /// The attempts that a server did not process, up to [`MAX_FREE`].
    free: u32,
    /// Whether one of them may have been executed.
    maybe_executed: bool,
}

impl Attempts {
    /// Records an attempt, or an attempt and its hedge, that ended with this error or a result.
    fn record(&mut self, sent: u32, error: Option<&Error>) {
        self.sent += sent;
        // Of a hedged call, one attempt is canceled, or has failed before.
        self.maybe_executed |= sent > 1 || error.is_some_and(|error| !error.is_not_executed());
    }

    /// Returns whether further attempts must go to the endpoint at which the last one failed.
    ///
    /// The call may be running there, or its result may be kept there. Servers usually keep
    /// idempotency keys in a store of their own, so another server would not know the key and would
    /// execute the call a second time.
    fn require_same_endpoint(&self, method: &MethodDescriptor) -> bool {
        self.maybe_executed && matches!(method.idempotency, Idempotency::Keyed { .. })
    }

    /// Corrects the error of the last attempt to that of the call: an earlier attempt may have been
    /// executed. Adds the number of attempts, and why there were no more, to the message. Adds
    /// nothing if there was one attempt and no reason is given.
    fn finish(&self, error: &mut Error, reason: Option<&str>) {
        if self.maybe_executed && !error.is_safe_to_repeat() {
            error.set_execution(Execution::Unknown);
        }
        let attempts = self.sent;
        let plural = if attempts == 1 { "" } else { "s" };
        match reason {
            Some(reason) => error.add_note(&format!("after {attempts} attempt{plural}; {reason}")),
            None if attempts > 1 => error.add_note(&format!("after {attempts} attempts")),
            None => {}
        }
    }

    /// Records whether the last attempt was free, and returns it.
    fn end(&mut self, error: &Error) -> bool {
        let is_free = error.execution() == Execution::NotProcessed && self.free < MAX_FREE;
        self.free += u32::from(is_free);
        is_free
    }
}

/// The step that follows an attempt.
enum RetryDecision {
    /// The call succeeded, or failed with an error that is not retryable.
    Done,
    /// The error is retryable, but no further attempt is allowed. Holds the reason unless it is the
    /// maximum number of attempts.
    GiveUp(Option<&'static str>),
    /// Another attempt follows after this delay.
    Retry(Duration),
}

/// Decides after the error of the last attempt. `pause` is the delay that the server has asked for,
/// if the next attempt must wait for it.
fn decide(
    client: &ClientInner,
    request: &OutboundRequest,
    error: &Error,
    pause: Option<Duration>,
    attempts: &mut Attempts,
    max_attempts: u32,
) -> RetryDecision {
    if max_attempts == 1 || !is_retryable(request.method, error) {
        return RetryDecision::Done;
    }
    if !request.can_repeat() {
        return RetryDecision::GiveUp(Some("the stream of the request was read in part"));
    }
    let is_free = attempts.end(error);
    if !is_free && attempts.sent - attempts.free >= max_attempts {
        return RetryDecision::GiveUp(None);
    }
    let delay = client.retry.delay(attempts.sent, pause, fastrand::f64());
    let left = request.context.remaining();
    if left.is_some_and(|left| left <= delay.saturating_add(MIN_REMAINING)) {
        return RetryDecision::GiveUp(Some("no time for another attempt before the deadline"));
    }
    if !is_free && !client.budget.withdraw() {
        return RetryDecision::GiveUp(Some("the retry budget is exhausted"));
    }
    RetryDecision::Retry(delay)
}

/// Returns the response of a call that has no endpoint for its next attempt: the response of the
/// last attempt, which is more specific, or else the error of the balancer.
fn no_endpoint<N>(
    unavailable: Error,
    last: Option<(N, Response)>,
    attempts: &Attempts,
) -> Response {
    match last {
        Some((_, mut response)) => {
            if let Some(error) = response.error_mut() {
                attempts.finish(error, Some("no address is available for another attempt"));
                error.set_retries_exhausted(true);
            }
            response
        }
        None => unavailable.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    const PLAIN: MethodDescriptor = MethodDescriptor::new("a.B", "c", "C", "/a.B/C");

    fn error(code: Code) -> Error {
        Error::without_location(code, "why")
    }

    #[test]
    fn only_transient_errors_are_retried() {
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
    fn an_unknown_outcome_binds_unsafe_and_keyed_calls() {
        let states = [
            (Execution::DependencyNotExecuted, true),
            (Execution::NotProcessed, true),
            (Execution::NotExecuted, true),
            (Execution::Unknown, false),
        ];
        for (execution, not_executed) in states {
            let error = error(Code::Unavailable).with_execution(execution);
            assert_eq!(is_retryable(&PLAIN, &error), not_executed, "{execution:?}");
            assert!(is_retryable(&PLAIN.no_side_effects(), &error));
            let keyed = PLAIN.idempotency_key("key");
            assert!(is_retryable(&keyed, &error));
            let mut attempts = Attempts::default();
            attempts.record(1, Some(&error));
            let same = attempts.require_same_endpoint(&keyed);
            assert_eq!(same, !not_executed, "{execution:?}");
            assert!(!attempts.require_same_endpoint(&PLAIN.idempotent()));
            // An attempt that was not executed does not change what an earlier one may have done.
            let mut last = self::error(Code::Unavailable).not_executed();
            attempts.record(1, Some(&last));
            assert_eq!(attempts.require_same_endpoint(&keyed), same);
            attempts.finish(&mut last, None);
            assert_eq!(last.is_not_executed(), not_executed, "{execution:?}");
        }
    }

    #[test]
    fn an_error_with_exhausted_retries_is_not_retried() {
        let mut error = error(Code::Unavailable).not_executed();
        error.set_retries_exhausted(true);
        assert!(!is_retryable(&PLAIN.idempotent(), &error));
    }

    #[test]
    fn the_message_has_the_number_of_attempts() {
        let text = |sent, reason| {
            let mut error = error(Code::Unavailable);
            let attempts = Attempts {
                sent,
                ..Attempts::default()
            };
            attempts.finish(&mut error, reason);
            error.message().to_owned()
        };
        assert_eq!(text(1, None), "why");
        assert_eq!(text(3, None), "why (after 3 attempts)");
        assert_eq!(text(1, Some("no")), "why (after 1 attempt; no)");
    }
}

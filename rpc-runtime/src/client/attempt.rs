//! One attempt of a call.

use super::ClientInner;
use super::endpoint::InFlightGuard;
use super::outbound::OutboundRequest;
use crate::descriptor::{Idempotency, MethodDescriptor};
use crate::error::{Code, Error};
use crate::middleware::Response;
use crate::observe::{AttemptObservation, CallStart};

/// The result of one attempt, or of an attempt and its hedge.
pub(super) struct AttemptOutcome {
    pub(super) response: Response,
    /// Ended by the receiver, once it is known whether another attempt follows.
    pub(super) observation: AttemptObservation,
    /// The number of attempts sent: 2 for a hedged one.
    pub(super) sent: u32,
}

/// Sends a request to the endpoint of the guard.
pub(super) async fn attempt(
    client: &ClientInner,
    guard: InFlightGuard,
    request: &OutboundRequest,
) -> AttemptOutcome {
    let endpoint = guard.endpoint();
    let (method, context) = (request.method, &request.context);
    let start = || CallStart {
        request_bytes: request.message_len(),
        ..CallStart::client(method, context, endpoint.transport().target())
    };
    let observation = client.observers.start_attempt(method, context, start);
    let mut response = if client.attempt_layers.is_empty() {
        endpoint.send(request).await
    } else {
        let layers = &client.attempt_layers;
        let mut response = layers.run(endpoint, request.to_request()).await;
        if let Some(error) = response.error_mut() {
            // A layer may have failed after the attempt.
            context.correct_execution(error);
        }
        response
    };
    if let Some(body) = response.body_mut().filter(|body| body.is_stream()) {
        // In flight until its end.
        body.hold(guard);
    }
    AttemptOutcome {
        response,
        observation,
        sent: 1,
    }
}

/// Returns whether the call may be sent again after this error: the error is transient, and the
/// call was not executed, or a second execution does no harm.
pub(super) fn is_retryable(method: &MethodDescriptor, error: &Error) -> bool {
    let transient = match error.code() {
        Code::Unavailable => true,
        // A used-up quota lasts. The server sends a delay if it expects the quota to recover.
        Code::ResourceExhausted => error.retry_after().is_some(),
        _ => false,
    };
    let safe = match method.idempotency {
        Idempotency::Idempotent | Idempotency::Keyed { .. } | Idempotency::NoSideEffects => true,
        // A caller above its quota decides itself whether to wait.
        Idempotency::Unknown => error.is_not_executed() && error.code() == Code::Unavailable,
    };
    transient && safe && !error.retries_exhausted()
}

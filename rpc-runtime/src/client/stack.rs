//! The client's middleware stack, from the outermost part to the innermost.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout_at;

use super::ended::end_call;
use super::handle::CallHandle;
use super::response_stream::{StreamStart, StreamedCall};
use super::{Client, ClientInner};
use crate::compression::Compression;
use crate::context::{Context, RequestId};
use crate::descriptor::{Idempotency, MethodDescriptor};
use crate::error::Error;
use crate::metadata::Metadata;
use crate::method::RedactedArguments;
use crate::middleware::{Body, BoxFuture, Request, Response};
use crate::observe::{CallSpan, CallStart, CallTrace};
use crate::protocol::SendOptions;

/// The minimum time before the deadline for a call to be sent. The timeout header has whole
/// milliseconds, so a shorter time would be sent as 0.
pub(super) const MIN_REMAINING: Duration = Duration::from_millis(1);

/// The parts of a call that do not depend on its types.
pub(super) struct CallParts {
    pub(super) client: Client,
    pub(super) method: &'static MethodDescriptor,
    /// Formats the arguments for the log, without secrets.
    pub(super) redacted_arguments: Option<&'static dyn RedactedArguments>,
    /// The context that the call is made in.
    pub(super) context: Context,
    /// `None` for a method without side effects.
    pub(super) outgoing: Option<OutgoingCall>,
    pub(super) timeout: Option<Duration>,
    pub(super) metadata: Metadata,
    /// The request message, or the error of encoding it.
    pub(super) body: Result<Body, Error>,
    /// Whether the call may be retried and hedged.
    pub(super) retry: bool,
    pub(super) options: OwnOptions,
    pub(super) handle: Option<CallHandle>,
}

/// The options of one call, which replace those of its client.
#[derive(Default)]
pub(super) struct OwnOptions {
    pub(super) compression: Option<Compression>,
    pub(super) use_get: Option<bool>,
    pub(super) message_limit: Option<usize>,
}

impl OwnOptions {
    fn or(self, of_client: SendOptions) -> SendOptions {
        SendOptions {
            compression: self.compression.unwrap_or(of_client.compression),
            use_get: self.use_get.unwrap_or(of_client.use_get),
            message_limit: self.message_limit.unwrap_or(of_client.message_limit),
            disclosure: of_client.disclosure,
        }
    }
}

/// The end of a call.
pub(super) struct CallResult {
    pub(super) request_id: RequestId,
    pub(super) response: Response,
    /// The context that the call was made in.
    pub(super) callers: Context,
}

/// Sends a call.
pub(super) async fn run(call: CallParts) -> CallResult {
    let CallParts {
        client,
        method,
        redacted_arguments,
        context: callers,
        outgoing: counted,
        timeout,
        metadata,
        body,
        retry,
        options,
        handle,
    } = call;
    let inner = &*client.0;
    let stream = method
        .is_streaming()
        .then(|| StreamStart::new(&client, handle.as_ref()));
    let timeout = timeout
        .or(method.timeout)
        .unwrap_or(if method.is_streaming() {
            Duration::MAX
        } else {
            inner.timeout
        });
    let trace = CallTrace::of(callers.flags(), redacted_arguments, || {
        body.as_ref().ok().and_then(Body::as_message).cloned()
    });
    let span = CallSpan::client(method, &callers, inner.balancer.target());
    let (context, failed) = match outgoing_context(inner, &callers, timeout) {
        Ok(outgoing) => (span.context(&outgoing).unwrap_or(outgoing), None),
        Err(error) => (callers.clone(), Some(error)),
    };
    // 1. Observers. Outermost, so that calls that are dropped or never sent are recorded too.
    let start = CallStart {
        request_bytes: body.as_ref().map_or(0, Body::len),
        // A call that is rejected here has the context of its caller, which may be a retry.
        attempt: 1,
        trace,
        ..CallStart::client(method, &context, inner.balancer.target())
    };
    let observation = inner.observers.start_in(span, start);
    let mut response = match (failed, body) {
        (Some(error), _) | (None, Err(error)) => unsent(error),
        (None, Ok(_)) if deadline_passed(&context) => unsent(Error::deadline_exceeded()),
        (None, Ok(mut body)) => {
            if let Some(stream) = &stream {
                stream.observe_request(&mut body, &callers);
            }
            let mut request = Request::new(method, context.clone(), metadata, body);
            request.set_retry(retry);
            request.set_send_options(options.or(inner.options));
            // 2. Deadline.  3. The layers of the client, once a call.
            // 4. Retries. Each attempt: load balancing, attempt layers, transport.
            match &handle {
                None => {
                    let work = inner.layers.run(&client.0, request);
                    let sending = send(counted, &context, work);
                    observation.span().instrument(sending).await
                }
                Some(handle) => {
                    request.set_attempts(Arc::clone(handle.log()));
                    let work = inner.layers.run(&client.0, request);
                    let sending = send(counted, &context, Box::pin(handle.clone().run(work)));
                    observation.span().instrument(sending).await
                }
            }
        }
    };
    // Only a call that was rejected before it was sent can have a context without an ID.
    let id = context.id().copied().unwrap_or_else(RequestId::random);
    if let Some(error) = response.error_mut() {
        end_call(error, id, method, &callers);
    }
    match (response.body_mut().and_then(Body::as_stream_mut), stream) {
        (Some(messages), Some(stream)) => {
            let call = StreamedCall {
                request_id: id,
                method,
                callers: callers.clone(),
            };
            stream.observe_response(messages, call, &context, observation);
        }
        _ => observation.end(&response),
    }
    CallResult {
        request_id: id,
        response,
        callers,
    }
}

/// Returns the context of a call that is made in the context of its caller.
fn outgoing_context(
    client: &ClientInner,
    callers: &Context,
    timeout: Duration,
) -> Result<Context, Error> {
    let (source, keys) = (client.source.as_ref(), client.identity.as_ref());
    callers.child(source, keys, Instant::now().checked_add(timeout))
}

/// Runs a call up to its deadline. `outgoing` learns whether it may have been executed.
async fn send(
    mut outgoing: Option<OutgoingCall>,
    context: &Context,
    work: BoxFuture<Response>,
) -> Response {
    // From here on, a call that is dropped may have been executed.
    if let Some(outgoing) = &mut outgoing {
        outgoing.may_have_run = true;
    }
    let mut response = match context.deadline() {
        Some(deadline) => timeout_at(deadline.into(), work)
            .await
            .unwrap_or_else(|_| Error::deadline_exceeded().into()),
        None => work.await,
    };
    if let Some(error) = response.error_mut() {
        // A layer may have failed after the call.
        context.correct_execution(error);
        if let Some(outgoing) = &mut outgoing {
            outgoing.may_have_run = !error.is_not_executed();
        }
    }
    response
}

/// A call that counts in the context of its caller as one that may be executed, from the moment
/// when it is made: it may be sent by a task, after the handler that made it has returned.
pub(super) struct OutgoingCall {
    callers: Context,
    may_have_run: bool,
}

impl OutgoingCall {
    /// Counts a call. Returns `None` for a method without side effects.
    pub(super) fn of(method: &MethodDescriptor, callers: &Context) -> Option<Self> {
        (method.idempotency != Idempotency::NoSideEffects).then(|| {
            callers.call_begins();
            Self {
                callers: callers.clone(),
                may_have_run: false,
            }
        })
    }
}

impl Drop for OutgoingCall {
    fn drop(&mut self) {
        if !self.may_have_run {
            self.callers.call_not_executed();
        }
    }
}

/// Returns the response of a call that is not sent.
fn unsent(error: Error) -> Response {
    error.not_executed().into()
}

fn deadline_passed(context: &Context) -> bool {
    context.remaining().is_some_and(|left| left < MIN_REMAINING)
}

//! The middleware stack of the server, from the outside to the inside.

use std::sync::Arc;
use std::time::Instant;

use tracing::Span;

use super::guard::{call_start, guarded, or_deadline_exceeded, within};
use super::response_stream::{ResponseStream, StreamedCall};
use super::service::Route;
use crate::context::{Context, RequestId};
use crate::descriptor::MethodDescriptor;
use crate::duration::saturating_deadline;
use crate::error::{Code, Error, Execution};
use crate::middleware::{Body, Request, Response};
use crate::observe::{CallStart, CallTrace, Observation, Rejection};
use crate::server::admission::{self, OwnedPermit, Permit};
use crate::server::call::trust::ErrorScope;
use crate::server::inner::ServerInner;
use crate::server::memory::CallMemory;
use crate::streaming::{StreamActivity, Streaming};

/// Runs a call whose caller and context are known. An error of the response is not sanitized yet.
/// `memory` is that of a caller in another process.
async fn run(
    inner: &Arc<ServerInner>,
    route: &Arc<Route>,
    mut request: Request,
    context: &Context,
    errors: ErrorScope,
    memory: Option<CallMemory<'_>>,
) -> Response {
    // 1. Observers: outermost, so that they see every outcome, including a dropped call.
    let mut start = call_start(&request);
    start.chain_is_sent = errors == ErrorScope::Chain;
    start.trace = CallTrace::of(Some(inner.server_info().flags()), route.show(), || {
        request.body().as_message().cloned()
    });
    let activity = request.body_mut().take_held::<StreamActivity>();
    let mut stream_span = None;
    let deadline = request.context().deadline();
    let late = deadline.is_some_and(|deadline| deadline <= start.at);
    let mut observation = inner.observers().start(start);
    if let Some(traced) = observation.span().context(request.context()) {
        request.replace_context(traced);
    }
    let admitted = if late {
        // The caller no longer waits for the response, so the call is not run.
        Err(Error::deadline_exceeded().into())
    } else {
        // 2. Authorization.  3. Admission, which waits until the deadline at most. At an edge with
        // users: admission, authentication, authorization.
        let rules = route.admission_rules();
        admission::enter(
            inner.gate(),
            inner.authentication(),
            &rules,
            request.context(),
        )
        .await
    };
    let mut response = match admitted {
        Err(refused) => {
            observation.reject(refused.rejection);
            refused.error.not_executed().into()
        }
        Ok(permit) if route.method().detached && route.idempotency.is_none() => {
            // Boxed, so that it does not enlarge the future of every other call.
            let span = observation.span().or(|| log_span(route, context));
            Box::pin(run_detached(inner, route, request, permit, span)).await
        }
        Ok(mut permit) => {
            if route.idempotency.is_some() {
                // Held by the body: until the handler returns, or until the call starts to wait for
                // the result of another call with the same key.
                let permit = permit.take().map(|permit| owned(inner, permit));
                request.body_mut().hold(permit);
            }
            // 4. Deadline. Outside the panic guard, because a timer cannot panic and a handler can.
            // Boxed, because the futures around it, up to that of the connection, are moved before
            // they run.
            let span = observation.span().or(|| log_span(route, context));
            stream_span = route.method().server_streaming.then(|| span.clone());
            let work = Box::pin(work(inner, route, request, span));
            let response = within(deadline, work).await;
            let mut response = response.unwrap_or_else(|| too_late(context));
            hold(inner, permit, &mut response);
            response
        }
    };
    if let Some(error) = response.error_mut() {
        // Of a layer, which may have made a call.
        inner.remap(error, errors);
    }
    if let Some(span) = stream_span
        && response.body().is_some_and(Body::is_stream)
    {
        let call = StreamedCall {
            inner: Arc::clone(inner),
            method: route.method(),
            context: context.clone(),
            span,
            errors,
            memory: memory.map(CallMemory::to_owned),
            activity: activity.unwrap_or_else(StreamActivity::new),
        };
        return streamed(response, call, observation);
    }
    if let Some(memory) = memory {
        count(&mut response, memory, &mut observation);
    }
    observation.end(&response);
    response
}

/// Returns the response of a call that goes on until its response stream ends.
fn streamed(mut response: Response, call: StreamedCall, observation: Observation) -> Response {
    let trailers = std::mem::take(response.trailers_mut());
    if let Some(messages) = response.body_mut().and_then(Body::as_stream_mut) {
        let stream = ResponseStream::new(std::mem::take(messages), call, trailers, observation);
        *messages = Streaming::from_source(stream);
    }
    response
}

/// Counts the message of a response until it is sent. If there is no memory for it, the response
/// becomes an error.
fn count(response: &mut Response, memory: CallMemory<'_>, observation: &mut Observation) {
    let Some(message) = response.body_mut().and_then(Body::message_mut) else {
        return;
    };
    match memory.count(std::mem::take(message)) {
        Ok(counted) => *message = counted,
        Err(refused) => {
            observation.reject(Some(Rejection::Overload));
            *response = refused.of_response().into();
        }
    }
}

/// Returns the response of a call whose deadline has passed. A handler that has not begun until
/// then does not begin later.
fn too_late(context: &Context) -> Response {
    let mut error = Error::deadline_exceeded();
    if context.refuse() {
        error.set_execution(Execution::NotExecuted);
        // A layer may have made a call.
        context.correct_execution(&mut error);
    }
    error.into()
}

/// Keeps the permit of a call until its response stream ends. A response of one message releases it
/// immediately, because a client that reads slowly must not block other calls.
fn hold(inner: &ServerInner, permit: Option<Permit<'_>>, response: &mut Response) {
    if let Some(permit) = permit
        && let Some(body) = response.body_mut()
        && body.as_message().is_none()
    {
        body.hold(owned(inner, permit));
    }
}

/// Converts a permit into one that can outlive its call.
fn owned(inner: &ServerInner, permit: Permit<'_>) -> OwnedPermit {
    permit.into_owned(Arc::clone(inner.gate()))
}

/// Returns the span of a call: every event of the handler has the request ID.
fn log_span(route: &Route, context: &Context) -> Span {
    tracing::info_span!(
        target: "rpc",
        "call",
        request_id = context.request_id(),
        method = route.method().name
    )
}

/// Runs a call in its span, context and panic guard, which also cover the drop of the handler.
async fn work(inner: &ServerInner, route: &Arc<Route>, request: Request, span: Span) -> Response {
    let context = request.context().clone();
    // 5. The span. 6. Context and 7. panic guard, in `guarded`. 8. The developer's layers. 9. For
    // a method with an idempotency key, the stored results of earlier calls. 10. The handler.
    guarded(&context, span, async {
        match request.context().faults().cloned() {
            None => route.layers().run(route, request).await,
            // An injected fault fails inside the layers, as a handler would. Boxed, so that it does
            // not enlarge the future of every call.
            Some(plan) => Box::pin(inner.faults().run(route, &plan, request)).await,
        }
    })
    .await
}

/// Runs a `detached` method on a separate task, which keeps running if the caller disconnects.
async fn run_detached(
    inner: &Arc<ServerInner>,
    route: &Arc<Route>,
    mut request: Request,
    permit: Option<Permit<'_>>,
    span: Span,
) -> Response {
    let permit = permit.map(|permit| owned(inner, permit));
    let callers_deadline = request.context().deadline();
    let cap = route
        .method()
        .timeout
        .unwrap_or(inner.limits().deadline_cap);
    let work_deadline = saturating_deadline(Instant::now(), cap);
    let started = call_start(&request);
    request.replace_context(request.context().with_later_deadline(work_deadline));
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let (task_inner, task_route) = (Arc::clone(inner), Arc::clone(route));
    inner.tasks().spawn(async move {
        let response = within(
            Some(work_deadline),
            work(&task_inner, &task_route, request, span),
        )
        .await;
        let response = or_deadline_exceeded(response);
        // Released only now, because the work may have outlived the caller's request.
        drop(permit);
        if let Err(response) = sender.send(response) {
            // The caller disconnected or received `deadline_exceeded`: observers still receive the
            // outcome.
            task_inner.observers().detached_ended(&started, &response);
        }
    });
    let waiting = async {
        receiver.await.unwrap_or_else(|_| {
            Error::without_location(
                Code::Unavailable,
                "the server stopped before the work was done; the call may have been executed",
            )
            .into()
        })
    };
    or_deadline_exceeded(within(callers_deadline, waiting).await)
}

impl ServerInner {
    /// Runs a call. An error of the response is sanitized for the caller. `memory` counts the
    /// response until it is sent; `None` for a caller in this process.
    pub(crate) async fn call(
        self: &Arc<Self>,
        route: &Arc<Route>,
        request: Request,
        errors: ErrorScope,
        memory: Option<CallMemory<'_>>,
    ) -> Response {
        let context = request.context().clone();
        let id = context.id().copied();
        let mut response = run(self, route, request, &context, errors, memory).await;
        if let Some(error) = response.error_mut() {
            // A task of a layer may still hold the call, whose handler must not begin later.
            let is_refused = error.is_not_executed() && context.refuse();
            if error.execution() == Execution::DependencyNotExecuted {
                // A layer made that call. If it did so after the handler, that may have done
                // something.
                if is_refused {
                    context.settle_execution(error);
                } else {
                    error.set_execution(Execution::Unknown);
                }
            }
            self.sanitize_for_wire(error, Some(route.method()), id, errors);
        }
        response
    }

    /// Returns the error for a message over the limit.
    pub(crate) fn too_large(&self) -> Error {
        let limit = self.limits().message_bytes;
        let text = format!("message exceeds the server's limit of {limit} bytes");
        Error::without_location(Code::ResourceExhausted, text)
    }

    /// Observes and rejects a call before it reaches its handler. Returns the error for its caller.
    pub(crate) fn refuse(
        &self,
        method: Option<&'static MethodDescriptor>,
        context: &Context,
        error: Error,
        errors: ErrorScope,
    ) -> Error {
        self.refuse_for(None, method, context, error, errors)
    }

    /// Rejects a call as [`refuse`](Self::refuse) does. With a `rejection` the request is valid,
    /// and the server could serve it at another time.
    pub(crate) fn refuse_for(
        &self,
        rejection: Option<Rejection>,
        method: Option<&'static MethodDescriptor>,
        context: &Context,
        error: Error,
        errors: ErrorScope,
    ) -> Error {
        let call = CallStart {
            trace: CallTrace::of(Some(self.server_info().flags()), None, || None),
            ..CallStart::server(method, context)
        };
        let mut error = error.not_executed();
        let mut observation = self.observers().start(call);
        observation.reject(rejection);
        match rejection {
            Some(_) => observation.end_with(Some(&error), 0),
            None => observation.end_bad_request(&error),
        }
        self.sanitize_for_wire(&mut error, method, context.id().copied(), errors);
        error
    }

    /// Turns an error of a dependency or a client into one of this server. Of a variant of a
    /// dependency's enum, only trusted callers learn.
    pub(crate) fn remap(&self, error: &mut Error, errors: ErrorScope) {
        let source = self.source().as_str();
        error.remap_dependency_error(source);
        if errors == ErrorScope::Own {
            error.hide_variant(source);
        }
    }

    pub(crate) fn sanitize_for_wire(
        &self,
        error: &mut Error,
        method: Option<&'static MethodDescriptor>,
        id: Option<RequestId>,
        errors: ErrorScope,
    ) {
        let id = id.unwrap_or_else(RequestId::random);
        let (service, method) =
            method.map_or(("", ""), |method| (method.service, method.full_name()));
        self.remap(error, errors);
        match errors {
            ErrorScope::Own => error.redact(id, service),
            ErrorScope::Chain => {
                error.sanitize_for_wire(self.source().as_str(), method, service);
                error.set_request_id(id);
            }
        }
    }
}

//! The server's onion, read from the outside to the inside.

use std::sync::Arc;
use std::time::Instant;

use tokio::time::timeout_at;
use tracing::{Instrument as _, Span};

use super::faults;
use super::panic::CatchPanic;
use super::service::Route;
use crate::context::Context;
use crate::error::{Code, Error};
use crate::middleware::{Request, Response};
use crate::observe::{CallStart, CallTrace};
use crate::server::admission::{self, OwnedPermit, Permit};
use crate::server::inner::ServerInner;

/// Runs a call whose identity and context are known. The answer's error is not published yet.
pub(crate) async fn run(
    inner: &Arc<ServerInner>,
    route: &Arc<Route>,
    mut request: Request,
) -> Response {
    // 1. Observe: outermost, so that whatever happens below is seen, a drop included.
    let mut start = started(&request);
    start.trace = CallTrace::of(Some(inner.server_info().flags()), route.show(), || {
        request.body().as_message().cloned()
    });
    let deadline = request.context().deadline();
    let late = deadline.is_some_and(|deadline| deadline <= start.at);
    let mut observation = inner.observers().start(start);
    let admitted = if late {
        // Nobody waits for the answer any more: do not do dead work.
        Err(Error::deadline_exceeded().into())
    } else {
        // 2. Authorization.  3. Admission, which waits no longer than the deadline.
        admission::enter(inner.gate(), route, request.context()).await
    };
    let response = match admitted {
        Err(refused) => {
            observation.reject(refused.rejection);
            refused.error.into()
        }
        Ok(permit) if route.method().detached && route.idempotency.is_none() => {
            // Boxed, so that the future of every other call has no room for it.
            Box::pin(answer_detached(inner, route, request, permit)).await
        }
        Ok(mut permit) => {
            if route.idempotency.is_some() {
                // It goes on with what runs, or is given back by a call that waits for another one's result.
                let permit = permit.take().map(|permit| owned(inner, permit));
                request.body_mut().hold(permit);
            }
            // 4. Deadline. Around the panic guard, because a timer cannot panic and a handler can.
            // Boxed, because the futures around it, up to that of the connection, are moved before they run.
            let work = Box::pin(work(inner, route, request));
            let mut response = answered(within(deadline, work).await);
            hold(inner, permit, &mut response);
            response
        }
    };
    observation.end(&response);
    response
}

/// Keeps the place of a call for as long as its answer makes work. One message is no work any more: whoever is slow to
/// read it must not keep others out.
fn hold(inner: &ServerInner, permit: Option<Permit<'_>>, response: &mut Response) {
    if let Some(permit) = permit
        && let Some(body) = response.body_mut()
        && body.as_message().is_none()
    {
        body.hold(owned(inner, permit));
    }
}

/// The same place for what outlives its call.
fn owned(inner: &ServerInner, permit: Permit<'_>) -> OwnedPermit {
    permit.into_owned(Arc::clone(inner.gate()))
}

/// What a call does, with all that is around it while it is polled and dropped.
async fn work(inner: &ServerInner, route: &Arc<Route>, request: Request) -> Response {
    let context = request.context().clone();
    // 5. The span: every event of the handler says which request it belongs to.
    let span = tracing::info_span!(
        target: "rpc",
        "call",
        request_id = context.request_id(),
        method = route.method().name
    );
    // 8. The developer's layers, then the handler; between them, for a method with an idempotency key, the results of
    // earlier calls.
    guarded(&context, span, async {
        match request.context().faults().cloned() {
            None => inner.layers().run(route, request).await,
            // What fails on purpose fails inside of the layers, as a handler would. Boxed, so that it takes no room in the
            // future of every call.
            Some(plan) => Box::pin(faults::run(inner, route, &plan, request)).await,
        }
    })
    .await
}

/// Runs code of the developer's, with all that it may count on.
pub(crate) async fn guarded(
    context: &Context,
    span: Span,
    work: impl Future<Output = Response>,
) -> Response {
    // 6. The context.
    // 7. Catch panic. Decoding the arguments is inside: it runs the developer's code as well.
    let work = context.clone().scope(CatchPanic::new(work));
    let outcome = work.instrument(span).await;
    with_metadata(outcome.unwrap_or_else(Response::from), context)
}

/// Runs the work of a `detached` method on a task of its own, which no caller can stop.
async fn answer_detached(
    inner: &Arc<ServerInner>,
    route: &Arc<Route>,
    mut request: Request,
    permit: Option<Permit<'_>>,
) -> Response {
    let permit = permit.map(|permit| owned(inner, permit));
    let callers_deadline = request.context().deadline();
    let cap = route
        .method()
        .timeout
        .unwrap_or(inner.limits().deadline_cap);
    let work_deadline = Instant::now().checked_add(cap);
    let started = started(&request);
    if let Some(work_deadline) = work_deadline {
        request.set_context(request.context().with_later_deadline(work_deadline));
    }
    let (answer, done) = tokio::sync::oneshot::channel();
    let (task_inner, task_route) = (Arc::clone(inner), Arc::clone(route));
    inner.tasks().spawn(async move {
        let response = within(work_deadline, work(&task_inner, &task_route, request)).await;
        let response = answered(response);
        // The caller may be long gone; the work was there until now.
        drop(permit);
        if let Err(response) = answer.send(response) {
            // The caller is gone or was told `deadline_exceeded`: somebody should still know how it ended.
            task_inner.observers().detached_ended(&started, &response);
        }
    });
    let waiting = async {
        done.await.unwrap_or_else(|_| {
            Error::without_location(
                Code::Unavailable,
                "the server stopped before the work was done",
            )
            .into()
        })
    };
    answered(within(callers_deadline, waiting).await)
}

pub(crate) fn answered(response: Option<Response>) -> Response {
    response.unwrap_or_else(|| Error::deadline_exceeded().into())
}

/// What work gives before its deadline.
pub(crate) async fn within<T>(
    deadline: Option<Instant>,
    work: impl Future<Output = T>,
) -> Option<T> {
    match deadline {
        Some(deadline) => timeout_at(deadline.into(), work).await.ok(),
        None => Some(work.await),
    }
}

/// What the handler set by `Context::response`, on success and on error.
fn with_metadata(mut response: Response, context: &Context) -> Response {
    let (headers, trailers) = context.take_response();
    if !headers.is_empty() {
        response.headers_mut().extend(headers);
    }
    if !trailers.is_empty() {
        response.trailers_mut().extend(trailers);
    }
    response
}

pub(crate) fn started(request: &Request) -> CallStart {
    CallStart {
        request_bytes: request.body().len(),
        ..CallStart::server(Some(request.method()), request.context())
    }
}

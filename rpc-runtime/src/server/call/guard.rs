//! Deadlines, task context and panic isolation around the code of a developer.

use std::time::Instant;

use tokio::time::timeout_at;
use tracing::{Instrument as _, Span};

use crate::context::Context;
use crate::error::Error;
use crate::middleware::{Request, Response};
use crate::observe::CallStart;
use crate::server::panic::CatchPanic;

/// Runs code of the developer in the context and span of its call, and turns a panic into an error.
pub(crate) async fn guarded(
    context: &Context,
    span: Span,
    work: impl Future<Output = Response>,
) -> Response {
    // The panic guard also covers the decoding of arguments, which runs the developer's code too.
    let work = context.clone().scope(CatchPanic::new(work));
    let outcome = work.instrument(span).await;
    with_metadata(outcome.unwrap_or_else(Response::from), context)
}

/// Returns the response, or `deadline_exceeded` for `None`.
pub(crate) fn or_deadline_exceeded(response: Option<Response>) -> Response {
    response.unwrap_or_else(|| Error::deadline_exceeded().into())
}

/// Runs `work` until the deadline; `None` when the deadline passes first.
pub(crate) async fn within<T>(
    deadline: Option<Instant>,
    work: impl Future<Output = T>,
) -> Option<T> {
    match deadline {
        Some(deadline) => timeout_at(deadline.into(), work).await.ok(),
        None => Some(work.await),
    }
}

/// Returns the start of a call for the observers.
pub(crate) fn call_start(request: &Request) -> CallStart {
    CallStart {
        request_bytes: request.body().len(),
        ..CallStart::server(Some(request.method()), request.context())
    }
}

/// Adds the metadata that the handler set by `Context::response`, on success and on error.
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

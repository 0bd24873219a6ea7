//! Plain HTTP in addition to the services: runs the application's own router with the context,
//! deadline, panic guard and observers of a call. Layers apply to calls only.
//!
//! Observers see the end when the head of the response is complete. The body then streams in the
//! same context and with a panic guard.

use std::error::Error as StdError;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body as AxumBody;
use bytes::Bytes;
use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::{Method, StatusCode};
use http_body::Body;
use tower_service::Service as _;
use tracing::Instrument as _;

use super::HttpResponse;
use super::pending_call::PendingCall;
use crate::context::Context;
use crate::duration::saturating_deadline;
use crate::error::{Code, Error};
use crate::observe::{CallStart, Observation};
use crate::protocol::connect::{self, CallRejection};
use crate::protocol::context::IncomingContext;
use crate::protocol::{metadata, printable};
use crate::server::call::access::AccessRejection;
use crate::server::call::body::{self, BodyEnd, ReadBodyError, ResponseBody, StoppableBody};
use crate::server::call::guard::within;
use crate::server::call::panic::CatchPanic;
use crate::server::call::trust::{Caller, Peer};
use crate::server::inner::ServerInner;

/// The maximum length of a verb in a text, in bytes.
const QUOTED_VERB: usize = 128;

/// Serves a request with the application's own router.
pub(super) async fn respond<B>(
    inner: &Arc<ServerInner>,
    peer: Peer,
    caller: Caller,
    incoming: IncomingContext,
    router: axum::Router,
    request: http::Request<B>,
) -> HttpResponse
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let context = incoming
        .builder
        .server_info(inner.server_info().clone())
        .deadline(saturating_deadline(
            Instant::now(),
            inner.limits().default_deadline,
        ))
        .metadata(metadata::read(request.headers()))
        .build();
    if let Some(rejection) = incoming.rejection {
        let (head, body) = request.into_parts();
        let call = PendingCall::new(inner, caller, None, &head);
        return call
            .refuse(&context, rejection.into(), Some(&mut pin!(body)))
            .await;
    }
    let (mut head, body) = request.into_parts();
    head.extensions.insert(caller);
    let body = if caller.is_signed() {
        match verified(inner, caller, &context, body).await {
            Ok(body) => AxumBody::from(body),
            Err(error) => {
                let call = PendingCall::new(inner, caller, None, &head);
                let unread = None::<&mut Pin<&mut AxumBody>>;
                return call.refuse(&context, error.into(), unread).await;
            }
        }
    } else {
        let stopping = inner.lifecycle().incomplete_ended().clone();
        AxumBody::new(StoppableBody::new(Box::pin(body), stopping))
    };
    let request = http::Request::from_parts(head, body);
    let verb = request.method().clone();
    let start = CallStart::http(label(request.method()), &context);
    let observation = inner.observers().start(start);
    let outcome = within(context.deadline(), run(router, request, &context)).await;
    let outcome = outcome.unwrap_or_else(|| Err(Error::deadline_exceeded()));
    match without_access_rejection(outcome, inner, &peer, &context) {
        Ok(mut response) => {
            explain_verb(&verb, &mut response);
            finish(observation, response, context)
        }
        Err(rejection) => reject(inner, caller, observation, rejection, &context),
    }
}

/// Makes a rejection of a response that stands for one: the caller may not call this path.
fn without_access_rejection(
    outcome: Result<http::Response<AxumBody>, Error>,
    inner: &ServerInner,
    peer: &Peer,
    context: &Context,
) -> Result<http::Response<AxumBody>, CallRejection> {
    let mut response = outcome?;
    match response.extensions_mut().remove() {
        Some(AccessRejection(rejection)) => {
            let id = context.request_id();
            inner.refusals().record(peer, id, &rejection.error);
            Err(rejection)
        }
        None => Ok(response),
    }
}

/// Reports a response of the router to the observers, and returns it with a body that runs in the
/// context of the call.
fn finish(
    observation: Observation,
    mut response: http::Response<AxumBody>,
    context: Context,
) -> HttpResponse {
    if response.status() == StatusCode::NO_CONTENT {
        // axum adds a length to every empty body; a 204 response must not have one.
        response.headers_mut().remove(CONTENT_LENGTH);
    }
    let bytes = response.body().size_hint().exact().unwrap_or(0);
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    let cause = response.extensions_mut().remove::<Error>();
    let status = response.status();
    let failed = code_of(status).map(|code| {
        let cause = cause.unwrap_or_else(|| without_cause(code, status));
        (code, cause)
    });
    let failed = failed.as_ref().map(|(code, cause)| (*code, cause));
    observation.end_http(status.as_u16(), failed, bytes);
    response.map(|body| ResponseBody::plain(body, context))
}

/// Reports a rejection to the observers, and returns its response.
fn reject(
    inner: &ServerInner,
    caller: Caller,
    observation: Observation,
    CallRejection { mut error, format }: CallRejection,
    context: &Context,
) -> HttpResponse {
    if error.code() == Code::PermissionDenied {
        observation.end_bad_request(&error);
    } else {
        observation.end_with(Some(&error), 0);
    }
    inner.sanitize_for_wire(&mut error, None, context.id().copied(), caller.errors());
    connect::write_rejection(&error, format).map(ResponseBody::full)
}

/// Adds a text to the 405 of axum, which says nothing.
fn explain_verb(verb: &Method, response: &mut http::Response<AxumBody>) {
    let is_bare = response.status() == StatusCode::METHOD_NOT_ALLOWED
        && response.body().size_hint().exact() == Some(0)
        && !response.headers().contains_key(CONTENT_TYPE);
    if !is_bare {
        return;
    }
    let allowed = response.headers().get(ALLOW);
    let allowed = allowed.and_then(|allowed| allowed.to_str().ok());
    let allowed = allowed.filter(|allowed| !allowed.is_empty());
    let advice = allowed.map_or_else(String::new, |allowed| {
        format!("; use {}", allowed.replace(',', ", ").replace("  ", " "))
    });
    let verb = printable(verb.as_str().as_bytes(), QUOTED_VERB);
    let text = format!("this path cannot be called with {verb}{advice}\n");
    *response.body_mut() = text.into();
    let headers = response.headers_mut();
    headers.remove(CONTENT_LENGTH);
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(CONTENT_TYPE, plain);
}

/// Reads the body of a signed request, and checks it against the signature.
async fn verified<B>(
    inner: &ServerInner,
    caller: Caller,
    context: &Context,
    body: B,
) -> Result<Bytes, Error>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let limits = inner.limits();
    let own = saturating_deadline(Instant::now(), limits.body_timeout);
    let deadline = context.deadline().map_or(own, |deadline| deadline.min(own));
    let end = BodyEnd {
        deadline: deadline.into(),
        stopping: inner.lifecycle().incomplete_ended(),
    };
    let read = body::read(&mut pin!(body), limits.message_bytes, end).await;
    let body = read.map_err(|failure| match failure {
        ReadBodyError::TooLarge => inner.too_large(),
        ReadBodyError::Late => {
            let text = "the body of the request did not arrive in time";
            Error::without_location(Code::DeadlineExceeded, text)
        }
        ReadBodyError::Stopping => {
            let text = "the server is stopping, and the request was not complete";
            Error::without_location(Code::Unavailable, text)
        }
        ReadBodyError::Broken(error) => {
            let text = "failed to read the body of the request";
            Error::without_location(Code::InvalidArgument, text).with_source(error)
        }
    })?;
    caller.check_body(&body)?;
    Ok(body)
}

async fn run(
    mut router: axum::Router,
    request: http::Request<AxumBody>,
    context: &Context,
) -> Result<http::Response<AxumBody>, Error> {
    let span = tracing::info_span!(
        target: "rpc",
        "http",
        request_id = context.request_id(),
        verb = label(request.method())
    );
    let response = async { router.call(request).await };
    let guarded = CatchPanic::new(response);
    match context.clone().scope(guarded).instrument(span).await? {
        Ok(response) => Ok(response),
        Err(never) => match never {},
    }
}

/// Returns the label that observers use instead of a method name. It omits the path, because
/// callers choose paths and the number of labels must stay small.
fn label(verb: &Method) -> &'static str {
    match verb.as_str() {
        "GET" => "http GET",
        "HEAD" => "http HEAD",
        "POST" => "http POST",
        "PUT" => "http PUT",
        "PATCH" => "http PATCH",
        "DELETE" => "http DELETE",
        "OPTIONS" => "http OPTIONS",
        _ => "http OTHER",
    }
}

/// Returns the code that observers see for a status; `None` for success. This is not the inverse of
/// the table of codes, where 404 stands for a missing method: here it stands for a missing
/// resource.
fn code_of(status: StatusCode) -> Option<Code> {
    Some(match status.as_u16() {
        ..400 => return None,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 | 410 => Code::NotFound,
        // 408 and 499: the client did not complete its request, or did not wait.
        408 | 499 => Code::Canceled,
        409 => Code::Aborted,
        412 => Code::FailedPrecondition,
        413 | 429 | 431 => Code::ResourceExhausted,
        400..500 => Code::InvalidArgument,
        501 => Code::Unimplemented,
        502 | 503 => Code::Unavailable,
        504 => Code::DeadlineExceeded,
        500.. => Code::Internal,
    })
}

/// Returns the error that observers see for a response without an error in its extensions.
fn without_cause(code: Code, status: StatusCode) -> Error {
    Error::without_location(code, format!("responded with HTTP {status}"))
}

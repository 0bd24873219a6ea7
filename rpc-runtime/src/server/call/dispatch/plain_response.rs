//! The responses to requests that are not calls: how observers see them, and errors.

use axum::body::Body as AxumBody;
use http::header::{HeaderValue, RETRY_AFTER};
use http::{Method, StatusCode};
use http_body::Body as _;

use super::HttpResponse;
use crate::context::Context;
use crate::error::{Code, Error};
use crate::observe::Observation;
use crate::protocol::connect::{self, RejectionFormat};
use crate::server::call::body::ResponseBody;
use crate::server::call::trust::Caller;
use crate::server::inner::ServerInner;

/// Reports a response to the observers, with the error in its extensions.
pub(super) fn observe_response(observation: Observation, response: &mut http::Response<AxumBody>) {
    let bytes = response.body().size_hint().exact().unwrap_or(0);
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    let cause = response.extensions_mut().remove::<Error>();
    let status = response.status();
    // Without a cause, the route itself refuses the request.
    let is_refused = status.is_client_error() && cause.is_none();
    let failed = code_of(status).map(|code| {
        let cause = cause.unwrap_or_else(|| without_cause(code, status));
        (code, cause)
    });
    let failed = failed.as_ref().map(|(code, cause)| (*code, cause));
    observation.end_http(status.as_u16(), failed, is_refused, bytes);
}

/// Returns the response of an error.
pub(super) fn error_response(
    inner: &ServerInner,
    caller: &Caller,
    mut error: Error,
    format: RejectionFormat,
    context: &Context,
) -> HttpResponse {
    let id = context.id().copied();
    inner.sanitize_for_wire(&mut error, None, id, caller.errors());
    let mut response = connect::write_rejection(&error, format).map(ResponseBody::full);
    if let Some(delay) = error.retry_after() {
        // For clients that do not know the details of errors. In whole seconds.
        let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Returns the label that observers use instead of a method name. It omits the path, because
/// callers choose paths and the number of labels must stay small.
pub(super) fn label(verb: &Method) -> &'static str {
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

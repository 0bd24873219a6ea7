//! Responses of the gatekeeper: text or JSON, without internal details.

use std::borrow::Cow;
use std::time::Duration;

use rpc_runtime::axum::body::Body;
use rpc_runtime::axum::http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, VARY,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use rpc_runtime::axum::http::{HeaderMap, StatusCode};
use rpc_runtime::axum::response::Response;
use rpc_runtime::{Code, Context, Error, Remote};
use serde_json::json;

use super::purchase::{KEY_HEADER, PurchaseKey};
use crate::api::controller::{ControllerError, Sold};
use crate::api::pricing::PricingError;
use crate::api::userstore::UserStoreError;

/// Default retry delay when a service is unavailable.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Header that marks the response of a purchase that was paid before, as other shops name it.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Result of a successful request.
#[derive(Debug)]
pub(super) enum NumberResponse {
    Sold(Sold, PurchaseKey),
    /// Result of HEAD and of a prefetch: nothing was sold.
    NoCharge,
}

/// Result of a failed request.
#[derive(Debug)]
pub(super) struct ErrorResponse {
    status: StatusCode,
    code: Code,
    text: Cow<'static, str>,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// The error of a service, for the log line of the request. It is not sent.
    cause: Option<Error>,
}

impl ErrorResponse {
    pub(super) fn new(status: StatusCode, code: Code, text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            code,
            text: text.into(),
            headers: Vec::new(),
            cause: None,
        }
    }

    fn with_cause(mut self, cause: &Error) -> Self {
        self.cause = Some(cause.clone());
        self
    }

    pub(super) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Adds the key of the purchase, so that a caller who sent none can repeat it.
    pub(super) fn with_key(mut self, key: &PurchaseKey) -> Self {
        self.headers.push(key_header(key));
        self
    }

    /// Returns whether a deadline passed.
    pub(super) fn is_late(&self) -> bool {
        let cause = self.cause.as_ref().map(Error::code);
        cause.unwrap_or(self.code) == Code::DeadlineExceeded
    }

    /// Returns whether a service failed, and not the request.
    pub(super) fn is_server_error(&self) -> bool {
        self.status.is_server_error()
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn no_such_path() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            Code::NotFound,
            "path not found; GET /10 returns the tenth Fibonacci number",
        )
    }

    pub(super) fn invalid(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Code::InvalidArgument, text)
    }

    pub(super) fn unauthenticated() -> Self {
        let refusal = Self::new(
            StatusCode::UNAUTHORIZED,
            Code::Unauthenticated,
            "Please authenticate",
        );
        let realm = HeaderValue::from_static("Basic realm=\"Website\", charset=\"UTF-8\"");
        refusal.with_header(WWW_AUTHENTICATE, realm)
    }

    /// Refuses a login because many of the same peer wait already.
    pub(super) fn too_many_logins() -> Self {
        Self::too_many_requests("too many logins from this address wait; retry later", None)
    }

    /// Refuses a request because the user has made too many that buy nothing, or waits for too many
    /// purchases.
    pub(super) fn too_many_of_user(retry_after: Duration) -> Self {
        Self::too_many_requests(
            "too many requests of this user wait or have bought nothing; retry later",
            Some(retry_after),
        )
    }

    fn too_many_requests(text: &'static str, retry_after: Option<Duration>) -> Self {
        let (status, code) = (StatusCode::TOO_MANY_REQUESTS, Code::ResourceExhausted);
        Self::new(status, code, text).with_retry_after(retry_after)
    }

    /// Refuses a purchase that has got no turn before the deadline.
    pub(super) fn not_begun(n: u64) -> Self {
        Self::new(
            StatusCode::GATEWAY_TIMEOUT,
            Code::DeadlineExceeded,
            format!("fib({n}) did not begin in time, so nothing was paid; retry later"),
        )
    }

    pub(super) fn key_required() -> Self {
        Self::new(
            StatusCode::PRECONDITION_REQUIRED,
            Code::FailedPrecondition,
            "a purchase needs an Idempotency-Key; send one of your choice with each purchase, \
             and the same one with its repeats",
        )
    }

    /// Converts an error of the user store during authentication.
    ///
    /// A wrong password is recognized by its variant: a user store that refuses the signature of
    /// this service responds with `unauthenticated` as well, which is not an error of the user.
    pub(super) fn of_login(error: &Remote<UserStoreError>) -> Self {
        match (&**error, error.code()) {
            // The name is not valid, or the user does not exist.
            (UserStoreError::WrongCredentials, _) | (_, Code::InvalidArgument | Code::NotFound) => {
                Self::unauthenticated()
            }
            (_, code) => Self::of_service(code, error.as_error().retry_after(), "logging in"),
        }
        .with_cause(error.as_error())
    }

    /// Converts an error of a user who cannot be sent to the other services.
    pub(super) fn of_user(error: &Error) -> Self {
        Self::of_service(error.code(), None, "logging in").with_cause(error)
    }

    /// Converts an error of the controller.
    ///
    /// A caller that has no key must not repeat a purchase that may be paid, and clients repeat by
    /// themselves what has a `Retry-After`. So there is none, and the text names the key.
    pub(super) fn of_purchase(error: &Remote<ControllerError>, n: u64, key: &PurchaseKey) -> Self {
        let may_be_paid = may_be_paid(error);
        if !key.is_callers() && may_be_paid {
            let text = format!(
                "cannot confirm the payment of fib({n}); ask again with the header \
                 `Idempotency-Key: {}`, which pays at most once",
                key.as_str()
            );
            return Self::new(StatusCode::INTERNAL_SERVER_ERROR, Code::Unknown, text)
                .with_cause(error.as_error());
        }
        match &**error {
            ControllerError::Pricing(PricingError::InsufficientCredit { .. }) => {
                Self::new(StatusCode::FORBIDDEN, Code::FailedPrecondition, error_text(error))
            }
            ControllerError::TooLarge { .. } => Self::invalid(error_text(error)),
            ControllerError::KeyUsedUp { .. } => Self::new(
                StatusCode::CONFLICT,
                Code::Aborted,
                "too many purchases with this Idempotency-Key ended unpaid; use another key",
            ),
            ControllerError::OutcomeUnknown { .. } => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                Code::Unavailable,
                "cannot confirm the payment; retry with the same Idempotency-Key, which pays at most once",
            )
            .with_retry_after(None),
            _ => match error.code() {
                Code::Aborted => Self::new(
                    StatusCode::CONFLICT,
                    Code::Aborted,
                    "this Idempotency-Key was used for another purchase; use another key",
                ),
                // The user was removed between authentication and purchase.
                Code::NotFound => Self::unauthenticated(),
                code => {
                    let after = error.as_error().retry_after();
                    let failed = Self::of_service(code, after, &format!("fib({n})"));
                    if may_be_paid { failed.that_may_be_paid() } else { failed }
                }
            },
        }
        .with_cause(error.as_error())
    }

    /// Converts a failure of a service. Details are only in the log, under the request ID.
    fn of_service(code: Code, retry_after: Option<Duration>, what: &str) -> Self {
        match code {
            Code::DeadlineExceeded => Self::new(
                StatusCode::GATEWAY_TIMEOUT,
                Code::DeadlineExceeded,
                format!("{what} did not finish in time"),
            ),
            Code::Unavailable | Code::ResourceExhausted | Code::Canceled => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                Code::Unavailable,
                format!("{what} is currently unavailable; retry later"),
            )
            .with_retry_after(retry_after),
            _ => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                Code::Internal,
                format!("{what} failed; see this service's log"),
            ),
        }
    }

    /// Replaces the advice by that for a purchase with an open outcome.
    fn that_may_be_paid(mut self) -> Self {
        let what = self.text.split(';').next().unwrap_or_default();
        self.text = Cow::Owned(format!(
            "{what}, and may be paid; repeat it with the same Idempotency-Key, which pays at most once"
        ));
        self
    }

    fn with_retry_after(self, after: Option<Duration>) -> Self {
        // Rounded up to whole seconds, at least 1: 0 would mean an immediate retry.
        let seconds = after
            .unwrap_or(DEFAULT_RETRY_AFTER)
            .as_millis()
            .div_ceil(1000)
            .max(1);
        let seconds = u64::try_from(seconds).unwrap_or(u64::MAX);
        self.with_header(RETRY_AFTER, HeaderValue::from(seconds))
    }
}

/// Returns whether a failed purchase may have been paid. The controller states of its own errors
/// that nothing was paid.
fn may_be_paid(error: &Remote<ControllerError>) -> bool {
    match &**error {
        ControllerError::OutcomeUnknown { .. } => true,
        ControllerError::Other(_) => !error.is_not_executed(),
        _ => false,
    }
}

/// Returns the header with a key, in the form in which the caller sent it.
fn key_header(key: &PurchaseKey) -> (HeaderName, HeaderValue) {
    (HeaderName::from_static(KEY_HEADER), key.header().clone())
}

/// Returns the text of the error without the code.
fn error_text(error: &Remote<ControllerError>) -> String {
    let error: &ControllerError = error;
    error.to_string()
}

/// Format of the response body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Text,
    Json,
}

impl Format {
    /// Returns JSON if the `accept` header prefers `application/json` to `text/plain`, else text.
    pub(super) fn from_accept(headers: &HeaderMap) -> Self {
        let weight = |wanted: &str| {
            let values = headers
                .get_all(ACCEPT)
                .iter()
                .filter_map(|value| value.to_str().ok());
            let ranges = values.flat_map(|value| value.split(','));
            let weights = ranges.filter_map(|range| {
                let mut parts = range.split(';').map(str::trim);
                parts.next()?.eq_ignore_ascii_case(wanted).then_some(())?;
                // Names of parameters have no case. Source: RFC 9110, section 5.6.6.
                let q = parts.find_map(|part| {
                    let (name, value) = part.split_once('=')?;
                    name.eq_ignore_ascii_case("q").then_some(value)
                });
                q.map_or(Some(1.0), |q| q.parse::<f32>().ok())
            });
            weights.fold(0.0, f32::max)
        };
        let json = weight("application/json");
        if json > 0.0 && json >= weight("text/plain") {
            Self::Json
        } else {
            Self::Text
        }
    }

    pub(super) fn write(self, outcome: Result<NumberResponse, ErrorResponse>) -> Response {
        match outcome {
            Ok(NumberResponse::Sold(sold, key)) => self.number(sold, &key),
            Ok(NumberResponse::NoCharge) => response(StatusCode::NO_CONTENT, Body::empty()),
            Err(refusal) => self.refusal(refusal),
        }
    }

    fn number(self, sold: Sold, key: &PurchaseKey) -> Response {
        let is_replayed = sold.replayed;
        let mut response = match self {
            Self::Text => self.with_body(StatusCode::OK, sold.value),
            Self::Json => self.with_body(
                StatusCode::OK,
                json!({
                    // A string, because a JSON reader would round such a number.
                    "value": sold.value,
                    "price": sold.price,
                    "credit": sold.credit,
                    "request_id": Context::current().request_id(),
                })
                .to_string(),
            ),
        };
        let headers = response.headers_mut();
        headers.extend([key_header(key)]);
        if is_replayed {
            headers.insert(REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }

    fn refusal(self, refusal: ErrorResponse) -> Response {
        let ErrorResponse {
            status,
            code,
            text,
            headers,
            cause,
        } = refusal;
        let body = match self {
            Self::Json => json!({
                "code": code.as_str(),
                "message": text,
                "request_id": Context::current().request_id(),
            })
            .to_string(),
            Self::Text if code == Code::Unauthenticated => text.into_owned(),
            Self::Text => format!("Error: {text}"),
        };
        let mut response = self.with_body(status, body);
        response.headers_mut().extend(headers);
        if let Some(cause) = cause {
            response.extensions_mut().insert(cause);
        }
        response
    }

    fn with_body(self, status: StatusCode, body: String) -> Response {
        let mut response = response(status, Body::from(body));
        let content_type = match self {
            Self::Text => "text/plain; charset=utf-8",
            Self::Json => "application/json",
        };
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        // The text may quote input of the caller: a browser must not interpret it as HTML.
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(VARY, HeaderValue::from_static("accept"));
        response
    }
}

/// Creates a response that must not be cached: it belongs to one paid request of one user.
fn response(status: StatusCode, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(accept: &str) -> Format {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_str(accept).unwrap());
        Format::from_accept(&headers)
    }

    #[test]
    fn json_is_for_those_who_ask_for_it() {
        for accept in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "text/html, application/json;q=0.9, */*;q=0.8",
            "application/json, text/plain, */*",
        ] {
            assert_eq!(form(accept), Format::Json, "{accept}");
        }
        for accept in [
            "*/*",
            "application/*",
            "text/plain, application/json;q=0.5",
            "application/json;q=0",
            "application/json;Q=0",
            "text/plain;Q=1, application/json; Q=0.9",
            "application/json;q=x",
            "application/jsonp",
            "",
        ] {
            assert_eq!(form(accept), Format::Text, "{accept}");
        }
        assert_eq!(Format::from_accept(&HeaderMap::new()), Format::Text);
    }

    #[test]
    fn retry_after_is_at_least_one_whole_second() {
        for (after, seconds) in [
            (None, "1"),
            (Some(Duration::ZERO), "1"),
            (Some(Duration::from_millis(150)), "1"),
            (Some(Duration::from_millis(2001)), "3"),
            (Some(Duration::MAX), "18446744073709551615"),
        ] {
            let refusal = ErrorResponse::of_service(Code::Unavailable, after, "it");
            let header = refusal
                .headers
                .iter()
                .find(|(name, _)| *name == RETRY_AFTER);
            assert_eq!(header.unwrap().1, seconds, "{after:?}");
        }
    }

    #[test]
    fn internal_error_texts_are_not_sent_to_users() {
        for code in [
            Code::Internal,
            Code::Unavailable,
            Code::DeadlineExceeded,
            Code::PermissionDenied,
            // A refused signature of this service, and no wrong password.
            Code::Unauthenticated,
        ] {
            let error = Error::new(code, "canary 10.0.0.7:9003");
            let refused = ErrorResponse::of_login(&Remote::from_error(error.clone()));
            assert!(!refused.text().contains("canary"), "{refused:?}");
            let key = PurchaseKey::random().unwrap();
            let refused = ErrorResponse::of_purchase(&Remote::from_error(error), 7, &key);
            assert!(!refused.text().contains("canary"), "{refused:?}");
            assert!(refused.status.is_server_error(), "{refused:?}");
        }
    }
}

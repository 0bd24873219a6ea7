//! Reads and writes the headers of a context.
//!
//! | Header | Content | From an untrusted peer |
//! | --- | --- | --- |
//! | `x-request-id` | the request ID | kept as `client_request_id`; the server generates an ID |
//! | `traceparent`, `tracestate` | the W3C trace context | linked, not continued |
//! | `baggage` | names and values of the request | ignored |
//! | `x-rpc-source` | the caller, as `server@environment/instance` | ignored |
//! | `x-rpc-principal` | the user on whose behalf the call runs, as `sub=alice;role=operator;claim=tenant:blue`, percent-encoded | ignored and logged |
//! | `x-rpc-environment` | the set of endpoints that the request uses | ignored |
//! | `x-rpc-hops` | the number of services that the request has passed | ignored |
//! | `x-rpc-attempt` | the number of the attempt | ignored |
//! | `x-rpc-fault` | the faults to inject, see [`FaultPlan`] | ignored and counted |
//! | `x-rpc-accept` | `error-chain`: the caller reads hop chains and typed payloads | ignored |

use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use tracing::level_filters::LevelFilter;

use super::{SentToOthers, printable};
use crate::context::{
    Baggage, Context, ContextBuilder, HOP_COUNT_LIMIT, PRINCIPAL_LIMIT, Principal, Propagated,
    RequestId, Source, TraceContext,
};
use crate::error::{Code, Error};
use crate::faults::FaultPlan;

pub(crate) static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(crate) static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(crate) static TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
pub(crate) static BAGGAGE: HeaderName = HeaderName::from_static("baggage");
static SOURCE: HeaderName = HeaderName::from_static("x-rpc-source");
static ENVIRONMENT: HeaderName = HeaderName::from_static("x-rpc-environment");
static PRINCIPAL: HeaderName = HeaderName::from_static("x-rpc-principal");
static HOPS: HeaderName = HeaderName::from_static("x-rpc-hops");
static ATTEMPT: HeaderName = HeaderName::from_static("x-rpc-attempt");
static FAULT: HeaderName = HeaderName::from_static("x-rpc-fault");
static ACCEPT: HeaderName = HeaderName::from_static("x-rpc-accept");

/// The value of `x-rpc-accept` that asks for the framework's own error details.
const ERROR_CHAIN: &str = "error-chain";

/// The maximum length of an invalid request ID in the log, in bytes.
const MAX_LOGGED_ID: usize = 128;

/// The maximum length of an environment name, in bytes.
const ENVIRONMENT_LIMIT: usize = 64;

/// The context that the headers of a request describe.
pub(crate) struct IncomingContext {
    /// The request ID of the response, whether or not the call runs.
    pub(crate) id: RequestId,
    pub(crate) builder: ContextBuilder,
    /// The error that rejects the call because of an invalid header.
    pub(crate) rejection: Option<Error>,
    /// Whether an untrusted peer has requested faults, which are ignored.
    pub(crate) faults_stripped: bool,
    /// Whether an untrusted peer has sent a user, which is ignored.
    pub(crate) principal_stripped: bool,
}

#[cfg(feature = "server")]
impl IncomingContext {
    /// Continues a request that HTTP layers hand on: with the ID that it had before, and with the
    /// extensions of a context that a layer has left in the extensions of the request.
    pub(crate) fn continue_layered(&mut self, id: RequestId, left: Option<&Context>) {
        self.id = id;
        self.builder.continue_layered(id, left);
    }

    /// Sets the user that the application has authenticated before the call, in place of that of
    /// the caller. An invalid one rejects the call.
    pub(crate) fn set_principal(&mut self, principal: Principal) {
        match principal.check() {
            Ok(()) => self.builder.set_principal(principal),
            Err(error) => self.rejection = Some(error),
        }
    }
}

/// Reads the context of a request.
///
/// Uses the context of the peer only if it is `trusted`. `own` is the environment of this server.
pub(crate) fn read(headers: &HeaderMap, trusted: bool, own: &Arc<str>) -> IncomingContext {
    let offered = read_request_id(headers);
    let trace = read_trace(headers);
    if !trusted {
        let id = RequestId::random();
        let propagated = Propagated {
            environment: Some(own.clone()),
            ..Propagated::new(id)
        };
        return IncomingContext {
            id,
            builder: Context::builder(propagated)
                .client_request_id(offered)
                .untrusted_caller()
                .trace_link(trace),
            rejection: None,
            faults_stripped: headers.contains_key(&FAULT),
            principal_stripped: headers.contains_key(&PRINCIPAL),
        };
    }
    let id = offered.unwrap_or_else(RequestId::random);
    let mut rejection = None;
    let mut reject = |error| {
        rejection.get_or_insert(error);
    };
    let hops = read_hops(headers).unwrap_or_else(|error| {
        reject(error);
        HOP_COUNT_LIMIT
    });
    let environment = read_environment(headers, own).unwrap_or_else(|error| {
        reject(error);
        own.clone()
    });
    let source = read_source(headers).map(Arc::new);
    let principal = read_principal(headers, source.as_deref(), own).unwrap_or_else(|error| {
        reject(error);
        None
    });
    let faults = read_faults(headers).unwrap_or_else(|error| {
        reject(error);
        None
    });
    let propagated = Propagated {
        request_id: Some(id),
        source,
        environment: Some(environment),
        principal,
        // The protocol reads the timeout, which the server caps.
        deadline: None,
        trace,
        baggage: read_baggage(headers),
        faults,
        hops,
        attempt: read_one(headers, &ATTEMPT).unwrap_or(1),
    };
    IncomingContext {
        id,
        builder: Context::builder(propagated),
        rejection,
        faults_stripped: false,
        principal_stripped: false,
    }
}

/// Writes the context of an outgoing call.
pub(crate) fn write(context: &Context, headers: &mut HeaderMap) {
    let Propagated {
        request_id,
        source,
        environment,
        // Only some servers receive it, see `write_principal`.
        principal: _,
        // The protocol writes it as a timeout.
        deadline: _,
        trace,
        baggage,
        faults,
        hops,
        attempt,
    } = context.propagated();
    write_request_id(request_id.as_ref(), headers);
    write_trace(trace.as_ref(), headers);
    if !baggage.is_empty() {
        insert(headers, &BAGGAGE, &baggage.to_string());
    }
    if let Some(source) = source {
        insert(headers, &SOURCE, source.as_str());
    }
    if let Some(environment) = environment {
        insert(headers, &ENVIRONMENT, environment);
    }
    if let Some(faults) = faults {
        insert(headers, &FAULT, faults.as_str());
    }
    headers.insert(HOPS.clone(), (*hops).into());
    headers.insert(ACCEPT.clone(), HeaderValue::from_static(ERROR_CHAIN));
    if *attempt > 1 {
        headers.insert(ATTEMPT.clone(), (*attempt).into());
    }
}

/// Writes the user of an outgoing call. Called for servers that get the context, if the call is
/// signed or encrypted, or stays on this host.
pub(crate) fn write_principal(context: &Context, headers: &mut HeaderMap) {
    if let Some(principal) = context.principal() {
        // Encoded text is visible ASCII, which is always a value.
        if let Ok(value) = HeaderValue::from_maybe_shared(principal.encoded().clone()) {
            headers.insert(PRINCIPAL.clone(), value);
        }
    }
}

/// Writes what a server receives of an outgoing call that does not receive its context.
pub(crate) fn write_restricted(context: &Context, sent: SentToOthers, headers: &mut HeaderMap) {
    let propagated = context.propagated();
    if sent.request_id {
        write_request_id(propagated.request_id.as_ref(), headers);
    }
    if sent.trace {
        write_trace(propagated.trace.as_ref(), headers);
    }
}

fn write_request_id(id: Option<&RequestId>, headers: &mut HeaderMap) {
    if let Some(id) = id {
        insert(headers, &REQUEST_ID, id.as_str());
    }
}

fn write_trace(trace: Option<&TraceContext>, headers: &mut HeaderMap) {
    if let Some(trace) = trace {
        insert(headers, &TRACEPARENT, &trace.to_string());
        if let Some(state) = trace.state() {
            insert(headers, &TRACESTATE, state);
        }
    }
}

/// Returns the source that a request states.
pub(crate) fn read_source(headers: &HeaderMap) -> Option<Source> {
    read_one(headers, &SOURCE)
}

/// Returns whether the caller reads the hop chain and the typed payload of an error.
pub(crate) fn accepts_error_chain(headers: &HeaderMap) -> bool {
    headers
        .get_all(&ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|token| token.trim().eq_ignore_ascii_case(ERROR_CHAIN))
}

fn insert(headers: &mut HeaderMap, name: &HeaderName, value: &str) {
    match HeaderValue::from_str(value) {
        Ok(value) => {
            headers.insert(name.clone(), value);
        }
        // The types of a context only hold valid values, except for an environment that a program
        // sets.
        Err(error) => {
            tracing::error!(target: "rpc", %name, %error, "sent a call without this header, because its value is not valid in HTTP; a program has set an invalid environment");
        }
    }
}

/// Returns the value of a header. `None` if it is missing, occurs more than once, or is not text.
pub(super) fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

fn read_one<T: FromStr>(headers: &HeaderMap, name: &HeaderName) -> Option<T> {
    one(headers, name)?.parse().ok()
}

/// Returns the request ID of the caller. `None` if it is missing or invalid.
fn read_request_id(headers: &HeaderMap) -> Option<RequestId> {
    let id = one(headers, &REQUEST_ID).and_then(RequestId::parse);
    // Not `tracing::enabled!`: with a filter for each layer of the subscriber, that loses the next
    // event of this thread.
    if id.is_none() && LevelFilter::current() >= LevelFilter::DEBUG {
        for offered in headers.get_all(&REQUEST_ID) {
            let offered = printable(offered.as_bytes(), MAX_LOGGED_ID);
            tracing::debug!(target: "rpc", %offered, "replaced an invalid request ID");
        }
    }
    id
}

fn read_trace(headers: &HeaderMap) -> Option<TraceContext> {
    let parent = one(headers, &TRACEPARENT)?;
    match joined(headers, &TRACESTATE) {
        Some(state) => TraceContext::parse(parent, Some(&state)),
        None => TraceContext::parse(parent, None),
    }
}

fn read_baggage(headers: &HeaderMap) -> Baggage {
    let Some(header) = joined(headers, &BAGGAGE) else {
        return Baggage::default();
    };
    Baggage::parse(&header).unwrap_or_else(|| {
        tracing::debug!(target: "rpc", bytes = header.len(), "ignored baggage that exceeds the limit");
        Baggage::default()
    })
}

/// Returns the values of a list header, joined with commas.
fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let mut values = headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let mut joined = values.next()?.to_owned();
    for value in values {
        joined.push(',');
        joined.push_str(value);
    }
    Some(joined)
}

/// Reads the requested faults. An invalid plan is an error, because its sender expects the fault.
fn read_faults(headers: &HeaderMap) -> Result<Option<FaultPlan>, Error> {
    if !headers.contains_key(&FAULT) {
        return Ok(None);
    }
    let plan = one(headers, &FAULT)
        .ok_or_else(|| invalid_header(&FAULT, "must occur once and be visible ASCII"))?;
    plan.parse().map(Some)
}

/// Reads the user of the call. An invalid one is an error, because the call would otherwise run
/// without one.
///
/// # Errors
///
/// `invalid_argument` for an invalid header, `permission_denied` for a user of a caller of another
/// environment, whose users are others.
fn read_principal(
    headers: &HeaderMap,
    source: Option<&Source>,
    own: &str,
) -> Result<Option<Principal>, Error> {
    if !headers.contains_key(&PRINCIPAL) {
        return Ok(None);
    }
    let principal = one(headers, &PRINCIPAL).and_then(Principal::decode);
    let principal = principal.ok_or_else(|| {
        let rule = format!(
            "must occur once, in the form `sub=USER;role=ROLE;claim=NAME:VALUE`, with at most {PRINCIPAL_LIMIT} bytes"
        );
        invalid_header(&PRINCIPAL, &rule)
    })?;
    match source {
        Some(source) if source.environment() != own => Err(Error::without_location(
            Code::PermissionDenied,
            format!(
                "{source} calls for a user of the environment `{}`, and this server is in `{own}`",
                source.environment()
            ),
        )),
        _ => Ok(Some(principal)),
    }
}

/// Reads the number of services before this one. An invalid number is an error, because a loop
/// would otherwise not be detected.
fn read_hops(headers: &HeaderMap) -> Result<u32, Error> {
    if !headers.contains_key(&HOPS) {
        return Ok(0);
    }
    let hops: u32 = read_one(headers, &HOPS)
        .ok_or_else(|| invalid_header(&HOPS, "must occur once and be a whole number"))?;
    if hops > HOP_COUNT_LIMIT {
        return Err(Error::without_location(
            Code::FailedPrecondition,
            format!(
                "loop detected: the request has passed {hops} services, more than the limit of {HOP_COUNT_LIMIT}"
            ),
        ));
    }
    Ok(hops)
}

/// Reads the environment of the request. The default is the environment of this server.
fn read_environment(headers: &HeaderMap, own: &Arc<str>) -> Result<Arc<str>, Error> {
    if !headers.contains_key(&ENVIRONMENT) {
        return Ok(own.clone());
    }
    match one(headers, &ENVIRONMENT) {
        // All requests of the server's environment share its allocation.
        Some(name) if name == &**own => Ok(own.clone()),
        Some(name) if is_environment(name) => Ok(name.into()),
        // Continuing in another environment than that of the caller would mix the two.
        _ => {
            let rule = format!(
                "must be one name of 1 to {ENVIRONMENT_LIMIT} letters, digits, `.`, `_` and `-`"
            );
            Err(invalid_header(&ENVIRONMENT, &rule))
        }
    }
}

fn is_environment(name: &str) -> bool {
    (1..=ENVIRONMENT_LIMIT).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

fn invalid_header(name: impl Display, rule: &str) -> Error {
    Error::without_location(Code::InvalidArgument, format!("the header {name} {rule}"))
}

#[cfg(test)]
mod tests;

//! The headers that a context travels in. Reading and writing of each stand side by side.
//!
//! | header | what it is | at an edge |
//! | --- | --- | --- |
//! | `x-request-id` | the id of the request | kept as `client_request_id`; the edge makes its own |
//! | `traceparent`, `tracestate` | the W3C trace | linked to, not continued |
//! | `baggage` | names and values of the request | dropped |
//! | `x-rpc-source` | who calls: `server@environment/instance` | not believed |
//! | `x-rpc-environment` | the set of endpoints that the request uses | not believed |
//! | `x-rpc-hops` | how many services the request has passed | not believed |
//! | `x-rpc-attempt` | which try of the caller it is | not believed |
//! | `x-rpc-fault` | faults on purpose, see [`FaultPlan`] | left out, and counted |

use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::printable;
use crate::context::{
    Baggage, Context, ContextBuilder, HOP_COUNT_LIMIT, Propagated, RequestId, TraceContext,
};
use crate::error::{Code, Error};
use crate::faults::FaultPlan;

pub(crate) static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(crate) static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(crate) static TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
pub(crate) static BAGGAGE: HeaderName = HeaderName::from_static("baggage");
static SOURCE: HeaderName = HeaderName::from_static("x-rpc-source");
static ENVIRONMENT: HeaderName = HeaderName::from_static("x-rpc-environment");
static HOPS: HeaderName = HeaderName::from_static("x-rpc-hops");
static ATTEMPT: HeaderName = HeaderName::from_static("x-rpc-attempt");
static FAULT: HeaderName = HeaderName::from_static("x-rpc-fault");

/// How much of a bad id stands in the log, in bytes.
const LOGGED: usize = 128;

/// The longest name of an environment, in bytes.
const ENVIRONMENT_LIMIT: usize = 64;

/// The context that the headers of a request describe.
pub(crate) struct Incoming {
    /// The request ID of the response, whether or not the call runs.
    pub(crate) id: RequestId,
    pub(crate) builder: ContextBuilder,
    /// The error that rejects the call because of an invalid header.
    pub(crate) rejection: Option<Error>,
    /// Whether an untrusted peer has requested faults, which are ignored.
    pub(crate) faults_stripped: bool,
}

/// Reads the context of a request.
///
/// Only the context of a `trusted` peer is taken over. `environment` is the one of this server.
pub(crate) fn read(headers: &HeaderMap, trusted: bool, environment: &Arc<str>) -> Incoming {
    let offered = read_request_id(headers);
    let trace = read_trace(headers);
    if !trusted {
        let id = RequestId::random();
        let propagated = Propagated {
            environment: Some(environment.clone()),
            ..Propagated::new(id)
        };
        return Incoming {
            id,
            builder: Context::builder(propagated)
                .client_request_id(offered)
                .trace_link(trace),
            rejection: None,
            faults_stripped: headers.contains_key(&FAULT),
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
    let environment = read_environment(headers, environment).unwrap_or_else(|error| {
        reject(error);
        environment.clone()
    });
    let faults = read_faults(headers).unwrap_or_else(|error| {
        reject(error);
        None
    });
    let propagated = Propagated {
        request_id: Some(id),
        source: read_one(headers, &SOURCE).map(Arc::new),
        environment: Some(environment),
        // The protocol reads the timeout, which the server caps.
        deadline: None,
        trace,
        baggage: read_baggage(headers),
        faults,
        hops,
        attempt: read_one(headers, &ATTEMPT).unwrap_or(1),
    };
    Incoming {
        id,
        builder: Context::builder(propagated),
        rejection,
        faults_stripped: false,
    }
}

/// Writes the context of an outgoing call.
pub(crate) fn write(context: &Context, headers: &mut HeaderMap) {
    let Propagated {
        request_id,
        source,
        environment,
        // The protocol writes it as a timeout.
        deadline: _,
        trace,
        baggage,
        faults,
        hops,
        attempt,
    } = context.propagated();
    if let Some(id) = request_id {
        insert(headers, &REQUEST_ID, id.as_str());
    }
    if let Some(trace) = trace {
        insert(headers, &TRACEPARENT, &trace.to_string());
        if let Some(state) = trace.state() {
            insert(headers, &TRACESTATE, state);
        }
    }
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
    if *attempt > 1 {
        headers.insert(ATTEMPT.clone(), (*attempt).into());
    }
}

fn insert(headers: &mut HeaderMap, name: &HeaderName, value: &str) {
    match HeaderValue::from_str(value) {
        Ok(value) => {
            headers.insert(name.clone(), value);
        }
        // The types of a context hold nothing that a header cannot, an environment set by a program excepted.
        Err(error) => tracing::error!(target: "rpc", %name, %error, "a header was left out"),
    }
}

/// The one value of a header. `None` where it is absent, stands twice, or is no text: then nobody can say which is meant.
fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

fn read_one<T: FromStr>(headers: &HeaderMap, name: &HeaderName) -> Option<T> {
    one(headers, name)?.parse().ok()
}

/// The id that the caller offers, where it has the form of one.
fn read_request_id(headers: &HeaderMap) -> Option<RequestId> {
    let id = one(headers, &REQUEST_ID).and_then(RequestId::parse);
    if id.is_none() && tracing::enabled!(target: "rpc", tracing::Level::DEBUG) {
        for offered in headers.get_all(&REQUEST_ID) {
            let offered = printable(offered.as_bytes(), LOGGED);
            tracing::debug!(target: "rpc", %offered, "a request id that is none was replaced");
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
        tracing::debug!(target: "rpc", bytes = header.len(), "baggage over the limit was dropped");
        Baggage::default()
    })
}

/// The values of a header that is a list: several lines of it are one line with commas.
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

/// The faults that are asked for. A plan that cannot be read is refused: its sender would wait for a fault that never
/// comes.
fn read_faults(headers: &HeaderMap) -> Result<Option<FaultPlan>, Error> {
    if !headers.contains_key(&FAULT) {
        return Ok(None);
    }
    let plan = one(headers, &FAULT).ok_or_else(|| bad(&FAULT, "stands once, in visible ASCII"))?;
    plan.parse().map(Some)
}

/// The number of services before this one. One that cannot be read is refused: a loop would go on unseen.
fn read_hops(headers: &HeaderMap) -> Result<u32, Error> {
    if !headers.contains_key(&HOPS) {
        return Ok(0);
    }
    let hops: u32 = read_one(headers, &HOPS).ok_or_else(|| bad(&HOPS, "is one number"))?;
    if hops > HOP_COUNT_LIMIT {
        return Err(Error::without_location(
            Code::FailedPrecondition,
            format!(
                "loop detected: the request has passed {hops} services, more than {HOP_COUNT_LIMIT}"
            ),
        ));
    }
    Ok(hops)
}

/// The environment of the request: this server's own where the header says nothing.
fn read_environment(headers: &HeaderMap, own: &Arc<str>) -> Result<Arc<str>, Error> {
    if !headers.contains_key(&ENVIRONMENT) {
        return Ok(own.clone());
    }
    match one(headers, &ENVIRONMENT) {
        // The usual case shares one allocation between all requests.
        Some(name) if name == &**own => Ok(own.clone()),
        Some(name) if is_environment(name) => Ok(name.into()),
        // Going on in another environment than the caller's would mix the two.
        _ => Err(bad(
            &ENVIRONMENT,
            "is one name of letters, digits, `.`, `_` and `-`",
        )),
    }
}

fn is_environment(name: &str) -> bool {
    (1..=ENVIRONMENT_LIMIT).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

fn bad(name: impl Display, rule: &str) -> Error {
    Error::without_location(Code::InvalidArgument, format!("the header {name} {rule}"))
}

#[cfg(test)]
mod tests;

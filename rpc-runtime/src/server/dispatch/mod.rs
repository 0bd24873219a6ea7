//! From an HTTP request to a call and back: which method, who asks, what is wrong with it.
//!
//! Whatever becomes of a request, its answer has an `x-request-id` and is observed. What hyper refuses by itself, because
//! it is no HTTP, never comes here; such an answer is a bare status (400, 414, 431) and the end of the connection.

mod health;
mod incomplete;
mod plain;

use std::error::Error as StdError;
use std::pin::pin;
use std::sync::Arc;

use axum::routing::any;
use bytes::Bytes;
use http::header::{HOST, HeaderValue};
use http::{StatusCode, Version, request};
use http_body::Body;

use self::health::Probe;
use self::incomplete::Incomplete;
use super::body::ResponseBody;
use super::core::Core;
use super::limits::Limits;
use super::service::Route;
use super::trust::{Caller, Peer, Place, Trust};
use crate::error::{Code, Error};
use crate::protocol::connect::{Rejection, RejectionFormat};
use crate::protocol::context;

type HttpResponse = http::Response<ResponseBody>;

/// Answers a request. `B` is hyper's body behind a listener of ours, and axum's in somebody else's application.
pub(crate) async fn dispatch<B>(
    core: &Arc<Core>,
    peer: Peer,
    request: http::Request<B>,
) -> HttpResponse
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let (head, body) = request.into_parts();
    // Before a header is believed.
    let identified = peer.identify(core, &head);
    let caller = *identified.as_ref().unwrap_or(&Caller::STRANGER);
    let incoming = context::read(&head.headers, caller.is_believed(), core.environment());
    if incoming.faults_stripped {
        core.faults().strip();
    }
    let id = HeaderValue::from_str(incoming.id.as_str());
    let mut response = match find(core, peer, identified, &head) {
        Ok(Found::Method(route)) => {
            let call = Incomplete::new(core, caller, Some(route.method()), &head);
            call.run(route, incoming, pin!(body)).await
        }
        Ok(Found::Plain(router)) => {
            let request = http::Request::from_parts(head, body);
            // Boxed, so that it takes no room in the future of every call.
            Box::pin(plain::answer(core, caller, incoming, router, request)).await
        }
        Ok(Found::Probe(probe)) => Box::pin(probe.answer(core, peer, &head.method)).await,
        Err(refusal) => {
            let call = Incomplete::new(core, caller, None, &head);
            let context = incoming
                .builder
                .server_info(core.server_info().clone())
                .build();
            Box::pin(call.refuse(&context, refusal, Some(&mut pin!(body)))).await
        }
    };
    // An id is always a header value.
    if let Ok(id) = id {
        response
            .headers_mut()
            .insert(context::REQUEST_ID.clone(), id);
    }
    response
}

/// The same as an axum router, for an application that has a server already.
pub(crate) fn router(core: Arc<Core>, trust: Trust) -> axum::Router {
    let peer = Peer::new(trust, Place::Mounted);
    let paths: Vec<_> = core.paths().collect();
    let has_fallback = core.fallback().is_some();
    let handler = any(move |request: axum::extract::Request| {
        let core = core.clone();
        async move {
            dispatch(&core, peer, request)
                .await
                .map(axum::body::Body::new)
        }
    });
    let mut router = axum::Router::new();
    for path in paths {
        router = router.route(path, handler.clone());
    }
    if has_fallback {
        router = router.fallback(handler);
    }
    router
}

/// Who answers a request.
enum Found<'c> {
    Method(&'c Arc<Route>),
    Plain(axum::Router),
    Probe(Probe),
}

fn find<'c>(
    core: &'c Arc<Core>,
    peer: Peer,
    identified: Result<Caller, Error>,
    head: &request::Parts,
) -> Result<Found<'c>, Rejection> {
    check_head(core.limits(), head)?;
    // The path as it came: decoding or tidying it up would let two spellings reach one method, and a proxy's rules
    // see only one of them.
    let path = head.uri.path();
    // Probes come from other hosts. A mounted router has no life of its own that they could ask for.
    if !peer.is_mounted()
        && let Some(probe) = Probe::of(path)
    {
        return Ok(Found::Probe(probe));
    }
    let caller = identified?;
    if let Some(route) = core.route(path) {
        return Ok(Found::Method(route));
    }
    // Routers are merged into applications, where two of them cannot have the same path; so a mounted one has none of
    // these.
    if caller.is_believed()
        && !peer.is_mounted()
        && let Some(route) = core.builtin(path)
    {
        return Ok(Found::Method(route));
    }
    match core.fallback() {
        Some(router) => Ok(Found::Plain(router.clone())),
        None => Err(Rejection::path(path)),
    }
}

/// What is wrong with a request whatever it asks for.
fn check_head(limits: &Limits, head: &request::Parts) -> Result<(), Rejection> {
    let target = head
        .uri
        .path_and_query()
        .map_or("", |target| target.as_str());
    if target.len() > limits.path_bytes {
        let text = format!("the path has more than {} bytes", limits.path_bytes);
        return Err(too_large(text, StatusCode::URI_TOO_LONG));
    }
    let sizes = head
        .headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len());
    if head.headers.len() > limits.header_count || sizes.sum::<usize>() > limits.header_bytes {
        let text = format!(
            "the headers are more than {} or have more than {} bytes",
            limits.header_count, limits.header_bytes
        );
        return Err(too_large(text, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
    }
    // HTTP/2 has `:authority` instead, and HTTP/1.0 nothing. We use neither, but a proxy before us may have routed by
    // one Host while we were meant by another.
    let hosts = head.headers.get_all(HOST).iter().count();
    if hosts > 1 || (hosts == 0 && head.version == Version::HTTP_11) {
        let text = "a request has one Host header";
        return Err(Error::without_location(Code::InvalidArgument, text).into());
    }
    Ok(())
}

fn too_large(text: String, status: StatusCode) -> Rejection {
    Rejection::new(
        Error::without_location(Code::ResourceExhausted, text),
        RejectionFormat::Status(status),
    )
}

#[cfg(test)]
mod tests;

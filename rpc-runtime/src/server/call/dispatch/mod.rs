//! From an HTTP request to a call and back: which method, who asks, what is wrong with it.
//!
//! Whatever becomes of a request, its answer has an `x-request-id` and is observed. What hyper refuses by itself, because
//! it is no HTTP, never comes here; such an answer is a bare status (400, 414, 431) and the end of the connection.

mod health;
mod http_fallback;
mod pending_call;

use std::error::Error as StdError;
use std::pin::pin;
use std::sync::Arc;

use axum::routing::any;
use bytes::Bytes;
use http::header::{HOST, HeaderValue};
use http::{StatusCode, Version, request};
use http_body::Body;

use self::health::HealthCheck;
use self::pending_call::PendingCall;
use crate::error::{Code, Error};
use crate::protocol::connect::{Rejection, RejectionFormat};
use crate::protocol::context;
use crate::server::call::body::ResponseBody;
use crate::server::call::service::Route;
use crate::server::call::trust::{Caller, Peer, PeerOrigin, Trust};
use crate::server::inner::ServerInner;
use crate::server::limits::Limits;

type HttpResponse = http::Response<ResponseBody>;

/// Answers a request. `B` is hyper's body behind a listener of ours, and axum's in somebody else's application.
pub(crate) async fn dispatch<B>(
    inner: &Arc<ServerInner>,
    peer: Peer,
    request: http::Request<B>,
) -> HttpResponse
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let (head, body) = request.into_parts();
    // Before a header is believed.
    let identified = peer.identify(inner.verifier(), inner.is_plain(head.uri.path()), &head);
    let caller = *identified.as_ref().unwrap_or(&Caller::ANONYMOUS);
    let incoming = context::read(&head.headers, caller.is_trusted(), inner.environment());
    if incoming.faults_stripped {
        inner.faults().strip();
    }
    let id = HeaderValue::from_str(incoming.id.as_str());
    let mut response = match resolve(inner, peer, identified, &head) {
        Ok(Resolved::Method(route)) => {
            let call = PendingCall::new(inner, caller, Some(route.method()), &head);
            call.run(route, incoming, pin!(body)).await
        }
        Ok(Resolved::Plain(router)) => {
            let request = http::Request::from_parts(head, body);
            // Boxed, so that it takes no room in the future of every call.
            Box::pin(http_fallback::answer(
                inner, caller, incoming, router, request,
            ))
            .await
        }
        Ok(Resolved::HealthCheck(check)) => Box::pin(check.answer(inner, peer, &head.method)).await,
        Err(refusal) => {
            let call = PendingCall::new(inner, caller, None, &head);
            let context = incoming
                .builder
                .server_info(inner.server_info().clone())
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
pub(crate) fn router(inner: Arc<ServerInner>, trust: Trust) -> axum::Router {
    let peer = Peer::new(trust, PeerOrigin::Mounted);
    let paths: Vec<_> = inner.routes().paths().collect();
    let has_fallback = inner.fallback().is_some();
    let handler = any(move |request: axum::extract::Request| {
        let inner = inner.clone();
        async move {
            dispatch(&inner, peer, request)
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
enum Resolved<'c> {
    Method(&'c Arc<Route>),
    Plain(axum::Router),
    HealthCheck(HealthCheck),
}

fn resolve<'c>(
    inner: &'c Arc<ServerInner>,
    peer: Peer,
    identified: Result<Caller, Error>,
    head: &request::Parts,
) -> Result<Resolved<'c>, Rejection> {
    check_head(inner.limits(), head)?;
    // The path as it came: decoding or tidying it up would let two spellings reach one method, and a proxy's rules
    // see only one of them.
    let path = head.uri.path();
    // Probes come from other hosts. A mounted router has no life of its own that they could ask for.
    if !peer.is_mounted()
        && let Some(check) = HealthCheck::of(path)
    {
        return Ok(Resolved::HealthCheck(check));
    }
    let caller = identified?;
    if let Some(route) = inner.routes().get(path) {
        return Ok(Resolved::Method(route));
    }
    // Routers are merged into applications, where two of them cannot have the same path; so a mounted one has none of
    // these.
    if caller.is_trusted()
        && !peer.is_mounted()
        && let Some(route) = inner.routes().builtin(path)
    {
        return Ok(Resolved::Method(route));
    }
    match inner.fallback() {
        Some(router) => Ok(Resolved::Plain(router.clone())),
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

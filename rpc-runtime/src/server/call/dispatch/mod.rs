//! Dispatch of HTTP requests: finds the caller and the method, and rejects invalid requests.
//!
//! Every response has an `x-request-id`. Every request but a health probe is observed. Requests
//! that are not valid HTTP never get here: the connection responds (400, 413, 414, 431) and is
//! closed, see `transport/accept/bare_response.rs`.

mod health;
mod http_fallback;
mod layered;
mod pending_call;
mod plain_response;
mod shared_caches;
mod single_message;
mod stream_messages;
mod streams;

use std::error::Error as StdError;
use std::pin::Pin;
use std::sync::Arc;

use axum::routing::any;
use bytes::Bytes;
use http::header::{HOST, HeaderValue, InvalidHeaderValue, TRANSFER_ENCODING};
use http::{StatusCode, Version, request};
use http_body::Body;

use self::health::HealthCheck;
pub(crate) use self::health::PROBE_PATHS;
use self::http_fallback::PlainCall;
use self::layered::LayeredRequest;
use self::pending_call::{PendingCall, STOPPING_RETRY_AFTER};
use crate::context::{Context, ContextBuilder, PeerInfo, Principal};
use crate::error::{Code, Error};
use crate::protocol::connect::{CallRejection, RejectionFormat};
use crate::protocol::context::{self, IncomingContext};
use crate::server::call::body::ResponseBody;
use crate::server::call::lingering_body::{LingeringBody, UnreadBody};
use crate::server::call::parameters::BoundRequest;
use crate::server::call::peer_origin::PeerAddress;
use crate::server::call::service::Route;
use crate::server::call::trust::{Caller, Peer, Trust};
use crate::server::http_layers::{HttpFuture, HttpService};
use crate::server::inner::ServerInner;
use crate::server::limits::{Limits, path_too_long};
use crate::server::memory::PeerMemory;
use crate::server::plain_routes::PlainRoutes;

type HttpResponse = http::Response<ResponseBody>;

/// An extension of a request with both a content length and a transfer encoding.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TwoLengths;

/// Handles a request. `B` is hyper's body on a listener of this server, and axum's body in a
/// mounted router. `memory` is that of the peer. Calls `identified` with whether the caller is
/// trusted, when it is known.
pub(crate) fn dispatch<B>(
    inner: &Arc<ServerInner>,
    peer: &Peer,
    memory: &Arc<PeerMemory>,
    request: http::Request<B>,
    identified: impl FnOnce(bool),
) -> impl Future<Output = HttpResponse>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    enter(inner, peer, memory, request, identified, None)
}

/// Handles a request that the HTTP layers of the server hand on.
fn dispatch_layered(
    layered: Arc<LayeredRequest>,
    of_layers: Context,
    mut request: http::Request<axum::body::Body>,
) -> HttpFuture {
    Box::pin(async move {
        if let Some(user) = user_of_layers(&of_layers, request.extensions()) {
            request.extensions_mut().insert(user);
        }
        let inside = layered.hand_on();
        let (inner, peer, memory) = (&layered.inner, &layered.peer, &layered.memory);
        let response = enter(inner, peer, memory, request, |_| (), Some(&layered)).await;
        inside.end();
        Ok(response.map(axum::body::Body::new))
    })
}

/// Returns the user that HTTP layers have set: on a context that they leave in the extensions of
/// the request, on the one in whose scope they run the rest, or on the one in which they ran.
fn user_of_layers(of_layers: &Context, extensions: &http::Extensions) -> Option<Principal> {
    let left = extensions.get().and_then(Context::assigned_principal);
    left.or_else(|| Context::current().assigned_principal())
        .or_else(|| of_layers.assigned_principal())
}

/// Handles a request, which `layered` describes if it comes from the HTTP layers.
async fn enter<B>(
    inner: &Arc<ServerInner>,
    peer: &Peer,
    memory: &Arc<PeerMemory>,
    request: http::Request<B>,
    identified: impl FnOnce(bool),
    layered: Option<&LayeredRequest>,
) -> HttpResponse
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let (mut head, body) = request.into_parts();
    let mut body = LingeringBody::new(body, head.version == Version::HTTP_2);
    // Before any header is trusted.
    let client = inner.behind_proxy(peer, &head.headers);
    let peer = client.as_ref().unwrap_or(peer);
    let is_plain = inner.is_plain(&head);
    let result = match layered {
        None => peer.identify(inner.verifier(), is_plain, inner.hosts(), &head),
        Some(layered) => layered.caller_of(is_plain),
    };
    let caller = *result.as_ref().unwrap_or(&Caller::ANONYMOUS);
    identified(caller.is_trusted());
    let mut incoming = context::read(&head.headers, caller.is_trusted(), inner.environment());
    if let Some(layered) = layered {
        let left = head.extensions.remove();
        incoming.continue_layered(layered.id, left.as_ref());
    } else {
        record_stripped(inner, &incoming);
    }
    // Only code of the application adds extensions: layers, and the application around a mounted
    // router.
    if (layered.is_some() || peer.is_mounted())
        && let Some(user) = head.extensions.get::<Principal>()
    {
        incoming.set_principal(user.clone());
    }
    incoming.builder = incoming.builder.peer(PeerInfo {
        address: peer.address(),
        certificate: peer.certificate().cloned(),
        forwarded: peer.is_forwarded(),
    });
    let id = HeaderValue::from_str(incoming.id.as_str());
    let cors = inner.cors(peer).filter(|_| layered.is_none());
    let page = cors.and_then(|cors| cors.of(&head));
    let layers = inner.http_layers(page.is_some());
    let layers = layers.filter(|_| layered.is_none());
    let mut response = match resolve(inner, peer, result, is_plain, &head, layers) {
        Ok(Resolved::Layered(layers)) => {
            let request = http::Request::from_parts(head, body);
            let layered = LayeredRequest::new(inner, peer.clone(), caller, incoming.id, memory);
            let run = layered.run(layers, incoming, request, dispatch_layered);
            // Boxed, so that it does not enlarge the future of every call.
            Box::pin(run).await
        }
        Ok(Resolved::Method(route, _)) if route.method().client_streaming => {
            let call = PendingCall::new(inner, caller, Some(route.method()), &head);
            // Boxed, so that it does not enlarge the future of every call.
            Box::pin(call.run_stream(route, incoming, memory, body)).await
        }
        Ok(Resolved::Method(route, bound)) => {
            let call = PendingCall::new(inner, caller, Some(route.method()), &head).bound(bound);
            call.run(route, incoming, memory, Pin::new(&mut body)).await
        }
        Ok(Resolved::Plain(routes)) => {
            let request = http::Request::from_parts(head, body);
            let call = PlainCall::new(inner, peer, caller, routes);
            // Boxed, so that it does not enlarge the future of every call.
            Box::pin(call.run(incoming, memory, request)).await
        }
        Ok(Resolved::HealthCheck(check)) => Box::pin(check.respond(inner, peer, &head)).await,
        Err(refusal) => {
            let id = incoming.id.as_str();
            inner.refusals().record(peer, id, &refusal.error);
            let call = PendingCall::new(inner, caller, None, &head);
            let (builder, body) = (incoming.builder, Pin::new(&mut body));
            // Boxed, so that it does not enlarge the future of every call.
            Box::pin(refuse(inner, call, builder, refusal, (&head, body))).await
        }
    };
    insert_id(&mut response, id);
    if let Some(page) = page {
        page.add(response.headers_mut());
    }
    response
}

/// Records what a caller without trust has sent and may not.
fn record_stripped(inner: &ServerInner, incoming: &IncomingContext) {
    if incoming.principal_stripped {
        let id = incoming.id.as_str();
        inner.authentication().record_forged(id);
    }
    if incoming.faults_stripped {
        inner.faults().strip();
    }
}

/// Refuses a request that has no handler.
async fn refuse<B>(
    inner: &Arc<ServerInner>,
    call: PendingCall<'_>,
    builder: ContextBuilder,
    refusal: CallRejection,
    (head, mut body): (&request::Parts, Pin<&mut B>),
) -> HttpResponse
where
    B: Body<Data = Bytes>,
{
    let context = builder.server_info(inner.server_info().clone()).build();
    // Nothing is read of a body whose sender has no right to more than this response.
    let unread = if is_of_stranger(&refusal.error) {
        UnreadBody::of(head, &*body)
    } else {
        UnreadBody::None
    };
    let is_read = refusal.format != RejectionFormat::Framing && unread == UnreadBody::None;
    let rest = is_read.then_some(&mut body);
    let mut response = call.refuse(&context, refusal, rest).await;
    unread.mark(&mut response);
    response
}

/// Refuses a request on a connection that should have ended: its peer goes on although the server
/// is stopping.
pub(crate) async fn refuse_late<B>(
    inner: &Arc<ServerInner>,
    request: http::Request<B>,
) -> HttpResponse
where
    B: Body<Data = Bytes>,
{
    let (head, _) = request.into_parts();
    let incoming = context::read(&head.headers, false, inner.environment());
    let id = HeaderValue::from_str(incoming.id.as_str());
    let context = incoming
        .builder
        .server_info(inner.server_info().clone())
        .build();
    let text = "the server is stopping, and this connection should have ended; the call was not begun: use another \
                connection";
    let error = Error::without_location(Code::Unavailable, text);
    let refusal = CallRejection::from(error.with_retry_after(STOPPING_RETRY_AFTER));
    let call = PendingCall::new(inner, Caller::ANONYMOUS, None, &head);
    let unread = None::<&mut Pin<&mut B>>;
    let mut response = call.refuse(&context, refusal, unread).await;
    insert_id(&mut response, id);
    response
}

fn insert_id(response: &mut HttpResponse, id: Result<HeaderValue, InvalidHeaderValue>) {
    // Every request ID is a valid header value.
    if let Ok(id) = id {
        response
            .headers_mut()
            .insert(context::REQUEST_ID.clone(), id);
    }
}

/// Returns an axum router that dispatches to this server, for mounting in another application.
pub(crate) fn router(inner: Arc<ServerInner>, trust: Trust) -> axum::Router {
    let memory = inner.memory().unknown_peers();
    let paths: Vec<_> = inner.routes().paths().collect();
    let shapes: Vec<_> = inner.routes().http_shapes().collect();
    let has_fallback = inner.plain_routes().is_some();
    let handler = any(move |request: axum::extract::Request| {
        let (inner, memory) = (inner.clone(), memory.clone());
        let address = request
            .extensions()
            .get()
            .map(|PeerAddress(address)| *address);
        let peer = Peer::mounted(trust, address);
        async move {
            dispatch(&inner, &peer, &memory, request, |_| ())
                .await
                .map(axum::body::Body::new)
        }
    });
    let mut router = axum::Router::new();
    for path in paths {
        router = router.route(path, handler.clone());
    }
    for path in shapes {
        router = router.route(&path, handler.clone());
    }
    if has_fallback {
        router = router.fallback(handler);
    }
    router
}

/// The handler of a request.
enum Resolved<'c> {
    Layered(&'c HttpService),
    /// A method, with its captures at an HTTP path.
    Method(&'c Arc<Route>, Option<BoundRequest>),
    Plain(&'c PlainRoutes),
    HealthCheck(HealthCheck),
}

fn resolve<'c>(
    inner: &'c Arc<ServerInner>,
    peer: &Peer,
    identified: Result<Caller, Error>,
    is_plain: bool,
    head: &request::Parts,
    layers: Option<&'c HttpService>,
) -> Result<Resolved<'c>, CallRejection> {
    check_transfer_coding(head)?;
    check_head(inner.limits(), head)?;
    // The path is not decoded or normalized: two spellings would reach one method, and the rules of
    // a proxy may cover only one of them.
    let path = head.uri.path();
    // Before the check of the caller, because probes come from other hosts. The health of a mounted
    // router is that of its application.
    if !peer.is_mounted()
        && let Some(check) = HealthCheck::of(path)
    {
        return Ok(Resolved::HealthCheck(check));
    }
    let caller = identified?;
    let http = inner.routes().http(path);
    if let Some(exposure) = peer.exposure()
        && !is_plain
    {
        let is_shown = match http {
            Some(http) => http
                .methods(&head.method)
                .any(|path| exposure.has_method(path)),
            None => exposure.has_method(path),
        };
        if !is_shown {
            return Err(CallRejection::path(path));
        }
    }
    if let Some(layers) = layers {
        return Ok(Resolved::Layered(layers));
    }
    if let Some(route) = inner.routes().get(path) {
        return Ok(Resolved::Method(route, None));
    }
    // A mounted router has no built-in routes: an application may merge several routers, and axum
    // allows each path once.
    if caller.is_trusted()
        && !peer.is_mounted()
        && let Some(route) = inner.routes().builtin(path)
    {
        return Ok(Resolved::Method(route, None));
    }
    if let Some(http) = http {
        let refused = || CallRejection::verb_of(&head.method, http.allowed());
        let called = http.of(&head.method).ok_or_else(refused)?;
        let bound = BoundRequest {
            method: called.route.method(),
            captures: called.captures(path),
        };
        return Ok(Resolved::Method(&called.route, Some(bound)));
    }
    match inner.plain_routes() {
        Some(routes) if is_plain => Ok(Resolved::Plain(routes)),
        _ => Err(CallRejection::path(path)),
    }
}

/// Returns whether a request is refused because of its caller.
fn is_of_stranger(refusal: &Error) -> bool {
    matches!(
        refusal.code(),
        Code::Unauthenticated | Code::PermissionDenied
    )
}

/// Checks that the body of a request is read as everyone on its way reads it. The HTTP library
/// looks at the last transfer coding only, and would hand on the encoded bytes of the others.
///
/// # Errors
///
/// `unimplemented` for anything other than exactly one `chunked`, `invalid_argument` for a content
/// length besides it: a proxy may read the request by the other one.
fn check_transfer_coding(head: &request::Parts) -> Result<(), CallRejection> {
    let mut codings = head.headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        _ if head.extensions.get::<TwoLengths>().is_some() => Err(CallRejection::two_lengths()),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        (Some(coding), None) => Err(CallRejection::transfer_coding(coding.as_bytes())),
        (Some(_), Some(_)) => Err(CallRejection::several_transfer_codings()),
    }
}

/// Checks the sizes of a request's head, and its Host header.
///
/// # Errors
///
/// `resource_exhausted` above a limit, `invalid_argument` for a missing or repeated Host header.
fn check_head(limits: &Limits, head: &request::Parts) -> Result<(), CallRejection> {
    let target = head
        .uri
        .path_and_query()
        .map_or("", |target| target.as_str());
    if target.len() > limits.path_bytes {
        let error = path_too_long(limits.path_bytes);
        return Err(too_large(error, StatusCode::URI_TOO_LONG));
    }
    if let Err(error) = limits.check_headers(&head.headers) {
        return Err(too_large(
            error,
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        ));
    }
    // HTTP/2 has `:authority` instead, and HTTP/1.0 may have neither. This server does not use the
    // Host, but with several of them a proxy may have routed the request by another one.
    let hosts = head.headers.get_all(HOST).iter().count();
    if hosts > 1 || (hosts == 0 && head.version == Version::HTTP_11) {
        let text = "expected exactly one Host header";
        return Err(Error::without_location(Code::InvalidArgument, text).into());
    }
    Ok(())
}

fn too_large(error: Error, status: StatusCode) -> CallRejection {
    CallRejection::new(error, RejectionFormat::Status(status))
}

#[cfg(test)]
mod tests;

//! Client and server in one process, without a socket: the same middleware and JSON on both sides,
//! no HTTP.

use std::future::ready;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::HeaderMap;

use crate::client::Client;
use crate::client::transport::Transport;
use crate::context::{Context, Propagated, RequestId};
use crate::descriptor::MethodDescriptor;
use crate::error::{Code, Error, Origin, Result};
use crate::middleware::{BoxFuture, InnerService, Request, Response};
use crate::protocol::{SentToOthers, context, metadata};
use crate::server::inner::ServerInner;
use crate::server::{ErrorScope, Limits, Server, Service, request_broken};
use crate::streaming::{StreamActivity, Streaming};

/// Limits that the headers of a context never reach.
const CONTEXT_HEADERS: usize = 20;
const CONTEXT_BYTES: usize = 16 << 10;

/// Returns a client of an implementation in this process.
pub(crate) fn client<S: Service>(service: S) -> Client {
    let endpoint = service.descriptor().endpoint;
    // `FooClient::local` cannot fail, so each call returns an error of the setup.
    Client::from_transport(Transport::local(Arc::new(LocalServer(
        Server::new(endpoint).add(service).into_inner(&[]),
    ))))
}

impl Server {
    /// Returns a client of this server in this process, for tests of whole systems without sockets.
    ///
    /// # Errors
    ///
    /// `failed_precondition` if a service was added twice, `invalid_argument` for an invalid server
    /// name.
    pub fn into_local_client(self) -> Result<Client> {
        let inner = self.into_inner(&[])?;
        Ok(Client::from_transport(Transport::local(Arc::new(
            LocalServer(Ok(inner)),
        ))))
    }
}

struct LocalServer(Result<Arc<ServerInner>>);

impl InnerService for LocalServer {
    /// Work without an await point is done outside the future, which would otherwise store both the
    /// received and the converted request.
    fn call(self: Arc<Self>, request: Request) -> BoxFuture<Response> {
        let inner = match &self.0 {
            Ok(inner) => Arc::clone(inner),
            Err(error) => return ready_response(error.clone().into()),
        };
        let method = request.method();
        let route = inner.routes().get(method.path);
        let Some(route) = route
            .or_else(|| inner.routes().builtin(method.path))
            .cloned()
        else {
            let error = Error::without_location(
                Code::Unimplemented,
                format!(
                    "unknown method {}: no service of this server has it",
                    method.path
                ),
            );
            let context = request.context();
            return ready_response(refusal(&inner, method, context, error));
        };
        // As over the network, the caller does not ask for the chain then.
        let restriction = request.send_options().disclosure.restriction(true);
        let errors = match restriction {
            None => ErrorScope::Chain,
            Some(_) => ErrorScope::Own,
        };
        let context = incoming(&inner, &request, restriction);
        if let Err(error) = check_headers(inner.limits(), &request) {
            return ready_response(refusal(&inner, route.method(), &context, error));
        }
        if request.body().len() > inner.limits().message_bytes {
            let error = inner.too_large();
            return ready_response(refusal(&inner, route.method(), &context, error));
        }
        let (_, metadata, mut body) = request.into_parts();
        if let Some(messages) = body.as_stream_mut() {
            let activity = StreamActivity::new();
            *messages = received(std::mem::take(messages), &inner, activity.clone());
            body.hold(activity);
        }
        let request = Request::new(route.method(), context, metadata, body);
        Box::pin(async move {
            let response = inner.call(&route, request, errors, None).await;
            if response.is_aborted() {
                return aborted(&response);
            }
            merge_metadata(response)
        })
    }
}

/// Observes and rejects a call. Returns the response, as a client receives it.
fn refusal(
    inner: &ServerInner,
    method: &'static MethodDescriptor,
    context: &Context,
    error: Error,
) -> Response {
    let error = inner.refuse(Some(method), context, error, ErrorScope::Chain);
    merge_metadata(error.into())
}

/// Checks the headers that the request would have on the wire.
///
/// # Errors
///
/// `resource_exhausted` above a limit of the server.
fn check_headers(limits: &Limits, request: &Request) -> Result<()> {
    // A context alone is below the default limits.
    let defaults = limits.header_count >= CONTEXT_HEADERS && limits.header_bytes >= CONTEXT_BYTES;
    if defaults && request.metadata().is_empty() {
        return Ok(());
    }
    let mut headers = HeaderMap::new();
    context::write(request.context(), &mut headers);
    context::write_principal(request.context(), &mut headers);
    metadata::write(request.metadata(), "", &mut headers);
    limits.check_headers(&headers)
}

/// Returns the error of a response that an injected fault dropped. Over the network the connection
/// would break.
fn aborted(response: &Response) -> Response {
    let text = response
        .error()
        .map_or("an injected fault dropped the response", Error::message);
    Error::without_location(Code::Unavailable, text.to_owned()).into()
}

fn ready_response(response: Response) -> BoxFuture<Response> {
    Box::pin(ready(response))
}

/// Moves the metadata of an error response into the error, where a client over the network finds
/// it. For the client it is the error of a dependency.
fn merge_metadata(response: Response) -> Response {
    match response.into_parts() {
        (headers, trailers, Err(mut error)) => {
            let own = std::mem::take(error.metadata_mut());
            for metadata in [headers, own, trailers] {
                error.metadata_mut().extend(metadata);
            }
            error.with_origin(Origin::Dependency).into()
        }
        (headers, trailers, Ok(mut body)) => {
            if let Some(messages) = body.as_stream_mut() {
                *messages = std::mem::take(messages).map_messages(|message| {
                    message.map_err(|error| error.with_origin(Origin::Dependency))
                });
            }
            let mut response = Response::new(body);
            *response.headers_mut() = headers;
            *response.trailers_mut() = trailers;
            response
        }
    }
}

/// Returns the context of the call in the server: the values that headers would carry.
fn incoming(inner: &ServerInner, request: &Request, restriction: Option<SentToOthers>) -> Context {
    let sent = request.context().propagated();
    let mut propagated = match restriction {
        None => Propagated {
            // A layer of the client may have set it.
            principal: request.context().principal(),
            ..sent.clone()
        },
        Some(only) => sent.restricted(only.request_id, only.trace),
    };
    propagated.request_id.get_or_insert_with(RequestId::random);
    propagated
        .environment
        .get_or_insert_with(|| inner.environment().clone());
    // As over the network, the server caps the deadline.
    let now = Instant::now();
    let timeout = propagated
        .deadline
        .map(|deadline| deadline.saturating_duration_since(now));
    let (deadline, cap) = inner.limits().deadline(request.method(), timeout);
    propagated.deadline = deadline;
    Context::builder(propagated)
        .method(request.method())
        .server_info(Arc::clone(inner.server_info()))
        .caller_timeout(timeout, cap)
        .metadata(request.metadata().clone())
        .build()
}

/// Gives the messages of a request stream the limit and the errors that they have over the network.
fn received(
    messages: Streaming<Bytes>,
    inner: &Arc<ServerInner>,
    activity: StreamActivity,
) -> Streaming<Bytes> {
    let inner = Arc::clone(inner);
    messages.map_messages(move |message| {
        activity.touch();
        match message {
            Ok(message) if message.len() > inner.limits().message_bytes => Err(inner.too_large()),
            Ok(message) => Ok(message),
            Err(error) => Err(request_broken(error)),
        }
    })
}

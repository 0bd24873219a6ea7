//! Client and server in one process, without a socket: the same onions on both sides, the same JSON, no HTTP.

use std::future::ready;
use std::sync::Arc;
use std::time::Instant;

use crate::client::Client;
use crate::client::transport::Transport;
use crate::context::{Context, RequestId};
use crate::error::{Code, Delivery, Error, Result};
use crate::middleware::{BoxFuture, InnerService, Request, Response};
use crate::server::inner::ServerInner;
use crate::server::{Server, Service, Trust};

/// A client of an implementation in this process.
pub(crate) fn client<S: Service>(service: S) -> Client {
    let endpoint = service.descriptor().endpoint;
    // A wrong set-up is the answer to each call: `FooClient::local` itself cannot fail.
    Client::from_transport(Transport::local(Arc::new(Local(
        Server::new(endpoint).add(service).into_inner(&[]),
    ))))
}

impl Server {
    /// A client of this server in this process: for tests of whole systems without a socket.
    ///
    /// # Errors
    ///
    /// `failed_precondition` when one service was added twice, `invalid_argument` for a name that no server can have.
    pub fn into_local_client(self) -> Result<Client> {
        let inner = self.into_inner(&[])?;
        Ok(Client::from_transport(Transport::local(Arc::new(Local(
            Ok(inner),
        )))))
    }
}

struct Local(Result<Arc<ServerInner>>);

impl InnerService for Local {
    /// What needs no waiting is done before there is a future, which would otherwise have room for the request as it came
    /// and for the one that goes on.
    fn call(self: Arc<Self>, request: Request) -> BoxFuture<Response> {
        let inner = match &self.0 {
            Ok(inner) => Arc::clone(inner),
            Err(error) => return answered(error.clone().into()),
        };
        let method = request.method();
        let route = inner.route(method.path);
        let Some(route) = route.or_else(|| inner.builtin(method.path)).cloned() else {
            let error = Error::without_location(
                Code::Unimplemented,
                format!("no service here answers {}", method.path),
            );
            let context = request.context();
            return answered(inner.refuse(Some(method), context, error, Trust::Internal));
        };
        let context = incoming(&inner, &request);
        if request.body().len() > inner.limits().message_bytes {
            let error = inner.too_large();
            let response = inner.refuse(Some(route.method()), &context, error, Trust::Internal);
            return answered(merge_metadata(response));
        }
        let (_, metadata, body) = request.into_parts();
        let request = Request::new(route.method(), context, metadata, body);
        Box::pin(async move {
            let response = inner.call(&route, request, Trust::Internal).await;
            if response.is_aborted() {
                return lost(&response);
            }
            merge_metadata(response)
        })
    }
}

/// What is left of an answer that a fault on purpose took away: over the network, a connection that breaks.
fn lost(response: &Response) -> Response {
    let text = response
        .error()
        .map_or("the answer was lost", Error::message);
    Error::without_location(Code::Unavailable, text.to_owned())
        .with_delivery(Delivery::OutcomeUnknown)
        .into()
}

fn answered(response: Response) -> BoxFuture<Response> {
    Box::pin(ready(response))
}

/// Puts the metadata of an error answer where a client of the network finds it.
fn merge_metadata(response: Response) -> Response {
    match response.into_parts() {
        (headers, trailers, Err(mut error)) => {
            let own = std::mem::take(error.metadata_mut());
            for metadata in [headers, own, trailers] {
                error.metadata_mut().extend(metadata);
            }
            error.into()
        }
        (headers, trailers, Ok(body)) => {
            let mut response = Response::new(body);
            *response.headers_mut() = headers;
            *response.trailers_mut() = trailers;
            response
        }
    }
}

/// Returns the context of the call in the server: the values that headers would carry.
fn incoming(inner: &ServerInner, request: &Request) -> Context {
    let mut propagated = request.context().propagated().clone();
    propagated.request_id.get_or_insert_with(RequestId::random);
    propagated
        .environment
        .get_or_insert_with(|| inner.environment().clone());
    // As over the network, the server caps the deadline.
    let limits = inner.limits();
    let now = Instant::now();
    let cap = request.method().timeout.unwrap_or(limits.deadline_cap);
    let deadline = propagated
        .deadline
        .or_else(|| now.checked_add(limits.default_deadline));
    let deadline = deadline
        .into_iter()
        .chain(now.checked_add(cap))
        .min()
        .unwrap_or(now);
    Context::builder(propagated)
        .method(request.method())
        .server_info(Arc::clone(inner.server_info()))
        .deadline(deadline)
        .metadata(request.metadata().clone())
        .build()
}

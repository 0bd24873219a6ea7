//! Layers around calls. Client and server use the same kind of layer, which sees calls and not
//! HTTP.
//!
//! A layer is an `async fn(Request, Next) -> Result<Response>`:
//!
//! ```
//! use rpc_runtime::middleware::{Next, Request, Response};
//! use rpc_runtime::{Code, Context, Result, fail};
//!
//! /// The tenant of a call.
//! struct Tenant(String);
//!
//! async fn tenant(mut request: Request, next: Next) -> Result<Response> {
//!     let Some(name) = request.metadata().get("x-tenant").map(str::to_owned) else {
//!         fail!(Code::InvalidArgument, "the header x-tenant is missing");
//!     };
//!     request.insert_extension(Tenant(name));
//!     Ok(next.run(request).await)
//! }
//!
//! /// For handlers.
//! fn tenant_name() -> Option<String> {
//!     let context = Context::current();
//!     Some(context.extension::<Tenant>()?.0.clone())
//! }
//! # let _ = (rpc_runtime::Server::new("shop").layer(tenant), tenant_name());
//! ```
//!
//! On a server, a layer is added with [`Server::layer`](crate::Server::layer) for all methods of
//! its services, [`Service::layer`](crate::Service::layer) for one service, or
//! [`Service::method_layer`](crate::Service::method_layer) for one method.
//!
//! On a client a layer runs once per call, around all attempts. A layer added by
//! [`Client::attempt_layer`](crate::Client::attempt_layer) runs once per attempt.

mod attempts;
mod body;
mod layer;
mod tower;

pub(crate) use attempts::AttemptLog;
pub use body::Body;
pub(crate) use body::Guards;
pub use layer::{BoxFuture, Layer, Next};
pub(crate) use layer::{InnerService, Layers};
pub use tower::{TowerFuture, TowerLayer, TowerService};

use std::fmt;
use std::sync::Arc;

use crate::context::Context;
use crate::descriptor::MethodDescriptor;
use crate::error::Error;
use crate::metadata::Metadata;
use crate::protocol::SendOptions;

/// The request of a call.
#[non_exhaustive]
pub struct Request {
    method: &'static MethodDescriptor,
    context: Context,
    metadata: Metadata,
    body: Body,
    /// Whether the client may retry the call.
    retry: bool,
    /// Options of the client for sending the call. A server does not use them.
    send_options: SendOptions,
    /// Whether a layer has replaced the context, and the rest of the stack does not run in it yet.
    has_new_context: bool,
    /// The log of the attempts, if the call has a handle.
    attempts: Option<Arc<AttemptLog>>,
}

impl Request {
    pub(crate) fn new(
        method: &'static MethodDescriptor,
        context: Context,
        metadata: Metadata,
        body: Body,
    ) -> Self {
        Self {
            method,
            context,
            metadata,
            body,
            retry: true,
            send_options: SendOptions::default(),
            has_new_context: false,
            attempts: None,
        }
    }

    /// Returns the called method.
    #[must_use]
    pub fn method(&self) -> &'static MethodDescriptor {
        self.method
    }

    /// Returns the context of the call; on a client the outgoing context.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Replaces the context of the call, for the layers inside this one and for the handler, which
    /// get it from [`Context::current`] and as `ctx: &Context` alike.
    ///
    /// The new context is usually derived from the present one, as by
    /// [`Context::with_baggage`]. Of any other context, the call takes over the request ID, the
    /// trace, the baggage, an earlier deadline and the extensions; it keeps its own caller.
    pub fn set_context(&mut self, context: Context) {
        self.context = context.in_call(&self.context);
        self.has_new_context = true;
    }

    /// Adds a value to the context of the call, for the layers inside this one and for the handler,
    /// which get it from [`Context::extension`]. It replaces a value of the same type. It never
    /// leaves this process.
    pub fn insert_extension<T: Send + Sync + 'static>(&mut self, value: T) {
        self.set_context(self.context.with_extension(value));
    }

    /// Returns the metadata that the caller sends with the message.
    ///
    /// On a server the [`Context`] has its own copy of the metadata, which changes here do not
    /// affect.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Returns the metadata for changes, for example to add a token on a client.
    pub fn metadata_mut(&mut self) -> &mut Metadata {
        &mut self.metadata
    }

    /// Returns the body.
    #[must_use]
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// Returns the body for changes; see [`Body::hold`].
    pub fn body_mut(&mut self) -> &mut Body {
        &mut self.body
    }

    /// Returns whether the client may retry the call.
    pub(crate) fn may_retry(&self) -> bool {
        self.retry
    }

    pub(crate) fn set_retry(&mut self, retry: bool) {
        self.retry = retry;
    }

    pub(crate) fn attempts(&self) -> Option<&Arc<AttemptLog>> {
        self.attempts.as_ref()
    }

    pub(crate) fn set_attempts(&mut self, attempts: Arc<AttemptLog>) {
        self.attempts = Some(attempts);
    }

    pub(crate) fn send_options(&self) -> SendOptions {
        self.send_options
    }

    pub(crate) fn set_send_options(&mut self, options: SendOptions) {
        self.send_options = options;
    }

    /// Sets a context that the rest of the stack is going to run in anyway.
    pub(crate) fn replace_context(&mut self, context: Context) {
        self.context = context;
    }

    /// Returns the context if a layer has replaced it.
    fn take_new_context(&mut self) -> Option<Context> {
        std::mem::take(&mut self.has_new_context).then(|| self.context.clone())
    }

    pub(crate) fn into_parts(self) -> (Context, Metadata, Body) {
        (self.context, self.metadata, self.body)
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method.path)
            .field("context", &self.context)
            .field("metadata", &self.metadata)
            .field("body", &self.body)
            .finish()
    }
}

/// The response of a call: a body or an error, and metadata.
#[derive(Debug)]
#[non_exhaustive]
pub struct Response {
    headers: Metadata,
    trailers: Metadata,
    result: Result<Body, Error>,
    /// Injected fault: the response is not sent.
    aborted: bool,
}

impl Response {
    /// Creates a successful response.
    #[must_use]
    pub fn new(body: Body) -> Self {
        Self::from_result(Ok(body))
    }

    pub(crate) fn from_result(result: Result<Body, Error>) -> Self {
        Self {
            headers: Metadata::new(),
            trailers: Metadata::new(),
            result,
            aborted: false,
        }
    }

    /// Returns the error of a failed response.
    #[must_use]
    pub fn error(&self) -> Option<&Error> {
        self.result.as_ref().err()
    }

    /// Returns the error for changes.
    pub fn error_mut(&mut self) -> Option<&mut Error> {
        self.result.as_mut().err()
    }

    /// Returns the body of a successful response.
    #[must_use]
    pub fn body(&self) -> Option<&Body> {
        self.result.as_ref().ok()
    }

    /// Returns the body for changes; see [`Body::hold`].
    pub fn body_mut(&mut self) -> Option<&mut Body> {
        self.result.as_mut().ok()
    }

    /// Returns the metadata sent before the message.
    #[must_use]
    pub fn headers(&self) -> &Metadata {
        &self.headers
    }

    /// Returns the metadata sent before the message, for changes.
    pub fn headers_mut(&mut self) -> &mut Metadata {
        &mut self.headers
    }

    /// Returns the metadata sent after the message.
    #[must_use]
    pub fn trailers(&self) -> &Metadata {
        &self.trailers
    }

    /// Returns the metadata sent after the message, for changes.
    pub fn trailers_mut(&mut self) -> &mut Metadata {
        &mut self.trailers
    }

    /// Closes the connection of the call instead of sending the response.
    pub(crate) fn abort(&mut self) {
        self.aborted = true;
    }

    pub(crate) fn is_aborted(&self) -> bool {
        self.aborted
    }

    pub(crate) fn into_parts(self) -> (Metadata, Metadata, Result<Body, Error>) {
        (self.headers, self.trailers, self.result)
    }
}

/// A failed response, for layers that reject a call.
impl From<Error> for Response {
    fn from(error: Error) -> Self {
        Self::from_result(Err(error))
    }
}

/// The response of a layer that uses `?`.
impl<E: Into<Error>> From<Result<Self, E>> for Response {
    fn from(result: Result<Self, E>) -> Self {
        result.unwrap_or_else(|error| error.into().into())
    }
}

//! The onion around a call: one kind of layer for both sides, which sees calls and never HTTP.
//!
//! A layer is an `async fn(Request, Next) -> Response`:
//!
//! ```
//! use rpc_runtime::middleware::{Next, Request, Response};
//!
//! async fn slow_calls(request: Request, next: Next) -> Response {
//!     let path = request.method().path;
//!     let start = std::time::Instant::now();
//!     let response = next.run(request).await;
//!     if start.elapsed().as_secs() >= 1 {
//!         tracing::warn!(path, code = ?response.error().map(|error| error.code()), "slow");
//!     }
//!     response
//! }
//! ```
//!
//! On a client a layer runs once a call, around all attempts; one that is to run in each attempt is added by
//! [`Client::attempt_layer`](crate::Client::attempt_layer).

mod body;
mod layer;
mod tower;

pub use body::Body;
pub(crate) use body::{BodyKind, Guards};
pub use layer::{BoxFuture, Layer, Next};
pub(crate) use layer::{InnerService, Layers};
pub use tower::{TowerLayer, TowerService};

use std::fmt;

use crate::context::Context;
use crate::descriptor::MethodDescriptor;
use crate::error::Error;
use crate::metadata::Metadata;

/// A call on its way in.
#[non_exhaustive]
pub struct Request {
    method: &'static MethodDescriptor,
    context: Context,
    metadata: Metadata,
    body: Body,
    /// Whether a client may send it again.
    retry: bool,
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
        }
    }

    /// The method that is called.
    #[must_use]
    pub fn method(&self) -> &'static MethodDescriptor {
        self.method
    }

    /// The context that the call travels with: on a client the one that goes out.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// What the caller sends beside the message.
    ///
    /// On a server the metadata is in the [`Context`] as well; a change here does not reach that.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// For layers that add metadata, such as a token on a client.
    pub fn metadata_mut(&mut self) -> &mut Metadata {
        &mut self.metadata
    }

    /// The message or messages.
    #[must_use]
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// For layers that hold something until the call is over, see [`Body::hold`].
    pub fn body_mut(&mut self) -> &mut Body {
        &mut self.body
    }

    /// Whether a client may send it again.
    pub(crate) fn may_retry(&self) -> bool {
        self.retry
    }

    pub(crate) fn set_retry(&mut self, retry: bool) {
        self.retry = retry;
    }

    pub(crate) fn set_context(&mut self, context: Context) {
        self.context = context;
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

/// A call on its way out: a body or an error, and metadata beside it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Response {
    headers: Metadata,
    trailers: Metadata,
    result: Result<Body, Error>,
    /// A fault on purpose: nobody is to get it.
    aborted: bool,
}

impl Response {
    /// An answer.
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

    /// The error, if it is one.
    #[must_use]
    pub fn error(&self) -> Option<&Error> {
        self.result.as_ref().err()
    }

    /// For layers that change an error.
    pub fn error_mut(&mut self) -> Option<&mut Error> {
        self.result.as_mut().err()
    }

    /// The body, if it is no error.
    #[must_use]
    pub fn body(&self) -> Option<&Body> {
        self.result.as_ref().ok()
    }

    /// For layers that hold something until the answer is out, see [`Body::hold`].
    pub fn body_mut(&mut self) -> Option<&mut Body> {
        self.result.as_mut().ok()
    }

    /// Metadata before the message.
    #[must_use]
    pub fn headers(&self) -> &Metadata {
        &self.headers
    }

    /// Metadata before the message, to be changed.
    pub fn headers_mut(&mut self) -> &mut Metadata {
        &mut self.headers
    }

    /// Metadata behind the message.
    #[must_use]
    pub fn trailers(&self) -> &Metadata {
        &self.trailers
    }

    /// Metadata behind the message, to be changed.
    pub fn trailers_mut(&mut self) -> &mut Metadata {
        &mut self.trailers
    }

    /// Lets nobody get it: the connection of its call is closed instead.
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

/// For layers that answer themselves.
impl From<Error> for Response {
    fn from(error: Error) -> Self {
        Self::from_result(Err(error))
    }
}

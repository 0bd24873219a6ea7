//! The [`Layer`] trait, and the rest of the stack that a layer calls.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use super::{Request, Response};

/// A boxed future.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A layer around calls. Every `async fn(Request, Next) -> Result<Response>` is a layer, and so is
/// every `async fn` with these arguments whose output converts into a [`Response`].
///
/// # Cancellation
///
/// The future is dropped when the call is canceled or its deadline passes; use guards for cleanup.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a layer around calls",
    label = "not a layer",
    note = "a layer is an `async fn(Request, Next) -> Result<Response>`, with the types of \
            `rpc_runtime::middleware`; the arguments of a closure need these types: \
            `|request: Request, next: Next| next.run(request)`",
    note = "a `tower` layer over these types is `TowerLayer::new(layer)`"
)]
pub trait Layer: Send + Sync + 'static {
    /// Handles the call, usually by running `next`.
    fn call(&self, request: Request, next: Next) -> BoxFuture<Response>;
}

impl<F, Fut> Layer for F
where
    F: Fn(Request, Next) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: Into<Response>> + Send + 'static,
{
    fn call(&self, request: Request, next: Next) -> BoxFuture<Response> {
        let response = self(request, next);
        Box::pin(async move { response.await.into() })
    }
}

/// The service inside all layers: the handler on a server, the transport on a client.
pub(crate) trait InnerService: Send + Sync + 'static {
    fn call(self: Arc<Self>, request: Request) -> BoxFuture<Response>;

    /// Returns whether this is a handler, which runs in the context of the request. A client keeps
    /// the context of its caller.
    fn runs_in_context(&self) -> bool {
        false
    }
}

/// The layers of a client or server, outermost first.
#[derive(Clone, Default)]
pub(crate) struct Layers(Arc<[Arc<dyn Layer>]>);

impl Layers {
    pub(crate) fn new(layers: Vec<Arc<dyn Layer>>) -> Self {
        Self(layers.into())
    }

    /// Returns these layers with one more as the innermost.
    pub(crate) fn with(&self, layer: Arc<dyn Layer>) -> Self {
        Self(self.0.iter().cloned().chain([layer]).collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Runs a call through the layers to the inner service.
    pub(crate) fn run<E: InnerService>(
        &self,
        inner: &Arc<E>,
        request: Request,
    ) -> BoxFuture<Response> {
        if self.0.is_empty() {
            // The usual case, without the allocation of a chain.
            return Arc::clone(inner).call(request);
        }
        Next {
            layers: self.clone(),
            index: 0,
            inner: Arc::clone(inner) as Arc<dyn InnerService>,
        }
        .run(request)
    }
}

impl fmt::Debug for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Layers({})", self.0.len())
    }
}

/// The rest of the stack inside a layer. Drop it to respond without the handler, or clone it to run
/// the rest more than once.
#[derive(Clone)]
pub struct Next {
    layers: Layers,
    index: usize,
    inner: Arc<dyn InnerService>,
}

impl Next {
    /// Runs the next layer, or the inner service after the last one.
    ///
    /// If a layer of a server has replaced the context of the call, the rest runs in the new one.
    #[must_use = "the call continues only when this is awaited"]
    pub fn run(self, mut request: Request) -> BoxFuture<Response> {
        match request.take_new_context() {
            // The rest is called inside too, since a layer may read the context before it awaits.
            Some(context) if self.inner.runs_in_context() => {
                let rest = async move { self.run_rest(request).await };
                Box::pin(context.scope(rest))
            }
            _ => self.run_rest(request),
        }
    }

    fn run_rest(mut self, request: Request) -> BoxFuture<Response> {
        match self.layers.0.get(self.index).cloned() {
            Some(layer) => {
                self.index += 1;
                layer.call(request, self)
            }
            None => self.inner.call(request),
        }
    }
}

impl fmt::Debug for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Next({} of {})", self.index, self.layers.0.len())
    }
}

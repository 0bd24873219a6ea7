//! A layer, and the rest of the onion behind it.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use super::{Request, Response};

/// A future on the heap.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// One ring around a call. Every `async fn(Request, Next) -> Response` is one.
///
/// # Cancellation
///
/// The future is dropped where the call is cancelled or its deadline passes; keep what must be undone in a guard.
pub trait Layer: Send + Sync + 'static {
    /// Handles the call, usually by way of `next`.
    fn call(&self, request: Request, next: Next) -> BoxFuture<Response>;
}

impl<F, Fut> Layer for F
where
    F: Fn(Request, Next) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Response> + Send + 'static,
{
    fn call(&self, request: Request, next: Next) -> BoxFuture<Response> {
        Box::pin(self(request, next))
    }
}

/// What stands at the inner end of an onion: the handler, or the network.
pub(crate) trait InnerService: Send + Sync + 'static {
    fn call(self: Arc<Self>, request: Request) -> BoxFuture<Response>;
}

/// The layers of one side, the outermost first.
#[derive(Clone, Default)]
pub(crate) struct Layers(Arc<[Arc<dyn Layer>]>);

impl Layers {
    pub(crate) fn new(layers: Vec<Arc<dyn Layer>>) -> Self {
        Self(layers.into())
    }

    /// This onion with one more ring at its inner end.
    pub(crate) fn with(&self, layer: Arc<dyn Layer>) -> Self {
        Self(self.0.iter().cloned().chain([layer]).collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Runs a call through the layers to the endpoint.
    pub(crate) fn run<E: InnerService>(
        &self,
        endpoint: &Arc<E>,
        request: Request,
    ) -> BoxFuture<Response> {
        if self.0.is_empty() {
            // The usual case: no chain to build.
            return Arc::clone(endpoint).call(request);
        }
        Next {
            layers: self.clone(),
            index: 0,
            endpoint: Arc::clone(endpoint) as Arc<dyn InnerService>,
        }
        .run(request)
    }
}

impl fmt::Debug for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Layers({})", self.0.len())
    }
}

/// The rest of the onion. Drop it to answer without the handler, clone it to run the rest twice.
#[derive(Clone)]
pub struct Next {
    layers: Layers,
    index: usize,
    endpoint: Arc<dyn InnerService>,
}

impl Next {
    /// Hands the call to the next ring.
    #[must_use = "the call goes on only when this is awaited"]
    pub fn run(mut self, request: Request) -> BoxFuture<Response> {
        match self.layers.0.get(self.index).cloned() {
            Some(layer) => {
                self.index += 1;
                layer.call(request, self)
            }
            None => self.endpoint.call(request),
        }
    }
}

impl fmt::Debug for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Next({} of {})", self.index, self.layers.0.len())
    }
}

//! The adapter for `tower` layers.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Mutex;
use std::task;

use tower_service::Service;

use super::{BoxFuture, Layer, Next, Request, Response};
use crate::error::{Code, Error};
use crate::sync::MutexExt as _;

/// Adapts a `tower` layer over [`Request`] and [`Response`] to a [`Layer`].
///
/// The layer is applied once, so its state (a limit, a buffer) is shared by all calls. Errors of
/// the layer itself (a full buffer, a timeout) become `unavailable`.
///
/// ```
/// use rpc_runtime::middleware::TowerLayer;
/// use rpc_runtime::Server;
///
/// let server = Server::new("logsink").layer(TowerLayer::new(tower::limit::ConcurrencyLimitLayer::new(100)));
/// # drop(server);
/// ```
pub struct TowerLayer<S>(Mutex<S>);

impl<S> TowerLayer<S> {
    /// Applies a `tower` layer.
    pub fn new<L>(layer: L) -> Self
    where
        L: tower_layer::Layer<TowerService, Service = S>,
    {
        Self(Mutex::new(layer.layer(TowerService(()))))
    }
}

impl<S> Layer for TowerLayer<S>
where
    S: Service<(Request, Next), Response = Response> + Clone + Send + 'static,
    S::Error: Into<Box<dyn StdError + Send + Sync>>,
    S::Future: Send,
{
    fn call(&self, request: Request, next: Next) -> BoxFuture<Response> {
        // Cloned per call: readiness belongs to the clone that was polled, and calls do not wait
        // for each other.
        let mut service = self.0.lock_unpoisoned().clone();
        Box::pin(async move {
            let error = match poll_fn(|cx| service.poll_ready(cx))
                .await
                .map_err(Into::into)
            {
                Ok(()) => {
                    let response = service.call((request, next));
                    match response.await.map_err(Into::into) {
                        Ok(response) => return response,
                        Err(error) => error,
                    }
                }
                Err(error) => error,
            };
            // Its text may be that of a client, so it is for operators.
            Error::without_location(Code::Unavailable, "rejected by a layer of the server")
                .with_source(error)
                .into()
        })
    }
}

impl<S> fmt::Debug for TowerLayer<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TowerLayer").finish_non_exhaustive()
    }
}

/// The rest of the stack as a `tower` service, which a `tower` layer wraps.
#[derive(Debug, Clone)]
pub struct TowerService(());

impl Service<(Request, Next)> for TowerService {
    type Response = Response;
    type Error = Infallible;
    type Future = TowerFuture;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> task::Poll<Result<(), Infallible>> {
        task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, (request, next): (Request, Next)) -> TowerFuture {
        TowerFuture(next.run(request))
    }
}

/// The response future of [`TowerService`].
pub struct TowerFuture(BoxFuture<Response>);

impl Future for TowerFuture {
    type Output = Result<Response, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> task::Poll<Self::Output> {
        self.0.as_mut().poll(cx).map(Ok)
    }
}

impl fmt::Debug for TowerFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TowerFuture").finish_non_exhaustive()
    }
}

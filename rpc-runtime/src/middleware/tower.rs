//! The adapter for `tower` layers.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::fmt;
use std::future::poll_fn;
use std::sync::Mutex;
use std::task;

use tower_service::Service;

use super::{BoxFuture, Layer, Next, Request, Response};
use crate::error::{Code, Error};
use crate::sync::MutexExt as _;

/// A `tower` layer as a ring of ours: it sees our [`Request`] and [`Response`].
///
/// The layer is applied once; what it keeps (a limit, a buffer) is shared by all calls. An error of the layer itself
/// (a full buffer, a timeout) is answered as `unavailable`.
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
        // A clone a call: a service is ready for the one who asked it, and calls do not wait for each other here.
        let mut service = self.0.lock_unpoisoned().clone();
        Box::pin(async move {
            let refused = match poll_fn(|cx| service.poll_ready(cx))
                .await
                .map_err(Into::into)
            {
                Ok(()) => {
                    let response = service.call((request, next));
                    match response.await.map_err(Into::into) {
                        Ok(response) => return response,
                        Err(refused) => refused,
                    }
                }
                Err(refused) => refused,
            };
            Error::unlocated(Code::Unavailable, format!("refused by a layer: {refused}"))
                .with_source(refused)
                .into()
        })
    }
}

impl<S> fmt::Debug for TowerLayer<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TowerLayer").finish_non_exhaustive()
    }
}

/// The rest of our onion as a `tower` service: what a `tower` layer wraps.
#[derive(Debug, Clone)]
pub struct TowerService(());

impl Service<(Request, Next)> for TowerService {
    type Response = Response;
    type Error = Infallible;
    type Future = task_future::Always;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> task::Poll<Result<(), Infallible>> {
        task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, (request, next): (Request, Next)) -> Self::Future {
        task_future::Always(next.run(request))
    }
}

mod task_future {
    //! A response that cannot fail, with a name that `Service::Future` can say.

    use std::convert::Infallible;
    use std::fmt;
    use std::pin::Pin;
    use std::task;

    use crate::middleware::{BoxFuture, Response};

    /// The future of [`super::TowerService`].
    pub struct Always(pub(super) BoxFuture<Response>);

    impl Future for Always {
        type Output = Result<Response, Infallible>;

        fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> task::Poll<Self::Output> {
            self.0.as_mut().poll(cx).map(Ok)
        }
    }

    impl fmt::Debug for Always {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("Always").finish_non_exhaustive()
        }
    }
}

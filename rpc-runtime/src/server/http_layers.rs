//! The HTTP layers of a server: `tower` layers over HTTP requests, as `tower-http` has them.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::fmt;
use std::future::{poll_fn, ready};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task;

use axum::body::Body;
use bytes::Bytes;
use http::StatusCode;
use tower_layer::Layer;
use tower_service::Service;

use crate::error::{Code, Error};
use crate::sync::MutexExt as _;

type BoxError = Box<dyn StdError + Send + Sync>;

/// The response future of an [`HttpService`].
pub(crate) type HttpFuture =
    Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

/// The service that an HTTP layer wraps: the rest of the server. See
/// [`Server::http_layer`](crate::Server::http_layer).
#[derive(Clone)]
pub struct HttpService(Arc<dyn CallHttp>);

impl HttpService {
    pub(crate) fn respond(&self, request: http::Request<Body>) -> HttpFuture {
        self.0.call(request)
    }
}

/// A service of any type.
trait CallHttp: Send + Sync {
    fn call(&self, request: http::Request<Body>) -> HttpFuture;
}

/// The service of a layer. Readiness belongs to the clone that was polled, so each request has one.
struct Layered<S>(Mutex<S>);

impl<S, B> CallHttp for Layered<S>
where
    S: Service<http::Request<Body>, Response = http::Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    fn call(&self, request: http::Request<Body>) -> HttpFuture {
        let mut service = self.0.lock_unpoisoned().clone();
        Box::pin(async move {
            let ready = poll_fn(|cx| service.poll_ready(cx)).await;
            let response = match ready.map_err(Into::into) {
                Ok(()) => service.call(request).await.map_err(Into::into),
                Err(error) => Err(error),
            };
            Ok(match response {
                Ok(response) => response.map(Body::new),
                Err(error) => LayerFailure(of_layer(error)).into_response(),
            })
        })
    }
}

impl Service<http::Request<Body>> for HttpService {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = HttpFuture;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> task::Poll<Result<(), Infallible>> {
        task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> HttpFuture {
        self.0.call(request)
    }
}

/// The error of a layer that has no response: an extension of a response, which the layers outside
/// of it get instead.
#[derive(Debug, Clone)]
pub(crate) struct LayerFailure(pub(crate) Error);

impl LayerFailure {
    fn into_response(self) -> http::Response<Body> {
        let mut response = http::Response::new(Body::empty());
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response.extensions_mut().insert(self);
        response
    }
}

/// Returns the error of a layer, such as one that limits concurrency.
fn of_layer(error: BoxError) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => *error,
        // Its text may be that of a client, so it is for operators.
        Err(error) => {
            let text = "rejected by an HTTP layer of the server";
            Error::without_location(Code::Unavailable, text).with_source(error)
        }
    }
}

/// The rest of the server inside all layers, as an extension of the request.
#[derive(Clone)]
pub(crate) struct Rest(pub(crate) Arc<dyn Fn(http::Request<Body>) -> HttpFuture + Send + Sync>);

/// Hands a request to its [`Rest`].
struct Innermost;

impl CallHttp for Innermost {
    fn call(&self, mut request: http::Request<Body>) -> HttpFuture {
        match request.extensions_mut().remove::<Rest>() {
            Some(Rest(rest)) => rest(request),
            None => {
                let text = "an HTTP layer of the server has removed the extensions of the request";
                let error = Error::without_location(Code::Internal, text);
                Box::pin(ready(Ok(LayerFailure(error).into_response())))
            }
        }
    }
}

/// An HTTP layer that is not applied yet.
pub(crate) type ApplyHttpLayer = Box<dyn FnOnce(HttpService) -> HttpService + Send + Sync>;

/// Boxes a layer.
pub(crate) fn boxed<L, B>(layer: L) -> ApplyHttpLayer
where
    L: Layer<HttpService> + Send + Sync + 'static,
    L::Service: Service<http::Request<Body>, Response = http::Response<B>> + Clone + Send + 'static,
    <L::Service as Service<http::Request<Body>>>::Error: Into<BoxError>,
    <L::Service as Service<http::Request<Body>>>::Future: Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    Box::new(move |inner| HttpService(Arc::new(Layered(Mutex::new(layer.layer(inner))))))
}

/// Applies layers, the first as the outermost; `None` without any.
pub(crate) fn apply(layers: Vec<ApplyHttpLayer>) -> Option<HttpService> {
    if layers.is_empty() {
        return None;
    }
    let layers = layers.into_iter().rev();
    Some(layers.fold(innermost(), |inner, apply| apply(inner)))
}

/// Applies a layer around applied ones, or around the rest of the server without any.
pub(crate) fn around(layers: Option<&HttpService>, outermost: ApplyHttpLayer) -> HttpService {
    outermost(layers.cloned().unwrap_or_else(innermost))
}

fn innermost() -> HttpService {
    HttpService(Arc::new(Innermost))
}

impl fmt::Debug for HttpService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HttpService")
    }
}

//! The layers that a developer adds to a server.

use std::sync::Arc;

use std::error::Error as StdError;

use axum::body::Body;
use bytes::Bytes;

use super::call::layers::ServerLayer;
use super::cors::Cors;
use super::http_layers;
use super::{HttpService, Server};
use crate::middleware::Layer;

/// Layers.
impl Server {
    /// Adds a layer around the methods of all services, inside the layers added before. See
    /// [`crate::middleware`].
    ///
    /// Built-in methods (`Ping`, `rpc.v1.Status`, `rpc.v1.Flags`) stay outside, so that a layer
    /// that authenticates does not lock out monitors. For them there is
    /// [`layer_with_builtin`](Self::layer_with_builtin). A layer of one service or method is added
    /// with [`Service::layer`](crate::Service::layer) or
    /// [`Service::method_layer`](crate::Service::method_layer).
    pub fn layer(self, layer: impl Layer) -> Self {
        self.add_layer(layer, false)
    }

    /// Adds a layer as [`layer`](Self::layer) does, around built-in methods too.
    pub fn layer_with_builtin(self, layer: impl Layer) -> Self {
        self.add_layer(layer, true)
    }

    fn add_layer(mut self, layer: impl Layer, with_builtin: bool) -> Self {
        let layer = Arc::new(layer);
        self.config.layers.push(ServerLayer {
            layer,
            with_builtin,
        });
        self
    }

    /// Adds a `tower` layer over HTTP requests, such as those of `tower-http`, inside the HTTP
    /// layers added before. It stands around methods and plain HTTP routes alike.
    ///
    /// A request gets to the layers when its caller is known and its head is within the limits. It
    /// takes a place among the [running calls](crate::Limits::running_calls) until they hand it on.
    /// Until then, and after the response, they have
    /// [`default_deadline`](crate::Limits::default_deadline), or less if the caller sends
    /// `connect-timeout-ms`. They run in the context of the request, and a panic is an error
    /// response. What a layer responds itself is observed as `http POST` and the like, and every
    /// response has an `x-request-id`. `/healthz` and `/readyz` stay outside, and so do calls of a
    /// client in this process, which are not HTTP.
    ///
    /// The caller was identified before: a layer cannot change who calls. A layer that changes the
    /// body of a signed request makes its signature invalid.
    ///
    /// A layer that authenticates sets the user of the call, and then no authenticator is asked: by
    /// [`Context::set_principal`](crate::Context::set_principal), or as layers of `tower-http` do,
    /// by a [`Principal`](crate::Principal) in the extensions of the request. To hand another value
    /// to handlers, a layer inserts a context with it into the extensions, whose own values
    /// handlers of methods do not see:
    /// `request.extensions_mut().insert(Context::current().with_extension(tenant))`.
    ///
    /// A server without HTTP layers runs as if they did not exist.
    ///
    /// ```
    /// use rpc_runtime::Server;
    /// use tower_http::compression::CompressionLayer;
    /// use tower_http::trace::TraceLayer;
    ///
    /// let server = Server::new("shop")
    ///     .http_layer(TraceLayer::new_for_http())
    ///     .http_layer(CompressionLayer::new());
    /// # drop(server);
    /// ```
    pub fn http_layer<L, B>(mut self, layer: L) -> Self
    where
        L: tower_layer::Layer<HttpService> + Send + Sync + 'static,
        L::Service: tower_service::Service<http::Request<Body>, Response = http::Response<B>>
            + Clone
            + Send
            + 'static,
        <L::Service as tower_service::Service<http::Request<Body>>>::Error:
            Into<Box<dyn StdError + Send + Sync>>,
        <L::Service as tower_service::Service<http::Request<Body>>>::Future: Send,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        self.config.http_layers.push(http_layers::boxed(layer));
        self
    }

    /// Lets web pages of other origins call this server: `cors("https://shop.example")` for one
    /// origin, or a [`Cors`]. It replaces what was set before, and stands outside of all
    /// [HTTP layers](Self::http_layer).
    ///
    /// Browsers call edge listeners; an internal listener without keys goes on refusing requests of
    /// web pages, and one with keys serves them plain routes only. The start fails with
    /// `failed_precondition` if the server has internal listeners without keys only, and with
    /// `invalid_argument` for something that is not an origin.
    ///
    /// ```
    /// use rpc_runtime::Server;
    ///
    /// let server = Server::new("shop").listen_edge("127.0.0.1:0").cors("https://shop.example");
    /// # drop(server);
    /// ```
    pub fn cors(mut self, cors: impl Into<Cors>) -> Self {
        self.config.cors = Some(cors.into());
        self
    }
}

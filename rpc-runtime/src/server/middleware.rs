//! The layers that a developer adds to a server.

use std::sync::Arc;

use super::Server;
use super::call::layers::ServerLayer;
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
}

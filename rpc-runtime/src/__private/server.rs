//! Items that generated servers use.

pub use axum::Router;

use crate::error::Result;
use crate::server::Server;
pub use crate::server::{RouteBuilder, Routes, Service};

/// Returns a service as an axum router.
pub fn into_router<S: Service>(service: S) -> Result<Router> {
    Server::new(service.descriptor().endpoint)
        .add(service)
        .into_router()
}

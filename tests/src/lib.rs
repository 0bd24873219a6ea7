//! Support code of the end-to-end tests: a server that runs as long as a test needs it.

pub mod captured;
pub mod chain;
pub mod folder;
pub mod http2;
pub mod http2_client;
pub mod http2_frames;
pub mod raw;
pub mod signals;
pub mod wait;

use std::net::SocketAddr;

use rpc_runtime::authentication::Authenticator;
use rpc_runtime::middleware::BoxFuture;
use rpc_runtime::testing::{self, TestServer};
use rpc_runtime::{Context, Principal, Result, Server};

/// A server on a free port of this host. It stops when it is dropped.
#[derive(Debug)]
pub struct Running(TestServer);

impl Running {
    /// Starts a server, and waits until it is ready.
    ///
    /// # Panics
    ///
    /// When the server does not start.
    pub async fn start(server: Server) -> Self {
        Self(testing::serve(server).await.expect("the server starts"))
    }

    /// Starts a server that may never be ready.
    ///
    /// # Panics
    ///
    /// When the server does not start.
    pub async fn start_unready(server: Server) -> Self {
        let started = testing::serve_unready(server).await;
        Self(started.expect("the server starts"))
    }

    /// Returns the URL for a client.
    #[must_use]
    pub fn url(&self) -> String {
        self.0.url()
    }

    /// Returns the address of the listener.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.0.address()
    }

    /// Stops the server and waits until the running calls are done.
    pub async fn stop(self) {
        self.0.stop().await;
    }
}

/// An authenticator that takes every caller for this user.
#[derive(Debug, Clone, Copy)]
pub struct EveryoneIs(pub &'static str);

impl Authenticator for EveryoneIs {
    fn authenticate(&self, _: Context) -> BoxFuture<Result<Option<Principal>>> {
        Box::pin(std::future::ready(Ok(Some(Principal::new(self.0)))))
    }
}

/// The examples of the README and of docs/guide, compiled and run as documentation tests.
#[cfg(doctest)]
mod guides {
    #[doc = include_str!("../../README.md")]
    mod readme {}
    #[doc = include_str!("../../docs/guide/coming-from.md")]
    mod coming_from {}
    #[doc = include_str!("../../docs/guide/errors.md")]
    mod errors {}
    #[doc = include_str!("../../docs/guide/getting-started.md")]
    mod getting_started {}
    #[doc = include_str!("../../docs/guide/layers.md")]
    mod layers {}
    #[doc = include_str!("../../docs/guide/logs.md")]
    mod logs {}
    #[doc = include_str!("../../docs/guide/operating.md")]
    mod operating {}
    #[doc = include_str!("../../docs/guide/streams.md")]
    mod streams {}
    #[doc = include_str!("../../docs/guide/tls-and-proxies.md")]
    mod tls_and_proxies {}
    #[doc = include_str!("../../docs/guide/retries-and-idempotency.md")]
    mod retries_and_idempotency {}
    #[doc = include_str!("../../docs/guide/tracing.md")]
    mod tracing {}
    #[doc = include_str!("../../docs/guide/users-and-roles.md")]
    mod users_and_roles {}
    #[doc = include_str!("../../docs/guide/testing.md")]
    mod testing {}
}

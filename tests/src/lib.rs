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
use rpc_runtime::{Context, Principal, Result, Server};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A server on a free port of this host. It accepts calls when `start` returns, and stops when it
/// is dropped.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<()>>,
}

impl Running {
    /// Starts a server.
    ///
    /// # Panics
    ///
    /// When no port is free.
    pub async fn start(server: Server) -> Self {
        // The kernel accepts connections from here on, so tests need not wait for readiness.
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port on loopback");
        let address = listener
            .local_addr()
            .expect("a bound listener has an address");
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(server.serve(listener, async {
            // Dropping the sender stops the server as well.
            let _ = stopped.await;
        }));
        Self {
            address,
            stop: Some(stop),
            task,
        }
    }

    /// Returns the address of the listener.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the URL for a client.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops the server and waits until the running calls are done.
    ///
    /// # Panics
    ///
    /// When the server ended with an error.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        (&mut self.task)
            .await
            .expect("the server did not panic")
            .expect("the server served");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
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

/// The examples of docs/guide, compiled and run as documentation tests.
#[cfg(doctest)]
mod guides {
    #[doc = include_str!("../../docs/guide/coming-from-tonic-and-tarpc.md")]
    mod coming_from_tonic_and_tarpc {}
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
    #[doc = include_str!("../../docs/guide/tls-and-proxies.md")]
    mod tls_and_proxies {}
    #[doc = include_str!("../../docs/guide/retries-and-idempotency.md")]
    mod retries_and_idempotency {}
    #[doc = include_str!("../../docs/guide/users-and-roles.md")]
    mod users_and_roles {}
}

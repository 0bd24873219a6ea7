//! A server on sockets, for tests.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::error::{Code, Error, Result};
use crate::flags::Flags;
use crate::server::{BoundServer, Server};

/// Time for a server to become ready.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// Time between two checks whether the server is ready.
const READY_INTERVAL: Duration = Duration::from_millis(5);

/// Serves on free ports of loopback, and waits until the server is ready.
///
/// Each TCP listener of the server gets `127.0.0.1:0` in place of its address and keeps its trust,
/// so a test uses the same server as the program. A server without listeners gets an internal one.
/// No subscriber and no signal handler is installed.
///
/// ```standalone_crate
/// use rpc_runtime::{prelude::*, testing};
///
/// #[rpc_service]
/// trait Greeter {
///     async fn greet(&self, name: &str) -> Result<String>;
/// }
///
/// struct English;
///
/// impl Greeter for English {
///     async fn greet(&self, name: &str) -> Result<String> {
///         Ok(format!("Hello {name}"))
///     }
/// }
///
/// # async fn example() -> Result<()> {
/// let server = testing::serve(Server::new("greeter").add(GreeterServer::new(English))).await?;
/// let greeter = GreeterClient::connect(&server.url())?;
/// assert_eq!(greeter.greet("Ada").await?, "Hello Ada");
/// server.stop().await;
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(example()).unwrap();
/// ```
///
/// # Errors
///
/// As [`Server::bind`]; `unavailable` with the reason of its readiness checks if the server is not
/// ready within 30 s.
pub async fn serve(server: Server) -> Result<TestServer> {
    let bound = bind(server).await?;
    let readiness = bound.readiness();
    let server = TestServer::start(bound);
    let end = Instant::now() + READY_TIMEOUT;
    while let Err(reason) = readiness.check().await {
        if Instant::now() > end {
            let text = format!("the server is not ready after {READY_TIMEOUT:?}: {reason}");
            return Err(Error::new(Code::Unavailable, text));
        }
        sleep(READY_INTERVAL).await;
    }
    Ok(server)
}

/// Serves as [`serve`] does and does not wait until the server is ready, for tests of readiness.
///
/// # Errors
///
/// As [`Server::bind`].
pub async fn serve_unready(server: Server) -> Result<TestServer> {
    Ok(TestServer::start(bind(server).await?))
}

async fn bind(server: Server) -> Result<BoundServer> {
    server.on_loopback().bind().await
}

/// A server that [`serve`] has started. Dropping it closes its connections and drops running calls.
#[derive(Debug)]
pub struct TestServer {
    urls: Vec<String>,
    addresses: Vec<SocketAddr>,
    flags: Flags,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl TestServer {
    fn start(bound: BoundServer) -> Self {
        let (stop, stopped) = oneshot::channel();
        Self {
            urls: bound.urls(),
            addresses: bound.addresses(),
            flags: bound.flags(),
            stop: Some(stop),
            task: tokio::spawn(bound.serve(async {
                // Dropping the sender stops the server as well.
                let _ = stopped.await;
            })),
        }
    }

    /// Returns the URL of the first listener, for a client.
    #[must_use]
    pub fn url(&self) -> String {
        self.urls.first().cloned().unwrap_or_default()
    }

    /// Returns the URLs of all listeners, in the order in which the server has them.
    #[must_use]
    pub fn urls(&self) -> &[String] {
        &self.urls
    }

    /// Returns the address of the first TCP listener.
    ///
    /// # Panics
    ///
    /// If the server has only Unix sockets.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        match self.addresses.first() {
            Some(address) => *address,
            None => panic!("the server has no TCP listener"),
        }
    }

    /// Returns a handle to the flags of the server.
    #[must_use]
    pub fn flags(&self) -> &Flags {
        &self.flags
    }

    /// Stops the server as [`BoundServer::serve`] does at its shutdown, and waits until the running
    /// calls are done.
    ///
    /// # Panics
    ///
    /// Continues a panic of the server.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        if let Err(error) = (&mut self.task).await
            && let Ok(panic) = error.try_into_panic()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

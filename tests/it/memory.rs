//! Bounds on the memory that callers can make a server use.

/// Requests that wait for their sender, and the bodies of plain routes.
mod incomplete;
/// Keys of idempotent calls, and callers that wait for them.
mod keys;
/// A server process with little memory under attack.
mod process;
/// Bodies that are incomplete, wait, or belong to running calls.
mod requests;
/// Responses that no peer reads.
mod responses;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use futures_util::StreamExt as _;
use rpc_runtime::Limits;
use rpc_runtime::axum::Router;
use rpc_runtime::axum::body::{Body, Bytes};
use rpc_runtime::axum::routing::post;
use rpc_runtime::prelude::*;
use rpc_runtime::status::{ServerStatus, StatusClient};
use rpc_tests::EveryoneIs;
use rpc_tests::raw::{Raw, Response};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

const MIB: usize = 1 << 20;

/// Takes and gives large messages.
#[rpc_service(package = "memory.v1")]
trait Storage {
    async fn size(&self, text: &str) -> Result<u64>;
    /// Returns a text of this size.
    async fn text(&self, size: u64) -> Result<String>;
    /// Returns when the test releases it.
    async fn held(&self, text: &str) -> Result<u64>;
    /// Returns the number of its runs, when the test releases it.
    #[rpc(timeout = "1m")]
    async fn once(&self, #[rpc(idempotency_key)] key: &str) -> Result<u64>;
}

#[derive(Clone)]
struct Handlers {
    go: Arc<Semaphore>,
    runs: Arc<Semaphore>,
}

impl Handlers {
    async fn released(&self) -> Result<()> {
        let turn = self.go.acquire().await;
        turn.map_err(|_| Error::new(Code::Aborted, "the test is over"))?
            .forget();
        Ok(())
    }
}

impl Storage for Handlers {
    async fn size(&self, text: &str) -> Result<u64> {
        Ok(text.len() as u64)
    }

    async fn text(&self, size: u64) -> Result<String> {
        Ok("x".repeat(usize::try_from(size).unwrap_or(0)))
    }

    async fn held(&self, text: &str) -> Result<u64> {
        self.released().await?;
        Ok(text.len() as u64)
    }

    async fn once(&self, _: &str) -> Result<u64> {
        self.runs.add_permits(1);
        let run = self.runs.available_permits() as u64;
        self.released().await?;
        Ok(run)
    }
}

/// Plain routes: one that reads its body into memory, and one that drops each piece of it.
fn routes() -> Router {
    let pieces = async |body: Body| {
        let mut pieces = body.into_data_stream();
        let mut size = 0;
        while let Some(Ok(piece)) = pieces.next().await {
            size += piece.len();
        }
        size.to_string()
    };
    Router::new()
        .route(WHOLE, post(async |body: Bytes| body.len().to_string()))
        .route(PIECES, post(pieces))
}

/// A server with an internal listener and one for strangers.
struct Fixture {
    internal: SocketAddr,
    edge: SocketAddr,
    handlers: Handlers,
    serving: JoinHandle<()>,
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Fixture {
    async fn start(change: impl FnOnce(&mut Limits)) -> Self {
        let handlers = Handlers {
            go: Arc::new(Semaphore::new(0)),
            runs: Arc::new(Semaphore::new(0)),
        };
        let mut limits = Limits::default();
        change(&mut limits);
        let server = Server::new("memory")
            .limits(limits)
            .listen("127.0.0.1:0")
            .listen_edge("127.0.0.1:0")
            .authenticate(EveryoneIs("stranger"))
            .add(StorageServer::new(handlers.clone()))
            .http(routes());
        let bound = server.bind().await.unwrap();
        let addresses = bound.addresses().clone();
        Self {
            internal: addresses[0],
            edge: addresses[1],
            handlers,
            serving: tokio::spawn(bound.serve(std::future::pending())),
        }
    }

    async fn status(&self) -> ServerStatus {
        let status = StatusClient::connect(&format!("http://{}", self.internal)).unwrap();
        status.get().await.unwrap()
    }

    /// Returns the number of calls that were refused because the server had no room.
    async fn shed(&self) -> u64 {
        self.status().await.total.unwrap().shed
    }
}

/// Returns an address of this host. Each one is a peer of its own.
fn peer(number: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, number).into()
}

/// Returns a request with a text of this size.
fn with_text(path: &str, size: usize) -> Vec<u8> {
    let message = format!("{{\"text\":\"{}\"}}", "x".repeat(size));
    rpc_tests::raw::post(path, &message)
}

/// Sends a request from an address and returns the response.
async fn ask(from: IpAddr, address: SocketAddr, request: &[u8]) -> Response {
    let mut raw = Raw::connect_from(from, address).await;
    // The server may respond before it has read everything.
    let _ = raw.send(request).await;
    raw.response().await
}

const SIZE: &str = "/memory.v1.Storage/Size";
const TEXT: &str = "/memory.v1.Storage/Text";
const WHOLE: &str = "/whole";
const PIECES: &str = "/pieces";
const HELD: &str = "/memory.v1.Storage/Held";

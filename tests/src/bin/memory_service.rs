//! A server that callers try to fill: `memory_service --listen 127.0.0.1:0 --listen-edge
//! 127.0.0.1:0`.

use clap::Parser;
use rpc_runtime::axum::Router;
use rpc_runtime::axum::body::Bytes;
use rpc_runtime::axum::routing::post;
use rpc_runtime::prelude::*;
use rpc_runtime::{Limits, ServerOptions};
use rpc_tests::EveryoneIs;

/// Takes and gives large messages.
#[rpc_service(package = "memory.v1")]
trait Filled {
    async fn size(&self, text: &str) -> Result<u64>;
    async fn count(&self, items: Vec<Vec<u32>>) -> Result<u64>;
    async fn text(&self, size: u64) -> Result<String>;
    async fn once(&self, #[rpc(idempotency_key)] key: &str, size: u64) -> Result<String>;
}

struct Handlers;

fn text(size: u64) -> String {
    "x".repeat(usize::try_from(size).unwrap_or(0))
}

impl Filled for Handlers {
    async fn size(&self, text: &str) -> Result<u64> {
        Ok(text.len() as u64)
    }

    async fn count(&self, items: Vec<Vec<u32>>) -> Result<u64> {
        Ok(items.len() as u64)
    }

    async fn text(&self, size: u64) -> Result<String> {
        Ok(text(size))
    }

    async fn once(&self, _: &str, size: u64) -> Result<String> {
        Ok(text(size))
    }
}

/// A plain route that reads its body into memory.
fn routes() -> Router {
    Router::new().route("/whole", post(async |body: Bytes| body.len().to_string()))
}

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    server: ServerOptions,
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut limits = Limits::default();
    limits.buffered_bytes = 32 << 20;
    Server::new("memory")
        .options(Arguments::parse().server)
        .limits(limits)
        .authenticate(EveryoneIs("stranger"))
        .add(FilledServer::new(Handlers))
        .http(routes())
        .run()
        .await
}

//! Connections that the server refused or ended.

use rpc_runtime::Limits;
use rpc_runtime::status::StatusClient;
use rpc_tests::Running;
use rpc_tests::raw::{Raw, request};
use rpc_tests::wait::until;

use super::{Handlers, server};

/// A server to which each peer has one connection.
async fn start() -> (Running, StatusClient) {
    let mut limits = Limits::default();
    limits.connections_per_peer = 1;
    let running = Running::start(server(&Handlers::default()).limits(limits)).await;
    let client = StatusClient::connect(&running.url()).unwrap();
    (running, client)
}

async fn connect(running: &Running) -> Raw {
    Raw::connect_from([127, 0, 0, 7].into(), running.address()).await
}

/// Returns the numbers of connections over the limit, and of those without a response.
async fn counted(client: &StatusClient) -> (u64, u64) {
    let connections = client.get().await.unwrap().connections;
    (connections.over_limit, connections.unanswered)
}

#[tokio::test]
async fn refused_connections_are_counted() {
    let (running, client) = start().await;
    assert!(client.get().await.unwrap().connections.is_empty());
    let health = request("GET", "/healthz", &[], b"");
    let mut first = connect(&running).await;
    assert_eq!(first.ask(&health).await.status, 200);
    for n in 1..=3 {
        let refused = connect(&running).await.ask(&health).await;
        assert_eq!(refused.error().1, "unavailable");
        assert_eq!(counted(&client).await, (n, 0));
    }
    // One that sends nothing, and one that leaves by itself.
    assert_eq!(connect(&running).await.closed().await, b"");
    until(async || counted(&client).await == (4, 1)).await;
    drop(connect(&running).await);
    until(async || counted(&client).await.0 == 5).await;
}

#[tokio::test]
async fn no_closed_connection_is_lost_from_the_counts() {
    let (running, client) = start().await;
    let health = request("GET", "/healthz", &[], b"");
    let mut first = connect(&running).await;
    assert_eq!(first.ask(&health).await.status, 200);
    // More than are refused with a response at once.
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(connect(&running).await);
    }
    until(async || counted(&client).await == (100, 100)).await;
    for mut raw in silent {
        assert_eq!(raw.closed().await, b"");
    }
}

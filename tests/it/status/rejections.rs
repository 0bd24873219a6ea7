//! Calls that were rejected before they started, and repeated calls.

use std::time::Duration;

use rpc_runtime::prelude::*;
use rpc_runtime::status::{MethodStatus, StatusClient};
use rpc_runtime::testing::Faults;
use rpc_runtime::{Client, Limits, RateLimit, RetryPolicy};
use rpc_tests::Running;
use rpc_tests::raw::{Raw, request};

use super::{Handlers, WorkClient, server};

const LONG: Duration = Duration::from_secs(60);

/// Limits a server to one running call and `queue` queued ones.
fn narrow(handlers: &Handlers, queue: usize, timeout: Duration) -> Server {
    let mut limits = Limits::default();
    limits.running_calls = 1;
    limits.queued_calls = queue;
    limits.queue_timeout = timeout;
    server(handlers).limits(limits)
}

async fn method(client: &Client, name: &str) -> MethodStatus {
    let status = StatusClient::with_client(client.clone())
        .get()
        .await
        .unwrap();
    let name = format!("status.v1.Work/{name}");
    let mut rows = status.methods.into_iter();
    rows.find(|row| row.name == name).unwrap()
}

/// Returns the counts of shed, rate-limited and failed calls.
fn rejected(row: &MethodStatus) -> (u64, u64, u64) {
    (row.shed, row.rate_limited, row.failed())
}

/// Returns clients in process and over a socket.
async fn both_transports(make: impl Fn() -> Server) -> [(Client, Option<Running>); 2] {
    let running = Running::start(make()).await;
    let network = Client::new(&running.url()).unwrap();
    let local = make().into_local_client().unwrap();
    [(network, Some(running)), (local, None)]
}

#[tokio::test]
async fn calls_rejected_by_a_full_server_are_counted() {
    let handlers = Handlers::default();
    for (client, _running) in both_transports(|| narrow(&handlers, 0, LONG)).await {
        let counted = WorkClient::with_client(client.clone());
        let held = tokio::spawn(counted.held().into_future());
        handlers.0.0.notified().await;
        for _ in 0..7 {
            let error = counted.fine().no_retry().await.unwrap_err();
            assert_eq!(error.code(), Code::Unavailable);
        }
        // An error of the handler does not count as shed.
        handlers.0.1.notify_one();
        held.await.unwrap().unwrap();
        counted.fails().await.unwrap_err();
        counted.fine().await.unwrap();

        let fine = method(&client, "Fine").await;
        assert_eq!((fine.requests, rejected(&fine)), (8, (7, 0, 7)));
        assert_eq!(rejected(&method(&client, "Held").await), (0, 0, 0));
        assert_eq!(rejected(&method(&client, "Fails").await), (0, 0, 1));
    }
}

#[tokio::test]
async fn calls_that_time_out_in_the_queue_are_counted() {
    let handlers = Handlers::default();
    let running = Running::start(narrow(&handlers, 1, LONG)).await;
    let client = Client::new(&running.url()).unwrap();
    let counted = WorkClient::with_client(client.clone());
    let held = tokio::spawn(counted.held().into_future());
    handlers.0.0.notified().await;
    // The deadline passes while the caller stays connected. On a slow machine it may pass before
    // the call is queued, so the timeout grows until it does not.
    let mut raw = Raw::connect(running.address()).await;
    let mut timeout = 5;
    let fine = loop {
        let lines = [
            ("Content-Type", "application/json"),
            ("Connect-Timeout-Ms", &*timeout.to_string()),
        ];
        let fine = request("POST", "/status.v1.Work/Fine", &lines, b"{}");
        let response = raw.ask(fine).await;
        assert_eq!(response.error(), (504, "deadline_exceeded".to_owned()));
        let fine = method(&client, "Fine").await;
        if fine.shed > 0 {
            break fine;
        }
        timeout *= 4;
    };
    assert_eq!(fine.shed, 1, "{fine:?}");
    assert_eq!(fine.failed(), fine.errors["deadline_exceeded"]);
    handlers.0.1.notify_one();
    held.await.unwrap().unwrap();

    // The queue timeout passes.
    let running = Running::start(narrow(&handlers, 1, Duration::from_millis(20))).await;
    let client = Client::new(&running.url()).unwrap();
    let counted = WorkClient::with_client(client.clone());
    let held = tokio::spawn(counted.held().into_future());
    handlers.0.0.notified().await;
    let error = counted.fine().no_retry().await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    let fine = method(&client, "Fine").await;
    assert_eq!(fine.errors["unavailable"], 1);
    assert_eq!((fine.shed, fine.failed()), (1, 1), "{fine:?}");
    handlers.0.1.notify_one();
    held.await.unwrap().unwrap();
}

#[tokio::test]
async fn calls_over_a_rate_limit_are_counted_separately() {
    let handlers = Handlers::default();
    let limit = || {
        let two = RateLimit::per_minute(1).burst(2);
        server(&handlers).rate_limit(two.method("status.v1.Work/Fine"))
    };
    for (client, _running) in both_transports(limit).await {
        let counted = WorkClient::with_client(client.clone());
        for n in 0..5 {
            assert_eq!(counted.fine().await.is_ok(), n < 2);
        }
        let fine = method(&client, "Fine").await;
        assert_eq!((fine.requests, rejected(&fine)), (5, (0, 3, 3)));
        assert_eq!(fine.errors["resource_exhausted"], 3);
    }
}

#[rpc_service(package = "status.v1")]
trait Again {
    #[rpc(idempotent)]
    async fn put(&self) -> Result<u32>;
}

struct Attempts;

impl Again for Attempts {
    async fn put(&self) -> Result<u32> {
        Ok(Context::current().attempt())
    }
}

#[tokio::test]
async fn attempts_beyond_the_first_are_counted_as_repeats() {
    let make = || Server::new("again").add(AgainServer::new(Attempts));
    for (client, _running) in both_transports(make).await {
        // Each response is lost until the client has no attempts left.
        let quick =
            RetryPolicy::default().backoff(Duration::from_millis(1), Duration::from_millis(1));
        let lossy = Faults::seeded(1).drop_response(1.0);
        let losing = client.clone().retry(quick).attempt_layer(lossy);
        AgainClient::with_client(losing).put().await.unwrap_err();
        let again = AgainClient::with_client(client.clone());
        assert_eq!(again.put().await.unwrap(), 1);
        let status = StatusClient::with_client(client).get().await.unwrap();
        let put = &status.methods[1];
        assert_eq!(put.name, "status.v1.Again/Put");
        assert_eq!((put.requests, put.repeats, put.failed()), (4, 2, 0));
    }
}

#[tokio::test]
async fn status_reports_dropped_log_records() {
    let get = async |server: Server| {
        let client = server.into_local_client().unwrap();
        StatusClient::with_client(client)
            .get()
            .await
            .unwrap()
            .logs_dropped
    };
    let handlers = Handlers::default();
    assert_eq!(get(server(&handlers)).await, None);
    assert_eq!(get(server(&handlers).dropped_logs(|| 7)).await, Some(7));
}

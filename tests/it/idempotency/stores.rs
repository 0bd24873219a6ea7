use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rpc_runtime::Client;
use rpc_runtime::idempotency::{MemoryStore, Outcome};
use rpc_runtime::middleware::{Next, Request};
use rpc_runtime::prelude::*;
use rpc_tests::Running;
use rpc_tests::wait::until;

use super::shelf::Shelf;
use super::{Fails, Fixture, TillClient, TillError, once, plain, quick};

#[tokio::test]
async fn a_result_in_an_external_store_outlives_the_server() {
    let fixture = Fixture::new();
    let store = Arc::new(Shelf::default());
    let server = || fixture.server().idempotency_store(Arc::clone(&store));
    let before = Running::start(server()).await;
    let till = once(Client::new(&before.url()).unwrap());
    assert_eq!(till.pay("paid", 5).await.unwrap(), 1);
    fixture.fail(Fails::Poor);
    till.pay("poor", 5).await.unwrap_err();
    before.stop().await;

    let after = Running::start(server()).await;
    let till = once(Client::new(&after.url()).unwrap());
    let reply = till.pay("paid", 5).with_response().await.unwrap();
    assert_eq!(
        (reply.value, reply.headers.get("x-payment")),
        (1, Some("1"))
    );
    let error = till.pay("poor", 5).await.unwrap_err();
    assert!(
        matches!(*error, TillError::Poor { missing: 7 }),
        "{error:?}"
    );
    assert_eq!(till.pay("paid", 6).await.unwrap_err().code(), Code::Aborted);
    assert_eq!(fixture.runs(), 2);
}

#[tokio::test]
async fn a_call_of_another_process_is_never_run_twice() {
    let fixture = Fixture::new();
    let store = Arc::new(Shelf::default());
    let client = fixture
        .server()
        .idempotency_store(Arc::clone(&store))
        .into_local_client()
        .unwrap();
    let till = once(client.clone());
    assert_eq!(till.pay("k", 5).await.unwrap(), 1);
    // As if another process were running the call.
    let (key, (message, outcome)) = store.take();
    store.put(key.clone(), (message, None));
    let error = till.pay("k", 5).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(plain(error).retry_after().is_some());
    assert_eq!(till.pay("k", 6).await.unwrap_err().code(), Code::Aborted);
    // The client retries without help. The other process is done by the second attempt.
    let (shelf, done) = (Arc::clone(&store), outcome.clone());
    let waits = client
        .clone()
        .attempt_layer(move |request: Request, next: Next| {
            if request.context().attempt() == 2 {
                shelf.put(key.clone(), (message, done.clone()));
            }
            next.run(request)
        });
    assert_eq!(TillClient::with_client(waits).pay("k", 5).await.unwrap(), 1);
    // The other process has died during the call, and the store has recorded that.
    let (key, _) = store.take();
    store.put(key, (message, Some(Outcome::lost().to_bytes())));
    let error = till.pay("k", 5).await.unwrap_err();
    assert_eq!((error.code(), fixture.runs()), (Code::Unknown, 1));
    assert!(
        error.message().contains("may have been executed"),
        "{error}"
    );
}

#[tokio::test]
async fn no_call_runs_when_the_store_fails() {
    let fixture = Fixture::new();
    let store = Arc::new(Shelf::default());
    let client = fixture
        .server()
        .idempotency_store(Arc::clone(&store))
        .into_local_client()
        .unwrap();
    store.failures.store(1, Ordering::SeqCst);
    let error = once(client.clone()).pay("k", 5).await.unwrap_err();
    assert_eq!(
        (error.code(), error.hops()[0].message.as_str()),
        (Code::Unavailable, "the shelf is away")
    );
    assert_eq!(fixture.runs(), 0);
    // A client with retries does not notice the failure.
    store.failures.store(1, Ordering::SeqCst);
    let till = TillClient::with_client(client.retry(quick()));
    assert_eq!(till.pay("k", 5).await.unwrap(), 1);
}

#[tokio::test]
async fn a_store_that_loses_responses_loses_no_key() {
    let fixture = Fixture::new();
    let store = Arc::new(Shelf::default());
    let server = fixture.server().idempotency_store(Arc::clone(&store));
    let till = TillClient::with_client(server.into_local_client().unwrap().retry(quick()));
    // The key is claimed, and the server does not know.
    store.lost_claims.store(1, Ordering::SeqCst);
    assert_eq!(till.pay("claim", 5).await.unwrap(), 1);
    // The result is not stored at first; the caller and its repeats get it all the same.
    store.lost_results.store(2, Ordering::SeqCst);
    for _ in 0..3 {
        assert_eq!(till.pay("result", 5).await.unwrap(), 2);
    }
    until(async || store.results() == 2).await;
    assert_eq!(till.pay("result", 5).await.unwrap(), 2);
    assert_eq!(fixture.runs(), 2);
}

#[tokio::test]
async fn an_expired_key_is_new() {
    let fixture = Fixture::new();
    let store = MemoryStore::new().keep(Duration::ZERO);
    let till = once(
        fixture
            .server()
            .idempotency_store(store)
            .into_local_client()
            .unwrap(),
    );
    assert_eq!(till.pay("k", 5).await.unwrap(), 1);
    assert_eq!(till.pay("k", 5).await.unwrap(), 2);
}

#[tokio::test]
async fn a_full_store_rejects_a_call_until_one_ends() {
    let mut fixture = Fixture::new();
    let store = MemoryStore::new().entries(1);
    let till = once(
        fixture
            .server()
            .idempotency_store(store)
            .into_local_client()
            .unwrap(),
    );
    let first = tokio::spawn(till.pay_slowly("slow".to_owned(), 5));
    fixture.begun.recv().await.unwrap();
    let error = till.pay("k", 5).await.unwrap_err();
    assert_eq!((error.code(), fixture.runs()), (Code::ResourceExhausted, 1));
    fixture.cash.go.add_permits(1);
    first.await.unwrap().unwrap();
    assert_eq!(till.pay("k", 5).await.unwrap(), 2);
}

use rpc_runtime::Code;
use rpc_runtime::{Client, RetryPolicy};
use rpc_tests::raw::post;
use rpc_tests::wait::{until, within};
use tokio::task::JoinSet;

use super::{Fixture, SIZE, StorageClient, ask, peer, with_text};

fn client(fixture: &Fixture) -> StorageClient {
    let client = Client::new(&format!("http://{}", fixture.edge)).unwrap();
    StorageClient::with_client(client.retry(RetryPolicy::off()))
}

#[tokio::test]
async fn repeats_of_a_running_key_are_bounded() {
    let fixture = Fixture::start(|_| ()).await;
    let client = client(&fixture);
    let mut calls = JoinSet::new();
    for _ in 0..150 {
        let client = client.clone();
        calls.spawn(async move { client.once("key").await });
    }
    // One runs and a hundred wait.
    for _ in 0..49 {
        let refused = within(calls.join_next()).await.unwrap().unwrap();
        let error = refused.unwrap_err();
        assert_eq!(error.code(), Code::Unavailable, "{error:#}");
        assert!(!error.is_not_executed() && error.retry_after().is_some());
    }
    fixture.handlers.go.add_permits(1);
    for _ in 0..101 {
        let result = within(calls.join_next()).await.unwrap().unwrap();
        assert_eq!(result.unwrap(), 1);
    }
}

#[tokio::test]
async fn callers_that_left_free_their_places() {
    let fixture = Fixture::start(|limits| {
        limits.running_calls = 2;
        limits.queued_calls = 0;
    })
    .await;
    let client = client(&fixture);
    let small = with_text(SIZE, 1);
    let status = async || ask(peer(2), fixture.edge, &small).await.status;
    for round in 0..2 {
        let mut calls = JoinSet::new();
        for key in 0..2 {
            let (client, key) = (client.clone(), format!("{round} {key}"));
            calls.spawn(async move { client.once(&key).await });
        }
        let begun = 2 * (round + 1);
        until(async || fixture.handlers.runs.available_permits() == begun).await;
        assert_eq!(status().await, 503, "every slot is taken");
        calls.shutdown().await;
        if round == 0 {
            until(async || status().await == 200).await;
        }
    }
    // No more than `running_calls` run without a caller.
    assert_eq!(status().await, 503);
    fixture.handlers.go.add_permits(4);
    until(async || status().await == 200).await;
    // The results are kept.
    assert_eq!(
        client.once("0 0").await.unwrap(),
        client.once("0 0").await.unwrap()
    );
    assert_eq!(fixture.handlers.runs.available_permits(), 4);
}

#[tokio::test]
async fn a_stranger_and_an_unnamed_insider_share_no_key() {
    let fixture = Fixture::start(|_| ()).await;
    fixture.handlers.go.add_permits(2);
    let request = post("/memory.v1.Storage/Once", r#"{"key":"k"}"#);
    for (address, run) in [
        (fixture.edge, 1),
        (fixture.internal, 2),
        (fixture.edge, 1),
        (fixture.internal, 2),
    ] {
        let response = ask(peer(1), address, &request).await;
        assert_eq!(response.value(), (200, run.into()));
    }
}

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rpc_runtime::{Client, RetryPolicy};
use rpc_tests::http2::{Action, Http2Peer};
use rpc_tests::wait::{StoppedClock, until, within};
use tokio::task::JoinSet;

use crate::http2_client::{CounterClient, LONG, MANY, NO_ERROR, advance_until, client, fine};

/// The most connections that a runtime opens to an address.
const CONNECTIONS: usize = 256;

fn hold() -> Action {
    Action::Hold("{\"result\":1}".to_owned())
}

/// Sends calls that may take long.
fn send(calls: &mut JoinSet<u32>, client: &CounterClient, number: usize) {
    for _ in 0..number {
        let call = client.add().timeout(LONG);
        calls.spawn(async move { call.await.unwrap() });
    }
}

async fn all_end(mut calls: JoinSet<u32>) {
    while let Some(ended) = within(calls.join_next()).await {
        ended.unwrap();
    }
}

#[tokio::test]
async fn calls_wait_where_one_stream_is_allowed() {
    // Every third connection goes away after its first request, which it has served.
    let served = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&served);
    let peer = Http2Peer::start(1, move |seen| {
        if seen.stream > 1 && seen.connection % 3 == 0 {
            return Action::GoAway {
                last: Some(seen.stream - 2),
                code: NO_ERROR,
            };
        }
        fine(count.fetch_add(1, Ordering::SeqCst))
    })
    .await;
    let client = client(&peer.url());
    let mut calls = JoinSet::new();
    for _ in 0..40 {
        let client = client.clone();
        calls.spawn(async move { client.add().await });
    }
    let mut values = BTreeSet::new();
    while let Some(value) = within(calls.join_next()).await {
        values.insert(value.unwrap().unwrap());
    }
    assert_eq!(values.len(), 40, "each ran once");
    assert_eq!(served.load(Ordering::SeqCst), 40);
}

#[tokio::test]
async fn used_up_streams_open_more_connections() {
    let peer = Http2Peer::start(2, |seen| {
        Action::Hold(format!("{{\"result\":{}}}", seen.number))
    })
    .await;
    let client = client(&peer.url());
    let mut calls = JoinSet::new();
    for _ in 0..5 {
        let client = client.clone();
        calls.spawn(async move { client.add().await });
    }
    until(async || peer.seen().len() == 5).await;
    assert_eq!(peer.connections(), 3);
    for connection in 0..3 {
        let streams = peer.seen().into_iter();
        assert!(streams.filter(|seen| seen.connection == connection).count() <= 2);
    }
    peer.release();
    while let Some(value) = within(calls.join_next()).await {
        value.unwrap().unwrap();
    }
    // The connections are used again.
    let call = tokio::spawn(async move { client.add().await });
    until(async || peer.seen().len() == 6).await;
    assert_eq!(peer.connections(), 3);
    peer.release();
    within(call).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_connection_without_streams_is_left() {
    let allowed = |connection| if connection == 0 { 0 } else { MANY };
    let peer = Http2Peer::start_by(allowed, |seen| fine(seen.number)).await;
    within(client(&peer.url()).add()).await.unwrap();
    assert_eq!(peer.seen().len(), 1);
    assert_eq!(peer.connections(), 2);
}

#[tokio::test]
async fn a_server_without_streams_is_named() {
    let peer = Http2Peer::start(0, |seen| fine(seen.number)).await;
    let client = Client::new(&peer.url()).unwrap().http2();
    let client = CounterClient::with_client(client.retry(RetryPolicy::off()));
    let error = within(client.add().timeout(LONG)).await.unwrap_err();
    let text = "the server allows no streams (MAX_CONCURRENT_STREAMS is 0)";
    assert!(error.message().contains(text), "{error}");
    assert_eq!(peer.seen().len(), 0);
}

#[tokio::test]
async fn no_call_waits_below_the_limit_of_connections() {
    for (streams, calls) in [(1, CONNECTIONS), (3, 700), (256, 5_000)] {
        let peer = Http2Peer::start(streams, |_| hold()).await;
        let client = client(&peer.url());
        let mut running = JoinSet::new();
        send(&mut running, &client, calls);
        until(async || peer.seen().len() == calls).await;
        peer.release();
        all_end(running).await;
        let streams = usize::try_from(streams).unwrap();
        assert!(peer.connections() >= calls.div_ceil(streams));
        assert!(
            peer.connections() <= calls.div_ceil(streams) + 8,
            "few too many"
        );
    }
}

#[tokio::test]
async fn one_client_does_not_hold_up_another() {
    let peer = Http2Peer::start(1, |_| hold()).await;
    let (greedy, modest) = (client(&peer.url()), client(&peer.url()));
    let mut running = JoinSet::new();
    send(&mut running, &greedy, 4 * CONNECTIONS);
    until(async || peer.seen().len() == CONNECTIONS).await;
    let call = tokio::spawn(modest.add().timeout(LONG).into_future());
    // A call that leaves the queue leaves no gap in it.
    let leaving = tokio::spawn(greedy.add().timeout(LONG).into_future());
    tokio::task::yield_now().await;
    leaving.abort();
    for round in 2..=3 {
        peer.release();
        until(async || peer.seen().len() == round * CONNECTIONS).await;
    }
    assert_eq!(within(call).await.unwrap().unwrap(), 1);
    assert_eq!(peer.connections(), CONNECTIONS);
}

#[tokio::test]
async fn lowered_settings_open_more_connections() {
    let peer = Http2Peer::start(MANY, |seen| match (seen.connection, seen.number) {
        (0, 10) => Action::Allow {
            streams: 1,
            json: "{\"result\":1}".to_owned(),
        },
        _ => hold(),
    })
    .await;
    let client = client(&peer.url());
    let mut running = JoinSet::new();
    send(&mut running, &client, 10);
    until(async || peer.seen().len() == 10).await;
    within(client.add()).await.unwrap();
    send(&mut running, &client, 5);
    until(async || peer.seen().len() == 16).await;
    let on_first = peer.seen().into_iter().filter(|seen| seen.connection == 0);
    assert_eq!(on_first.count(), 11);
    peer.release();
    all_end(running).await;
}

#[tokio::test]
async fn a_goaway_in_a_burst_opens_other_connections() {
    // The first connection ends with the streams that it has, the others serve.
    let peer = Http2Peer::start(20, |seen| match (seen.connection, seen.stream) {
        (0, 39) => Action::GoAway {
            last: Some(0),
            code: NO_ERROR,
        },
        (0, _) => hold(),
        _ => fine(1),
    })
    .await;
    let mut running = JoinSet::new();
    send(&mut running, &client(&peer.url()), 300);
    all_end(running).await;
}

#[tokio::test]
async fn extra_connections_end_when_they_are_idle() {
    let peer = Http2Peer::start(1, |_| hold()).await;
    let mut running = JoinSet::new();
    send(&mut running, &client(&peer.url()), 5);
    until(async || peer.seen().len() == 5).await;
    peer.release();
    all_end(running).await;
    assert!(peer.open_connections() >= 5);
    let clock = StoppedClock::start().await;
    advance_until(|| peer.open_connections() == 0).await;
    drop(clock);
}

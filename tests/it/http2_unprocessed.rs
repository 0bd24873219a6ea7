use std::time::Duration;

use rpc_runtime::prelude::*;
use rpc_runtime::{Client, RetryPolicy};
use rpc_tests::http2::{Action, Http2Peer, SeenRequest};
use rpc_tests::wait::within;
use tokio::task::JoinSet;

/// Methods that may not be repeated, and one that may.
#[rpc_service(package = "unprocessed.v1")]
trait Adder {
    async fn add(&self) -> Result<u32>;
    #[rpc(idempotent)]
    async fn put(&self) -> Result<u32>;
}

const NO_ERROR: u32 = 0;
const REFUSED_STREAM: u32 = 7;

/// Streams that a peer allows.
const MANY: u32 = 100;

/// Calls that are more than the retries of a new client, and than failures that make an address
/// bad.
const CALLS: usize = 40;

/// Attempts that a server may leave unprocessed without a cost.
const FREE: usize = 5;

fn client(url: &str) -> Client {
    let quick = Duration::from_millis(1);
    let retry = RetryPolicy::default().backoff(quick, quick);
    Client::new(url).unwrap().http2().retry(retry)
}

fn fine() -> Action {
    Action::Respond("{\"result\":1}".to_owned())
}

fn hold() -> Action {
    Action::Hold("{\"result\":1}".to_owned())
}

fn go_away(last: u32) -> Action {
    Action::GoAway {
        last: Some(last),
        code: NO_ERROR,
    }
}

/// Sends calls of both kinds at once, and returns the messages of those that fail.
async fn failures(client: &Client, calls: usize) -> Vec<String> {
    let adder = AdderClient::with_client(client.clone());
    let mut running = JoinSet::new();
    for number in 0..calls {
        let adder = adder.clone();
        running.spawn(async move {
            if number % 2 == 0 {
                adder.add().await
            } else {
                adder.put().await
            }
        });
    }
    let mut failed = Vec::new();
    while let Some(ended) = within(running.join_next()).await {
        if let Err(error) = ended.unwrap() {
            failed.push(error.message().to_owned());
        }
    }
    failed
}

/// Calls a peer that does not process the first requests.
async fn calls_succeed(first: impl Fn(SeenRequest) -> Action + Send + Sync + 'static) {
    let peer = Http2Peer::start(MANY, first).await;
    let client = client(&peer.url());
    assert_eq!(failures(&client, CALLS).await, [""; 0]);
    assert_eq!(failures(&client, CALLS).await, [""; 0]);
}

#[tokio::test]
async fn a_goaway_with_many_calls_in_flight_costs_none() {
    calls_succeed(|seen| match (seen.connection, seen.number + 1) {
        (0, CALLS) => go_away(0),
        (0, _) => hold(),
        _ => fine(),
    })
    .await;
}

#[tokio::test]
async fn many_streams_refused_at_once_cost_no_call() {
    calls_succeed(|seen| {
        if seen.number < CALLS {
            Action::Reset(REFUSED_STREAM)
        } else {
            fine()
        }
    })
    .await;
}

#[tokio::test]
async fn several_connections_in_a_row_may_go_away() {
    calls_succeed(|seen| {
        if seen.connection < FREE {
            go_away(0)
        } else {
            fine()
        }
    })
    .await;
}

#[tokio::test]
async fn connections_with_a_limit_of_requests_lose_none() {
    // As proxies do it: the connection ends after its requests, and ignores later ones.
    const REQUESTS: u32 = 50;
    let peer = Http2Peer::start(MANY, |seen| {
        let last = 2 * REQUESTS - 1;
        if seen.stream > last {
            go_away(last)
        } else {
            fine()
        }
    })
    .await;
    let client = client(&peer.url());
    for _ in 0..20 {
        assert_eq!(failures(&client, 20).await, [""; 0]);
    }
    assert!(peer.connections() >= 8);
}

#[tokio::test]
async fn a_server_that_processes_nothing_ends_the_attempts() {
    for action in [Action::Reset(REFUSED_STREAM), go_away(0)] {
        let shown = format!("{action:?}");
        let peer = Http2Peer::start(MANY, move |_| action.clone()).await;
        let adder = AdderClient::with_client(client(&peer.url()));
        let error = within(adder.add()).await.unwrap_err();
        let end = format!("the call was not begun (after {} attempts)", FREE + 3);
        assert!(error.message().ends_with(&end), "{shown}: {error}");
        assert_eq!(peer.seen().len(), FREE + 3, "{shown}");
    }
}

#[tokio::test]
async fn a_policy_without_retries_sends_once() {
    let peer = Http2Peer::start(MANY, |_| Action::Reset(REFUSED_STREAM)).await;
    let client = client(&peer.url()).retry(RetryPolicy::off());
    let adder = AdderClient::with_client(client);
    // All are sent: refusals are no evidence against the address.
    for number in 1..=CALLS {
        let error = within(adder.put()).await.unwrap_err();
        assert!(
            error.message().ends_with("the call was not begun"),
            "{error}"
        );
        assert_eq!(peer.seen().len(), number);
    }
}

#[tokio::test]
async fn one_of_three_that_processes_nothing_costs_none() {
    for action in [Action::Reset(REFUSED_STREAM), go_away(0)] {
        let shown = format!("{action:?}");
        let refusing = Http2Peer::start(MANY, move |_| action.clone()).await;
        let others = [
            Http2Peer::start(MANY, |_| fine()).await,
            Http2Peer::start(MANY, |_| fine()).await,
        ];
        let quick = Duration::from_millis(1);
        let retry = RetryPolicy::default().backoff(quick, quick);
        let urls = others.iter().chain([&refusing]).map(Http2Peer::url);
        let client = Client::from_urls(urls).unwrap().http2().retry(retry);
        for _ in 0..10 {
            assert_eq!(failures(&client, CALLS).await, [""; 0], "{shown}");
        }
        // It is asked again, and no more often than the others.
        let refused = refusing.seen().len();
        let all = refused + others.iter().map(|peer| peer.seen().len()).sum::<usize>();
        assert!(
            refused > 1 && refused * 3 <= all,
            "{shown}: {refused} of {all}"
        );
    }
}

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rpc_runtime::prelude::*;
use rpc_runtime::{Client, RetryPolicy};
use rpc_tests::http2::{Action, Http2Peer};
use rpc_tests::wait::{StoppedClock, until, within};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Methods that may not be repeated, and one that may.
#[rpc_service(package = "http2.v1")]
pub(crate) trait Counter {
    async fn add(&self) -> Result<u32>;
    #[rpc(idempotent)]
    async fn put(&self) -> Result<u32>;
}

pub(crate) const NO_ERROR: u32 = 0;
const INTERNAL_ERROR: u32 = 2;
const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;
const ENHANCE_YOUR_CALM: u32 = 11;

/// Streams that a peer allows, if a test does not care.
pub(crate) const MANY: u32 = 100;

/// Time for a request to arrive at the peer. Three of them end before a ping is due that a silent
/// peer would have to respond to.
const ARRIVAL: Duration = Duration::from_secs(3);

/// Timeout of a call that the peer responds to. The stopped clock advances by less in a test.
pub(crate) const LONG: Duration = Duration::from_secs(3600);

pub(crate) fn client(url: &str) -> CounterClient {
    let quick = Duration::from_millis(1);
    let retry = RetryPolicy::default().backoff(quick, quick);
    let client = Client::new(url).unwrap().http2().retry(retry);
    CounterClient::with_client(client)
}

pub(crate) fn fine(value: usize) -> Action {
    Action::Respond(format!("{{\"result\":{value}}}"))
}

/// Calls `add` of a peer that does `first` with the first request and responds to the others.
/// Returns the outcome, and the number of requests.
async fn add_after(first: Action) -> (Result<u32, String>, usize) {
    let peer = Http2Peer::start(MANY, move |seen| match seen.number {
        0 => first.clone(),
        number => fine(number),
    })
    .await;
    let outcome = within(client(&peer.url()).add()).await;
    let outcome = outcome.map_err(|error| error.message().to_owned());
    (outcome, peer.seen().len())
}

#[tokio::test]
async fn a_call_that_was_not_begun_is_sent_again() {
    let below = |code| Action::GoAway {
        last: Some(0),
        code,
    };
    for first in [
        Action::Reset(REFUSED_STREAM),
        below(NO_ERROR),
        below(ENHANCE_YOUR_CALM),
    ] {
        let shown = format!("{first:?}");
        assert_eq!(add_after(first).await, (Ok(1), 2), "{shown}");
    }
}

#[tokio::test]
async fn a_call_that_may_have_run_is_not_sent_again() {
    for first in [
        Action::Close,
        Action::Reset(INTERNAL_ERROR),
        Action::Reset(CANCEL),
        Action::Reset(ENHANCE_YOUR_CALM),
        // The last stream is that of the request.
        Action::GoAway {
            last: None,
            code: NO_ERROR,
        },
        Action::GoAway {
            last: Some(u32::MAX >> 1),
            code: NO_ERROR,
        },
    ] {
        let shown = format!("{first:?}");
        let (outcome, requests) = add_after(first).await;
        let error = outcome.unwrap_err();
        assert!(
            error.ends_with("may have been executed"),
            "{shown}: {error}"
        );
        assert_eq!(requests, 1, "{shown}");
    }
}

#[tokio::test]
async fn a_call_that_is_never_begun_says_so() {
    for (action, what) in [
        (
            Action::Reset(REFUSED_STREAM),
            "refused the call (REFUSED_STREAM)",
        ),
        (
            Action::GoAway {
                last: Some(0),
                code: NO_ERROR,
            },
            "is shutting down (GOAWAY)",
        ),
    ] {
        let peer = Http2Peer::start(MANY, move |_| action.clone()).await;
        let error = within(client(&peer.url()).add()).await.unwrap_err();
        let expected = format!(
            "{} {what}; the call was not begun (after 8 attempts)",
            peer.url()
        );
        assert_eq!(
            (error.code(), error.message()),
            (Code::Unavailable, &*expected)
        );
        assert_eq!(peer.seen().len(), 8);
    }
}

#[tokio::test]
async fn a_peer_without_http2_gets_no_request() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let head = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(head).await.unwrap();
        }
    });
    let error = within(client(&url).add()).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    let text = format!("cannot connect to {url}: the HTTP/2 handshake failed: ");
    assert!(error.message().starts_with(&text), "{error}");
    let advice = "if the server speaks HTTP/1 only, do not use `Client::http2`";
    assert!(error.message().contains(advice), "{error}");
}

#[tokio::test]
async fn a_reset_stream_is_no_broken_connection() {
    for (code, name) in [(CANCEL, "CANCEL"), (INTERNAL_ERROR, "INTERNAL_ERROR")] {
        let (outcome, _) = add_after(Action::Reset(code)).await;
        let error = outcome.unwrap_err();
        let text =
            format!(" reset the stream of the call before the response was complete ({name}: ");
        assert!(error.contains(&text), "{error}");
    }
}

#[tokio::test]
async fn a_broken_response_is_not_sent_again() {
    // Without a status, with a name in capitals, with another length than the body.
    let no_status = [0x0f, 0x10, 1, b'x'].to_vec();
    let capitals = [&[0x88, 0, 3][..], b"X-A", &[1, b'b']].concat();
    let length = [0x88, 0x0f, 0x0d, 1, b'9'].to_vec();
    for head in [no_status, capitals, length] {
        let action = Action::Raw(head.clone());
        let peer = Http2Peer::start(MANY, move |_| action.clone()).await;
        let error = within(client(&peer.url()).put()).await.unwrap_err();
        assert_eq!(error.code(), Code::Internal, "{head:?}: {error}");
        let text = "did not respond with valid HTTP";
        assert!(error.message().contains(text), "{head:?}: {error}");
        assert_eq!(peer.seen().len(), 1, "{head:?}");
    }
}

#[tokio::test]
async fn the_silence_begins_with_the_last_byte() {
    let peer = Http2Peer::start(MANY, |seen| match seen.number {
        0 => fine(0),
        _ => Action::FallSilent,
    })
    .await;
    let client = client(&peer.url());
    client.put().await.unwrap();
    let call = tokio::spawn(client.put().timeout(LONG).into_future());
    until(async || peer.seen().len() == 2).await;
    let clock = StoppedClock::start().await;
    for _ in 0..6 {
        tokio::time::advance(Duration::from_secs(1)).await;
        breathe().await;
    }
    // The clock stands still.
    for _ in 0..200 {
        if peer.pings() > 0 {
            break;
        }
        breathe().await;
    }
    assert_eq!(peer.pings(), 1);
    drop(clock);
    call.abort();
}

#[tokio::test]
async fn a_connection_with_deadlines_in_a_row_is_left() {
    for first in [Action::Stall, Action::FallSilent] {
        let shown = format!("{first:?}");
        let peer = Http2Peer::start(MANY, move |seen| match (seen.connection, seen.stream) {
            (0, 1) => fine(seen.number),
            (0, _) => first.clone(),
            _ => fine(seen.number),
        })
        .await;
        let client = client(&peer.url());
        client.add().await.unwrap();
        for _ in 0..3 {
            let code = expire(&peer, &client).await;
            assert_eq!(code, Code::DeadlineExceeded, "{shown}");
            assert_eq!(peer.connections(), 1, "{shown}");
        }
        within(client.add().timeout(LONG)).await.unwrap();
        assert_eq!(peer.connections(), 2, "{shown}");
    }
}

#[tokio::test]
async fn a_deadline_between_responses_leaves_no_connection() {
    let peer = Http2Peer::start(MANY, |seen| match seen.number % 3 {
        2 => fine(seen.number),
        _ => Action::Hold("{\"result\":0}".to_owned()),
    })
    .await;
    let client = client(&peer.url());
    for _ in 0..5 {
        for _ in 0..2 {
            let code = expire(&peer, &client).await;
            assert_eq!(code, Code::DeadlineExceeded);
        }
        within(client.add().timeout(LONG)).await.unwrap();
    }
    assert_eq!(peer.connections(), 1);
}

#[tokio::test]
async fn a_silent_connection_is_pinged_and_closed() {
    let peer = Http2Peer::start(MANY, |seen| match (seen.connection, seen.stream) {
        (0, 3) => Action::FallSilent,
        _ => fine(seen.number),
    })
    .await;
    let client = client(&peer.url());
    client.put().await.unwrap();
    let put = client.put().timeout(LONG);
    let call = tokio::spawn(put);
    until(async || peer.seen().len() == 2).await;
    let clock = StoppedClock::start().await;
    // No ping before a while without a response, and none while no call waits.
    assert_eq!(peer.pings(), 0);
    advance_until(|| peer.pings() > 0).await;
    advance_until(|| peer.connections() == 2).await;
    drop(clock);
    assert_eq!(within(call).await.unwrap().unwrap(), 2, "sent again");
    assert_eq!(peer.connections(), 2);
}

#[tokio::test]
async fn a_slow_call_on_a_live_connection_is_left_alone() {
    let peer = Http2Peer::start(MANY, |_| Action::Hold("{\"result\":7}".to_owned())).await;
    let client = client(&peer.url());
    let add = client.add().timeout(LONG);
    let call = tokio::spawn(add);
    until(async || peer.seen().len() == 1).await;
    let clock = StoppedClock::start().await;
    advance_until(|| peer.pings() == 5).await;
    drop(clock);
    peer.release();
    assert_eq!(within(call).await.unwrap().unwrap(), 7);
    assert_eq!(peer.connections(), 1);
}

#[tokio::test]
async fn the_error_names_the_missing_response_to_a_ping() {
    let peer = Http2Peer::start(MANY, |_| Action::FallSilent).await;
    let client = client(&peer.url());
    let add = client.add().timeout(LONG);
    let call = tokio::spawn(add);
    until(async || peer.seen().len() == 1).await;
    let clock = StoppedClock::start().await;
    advance_until(|| call.is_finished()).await;
    drop(clock);
    let error = call.await.unwrap().unwrap_err();
    let text = "no response to a keep-alive ping within 10s";
    assert!(error.message().contains(text), "{error}");
    assert!(
        error.message().ends_with("may have been executed"),
        "{error}"
    );
}

/// Sends a call, and returns the code of its error. Its deadline passes when it has arrived at the
/// peer.
async fn expire(peer: &Http2Peer, client: &CounterClient) -> Code {
    let before = peer.seen().len();
    // Deadlines are on the system's clock, which a stopped clock has overtaken when it goes on.
    let ahead = Instant::now().into_std() - std::time::Instant::now();
    let call = tokio::spawn(client.add().timeout(ahead + ARRIVAL).into_future());
    until(async || peer.seen().len() > before).await;
    let clock = StoppedClock::start().await;
    advance_until(|| call.is_finished()).await;
    drop(clock);
    call.await.unwrap().unwrap_err().code()
}

/// Advances a stopped clock until a condition holds.
pub(crate) async fn advance_until(holds: impl Fn() -> bool) {
    for _ in 0..120 {
        if holds() {
            return;
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        breathe().await;
    }
    panic!("two minutes passed on the stopped clock, and nothing happened");
}

/// Lets sockets work while the clock is stopped.
async fn breathe() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// A server that counts its runs.
struct Runs(Arc<AtomicUsize>);

impl Counter for Runs {
    async fn add(&self) -> Result<u32> {
        // Long enough for calls to be in flight at the stop.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(1)
    }

    async fn put(&self) -> Result<u32> {
        self.add().await
    }
}

struct Replica {
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<Result<()>>,
}

impl Replica {
    async fn start(address: SocketAddr, runs: &Arc<AtomicUsize>) -> (Self, SocketAddr) {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server::new("counter").add(CounterServer::new(Runs(Arc::clone(runs))));
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(server.serve(listener, async {
            let _ = stopped.await;
        }));
        (Self { stop, task }, address)
    }

    async fn stop(self) {
        drop(self.stop);
        within(self.task).await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_loses_no_call() {
    let mut replicas = Vec::new();
    for _ in 0..3 {
        let runs = Arc::new(AtomicUsize::new(0));
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (replica, address) = Replica::start(any, &runs).await;
        replicas.push((Some(replica), address, runs));
    }
    let urls = replicas
        .iter()
        .map(|(_, address, _)| format!("http://{address}"));
    let client = CounterClient::with_client(Client::from_urls(urls).unwrap().http2());
    let done = Arc::new(AtomicBool::new(false));
    let mut callers = JoinSet::new();
    for _ in 0..64 {
        let (client, done) = (client.clone(), Arc::clone(&done));
        callers.spawn(async move {
            let mut calls = 0;
            // A failed call ends the test.
            while !done.load(Ordering::SeqCst) {
                if let Err(error) = client.add().await {
                    done.store(true, Ordering::SeqCst);
                    return Err(format!("{error:#}"));
                }
                calls += 1;
            }
            Ok(calls)
        });
    }
    for _ in 0..2 {
        for (replica, address, runs) in &mut replicas {
            replica.take().unwrap().stop().await;
            *replica = Some(Replica::start(*address, runs).await.0);
            // The next one is restarted when this one is used again.
            let before = runs.load(Ordering::SeqCst);
            let used = || runs.load(Ordering::SeqCst) >= before + 20;
            until(async || used() || done.load(Ordering::SeqCst)).await;
        }
    }
    done.store(true, Ordering::SeqCst);
    let (mut calls, mut failed) = (0, Vec::new());
    while let Some(ended) = within(callers.join_next()).await {
        match ended.unwrap() {
            Ok(number) => calls += number,
            Err(error) => failed.push(error),
        }
    }
    assert_eq!(failed, [""; 0]);
    let runs = replicas
        .iter()
        .map(|(_, _, runs)| runs.load(Ordering::SeqCst));
    assert_eq!(runs.sum::<usize>(), calls, "each ran once");
}

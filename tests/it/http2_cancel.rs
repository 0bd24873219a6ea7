use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use rpc_runtime::prelude::*;
use rpc_runtime::{Client, IdentityKeys, RetryPolicy};
use rpc_tests::Running;
use rpc_tests::http2::{Action, Http2Peer};
use rpc_tests::wait::{until, within};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// Methods that may not be repeated.
#[rpc_service(package = "cancel.v1")]
trait Calls {
    /// Never ends by itself.
    async fn stay(&self) -> Result<()>;
    /// Ends when the test says so.
    async fn wait(&self) -> Result<u32>;
    async fn look(&self) -> Result<u32>;
}

#[derive(Clone)]
struct Handlers {
    inside: Arc<AtomicUsize>,
    waiting: Arc<AtomicUsize>,
    go: Arc<Semaphore>,
}

impl Handlers {
    fn new() -> Self {
        Self {
            inside: Arc::default(),
            waiting: Arc::default(),
            go: Arc::new(Semaphore::new(0)),
        }
    }

    fn server(&self) -> Server {
        Server::new("handlers").add(CallsServer::new(self.clone()))
    }

    /// Sends a call that waits, and returns when it is at the server.
    async fn wait(&self, service: &CallsClient) -> JoinHandle<Result<u32, Remote>> {
        let before = self.waiting.load(Ordering::SeqCst);
        let call = tokio::spawn(service.wait().into_future());
        until(async || self.waiting.load(Ordering::SeqCst) > before).await;
        call
    }

    fn inside(&self) -> usize {
        self.inside.load(Ordering::SeqCst)
    }
}

struct Inside(Arc<AtomicUsize>);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Calls for Handlers {
    async fn stay(&self) -> Result<()> {
        self.inside.fetch_add(1, Ordering::SeqCst);
        let _inside = Inside(Arc::clone(&self.inside));
        std::future::pending().await
    }

    async fn wait(&self) -> Result<u32> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        self.go.acquire().await.unwrap().forget();
        Ok(1)
    }

    async fn look(&self) -> Result<u32> {
        Ok(2)
    }
}

/// Streams that a peer allows.
const MANY: u32 = 1_000;

/// Callers that leave at the same moment.
const CALLERS: [usize; 3] = [25, 100, 500];

fn keys() -> IdentityKeys {
    IdentityKeys::parse("k1 0123456789abcdef0123456789abcdef").unwrap()
}

/// Returns a client that sends each call once.
fn client(url: &str) -> Client {
    Client::new(url)
        .unwrap()
        .http2()
        .retry(RetryPolicy::off())
        .without_outlier_detection()
}

/// When the callers leave.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Leave {
    /// Before anything is written.
    AtOnce,
    /// When some of them are at the server.
    Soon,
    /// When all are at the server, as far as it admits them.
    Inside,
}

const LEAVE: [Leave; 3] = [Leave::AtOnce, Leave::Soon, Leave::Inside];

/// Makes calls that all leave together.
async fn leave_together(service: &CallsClient, handlers: &Handlers, callers: usize, leave: Leave) {
    let mut calls = pin!(join_all((0..callers).map(|_| service.stay().into_future())));
    let wanted = match leave {
        Leave::AtOnce => 0,
        Leave::Soon => 1,
        Leave::Inside => callers,
    };
    assert!(calls.as_mut().now_or_never().is_none());
    tokio::select! {
        ended = calls => panic!("{ended:?}"),
        () = until(async || handlers.inside() >= wanted) => {}
    }
}

/// Lets callers leave together again and again, while a call waits on the same connections.
async fn storms(server: Server, handlers: &Handlers, client: impl Fn(&str) -> Client) {
    let running = Running::start(server).await;
    let service = CallsClient::with_client(client(&running.url()));
    for callers in CALLERS {
        for leave in LEAVE {
            for round in 0..4 {
                let case = format!("{callers} callers, {leave:?}, round {round}");
                let waiting = handlers.wait(&service).await;
                leave_together(&service, handlers, callers, leave).await;
                let look = within(service.look()).await;
                assert_eq!(look.map_err(|error| error.to_string()), Ok(2), "{case}");
                handlers.go.add_permits(1);
                let wait = within(waiting).await.unwrap();
                assert_eq!(wait.map_err(|error| error.to_string()), Ok(1), "{case}");
                until(async || handlers.inside() == 0).await;
            }
        }
    }
}

#[tokio::test]
async fn callers_that_leave_together_break_no_call() {
    let handlers = Handlers::new();
    storms(handlers.server(), &handlers, client).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signed_callers_that_leave_break_no_call() {
    let handlers = Handlers::new();
    let signed = |url: &str| client(url).identity(keys()).named("visitor").unwrap();
    storms(handlers.server().identity(keys()), &handlers, signed).await;
}

#[tokio::test]
async fn a_call_runs_on_while_all_others_leave() {
    let handlers = Handlers::new();
    let running = Running::start(handlers.server()).await;
    let service = CallsClient::with_client(client(&running.url()));
    let waiting = handlers.wait(&service).await;
    // Nothing else gets a response meanwhile.
    for round in 0..30 {
        leave_together(&service, &handlers, 200, LEAVE[round % 3]).await;
    }
    handlers.go.add_permits(1);
    assert_eq!(within(waiting).await.unwrap().unwrap(), 1);
}

#[tokio::test]
async fn late_responses_to_canceled_calls_are_ignored() {
    const CALLS: usize = 500;
    let peer = Http2Peer::start(MANY, |seen| match seen.number % (CALLS + 1) {
        CALLS => Action::Respond("{\"result\":2}".to_owned()),
        _ => Action::Hold("null".to_owned()),
    })
    .await;
    let service = CallsClient::with_client(client(&peer.url()));
    for _ in 0..6 {
        let before = peer.seen().len();
        let mut calls = pin!(join_all((0..CALLS).map(|_| service.stay().into_future())));
        tokio::select! {
            ended = &mut calls => panic!("{ended:?}"),
            () = until(async || peer.seen().len() == before + CALLS) => {}
        }
        calls.set(join_all(Vec::new()));
        // The peer responds to all of them, because it ignores that they were canceled.
        peer.release();
        assert_eq!(within(service.look()).await.unwrap(), 2);
    }
    assert_eq!(peer.connections(), 1);
}

#[tokio::test]
async fn callers_leave_where_one_stream_is_allowed() {
    let peer = Http2Peer::start(1, |seen| match seen.stream {
        // The first request of each connection waits.
        1 => Action::Hold("{\"result\":1}".to_owned()),
        _ => Action::Respond("{\"result\":2}".to_owned()),
    })
    .await;
    let service = CallsClient::with_client(client(&peer.url()));
    for _ in 0..5 {
        let mut calls = pin!(join_all((0..20).map(|_| service.stay().into_future())));
        let seen = peer.seen().len();
        tokio::select! {
            _ = &mut calls => {}
            () = until(async || peer.seen().len() > seen) => {}
        }
    }
    assert_eq!(within(service.look()).await.unwrap(), 2);
}

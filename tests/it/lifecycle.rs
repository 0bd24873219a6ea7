//! Readiness and graceful shutdown: health, lame duck, last call, drain. Over raw sockets.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rpc_runtime::prelude::*;
use rpc_runtime::{Client, Limits, Trust, fail};
use rpc_tests::Running;
use rpc_tests::raw::{Raw, Response, post, request};
use rpc_tests::wait::{StoppedClock, within};
use tokio::sync::{Notify, watch};

#[rpc_service(package = "lifecycle.v1")]
trait Work {
    async fn next(&self, n: u64) -> Result<u64>;
    async fn held(&self) -> Result<bool>;
}

#[derive(Default)]
struct Hands {
    runs: AtomicU64,
    begun: Notify,
    release: Notify,
}

struct Worker(Arc<Hands>);

impl Work for Worker {
    async fn next(&self, n: u64) -> Result<u64> {
        self.0.runs.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        Ok(n + 1)
    }

    async fn held(&self) -> Result<bool> {
        self.0.begun.notify_one();
        self.0.release.notified().await;
        Ok(true)
    }
}

const NEXT: &str = "/lifecycle.v1.Work/Next";

fn server(lame_duck: Duration) -> (Server, Arc<Hands>) {
    let hands = Arc::new(Hands::default());
    let mut limits = Limits::default();
    limits.lame_duck = lame_duck;
    let server = Server::new("worker")
        .limits(limits)
        .add(WorkServer::new(Worker(hands.clone())));
    (server, hands)
}

fn probe(path: &str) -> Vec<u8> {
    request("GET", path, &[], b"")
}

fn text(reply: &Response) -> &str {
    std::str::from_utf8(&reply.body).unwrap()
}

async fn connect(running: &Running) -> Raw {
    Raw::connect(running.address()).await
}

/// Probes until the response has this status.
async fn until(raw: &mut Raw, path: &str, status: u16) -> Response {
    within(async {
        loop {
            let reply = raw.ask(probe(path)).await;
            if reply.status == status {
                return reply;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

#[tokio::test]
async fn probes_respond_at_every_listener() {
    for trust in [Trust::Internal, Trust::Edge] {
        let (server, _) = server(Duration::ZERO);
        let running = Running::start_unready(server.trust(trust)).await;
        let mut raw = connect(&running).await;
        for (path, said) in [("/healthz", "alive\n"), ("/readyz", "ready\n")] {
            let reply = raw.ask(probe(path)).await;
            assert_eq!((reply.status, text(&reply)), (200, said));
            assert_eq!(reply.header("cache-control"), Some("no-store"));
            assert!(reply.header("x-request-id").is_some());
            let reply = raw.ask(post(path, "{}")).await;
            assert_eq!(reply.status, 405);
            assert_eq!(reply.header("allow"), Some("GET, HEAD"));
        }
        let reply = raw.ask(probe("/healthz/")).await;
        assert_eq!(reply.status, 404, "other paths are not taken");
    }
}

#[tokio::test]
async fn readiness_follows_checks_and_an_edge_hides_them() {
    for (trust, why) in [
        (Trust::Internal, "not ready: cache: unavailable: reading\n"),
        (Trust::Edge, "not ready\n"),
    ] {
        let warm = Arc::new(AtomicBool::new(false));
        let seen = warm.clone();
        let (server, _) = server(Duration::ZERO);
        let server = server.trust(trust).ready("cache", move || {
            let warm = seen.load(Ordering::Relaxed);
            async move {
                if warm {
                    Ok(())
                } else {
                    fail!(Code::Unavailable, "reading")
                }
            }
        });
        let running = Running::start_unready(server).await;
        let mut raw = connect(&running).await;
        let reply = raw.ask(probe("/readyz")).await;
        assert_eq!((reply.status, text(&reply)), (503, why));
        assert_eq!(raw.ask(probe("/healthz")).await.status, 200);
        assert_eq!(raw.ask(post(NEXT, r#"{"n":1}"#)).await.status, 200);
        warm.store(true, Ordering::Relaxed);
        until(&mut raw, "/readyz", 200).await;
        warm.store(false, Ordering::Relaxed);
        until(&mut raw, "/readyz", 503).await;
    }
}

#[tokio::test]
async fn a_lame_duck_serves_as_not_ready_and_then_stops() {
    let (server, hands) = server(Duration::from_millis(300));
    let running = Running::start(server).await;
    let mut held = connect(&running).await;
    held.send(post("/lifecycle.v1.Work/Held", "{}"))
        .await
        .unwrap();
    hands.begun.notified().await;
    let (mut prober, mut caller) = (connect(&running).await, connect(&running).await);
    assert_eq!(prober.ask(probe("/readyz")).await.status, 200);
    assert_eq!(caller.ask(post(NEXT, r#"{"n":1}"#)).await.status, 200);
    let address = running.address();
    // The lame duck period does not end before the clock goes on.
    let clock = StoppedClock::start().await;
    let start = Instant::now();
    let stopping = tokio::spawn(running.stop());

    // Lame duck: not ready, but still serving, on new connections too.
    let reply = until(&mut prober, "/readyz", 503).await;
    assert_eq!(text(&reply), "not ready: the server is stopping\n");
    assert_eq!(prober.ask(probe("/healthz")).await.status, 200);
    let reply = Raw::connect(address)
        .await
        .ask(post(NEXT, r#"{"n":1}"#))
        .await;
    assert_eq!((reply.status, reply.header("connection")), (200, None));
    drop(clock);

    // Last call: one more request is served, with notice that the connection closes.
    let reply = loop {
        let reply = prober.ask(probe("/healthz")).await;
        if reply.header("connection").is_some() {
            break reply;
        }
    };
    assert_eq!(reply.header("connection"), Some("close"));
    assert!(start.elapsed() >= Duration::from_millis(250));
    prober.closed().await;
    let reply = caller.ask(post(NEXT, r#"{"n":1}"#)).await;
    assert_eq!(
        (reply.status, reply.header("connection")),
        (200, Some("close"))
    );

    // New connections are refused, and running calls finish.
    rpc_tests::wait::until(async || tokio::net::TcpStream::connect(address).await.is_err()).await;
    assert!(!stopping.is_finished(), "a call is running");
    hands.release.notify_one();
    let reply = held.response().await;
    assert_eq!(reply.value(), (200, true.into()));
    stopping.await.unwrap();
}

/// Two replicas and callers that never pause. One replica stops, and callers switch to the other
/// when it is not ready, as a balancer does: no call fails, and each runs once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_fails_when_one_of_two_replicas_stops() {
    for http2 in [false, true] {
        let (first, one) = server(Duration::from_secs(1));
        let (second, two) = server(Duration::ZERO);
        let (first, second) = (Running::start(first).await, Running::start(second).await);
        let clients = [first.url(), second.url()].map(|url| {
            let client = Client::new(&url).unwrap().without_observers();
            WorkClient::with_client(if http2 { client.http2() } else { client })
        });
        let (ready, seen) = watch::channel((true, true));
        let callers: Vec<_> = (0..8)
            .map(|_| tokio::spawn(call(clients.clone(), seen.clone())))
            .collect();
        let mut prober = connect(&first).await;
        until(&mut prober, "/readyz", 200).await;
        let stopping = tokio::spawn(first.stop());
        until(&mut prober, "/readyz", 503).await;
        ready.send_replace((false, true));
        stopping.await.unwrap();
        // Ends the callers.
        ready.send_replace((false, false));
        let mut all = 0;
        for caller in callers {
            all += caller.await.unwrap();
        }
        second.stop().await;
        let [one, two] = [one, two].map(|hands| hands.runs.load(Ordering::Relaxed));
        assert!(one > 0 && two > 0, "{one} {two}");
        assert_eq!(one + two, all);
    }
}

/// Calls the first ready replica until none is ready. Returns the number of calls.
async fn call([first, second]: [WorkClient; 2], ready: watch::Receiver<(bool, bool)>) -> u64 {
    let mut done = 0;
    loop {
        let client = match *ready.borrow() {
            (true, _) => &first,
            (_, true) => &second,
            _ => return done,
        };
        client.next(done).await.unwrap();
        done += 1;
    }
}

//! Overload: running, queued and rejected calls, and what occupies a slot.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rpc_runtime::prelude::*;
use rpc_runtime::{Client, Limits, RateLimit};
use rpc_tests::Running;
use rpc_tests::raw::{Raw, post, request};
use rpc_tests::wait::{StoppedClock, until, within};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

#[rpc_service(package = "admission.v1")]
trait Work {
    /// Runs until the test releases it.
    async fn wait(&self) -> Result<()>;
    #[rpc(detached)]
    async fn finish(&self) -> Result<()>;
    /// Blocks a thread, not only a task.
    async fn block(&self) -> Result<()>;
    async fn quick(&self) -> Result<u32>;
    async fn large(&self) -> Result<String>;
}

#[derive(Clone)]
struct Bench {
    begun: mpsc::UnboundedSender<()>,
    runs: Arc<AtomicUsize>,
    go: Arc<Semaphore>,
}

impl Bench {
    async fn work(&self) -> Result<()> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        // The receiver may be gone at the end of a test.
        let _ = self.begun.send(());
        let turn = self.go.acquire().await;
        turn.map_err(|_| Error::new(Code::Aborted, "the test is over"))?
            .forget();
        Ok(())
    }
}

impl Work for Bench {
    async fn wait(&self) -> Result<()> {
        self.work().await
    }

    async fn finish(&self) -> Result<()> {
        self.work().await
    }

    async fn block(&self) -> Result<()> {
        let bench = self.clone();
        let handle = tokio::runtime::Handle::current();
        let blocked = rpc_runtime::spawn_blocking(move || handle.block_on(bench.work()));
        blocked
            .await
            .map_err(|error| Error::new(Code::Internal, error.to_string()))?
    }

    async fn quick(&self) -> Result<u32> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        Ok(1)
    }

    async fn large(&self) -> Result<String> {
        Ok("x".repeat(3 << 20))
    }
}

/// A server and the controls of its handlers.
struct Fixture {
    running: Running,
    client: WorkClient,
    begun: mpsc::UnboundedReceiver<()>,
    runs: Arc<AtomicUsize>,
    go: Arc<Semaphore>,
}

impl Fixture {
    async fn new(places: usize, queued_calls: usize, timeout: Duration) -> Self {
        let (begun, has_begun) = mpsc::unbounded_channel();
        let (runs, go) = (Arc::default(), Arc::new(Semaphore::new(0)));
        let bench = Bench {
            begun,
            runs: Arc::clone(&runs),
            go: Arc::clone(&go),
        };
        let mut limits = Limits::default();
        limits.running_calls = places;
        limits.queued_calls = queued_calls;
        limits.queue_timeout = timeout;
        let server = Server::new("work")
            .add(WorkServer::new(bench))
            .limits(limits);
        let running = Running::start(server).await;
        let client = WorkClient::connect(&running.url()).unwrap();
        Self {
            running,
            client,
            begun: has_begun,
            runs,
            go,
        }
    }

    async fn begun(&mut self, count: usize) {
        for _ in 0..count {
            within(self.begun.recv()).await.expect("the server runs");
        }
    }

    fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }
}

/// Longer than any wait of a test.
const LONG: Duration = Duration::from_secs(300);
const SHORT: Duration = Duration::from_millis(100);

#[tokio::test]
async fn two_calls_run_two_wait_and_sixteen_are_rejected() {
    let mut fixture = Fixture::new(2, 2, LONG).await;
    let mut calls = JoinSet::new();
    for _ in 0..20 {
        let client = fixture.client.clone();
        calls.spawn(async move { client.wait().await });
    }
    fixture.begun(2).await;
    for _ in 0..16 {
        let error = calls.join_next().await.unwrap().unwrap().unwrap_err();
        assert_eq!(error.code(), Code::Unavailable, "{error}");
        let retry = error.retry_after().unwrap().as_millis();
        assert!((50..=150).contains(&retry), "{retry}");
    }
    assert_eq!((fixture.runs(), calls.len()), (2, 4));
    fixture.go.add_permits(4);
    while let Some(call) = calls.join_next().await {
        call.unwrap().unwrap();
    }
    assert_eq!(fixture.runs(), 4, "a rejected call did not start");
    // No call is left running.
    assert_eq!(fixture.client.quick().await.unwrap(), 1);
}

#[tokio::test]
async fn a_rejection_is_immediate_and_has_a_status() {
    let mut fixture = Fixture::new(1, 0, LONG).await;
    let client = fixture.client.clone();
    let first = tokio::spawn(async move { client.wait().await });
    fixture.begun(1).await;
    let mut raw = Raw::connect(fixture.running.address()).await;
    // The clock is stopped, so the rejection does not wait for a timer.
    let clock = StoppedClock::start().await;
    for _ in 0..20 {
        let response = raw.ask(post("/admission.v1.Work/Quick", "{}")).await;
        assert_eq!(response.error(), (503, "unavailable".to_owned()));
        assert!(String::from_utf8_lossy(&response.body).contains("google.rpc.RetryInfo"));
    }
    drop(clock);
    fixture.go.add_permits(1);
    first.await.unwrap().unwrap();
    assert_eq!(fixture.runs(), 1);
}

#[tokio::test]
async fn a_call_that_expires_in_the_queue_is_not_run() {
    let mut fixture = Fixture::new(1, 5, LONG).await;
    let client = fixture.client.clone();
    let first = tokio::spawn(async move { client.wait().await });
    fixture.begun(1).await;
    let mut raw = Raw::connect(fixture.running.address()).await;
    let lines = [
        ("Content-Type", "application/json"),
        ("Connect-Timeout-Ms", "60"),
    ];
    let start = Instant::now();
    let response = raw
        .ask(request("POST", "/admission.v1.Work/Quick", &lines, b"{}"))
        .await;
    assert_eq!(response.error(), (504, "deadline_exceeded".to_owned()));
    assert!(
        start.elapsed() >= Duration::from_millis(60),
        "{:?}",
        start.elapsed()
    );
    fixture.go.add_permits(1);
    first.await.unwrap().unwrap();
    assert_eq!(fixture.client.quick().await.unwrap(), 1);
    assert_eq!(fixture.runs(), 2, "the first and the last");
}

#[tokio::test]
async fn a_call_waits_at_most_the_queue_timeout() {
    let mut fixture = Fixture::new(1, 5, Duration::from_millis(60)).await;
    let client = fixture.client.clone();
    let first = tokio::spawn(async move { client.wait().await });
    fixture.begun(1).await;
    let start = Instant::now();
    let error = fixture.client.quick().await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(
        start.elapsed() >= Duration::from_millis(60),
        "{:?}",
        start.elapsed()
    );
    fixture.go.add_permits(1);
    first.await.unwrap().unwrap();
    assert_eq!(fixture.runs(), 1);
}

#[tokio::test]
async fn detached_work_keeps_its_slot_after_a_disconnect() {
    let mut fixture = Fixture::new(1, 0, LONG).await;
    let client = fixture.client.clone();
    let caller = tokio::spawn(async move { client.finish().await });
    fixture.begun(1).await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    let error = fixture.client.quick().await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable, "the work is not done");
    fixture.go.add_permits(1);
    until(async || fixture.client.quick().await.is_ok()).await;
}

#[tokio::test]
async fn a_slow_reader_of_a_large_response_holds_no_slot() {
    let fixture = Fixture::new(1, 0, LONG).await;
    let mut slow = Raw::connect(fixture.running.address()).await;
    slow.send(post("/admission.v1.Work/Large", "{}"))
        .await
        .unwrap();
    // Its response has begun and exceeds the socket buffers; the test does not read the rest yet.
    slow.stream().readable().await.unwrap();
    assert_eq!(fixture.client.quick().await.unwrap(), 1);
    assert_eq!(slow.response().await.status, 200);
}

#[tokio::test]
async fn ping_and_deadlines_work_with_all_threads_blocked() {
    let mut fixture = Fixture::new(2, 5, LONG).await;
    let mut calls = JoinSet::new();
    for _ in 0..2 {
        let client = fixture.client.clone();
        calls.spawn(async move { client.block().await });
    }
    fixture.begun(2).await;
    assert_eq!(
        fixture.client.ping().await.unwrap().service,
        "admission.v1.Work"
    );
    let call = fixture.client.quick().timeout(SHORT);
    let error = within(call.into_future()).await.unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded);
    fixture.go.add_permits(2);
    while let Some(call) = calls.join_next().await {
        call.unwrap().unwrap();
    }
}

fn limited(limits: impl IntoIterator<Item = RateLimit>) -> Result<Client> {
    let (begun, _) = mpsc::unbounded_channel();
    let bench = Bench {
        begun,
        runs: Arc::default(),
        go: Arc::new(Semaphore::new(0)),
    };
    let server = Server::new("work").add(WorkServer::new(bench));
    limits
        .into_iter()
        .fold(server, Server::rate_limit)
        .into_local_client()
}

fn named(client: &Client, source: &str) -> WorkClient {
    WorkClient::with_client(client.clone().source(source.parse().unwrap()))
}

#[tokio::test]
async fn each_caller_has_its_own_allowance_of_each_method() {
    let large = RateLimit::per_minute(1).method("admission.v1.Work/Large");
    let client = limited([RateLimit::per_minute(6).burst(3), large]).unwrap();
    let web = named(&client, "web@prod/1");
    let start = Instant::now();
    for _ in 0..3 {
        web.quick().await.unwrap();
    }
    let error = web.quick().await.unwrap_err();
    assert_eq!(error.code(), Code::ResourceExhausted);
    assert_eq!(
        error.message(),
        "web calls admission.v1.Work/Quick more often than 6 times in 60s; retry later"
    );
    let wait = error.retry_after().unwrap();
    // The time since the first call is subtracted from ten seconds.
    assert!(wait <= Duration::from_secs(10), "{wait:?}");
    assert!(
        start.elapsed() + wait >= Duration::from_secs(10),
        "{wait:?}"
    );

    // Another instance counts as the same caller; another server, environment or method does not.
    assert!(named(&client, "web@prod/2").quick().await.is_err());
    assert!(named(&client, "web@dev/1").quick().await.is_ok());
    assert!(named(&client, "app@prod/1").quick().await.is_ok());
    assert!(
        WorkClient::with_client(client.clone())
            .quick()
            .await
            .is_ok()
    );
    assert!(web.large().await.is_ok());
    assert_eq!(
        web.large().await.unwrap_err().code(),
        Code::ResourceExhausted
    );
    for _ in 0..10 {
        web.ping().await.unwrap();
    }
}

#[tokio::test]
async fn a_rate_limit_comes_back_with_time() {
    let client = WorkClient::with_client(limited([RateLimit::per_second(100).burst(1)]).unwrap());
    client.quick().await.unwrap();
    until(async || client.quick().await.is_ok()).await;
}

#[test]
fn a_rate_limit_for_no_method_is_rejected_at_start() {
    let second = RateLimit::per_second;
    for (limits, code, text) in [
        (
            vec![second(1).method("admission.v1.Work/Quik")],
            Code::FailedPrecondition,
            "did you mean admission.v1.Work/Quick?",
        ),
        (
            vec![second(1), second(2)],
            Code::FailedPrecondition,
            "two rate limits for all methods",
        ),
        (
            vec![
                second(1)
                    .method("admission.v1.Work/Quick")
                    .method("admission.v1.Work/Quick"),
            ],
            Code::FailedPrecondition,
            "two rate limits for admission.v1.Work/Quick",
        ),
        (vec![second(0)], Code::InvalidArgument, "allows no calls"),
    ] {
        let error = limited(limits).unwrap_err();
        assert_eq!(error.code(), code);
        assert!(error.message().contains(text), "{error}");
    }
}

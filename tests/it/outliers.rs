//! The outlier policy over real connections. Its decisions are tested in virtual time, in
//! `rpc-runtime/src/client/outlier/`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rpc_runtime::discovery::DynamicAddresses;
use rpc_runtime::middleware::{Next, Request, Response};
use rpc_runtime::prelude::*;
use rpc_runtime::testing::{NetworkFault, Proxy};
use rpc_runtime::{Client, RetryPolicy};
use rpc_tests::Running;
use rpc_tests::wait::{until, within};
use tokio::task::{JoinSet, yield_now};

use crate::hostile_server::{HTML, Hostile, JSON, http};
use crate::retries::Seen;

#[rpc_service(package = "outliers.v1")]
trait Replica {
    async fn add(&self) -> Result<u32>;
    #[rpc(idempotent)]
    async fn put(&self) -> Result<u32>;
}

/// The behaviour of a replica: the error of its nth call, if that fails.
type Behaviour = Arc<dyn Fn(usize) -> Option<Error> + Send + Sync>;

fn healthy() -> Behaviour {
    Arc::new(|_| None)
}

fn failing(error: impl Fn() -> Error + Send + Sync + 'static) -> Behaviour {
    Arc::new(move |_| Some(error()))
}

struct Work {
    behaviour: Behaviour,
    calls: Arc<AtomicUsize>,
}

impl Work {
    async fn run(&self) -> Result<u32> {
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        match (self.behaviour)(number) {
            Some(error) => Err(error),
            None => {
                // Work takes longer than failing.
                for _ in 0..50 {
                    yield_now().await;
                }
                Ok(0)
            }
        }
    }
}

impl Replica for Work {
    async fn add(&self) -> Result<u32> {
        self.run().await
    }

    async fn put(&self) -> Result<u32> {
        self.run().await
    }
}

/// A running replica and its proxy.
struct Started {
    proxy: Proxy,
    calls: Arc<AtomicUsize>,
    _running: Running,
}

impl Started {
    async fn new(behaviour: Behaviour) -> Self {
        let calls = Arc::<AtomicUsize>::default();
        let work = Work {
            behaviour,
            calls: Arc::clone(&calls),
        };
        let running = Running::start(Server::new("replica").add(ReplicaServer::new(work))).await;
        Self {
            proxy: Proxy::start(running.address()).await.unwrap(),
            calls,
            _running: running,
        }
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

async fn start(behaviours: impl IntoIterator<Item = Behaviour>) -> Vec<Started> {
    let mut started = Vec::new();
    for behaviour in behaviours {
        started.push(Started::new(behaviour).await);
    }
    started
}

fn urls(replicas: &[Started]) -> impl Iterator<Item = String> {
    replicas.iter().map(|replica| replica.proxy.url())
}

/// A client without retries, so that every failure is seen.
fn client(urls: impl IntoIterator<Item = String>) -> Client {
    Client::from_urls(urls).unwrap().retry(RetryPolicy::off())
}

/// Makes calls, `workers` at a time. Returns the number of those that failed.
async fn calls(client: &ReplicaClient, workers: usize, each: usize) -> usize {
    let mut running = JoinSet::new();
    for _ in 0..workers {
        let client = client.clone();
        running.spawn(async move {
            let mut failed = 0;
            for _ in 0..each {
                failed += usize::from(client.add().await.is_err());
            }
            failed
        });
    }
    running.join_all().await.into_iter().sum()
}

/// The largest number of probes of one address in this time. The first ones follow sooner.
fn probes(start: Instant) -> usize {
    2 + usize::try_from(start.elapsed().as_millis() / 600).unwrap()
}

fn unavailable() -> Error {
    Error::new(Code::Unavailable, "not now")
}

/// Least in flight alone gives such a replica up to two thirds of the calls.
#[tokio::test]
async fn one_that_fails_quickly_gets_no_more_than_its_share() {
    let busy = || unavailable().with_retry_after(Duration::from_millis(1));
    let sick: [(&str, Behaviour); 4] = [
        ("internal", failing(|| Error::new(Code::Internal, "broken"))),
        (
            "not found",
            failing(|| Error::new(Code::NotFound, "lost its data")),
        ),
        ("busy", failing(busy)),
        (
            "often unavailable",
            Arc::new(|n| (n % 20 < 13).then(unavailable)),
        ),
    ];
    for (name, behaviour) in sick {
        let replicas = start([behaviour, healthy(), healthy()]).await;
        let client = ReplicaClient::with_client(client(urls(&replicas)));
        let failed = calls(&client, 8, 100).await;
        let sick = replicas[0].calls();
        assert!(
            sick <= 800 / 3 && failed <= sick,
            "{name}: {sick}, {failed} failed"
        );
    }
}

#[tokio::test]
async fn one_that_is_unavailable_gets_probes_only() {
    let gateway = || async { Hostile::answering(http("503 x", HTML, "away"), false).await };
    let closing = || async { Hostile::start(|peer| async move { drop(peer) }).await };
    for sick in [gateway().await, closing().await] {
        let replicas = start([healthy(), healthy()]).await;
        let all = urls(&replicas).chain([sick.url.clone()]);
        let client = ReplicaClient::with_client(client(all));
        let start = Instant::now();
        let failed = calls(&client, 8, 100).await;
        // Five failures, and those in flight at that time.
        assert!(failed <= 5 + 8 + probes(start), "{failed} of 800 failed");
    }
}

#[tokio::test]
async fn replicas_that_all_fail_are_all_used() {
    let often = || -> Behaviour { Arc::new(|n| (n % 5 < 3).then(unavailable)) };
    let replicas = start([often(), often(), often()]).await;
    let client = ReplicaClient::with_client(client(urls(&replicas)));
    let failed = calls(&client, 4, 100).await;
    // Three of five.
    assert!((200..=280).contains(&failed), "{failed} of 400 failed");
}

#[tokio::test]
async fn a_single_address_gets_every_call() {
    let mut replicas = start([healthy()]).await;
    let seen = Seen::default();
    let one = Client::new(&replicas[0].proxy.url()).unwrap();
    let listed = Client::from_urls(urls(&replicas)).unwrap();
    let twice = Client::from_urls(urls(&replicas).chain(urls(&replicas))).unwrap();
    replicas[0].proxy.refuse().await;
    for client in [one, listed, twice] {
        let client = client.retry(RetryPolicy::off()).observer(seen.clone());
        let client = ReplicaClient::with_client(client);
        let before = seen.attempts();
        for _ in 0..20 {
            let error = client.add().await.unwrap_err();
            assert!(error.message().contains("cannot connect"), "{error}");
        }
        assert_eq!(seen.attempts(), before + 20);
        replicas[0].proxy.accept().await.unwrap();
        client.add().await.unwrap();
        replicas[0].proxy.refuse().await;
    }
}

#[tokio::test]
async fn a_silent_replica_loses_its_calls() {
    let replicas = start([healthy(), healthy()]).await;
    let client = ReplicaClient::with_client(client(urls(&replicas)));
    assert_eq!(calls(&client, 1, 20).await, 0);
    replicas[0].proxy.set(NetworkFault::BlackHole);
    let (start, mut expired) = (Instant::now(), 0);
    for _ in 0..100 {
        let call = client.add().timeout(Duration::from_secs(1));
        if let Err(error) = call.await {
            assert_eq!(error.code(), Code::DeadlineExceeded);
            expired += 1;
        }
    }
    assert!(expired <= 3 + probes(start), "{expired} of 100");
    replicas[0].proxy.set(NetworkFault::None);
    let before = replicas[0].calls();
    until(async || client.add().await.is_ok() && replicas[0].calls() > before + 10).await;
}

/// Evidence comes from the transport.
#[tokio::test]
async fn an_error_of_a_layer_is_no_evidence() {
    let replicas = start([healthy(), healthy()]).await;
    let fail = |request: Request, next: Next| async move {
        drop(next.run(request).await);
        Response::from(unavailable())
    };
    let client = client(urls(&replicas)).attempt_layer(fail);
    let client = ReplicaClient::with_client(client);
    assert_eq!(calls(&client, 1, 100).await, 100);
    for replica in &replicas {
        assert!(replica.calls() > 20, "{} of 100", replica.calls());
    }
}

/// Passes calls on to another service.
struct Middle {
    next: ReplicaClient,
    calls: Arc<AtomicUsize>,
}

impl Replica for Middle {
    async fn add(&self) -> Result<u32> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        Ok(self.next.add().await?)
    }

    async fn put(&self) -> Result<u32> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        Ok(self.next.put().await?)
    }
}

#[tokio::test]
async fn a_failing_dependency_ejects_no_service() {
    let away = start([healthy()]).await;
    let (refusing, works) = (
        start([failing(unavailable)]).await,
        start([healthy()]).await,
    );
    let mut closed = start([healthy()]).await;
    closed[0].proxy.refuse().await;
    away[0].proxy.set(NetworkFault::CutResponses { after: 0 });
    // So that the failing services are not slower than the other one.
    works[0]
        .proxy
        .set(NetworkFault::Delay(Duration::from_millis(10)));
    for dependency in [&away, &refusing, &closed] {
        let (mut middles, mut counts) = (Vec::new(), Vec::new());
        for next in [&dependency[0], &works[0]] {
            let next = ReplicaClient::with_client(client([next.proxy.url()]));
            let calls = Arc::<AtomicUsize>::default();
            counts.push(Arc::clone(&calls));
            let server = ReplicaServer::new(Middle { next, calls });
            middles.push(Running::start(Server::new("middle").add(server)).await);
        }
        let client = client(middles.iter().map(Running::url));
        let client = ReplicaClient::with_client(client);
        calls(&client, 1, 100).await;
        let failing = counts[0].load(Ordering::SeqCst);
        assert!(failing >= 10, "{failing} of 100");
    }
}

#[tokio::test]
async fn an_ejection_survives_a_list_that_flaps() {
    let mut replicas = start([healthy(), healthy()]).await;
    let both: Vec<_> = urls(&replicas).collect();
    let watch = DynamicAddresses::new("replica", &both);
    let seen = Seen::default();
    let client = Client::discover(watch.clone()).retry(RetryPolicy::off());
    let client = ReplicaClient::with_client(client.observer(seen.clone()));
    replicas[0].proxy.refuse().await;
    let (start, mut failed) = (Instant::now(), 0);
    for n in 0..400 {
        failed += usize::from(client.add().await.is_err());
        watch.set(if n % 2 == 0 { &both[1..] } else { &both });
    }
    assert!(failed <= 5 + probes(start), "{failed} of 400 failed");
}

#[tokio::test]
async fn an_address_that_is_listed_twice_gets_one_share() {
    let replicas = start([healthy(), healthy()]).await;
    let urls: Vec<_> = urls(&replicas).collect();
    let twice = ["", "/", "//"].map(|end| format!("{}{end}", urls[0]));
    let all = twice.into_iter().chain([urls[1].clone()]);
    let client = ReplicaClient::with_client(client(all));
    calls(&client, 1, 400).await;
    let once = replicas[1].calls();
    assert!((140..=260).contains(&once), "{once} of 400");
}

/// A gateway that asks its callers to wait is asked no earlier.
#[tokio::test]
async fn retry_after_of_a_gateway_is_kept() {
    const DAY: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const NEXT_DAY: &str = "Mon, 07 Nov 1994 08:49:37 GMT";
    let dated = format!("{HTML}date: {DAY}\r\nretry-after: {NEXT_DAY}\r\n");
    let passed = format!("{HTML}date: {NEXT_DAY}\r\nretry-after: {DAY}\r\n");
    let hour = format!("{HTML}retry-after: 3600\r\n");
    let exhausted = r#"{"code":"resource_exhausted","message":"quota"}"#;
    for (status, headers, body, requests) in [
        ("429 x", HTML, "slow down", 1),
        ("429 x", &hour, "slow down", 1),
        ("503 x", &hour, "full", 1),
        ("503 x", &dated, "full", 1),
        ("503 x", &passed, "full", 3),
        ("503 x", HTML, "away", 3),
        ("503 x", "retry-after: 0\r\n", "", 3),
        ("503 x", "retry-after: soon\r\n", "", 3),
        ("429 x", JSON, exhausted, 1),
        ("429 x", &format!("{JSON}retry-after: 0\r\n"), exhausted, 3),
    ] {
        let server = Hostile::answering(http(status, headers, body), false).await;
        let client = Client::new(&server.url).unwrap();
        let quick = Duration::from_millis(1);
        let client = client.retry(RetryPolicy::default().backoff(quick, quick));
        let call = ReplicaClient::with_client(client).put();
        // No more than the second after which a 429 without a header may be repeated.
        let error = call.timeout(Duration::from_secs(1)).await.unwrap_err();
        assert_ne!(error.code(), Code::DeadlineExceeded, "{status} {headers}");
        assert_eq!(server.requests(), requests, "{status} {headers}: {error}");
    }
}

#[tokio::test]
async fn a_busy_replica_passes_its_calls_to_another() {
    let hour = format!("{HTML}retry-after: 3600\r\n");
    let busy = Hostile::answering(http("429 x", &hour, "slow down"), false).await;
    let replicas = start([healthy()]).await;
    let all = urls(&replicas).chain([busy.url.clone()]);
    let seen = Seen::default();
    let client = Client::from_urls(all).unwrap().observer(seen.clone());
    let client = ReplicaClient::with_client(client);
    // Until the busy one was asked; its call goes to the other one at once.
    within(async {
        while busy.requests() == 0 {
            client.put().await.unwrap();
        }
    })
    .await;
    assert_eq!(busy.requests(), 1);
    assert!(seen.attempts() > replicas[0].calls());
}

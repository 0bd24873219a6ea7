use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rpc_runtime::discovery::DynamicAddresses;
use rpc_runtime::middleware::{Next, Request};
use rpc_runtime::prelude::*;
use rpc_runtime::testing::{NetworkFault, Proxy};
use rpc_runtime::{Client, RetryPolicy};
use rpc_tests::Running;
use rpc_tests::wait::{until, within};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::retries::Seen;

#[rpc_service(package = "balancing.v1")]
trait Replica {
    /// Returns the number of the replica.
    #[rpc(no_side_effects)]
    async fn who(&self) -> Result<u32>;
    async fn change(&self) -> Result<u32>;
    async fn pay(&self, #[rpc(idempotency_key)] key: &str) -> Result<u32>;
}

/// A replica that hangs on demand.
struct Replicas {
    number: u32,
    hangs: Arc<AtomicBool>,
    runs: Arc<AtomicUsize>,
    dropped: mpsc::UnboundedSender<u32>,
}

struct SendOnDrop(mpsc::UnboundedSender<u32>, u32);

impl Drop for SendOnDrop {
    fn drop(&mut self) {
        // The receiver may be gone at the end of a test.
        let _ = self.0.send(self.1);
    }
}

impl Replicas {
    async fn run(&self) -> Result<u32> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        if self.hangs.load(Ordering::SeqCst) {
            let _guard = SendOnDrop(self.dropped.clone(), self.number);
            std::future::pending::<()>().await;
        }
        Ok(self.number)
    }
}

impl Replica for Replicas {
    async fn who(&self) -> Result<u32> {
        self.run().await
    }

    async fn change(&self) -> Result<u32> {
        self.run().await
    }

    async fn pay(&self, _: &str) -> Result<u32> {
        self.run().await
    }
}

/// A replica reached through a proxy.
struct Started {
    proxy: Proxy,
    hangs: Arc<AtomicBool>,
    runs: Arc<AtomicUsize>,
    _running: Running,
}

impl Started {
    fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }
}

async fn start<const N: u32>() -> (Vec<Started>, mpsc::UnboundedReceiver<u32>) {
    let (dropped, drops) = mpsc::unbounded_channel();
    let mut started = Vec::new();
    for number in 0..N {
        let (hangs, runs) = <(Arc<AtomicBool>, Arc<AtomicUsize>)>::default();
        let replica = Replicas {
            number,
            hangs: Arc::clone(&hangs),
            runs: Arc::clone(&runs),
            dropped: dropped.clone(),
        };
        let running = Running::start(Server::new("replica").add(ReplicaServer::new(replica))).await;
        started.push(Started {
            proxy: Proxy::start(running.address()).await.unwrap(),
            hangs,
            runs,
            _running: running,
        });
    }
    (started, drops)
}

fn urls(replicas: &[Started]) -> impl Iterator<Item = String> {
    replicas.iter().map(|replica| replica.proxy.url())
}

fn quick() -> RetryPolicy {
    RetryPolicy::default().backoff(Duration::from_millis(1), Duration::from_millis(1))
}

/// Calls until `done`; fails after a timeout.
async fn call_until(client: &ReplicaClient, mut done: impl FnMut(u32) -> bool) {
    until(async || client.who().await.is_ok_and(&mut done)).await;
}

#[tokio::test]
async fn all_replicas_get_work() {
    let (replicas, _drops) = start::<3>().await;
    let client = ReplicaClient::with_client(Client::from_urls(urls(&replicas)).unwrap());
    for _ in 0..90 {
        client.change().await.unwrap();
    }
    for replica in &replicas {
        assert!(replica.runs() >= 10, "{}", replica.runs());
    }
}

#[tokio::test]
async fn a_busy_replica_gets_no_more() {
    let (replicas, _drops) = start::<2>().await;
    let client = ReplicaClient::with_client(Client::from_urls(urls(&replicas)).unwrap());
    replicas[0].hangs.store(true, Ordering::SeqCst);
    // Calls until the balancer picks the hanging replica.
    let hanging = loop {
        let call = tokio::spawn(client.change());
        while !call.is_finished() && replicas[0].runs() == 0 {
            tokio::task::yield_now().await;
        }
        if replicas[0].runs() > 0 {
            break call;
        }
    };
    for _ in 0..50 {
        assert_eq!(client.change().await.unwrap(), 1);
    }
    assert_eq!(replicas[0].runs(), 1);
    hanging.abort();
}

#[tokio::test]
async fn a_dead_replica_fails_no_call_and_is_used_again() {
    let (mut replicas, _drops) = start::<2>().await;
    let seen = Seen::default();
    let client = Client::from_urls(urls(&replicas)).unwrap().retry(quick());
    let client = ReplicaClient::with_client(client.observer(seen.clone()));
    call_until(&client, |number| number == 0).await;
    let start = Instant::now();
    replicas[0].proxy.refuse().await;
    let before = seen.attempts();
    for _ in 0..100 {
        assert_eq!(client.who().await.unwrap(), 1);
    }
    let failures = seen.attempts() - before - 100;
    // Five failures eject it. The first two probes follow sooner than after 0.6 s.
    let probes_take =
        Duration::from_millis(600) * u32::try_from(failures.saturating_sub(7)).unwrap();
    assert!(
        start.elapsed() >= probes_take,
        "{failures} attempts met the dead one before it was left alone"
    );
    replicas[0].proxy.accept().await.unwrap();
    call_until(&client, |number| number == 0).await;
}

/// Idempotency results are stored per replica.
#[tokio::test]
async fn a_keyed_call_is_retried_on_the_same_replica() {
    let (replicas, _drops) = start::<3>().await;
    let replicas: Arc<[Started]> = replicas.into();
    let all = |replicas: &[Started], fault| {
        replicas.iter().for_each(|replica| replica.proxy.set(fault));
    };
    let heal = Arc::clone(&replicas);
    let client = Client::from_urls(urls(&replicas)).unwrap().retry(quick());
    // The network works from the second attempt on.
    let client = client.attempt_layer(move |request: Request, next: Next| {
        if request.context().attempt() > 1 {
            all(&heal, NetworkFault::None);
        }
        next.run(request)
    });
    let client = ReplicaClient::with_client(client);
    for n in 0..5 {
        all(&replicas, NetworkFault::CutResponses { after: 0 });
        let reply = client.pay(&n.to_string()).with_response().await.unwrap();
        assert_eq!(reply.headers.get("idempotent-replayed"), Some("true"));
    }
    let runs: usize = replicas.iter().map(Started::runs).sum();
    assert_eq!(runs, 5, "one for each key");
}

#[tokio::test]
async fn a_keyed_call_returns_to_an_ejected_replica() {
    let (replicas, _drops) = start::<2>().await;
    let replicas: Arc<[Started]> = replicas.into();
    let client = Client::from_urls(urls(&replicas)).unwrap().retry(quick());
    let others = ReplicaClient::with_client(client.clone().retry(RetryPolicy::off()));
    let shared = Arc::clone(&replicas);
    // Before the second attempt, other calls get the replica ejected, and then it works again.
    let client = client.attempt_layer(move |request: Request, next: Next| {
        let (others, replicas) = (others.clone(), Arc::clone(&shared));
        async move {
            if request.context().attempt() == 2 {
                let mut failed = 1;
                while failed < 5 {
                    // Several at once, because the keyed call counts as in flight.
                    let calls = join_all((0..4).map(|_| others.change())).await;
                    failed += calls.iter().filter(|call| call.is_err()).count();
                }
                replicas[0].proxy.set(NetworkFault::None);
            }
            next.run(request).await
        }
    });
    let client = ReplicaClient::with_client(client);
    replicas[0]
        .proxy
        .set(NetworkFault::CutResponses { after: 0 });
    let mut replayed = false;
    for n in 0..50 {
        let before = replicas[0].runs();
        let reply = client.pay(&n.to_string()).with_response().await.unwrap();
        if replicas[0].runs() > before {
            assert_eq!(reply.value, 0);
            replayed = reply.headers.get("idempotent-replayed") == Some("true");
            break;
        }
    }
    assert!(replayed, "one result for one key");
}

/// A request that was not sent has not run, so it may be retried.
#[tokio::test]
async fn an_unsent_keyed_call_goes_to_another_replica() {
    let (mut replicas, _drops) = start::<2>().await;
    replicas[0].proxy.refuse().await;
    let client = Client::from_urls(urls(&replicas)).unwrap().retry(quick());
    let client = ReplicaClient::with_client(client);
    for n in 0..20 {
        assert_eq!(client.pay(&n.to_string()).await.unwrap(), 1);
    }
}

#[tokio::test]
async fn a_list_that_changes_is_followed() {
    let (replicas, _drops) = start::<2>().await;
    let watch = DynamicAddresses::new("replica", [replicas[0].proxy.url()]);
    let client = ReplicaClient::with_client(Client::discover(watch.clone()));
    assert_eq!(client.change().await.unwrap(), 0);
    watch.set([replicas[1].proxy.url()]);
    assert_eq!(client.change().await.unwrap(), 1);
    watch.set([""; 0]);
    let error = client.change().await.unwrap_err();
    assert_eq!(
        (error.code(), error.message()),
        (Code::Unavailable, "no server address is known for replica")
    );
    watch.set(["no url".to_owned(), replicas[0].proxy.url()]);
    assert_eq!(client.change().await.unwrap(), 0);
}

#[tokio::test]
async fn a_client_without_a_valid_url_is_rejected() {
    for urls in [&[][..], &["http://127.0.0.1:1", "nowhere"]] {
        let error = Client::from_urls(urls).unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
    }
}

#[tokio::test]
async fn a_slow_probe_holds_nothing_back() {
    let (mut replicas, _drops) = start::<2>().await;
    let client = Client::from_urls(urls(&replicas)).unwrap();
    let client = ReplicaClient::with_client(client.retry(RetryPolicy::off()));
    replicas[0].proxy.refuse().await;
    let mut failed = 0;
    while failed < 5 {
        failed += usize::from(client.change().await.is_err());
    }
    replicas[0].hangs.store(true, Ordering::SeqCst);
    replicas[0].proxy.accept().await.unwrap();
    let mut running = JoinSet::new();
    until(async || {
        running.spawn(client.change());
        replicas[0].runs() > 0
    })
    .await;
    replicas[0].hangs.store(false, Ordering::SeqCst);
    // The next probe is the first that gets a response. Several calls at once, because the slow
    // one counts as in flight.
    until(async || {
        join_all((0..4).map(|_| client.change())).await;
        replicas[0].runs() > 10
    })
    .await;
    assert!(
        running.join_next().await.is_some(),
        "calls to the other one"
    );
    until(async || {
        while running.try_join_next().is_some() {}
        running.len() <= 2
    })
    .await;
    assert!(!running.is_empty(), "the slow probe is still running");
}

#[tokio::test]
async fn a_hedge_wins_over_a_slow_replica_and_cancels_it() {
    let (replicas, mut drops) = start::<2>().await;
    let seen = Seen::default();
    let client = Client::from_urls(urls(&replicas))
        .unwrap()
        .hedge(Duration::from_millis(20))
        .observer(seen.clone());
    let client = ReplicaClient::with_client(client);
    replicas[0].hangs.store(true, Ordering::SeqCst);
    // The hanging replica may also receive the hedge of a slow call to the other replica, and loses
    // then as well. The first attempt is canceled only if the hanging replica received it.
    let slow_was_first = || {
        let attempts = seen.attempts.lock().unwrap();
        attempts.contains(&(1, Some(Code::Canceled), false)) && attempts.contains(&(2, None, false))
    };
    within(async {
        while !slow_was_first() {
            assert_eq!(client.who().await.unwrap(), 1);
        }
    })
    .await;
    assert_eq!(drops.recv().await, Some(0), "the loser is cancelled");
}

#[tokio::test]
async fn hedges_need_no_side_effects_and_a_budget() {
    let (replicas, _drops) = start::<1>().await;
    let seen = Seen::default();
    let client = Client::new(&replicas[0].proxy.url())
        .unwrap()
        .hedge(Duration::from_millis(1))
        .observer(seen.clone());
    let client = ReplicaClient::with_client(client);
    replicas[0]
        .proxy
        .set(NetworkFault::Delay(Duration::from_millis(30)));
    client.change().await.unwrap();
    client.who().no_retry().await.unwrap();
    assert_eq!(seen.attempts(), 2);
    // The budget allows ten hedges initially and one per five calls. On a slow machine a call may
    // end before its hedge starts, so the budget is spent later.
    let mut calls = 2;
    within(async {
        loop {
            client.who().await.unwrap();
            calls += 1;
            let (hedges, budget) = (seen.attempts() - calls, 10 + calls / 5);
            assert!(hedges <= budget, "{hedges} hedges in {calls} calls");
            if calls >= 22 && hedges == budget {
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_hedge_waits_for_the_other_when_one_fails() {
    let (mut replicas, _drops) = start::<2>().await;
    let client = Client::from_urls(urls(&replicas))
        .unwrap()
        .hedge(Duration::from_millis(5))
        .without_outlier_detection();
    let client = ReplicaClient::with_client(client);
    replicas[0]
        .proxy
        .set(NetworkFault::Delay(Duration::from_millis(50)));
    replicas[1].proxy.refuse().await;
    for _ in 0..3 {
        assert_eq!(client.who().await.unwrap(), 0);
    }
}

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rpc_runtime::middleware::{Next, Request};
use rpc_runtime::observe::{CallEnd, CallStart, Observer};
use rpc_runtime::prelude::*;
use rpc_runtime::testing::{Faults, NetworkFault, Proxy};
use rpc_runtime::{Client, RetryPolicy};
use rpc_tests::Running;
use rpc_tests::wait::{StoppedClock, until};

/// Fails on demand.
#[rpc_service(package = "retries.v1")]
trait Shaky {
    /// Returns the number of the attempt.
    #[rpc(idempotent)]
    async fn put(&self) -> Result<u32>;
    /// Not idempotent.
    async fn add(&self) -> Result<u32>;
    #[rpc(idempotent)]
    async fn hang(&self) -> Result<()>;
}

#[derive(Default)]
struct Shakes {
    runs: Arc<AtomicU32>,
    /// Errors of the next runs.
    errors: Arc<Mutex<Vec<Error>>>,
}

impl Shakes {
    fn run(&self) -> Result<u32> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        match self.errors.lock().unwrap().pop() {
            Some(error) => Err(error),
            None => Ok(Context::current().attempt()),
        }
    }
}

impl Shaky for Shakes {
    async fn put(&self) -> Result<u32> {
        self.run()
    }

    async fn add(&self) -> Result<u32> {
        self.run()
    }

    async fn hang(&self) -> Result<()> {
        self.run()?;
        std::future::pending().await
    }
}

/// Number, code, and whether another attempt follows.
type Attempt = (u32, Option<Code>, bool);

/// Calls and attempts that a client reports.
#[derive(Default, Clone)]
pub(crate) struct Seen {
    pub(crate) calls: Arc<Mutex<Vec<Option<Code>>>>,
    pub(crate) attempts: Arc<Mutex<Vec<Attempt>>>,
}

impl Observer for Seen {
    fn call_ended(&self, _: &CallStart, end: &CallEnd<'_>) {
        self.calls.lock().unwrap().push(end.code());
    }

    fn attempt_ended(&self, attempt: &CallStart, end: &CallEnd<'_>) {
        let seen = (attempt.attempt, end.code(), end.retry_in.is_some());
        self.attempts.lock().unwrap().push(seen);
    }
}

impl Seen {
    pub(crate) fn attempts(&self) -> usize {
        self.attempts.lock().unwrap().len()
    }
}

struct Test {
    runs: Arc<AtomicU32>,
    errors: Arc<Mutex<Vec<Error>>>,
    seen: Seen,
    proxy: Proxy,
    _running: Running,
}

async fn start() -> Test {
    let shakes = Shakes::default();
    let (runs, errors) = (Arc::clone(&shakes.runs), Arc::clone(&shakes.errors));
    let running = Running::start(Server::new("shaky").add(ShakyServer::new(shakes))).await;
    Test {
        runs,
        errors,
        seen: Seen::default(),
        proxy: Proxy::start(running.address()).await.unwrap(),
        _running: running,
    }
}

impl Test {
    fn client(&self) -> Client {
        let client = Client::new(&self.proxy.url()).unwrap();
        client.retry(quick()).observer(self.seen.clone())
    }

    fn shaky(&self) -> ShakyClient {
        ShakyClient::with_client(self.client())
    }

    fn fail_with<const N: usize>(&self, errors: [Error; N]) {
        *self.errors.lock().unwrap() = errors.into();
    }

    fn runs(&self) -> u32 {
        self.runs.load(Ordering::SeqCst)
    }
}

/// Returns the default policy without its delays.
fn quick() -> RetryPolicy {
    RetryPolicy::default().backoff(Duration::from_millis(1), Duration::from_millis(1))
}

fn unavailable() -> Error {
    Error::new(Code::Unavailable, "not now")
}

#[tokio::test]
async fn an_idempotent_call_is_retried_with_its_number() {
    let test = start().await;
    test.fail_with([unavailable(), unavailable()]);
    assert_eq!(test.shaky().put().await.unwrap(), 3);
    assert_eq!(test.runs(), 3);
    assert_eq!(*test.seen.calls.lock().unwrap(), [None], "one call");
    let unavailable = Some(Code::Unavailable);
    assert_eq!(
        *test.seen.attempts.lock().unwrap(),
        [
            (1, unavailable, true),
            (2, unavailable, true),
            (3, None, false)
        ]
    );
}

#[tokio::test]
async fn the_last_error_counts_attempts_and_keeps_its_chain() {
    let test = start().await;
    test.fail_with([unavailable(), unavailable(), unavailable(), unavailable()]);
    let error = test.shaky().put().await.unwrap_err();
    assert_eq!(
        (error.code(), error.message()),
        (Code::Unavailable, "not now (after 3 attempts)")
    );
    assert_eq!(error.hops().len(), 1);
    assert_eq!(error.hops()[0].message, "not now");
    assert_eq!(test.runs(), 3);
}

#[tokio::test]
async fn an_unavailable_unsafe_call_is_not_retried() {
    let test = start().await;
    test.fail_with([unavailable()]);
    let error = test.shaky().add().await.unwrap_err();
    assert_eq!(
        error.message(),
        "not now",
        "one attempt, and nothing to add"
    );
    assert_eq!(test.runs(), 1);
}

#[tokio::test]
async fn only_unavailable_heals_by_itself() {
    let test = start().await;
    for code in Code::all().filter(|code| *code != Code::Unavailable) {
        test.fail_with([Error::new(code, "no")]);
        let before = test.runs();
        assert_eq!(test.shaky().put().await.unwrap_err().code(), code);
        assert_eq!(test.runs(), before + 1, "{code}");
    }
}

#[tokio::test]
async fn a_call_that_may_have_run_is_not_retried() {
    let test = start().await;
    test.proxy.set(NetworkFault::CutResponses { after: 0 });
    let error = test.shaky().add().await.unwrap_err();
    assert_eq!((error.code(), test.runs()), (Code::Unavailable, 1));
    assert!(
        error.message().ends_with("the call may have been executed"),
        "{error}"
    );
    // The same in the middle of a response.
    test.proxy.set(NetworkFault::CutResponses { after: 40 });
    let error = test.shaky().add().await.unwrap_err();
    assert_eq!((error.code(), test.runs()), (Code::Unavailable, 2));

    let error = test.shaky().put().await.unwrap_err();
    assert_eq!(test.runs(), 5, "an idempotent one is repeated");
    assert!(error.message().ends_with("(after 3 attempts)"), "{error}");
}

#[tokio::test]
async fn a_call_that_was_never_sent_is_always_retried() {
    let mut test = start().await;
    test.proxy.refuse().await;
    let error = test.shaky().add().await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(
        error.message().contains("refused") && error.message().ends_with("(after 3 attempts)"),
        "{error}"
    );
    assert_eq!((test.seen.attempts(), test.runs()), (3, 0));
}

#[tokio::test]
async fn a_black_hole_ends_at_the_deadline_without_retry() {
    let test = start().await;
    test.proxy.set(NetworkFault::BlackHole);
    let deadline = Duration::from_millis(200);
    let start = Instant::now();
    let error = test.shaky().put().timeout(deadline).await.unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded);
    assert!(start.elapsed() >= deadline);
    let attempts = test.seen.attempts.lock().unwrap().clone();
    assert_eq!(attempts, [(1, Some(Code::Canceled), false)]);
    // After the fault, calls succeed.
    test.proxy.set(NetworkFault::None);
    assert_eq!(test.shaky().put().await.unwrap(), 1);
}

#[tokio::test]
async fn a_waiting_call_succeeds_when_the_server_returns() {
    let mut test = start().await;
    test.proxy.refuse().await;
    let policy = RetryPolicy::default()
        .attempts(10_000)
        .backoff(Duration::from_millis(20), Duration::from_millis(20))
        .budget_percent(100_000);
    let client = test.client().retry(policy);
    // A successful call first, so that the budget is full.
    let _ = ShakyClient::with_client(client.clone())
        .put()
        .no_retry()
        .await;
    let call = tokio::spawn(ShakyClient::with_client(client).add());
    until(async || test.seen.attempts() >= 3).await;
    test.proxy.accept().await.unwrap();
    assert!(call.await.unwrap().unwrap() >= 3);
    assert_eq!(test.runs(), 1);
}

#[tokio::test]
async fn a_client_waits_for_retry_after() {
    let test = start().await;
    let wait = Duration::from_millis(150);
    let full = || Error::new(Code::ResourceExhausted, "full");
    test.fail_with([full().with_retry_after(wait)]);
    let start = Instant::now();
    assert_eq!(test.shaky().put().await.unwrap(), 2);
    assert!(start.elapsed() >= wait, "{:?}", start.elapsed());
    // Without a retry-after the error means an exhausted quota and is not retried.
    test.fail_with([full()]);
    assert_eq!(test.shaky().put().await.unwrap_err().message(), "full");
}

#[tokio::test]
async fn no_retry_starts_that_the_deadline_would_end() {
    let test = start().await;
    test.fail_with([unavailable().with_retry_after(Duration::from_secs(5))]);
    let _clock = StoppedClock::start().await;
    let call = test.shaky().put().timeout(Duration::from_secs(2));
    let error = call.await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert_eq!(
        error.message(),
        "not now (after 1 attempt; no time for another attempt before the deadline)"
    );
}

#[tokio::test]
async fn retries_can_be_left_out() {
    let test = start().await;
    test.fail_with([unavailable(), unavailable()]);
    let error = test.shaky().put().no_retry().await.unwrap_err();
    assert_eq!(error.message(), "not now");
    let client = ShakyClient::with_client(test.client().retry(RetryPolicy::off()));
    assert_eq!(client.put().await.unwrap_err().message(), "not now");
    assert_eq!(test.runs(), 2);
}

#[tokio::test]
async fn a_call_that_is_dropped_drops_its_attempt() {
    let test = start().await;
    let call = tokio::spawn(test.shaky().hang());
    until(async || test.runs() > 0).await;
    call.abort();
    let _ = call.await;
    let canceled = Some(Code::Canceled);
    assert_eq!(*test.seen.calls.lock().unwrap(), [canceled]);
    assert_eq!(*test.seen.attempts.lock().unwrap(), [(1, canceled, false)]);
}

#[tokio::test]
async fn layers_run_per_call_and_attempt_layers_per_attempt() {
    let test = start().await;
    test.fail_with([unavailable(), unavailable()]);
    let log = Arc::new(Mutex::new(Vec::new()));
    let logs = |name: &'static str| {
        let log = Arc::clone(&log);
        move |request: Request, next: Next| {
            log.lock()
                .unwrap()
                .push((name, request.context().attempt()));
            async move { next.run(request).await }
        }
    };
    let client = test
        .client()
        .attempt_layer(logs("attempt"))
        .layer(logs("call"));
    ShakyClient::with_client(client)
        .put()
        .header("x-a", "b")
        .await
        .unwrap();
    assert_eq!(
        *log.lock().unwrap(),
        [("call", 1), ("attempt", 1), ("attempt", 2), ("attempt", 3)]
    );
}

#[tokio::test]
async fn in_process_it_is_the_same() {
    let shakes = Shakes::default();
    let (runs, errors) = (Arc::clone(&shakes.runs), Arc::clone(&shakes.errors));
    let client = ShakyClient::local(shakes);
    *errors.lock().unwrap() = vec![unavailable()];
    assert_eq!(client.put().await.unwrap(), 2);
    *errors.lock().unwrap() = vec![unavailable()];
    assert_eq!(client.add().await.unwrap_err().message(), "not now");
    assert_eq!(runs.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn seeded_faults_end_in_a_result_or_unavailable() {
    let test = start().await;
    let faults = Faults::seeded(42)
        .delay(0.2, Duration::from_millis(2))
        .refuse(0.05)
        .error(0.05, Code::Unavailable)
        .drop_response(0.05);
    let client = test.client().attempt_layer(faults);
    let shaky = ShakyClient::with_client(client);
    let mut failed = 0;
    for _ in 0..200 {
        match shaky.put().await {
            Ok(_) => {}
            Err(error) => {
                failed += 1;
                assert_eq!(error.code(), Code::Unavailable);
                assert!(error.message().contains("attempt"), "{error}");
            }
        }
    }
    let attempts = test.seen.attempts();
    assert!(
        failed <= 4,
        "{failed} of 200 failed, in {attempts} attempts"
    );
    assert!((210..=250).contains(&attempts), "{attempts} attempts");
}

/// A service of the chain.
#[rpc_service(package = "retries.v1")]
trait Link {
    #[rpc(idempotent)]
    async fn pull(&self) -> Result<()>;
}

struct Links {
    next: LinkClient,
    pulled: Arc<AtomicU32>,
}

impl Link for Links {
    async fn pull(&self) -> Result<()> {
        self.pulled.fetch_add(1, Ordering::SeqCst);
        Ok(self.next.pull().await?)
    }
}

/// Starts three servers in a chain before `bottom`. Returns the client of the first, the number of
/// calls of each, and the attempts that the client of the last one reports.
async fn chain(bottom: &str) -> (LinkClient, Vec<Arc<AtomicU32>>, Seen, Vec<Running>) {
    let seen = Seen::default();
    let client = |url: &str| Client::new(url).unwrap().retry(quick());
    let mut next = LinkClient::with_client(client(bottom).observer(seen.clone()));
    let (mut counts, mut servers) = (Vec::new(), Vec::new());
    for name in ["c", "b", "a"] {
        let pulled = Arc::new(AtomicU32::new(0));
        counts.insert(0, Arc::clone(&pulled));
        let links = Links { next, pulled };
        let running = Running::start(Server::new(name).add(LinkServer::new(links))).await;
        next = LinkClient::with_client(client(&running.url()));
        servers.push(running);
    }
    (next, counts, seen, servers)
}

const CALLS: usize = 100;

/// The retry budget: one per five calls plus ten initially.
const RETRIES: usize = CALLS / 5 + 10;

#[tokio::test]
async fn retries_of_three_services_do_not_multiply() {
    let mut proxy = Proxy::start(([127, 0, 0, 1], 9).into()).await.unwrap();
    let url = proxy.url();
    for refused in [true, false] {
        if refused {
            proxy.refuse().await;
        } else {
            // Connections are accepted and break: the harder case, since the outcome is unknown.
            proxy.accept().await.unwrap();
        }
        let (top, counts, seen, _servers) = chain(&url).await;
        let mut last = None;
        for _ in 0..CALLS {
            let error = top.pull().await.unwrap_err();
            assert_eq!(error.code(), Code::Unavailable);
            last = Some(error);
        }
        let counts: Vec<_> = counts
            .iter()
            .map(|count| count.load(Ordering::SeqCst) as usize)
            .collect();
        println!(
            "{CALLS} calls, servers {counts:?}, bottom {} attempts (refused: {refused})",
            seen.attempts()
        );
        assert_eq!(counts, [CALLS; 3], "only the layer above the fault retries");
        assert_eq!(seen.attempts(), CALLS + RETRIES);
        let error = last.unwrap();
        assert_eq!(error.hops().len(), 3, "{error:?}");
    }
}

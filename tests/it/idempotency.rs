//! Idempotency keys: a call runs once, in process and over sockets.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rpc_runtime::idempotency::{
    Claim, Fingerprint, IdempotencyKey, IdempotencyStore, MemoryStore, Outcome, StoreFuture,
};
use rpc_runtime::middleware::{Next, Request};
use rpc_runtime::prelude::*;
use rpc_runtime::testing::{NetworkFault, Proxy};
use rpc_runtime::{Client, Limits, RetryPolicy};
use rpc_tests::Running;
use rpc_tests::wait::until;
use tokio::sync::{Semaphore, mpsc};

use crate::retries::Seen;

#[derive(Debug, RpcError)]
enum TillError {
    #[rpc(code = "failed_precondition")]
    Poor { missing: u64 },
    #[rpc(other)]
    Other(Error),
}

/// Takes payments.
#[rpc_service(package = "idempotency.v1")]
trait Till {
    /// Returns the number of the payment.
    async fn pay(&self, #[rpc(idempotency_key)] key: &str, cents: u64) -> Result<u64, TillError>;
    /// Pays when the test releases it.
    #[rpc(timeout = "1m")]
    async fn pay_slowly(&self, #[rpc(idempotency_key)] key: String, cents: u64) -> Result<u64>;
    /// Takes a message that contains a map.
    async fn pay_all(
        &self,
        #[rpc(idempotency_key)] key: &str,
        cents: HashMap<String, u64>,
    ) -> Result<u64>;
}

/// A failure of the next call, which then does not pay.
#[derive(Clone, Copy, PartialEq)]
enum Fails {
    With(Code),
    /// With this code, and the statement that nothing was done.
    NotExecuted(Code),
    ByPanic,
    Poor,
}

#[derive(Clone)]
struct Cash {
    runs: Arc<AtomicU64>,
    fails: Arc<Mutex<Vec<Fails>>>,
    begun: mpsc::UnboundedSender<()>,
    go: Arc<Semaphore>,
}

impl Cash {
    fn run(&self) -> Result<u64, TillError> {
        let number = self.runs.fetch_add(1, Ordering::SeqCst) + 1;
        Context::current()
            .response()
            .header("x-payment", number.to_string())
            .unwrap();
        let fails = self.fails.lock().unwrap().pop();
        match fails {
            None => Ok(number),
            Some(Fails::With(code)) => Err(Error::new(code, "as told").into()),
            Some(Fails::NotExecuted(code)) => {
                Err(Error::new(code, "as told").not_executed().into())
            }
            Some(Fails::ByPanic) => panic!("as told"),
            Some(Fails::Poor) => Err(TillError::Poor { missing: 7 }),
        }
    }
}

impl Till for Cash {
    async fn pay(&self, _: &str, _: u64) -> Result<u64, TillError> {
        self.run()
    }

    async fn pay_slowly(&self, _: String, _: u64) -> Result<u64> {
        let number = self.run().map_err(RpcError::into_error)?;
        // The receiver may be gone at the end of a test.
        let _ = self.begun.send(());
        let turn = self.go.acquire().await;
        turn.map_err(|_| Error::new(Code::Aborted, "the test is over"))?
            .forget();
        Ok(number)
    }

    async fn pay_all(&self, _: &str, _: HashMap<String, u64>) -> Result<u64> {
        self.run().map_err(RpcError::into_error)
    }
}

/// A till and the controls of its handlers.
struct Fixture {
    cash: Cash,
    begun: mpsc::UnboundedReceiver<()>,
}

impl Fixture {
    fn new() -> Self {
        let (sender, begun) = mpsc::unbounded_channel();
        let cash = Cash {
            runs: Arc::default(),
            fails: Arc::default(),
            begun: sender,
            go: Arc::new(Semaphore::new(0)),
        };
        Self { cash, begun }
    }

    fn server(&self) -> Server {
        Server::new("till").add(TillServer::new(self.cash.clone()))
    }

    fn runs(&self) -> u64 {
        self.cash.runs.load(Ordering::SeqCst)
    }

    fn fail(&self, how: Fails) {
        self.cash.fails.lock().unwrap().push(how);
    }

    /// Returns clients of two such servers: one in process, one over a socket.
    async fn both(&self) -> (Running, [TillClient; 2]) {
        let running = Running::start(self.server()).await;
        let socket = once(Client::new(&running.url()).unwrap());
        (
            running,
            [once(self.server().into_local_client().unwrap()), socket],
        )
    }
}

/// Returns a client that reports its calls and does not retry.
fn once(client: Client) -> TillClient {
    TillClient::with_client(client.retry(RetryPolicy::off()))
}

/// Returns the error, which must not be a declared one of the till.
fn plain(error: Remote<TillError>) -> Error {
    match error.into_inner() {
        TillError::Other(error) => error,
        TillError::Poor { .. } => panic!("the till is poor"),
    }
}

fn quick() -> RetryPolicy {
    RetryPolicy::default().backoff(Duration::from_millis(1), Duration::from_millis(1))
}

#[tokio::test]
async fn a_repeat_gets_the_first_result_without_a_run() {
    let fixture = Fixture::new();
    let (_running, clients) = fixture.both().await;
    for till in clients {
        let before = fixture.runs();
        let first = till.pay("k", 5).with_response().await.unwrap();
        let again = till.pay("k", 5).with_response().await.unwrap();
        assert_eq!((first.value, again.value), (before + 1, before + 1));
        assert_eq!(fixture.runs(), before + 1);
        assert_eq!(first.headers.get("idempotent-replayed"), None);
        assert_eq!(again.headers.get("idempotent-replayed"), Some("true"));
        // Response headers of the handler belong to the stored result.
        assert_eq!(
            first.headers.get("x-payment"),
            again.headers.get("x-payment")
        );
        // Another key is another call, and so is the same key with another method.
        assert_eq!(till.pay("other", 5).await.unwrap(), before + 2);
        assert_eq!(till.pay_all("k", HashMap::new()).await.unwrap(), before + 3);
    }
}

#[tokio::test]
async fn a_typed_error_is_a_result() {
    let fixture = Fixture::new();
    let (_running, clients) = fixture.both().await;
    for till in clients {
        let before = fixture.runs();
        fixture.fail(Fails::Poor);
        for _ in 0..3 {
            let error = till.pay("poor", 5).await.unwrap_err();
            assert!(matches!(*error, TillError::Poor { missing: 7 }), "{error}");
            assert_eq!(error.code(), Code::FailedPrecondition);
        }
        assert_eq!(fixture.runs(), before + 1);
    }
}

#[tokio::test]
async fn concurrent_repeats_wait_for_the_first() {
    let mut fixture = Fixture::new();
    let (_running, clients) = fixture.both().await;
    for till in clients {
        let before = fixture.runs();
        let first = tokio::spawn(till.pay_slowly("k".to_owned(), 5));
        fixture.begun.recv().await.unwrap();
        let repeats: Vec<_> = (0..8)
            .map(|_| tokio::spawn(till.pay_slowly("k".to_owned(), 5)))
            .collect();
        // A call without time for it fails with that reason, and changes nothing.
        let late = till
            .pay_slowly("k".to_owned(), 5)
            .timeout(Duration::from_millis(20));
        assert_eq!(late.await.unwrap_err().code(), Code::DeadlineExceeded);
        fixture.cash.go.add_permits(1);
        assert_eq!(first.await.unwrap().unwrap(), before + 1);
        for repeat in repeats {
            assert_eq!(repeat.await.unwrap().unwrap(), before + 1);
        }
        assert_eq!(fixture.runs(), before + 1);
    }
}

#[tokio::test]
async fn a_key_with_other_arguments_is_aborted() {
    let mut fixture = Fixture::new();
    let (_running, clients) = fixture.both().await;
    for till in clients {
        let before = fixture.runs();
        let slow = |cents| till.pay_slowly("k".to_owned(), cents);
        let first = tokio::spawn(slow(5));
        fixture.begun.recv().await.unwrap();
        let error = slow(6).await.unwrap_err();
        assert_eq!(error.code(), Code::Aborted);
        fixture.cash.go.add_permits(1);
        first.await.unwrap().unwrap();
        let error = slow(6).await.unwrap_err();
        assert_eq!(error.code(), Code::Aborted);
        let text = "`key` was used for a call with other arguments";
        assert!(error.message().starts_with(text), "{error}");
        assert_eq!(error.reason(), Some("IDEMPOTENCY_KEY_REUSED"));
        assert_eq!(slow(5).await.unwrap(), before + 1);
        assert_eq!(fixture.runs(), before + 1);
    }
}

#[tokio::test]
async fn a_map_is_equal_in_any_order_of_its_fields() {
    let fixture = Fixture::new();
    let till = once(fixture.server().into_local_client().unwrap());
    for _ in 0..8 {
        // Each map iterates in a different order.
        let cents = (0..20).map(|n| (n.to_string(), n)).collect();
        assert_eq!(till.pay_all("k", cents).await.unwrap(), 1);
    }
}

#[tokio::test]
async fn after_a_failure_the_failure_is_the_result() {
    let fixture = Fixture::new();
    let (_running, clients) = fixture.both().await;
    for till in clients {
        let fails = Code::all().map(|code| (Fails::With(code), code));
        // A panic may come between two steps of a handler.
        for (fails, code) in fails.chain([(Fails::ByPanic, Code::Internal)]) {
            let before = fixture.runs();
            let key = format!("{before}");
            fixture.fail(fails);
            for _ in 0..2 {
                assert_eq!(till.pay(&key, 5).await.unwrap_err().code(), code);
            }
            assert_eq!(fixture.runs(), before + 1, "{code}");
        }
    }
}

#[tokio::test]
async fn a_call_that_was_not_done_runs_again() {
    let fixture = Fixture::new();
    let (_running, clients) = fixture.both().await;
    for till in clients {
        for code in [Code::Unavailable, Code::ResourceExhausted, Code::Internal] {
            let before = fixture.runs();
            fixture.fail(Fails::NotExecuted(code));
            assert_eq!(till.pay(code.as_str(), 5).await.unwrap_err().code(), code);
            assert_eq!(till.pay(code.as_str(), 5).await.unwrap(), before + 2);
            assert_eq!(till.pay(code.as_str(), 5).await.unwrap(), before + 2);
        }
    }
}

#[tokio::test]
async fn a_key_has_1_to_255_bytes_and_no_control_characters() {
    let fixture = Fixture::new();
    let (_running, clients) = fixture.both().await;
    for till in clients {
        let before = fixture.runs();
        let long = "k".repeat(256);
        for (key, problem) in [
            ("", "`key` is empty"),
            (&*long, "`key` is 256 bytes long; use at most 255"),
            ("a\nb", "`key` contains control characters"),
            ("a\u{85}b", "`key` contains control characters"),
        ] {
            let error = till.pay(key, 5).await.unwrap_err();
            assert_eq!(
                (error.code(), fixture.runs()),
                (Code::InvalidArgument, before)
            );
            assert!(error.message().starts_with(problem), "{error}");
            assert_eq!(plain(error).violations()[0].field, "key");
        }
        for key in [&long[..255], " ", "schlüssel", "../\"\\"] {
            let before = fixture.runs();
            assert_eq!(till.pay(key, 5).await.unwrap(), before + 1);
            assert_eq!(till.pay(key, 5).await.unwrap(), before + 1);
        }
    }
}

#[tokio::test]
async fn callers_do_not_see_each_others_results() {
    let fixture = Fixture::new();
    let client = fixture.server().into_local_client().unwrap();
    let named = |source: &str| once(client.clone().source(source.parse().unwrap()));
    let pay = async |till: TillClient, cents| till.pay("k", cents).await.unwrap();
    assert_eq!(pay(named("web@prod/1"), 1).await, 1);
    // Another server, the same one in another environment, and an unknown caller; each with
    // different arguments.
    assert_eq!(pay(named("app@prod/1"), 2).await, 2);
    assert_eq!(pay(named("web@dev/1"), 3).await, 3);
    assert_eq!(pay(once(client.clone()), 4).await, 4);
    // Another instance of the same server shares the keys of the first.
    assert_eq!(pay(named("web@prod/2"), 1).await, 1);
}

#[tokio::test]
async fn work_continues_after_a_disconnect_for_the_repeat() {
    let mut fixture = Fixture::new();
    let (_running, clients) = fixture.both().await;
    for till in clients {
        let before = fixture.runs();
        let first = tokio::spawn(till.pay_slowly("gone".to_owned(), 5));
        fixture.begun.recv().await.unwrap();
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        let again = tokio::spawn(till.pay_slowly("gone".to_owned(), 5));
        fixture.cash.go.add_permits(1);
        assert_eq!(again.await.unwrap().unwrap(), before + 1);
        // The same after a deadline.
        let mut timeout = Duration::from_millis(100);
        let key = loop {
            let key = format!("late {timeout:?}");
            let late = till.pay_slowly(key.clone(), 5).timeout(timeout).await;
            assert_eq!(late.unwrap_err().code(), Code::DeadlineExceeded);
            if fixture.begun.try_recv().is_ok() {
                break key;
            }
            // On a slow machine the deadline may pass before the handler starts.
            timeout *= 4;
        };
        fixture.cash.go.add_permits(1);
        assert_eq!(till.pay_slowly(key, 5).await.unwrap(), before + 2);
        assert_eq!(fixture.runs(), before + 2);
    }
}

#[tokio::test]
async fn a_lost_response_is_sent_again_for_a_repeat() {
    let fixture = Fixture::new();
    let running = Running::start(fixture.server()).await;
    for after in [0, 40] {
        let before = fixture.runs();
        let proxy = Arc::new(Proxy::start(running.address()).await.unwrap());
        proxy.set(NetworkFault::CutResponses { after });
        let seen = Seen::default();
        let heal = Arc::clone(&proxy);
        let client = Client::new(&proxy.url())
            .unwrap()
            .retry(quick())
            .observer(seen.clone());
        // The network works from the second attempt on.
        let client = client.attempt_layer(move |request: Request, next: Next| {
            if request.context().attempt() > 1 {
                heal.set(NetworkFault::None);
            }
            next.run(request)
        });
        let till = TillClient::with_client(client);
        let reply = till
            .pay(&format!("lost {after}"), 5)
            .with_response()
            .await
            .unwrap();
        assert_eq!((reply.value, fixture.runs()), (before + 1, before + 1));
        assert_eq!(reply.headers.get("idempotent-replayed"), Some("true"));
        assert_eq!(seen.attempts(), 2);
    }
}

#[tokio::test]
async fn a_result_in_an_external_store_outlives_the_server() {
    let fixture = Fixture::new();
    let store = Arc::new(Shelf::default());
    let server = || fixture.server().idempotency_store(Arc::clone(&store));
    let before = Running::start(server()).await;
    let till = once(Client::new(&before.url()).unwrap());
    assert_eq!(till.pay("paid", 5).await.unwrap(), 1);
    fixture.fail(Fails::Poor);
    till.pay("poor", 5).await.unwrap_err();
    before.stop().await;

    let after = Running::start(server()).await;
    let till = once(Client::new(&after.url()).unwrap());
    let reply = till.pay("paid", 5).with_response().await.unwrap();
    assert_eq!(
        (reply.value, reply.headers.get("x-payment")),
        (1, Some("1"))
    );
    let error = till.pay("poor", 5).await.unwrap_err();
    assert!(
        matches!(*error, TillError::Poor { missing: 7 }),
        "{error:?}"
    );
    assert_eq!(till.pay("paid", 6).await.unwrap_err().code(), Code::Aborted);
    assert_eq!(fixture.runs(), 2);
}

#[tokio::test]
async fn a_call_of_another_process_is_never_run_twice() {
    let fixture = Fixture::new();
    let store = Arc::new(Shelf::default());
    let client = fixture
        .server()
        .idempotency_store(Arc::clone(&store))
        .into_local_client()
        .unwrap();
    let till = once(client.clone());
    assert_eq!(till.pay("k", 5).await.unwrap(), 1);
    // As if another process were running the call.
    let (key, (message, outcome)) = store.take();
    store.put(key.clone(), (message, None));
    let error = till.pay("k", 5).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(plain(error).retry_after().is_some());
    assert_eq!(till.pay("k", 6).await.unwrap_err().code(), Code::Aborted);
    // The client retries without help. The other process is done by the second attempt.
    let (shelf, done) = (Arc::clone(&store), outcome.clone());
    let waits = client
        .clone()
        .attempt_layer(move |request: Request, next: Next| {
            if request.context().attempt() == 2 {
                shelf.put(key.clone(), (message, done.clone()));
            }
            next.run(request)
        });
    assert_eq!(TillClient::with_client(waits).pay("k", 5).await.unwrap(), 1);
    // The other process has died during the call, and the store has recorded that.
    let (key, _) = store.take();
    store.put(key, (message, Some(Outcome::lost().to_bytes())));
    let error = till.pay("k", 5).await.unwrap_err();
    assert_eq!((error.code(), fixture.runs()), (Code::Unknown, 1));
    assert!(
        error.message().contains("may have been executed"),
        "{error}"
    );
}

#[tokio::test]
async fn no_call_runs_when_the_store_fails() {
    let fixture = Fixture::new();
    let store = Arc::new(Shelf::default());
    let client = fixture
        .server()
        .idempotency_store(Arc::clone(&store))
        .into_local_client()
        .unwrap();
    store.failures.store(1, Ordering::SeqCst);
    let error = once(client.clone()).pay("k", 5).await.unwrap_err();
    assert_eq!(
        (error.code(), error.hops()[0].message.as_str()),
        (Code::Unavailable, "the shelf is away")
    );
    assert_eq!(fixture.runs(), 0);
    // A client with retries does not notice the failure.
    store.failures.store(1, Ordering::SeqCst);
    let till = TillClient::with_client(client.retry(quick()));
    assert_eq!(till.pay("k", 5).await.unwrap(), 1);
}

#[tokio::test]
async fn a_store_that_loses_responses_loses_no_key() {
    let fixture = Fixture::new();
    let store = Arc::new(Shelf::default());
    let server = fixture.server().idempotency_store(Arc::clone(&store));
    let till = TillClient::with_client(server.into_local_client().unwrap().retry(quick()));
    // The key is claimed, and the server does not know.
    store.lost_claims.store(1, Ordering::SeqCst);
    assert_eq!(till.pay("claim", 5).await.unwrap(), 1);
    // The result is not stored at first; the caller and its repeats get it all the same.
    store.lost_results.store(2, Ordering::SeqCst);
    for _ in 0..3 {
        assert_eq!(till.pay("result", 5).await.unwrap(), 2);
    }
    until(async || store.results() == 2).await;
    assert_eq!(till.pay("result", 5).await.unwrap(), 2);
    assert_eq!(fixture.runs(), 2);
}

#[tokio::test]
async fn an_expired_key_is_new() {
    let fixture = Fixture::new();
    let store = MemoryStore::new().keep(Duration::ZERO);
    let till = once(
        fixture
            .server()
            .idempotency_store(store)
            .into_local_client()
            .unwrap(),
    );
    assert_eq!(till.pay("k", 5).await.unwrap(), 1);
    assert_eq!(till.pay("k", 5).await.unwrap(), 2);
}

#[tokio::test]
async fn a_full_store_rejects_a_call_until_one_ends() {
    let mut fixture = Fixture::new();
    let store = MemoryStore::new().entries(1);
    let till = once(
        fixture
            .server()
            .idempotency_store(store)
            .into_local_client()
            .unwrap(),
    );
    let first = tokio::spawn(till.pay_slowly("slow".to_owned(), 5));
    fixture.begun.recv().await.unwrap();
    let error = till.pay("k", 5).await.unwrap_err();
    assert_eq!((error.code(), fixture.runs()), (Code::ResourceExhausted, 1));
    fixture.cash.go.add_permits(1);
    first.await.unwrap().unwrap();
    assert_eq!(till.pay("k", 5).await.unwrap(), 2);
}

#[tokio::test]
async fn a_waiting_repeat_uses_no_call_slot() {
    let mut fixture = Fixture::new();
    let mut limits = Limits::default();
    (limits.running_calls, limits.queued_calls) = (2, 0);
    let till = once(fixture.server().limits(limits).into_local_client().unwrap());
    let mut waiting = Vec::new();
    waiting.push(tokio::spawn(till.pay_slowly("k".to_owned(), 5)));
    fixture.begun.recv().await.unwrap();
    for _ in 0..4 {
        waiting.push(tokio::spawn(till.pay_slowly("k".to_owned(), 5)));
        // With one thread, the call waits in the queue once another task has run.
        tokio::task::yield_now().await;
    }
    // One slot is used by the running call, the other one is free.
    assert_eq!(till.pay("k", 5).await.unwrap(), 2);
    fixture.cash.go.add_permits(1);
    for call in waiting {
        assert_eq!(call.await.unwrap().unwrap(), 1);
    }
}

#[tokio::test]
async fn repeats_pass_layers_and_bad_arguments_claim_no_key() {
    let fixture = Fixture::new();
    let passed = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&passed);
    let server = fixture.server().layer(move |request: Request, next: Next| {
        let n = count.fetch_add(1, Ordering::SeqCst);
        async move {
            if n == 2 {
                return Error::new(Code::Unauthenticated, "who is it?").into();
            }
            next.run(request).await
        }
    });
    let running = Running::start(server).await;
    let till = once(Client::new(&running.url()).unwrap());
    let mut raw = rpc_tests::raw::Raw::connect(running.address()).await;
    let wrong = rpc_tests::raw::post("/idempotency.v1.Till/Pay", r#"{"key":"k","cents":"x"}"#);
    assert_eq!(raw.ask(wrong).await.error().1, "invalid_argument");
    assert_eq!(till.pay("k", 5).await.unwrap(), 1);
    // An authorizing layer runs for each repeat as well.
    assert_eq!(
        till.pay("k", 5).await.unwrap_err().code(),
        Code::Unauthenticated
    );
    assert_eq!(till.pay("k", 5).await.unwrap(), 1);
    assert_eq!((passed.load(Ordering::SeqCst), fixture.runs()), (4, 1));
}

/// The fingerprint of a claimed key's message and, once complete, the stored result.
type Entry = (Fingerprint, Option<Vec<u8>>);

/// A store that outlives its servers, like one in a database.
#[derive(Default)]
struct Shelf {
    entries: Mutex<HashMap<IdempotencyKey, Entry>>,
    /// Number of the next requests to the store that fail.
    failures: AtomicUsize,
    /// Number of the next claims whose response fails.
    lost_claims: AtomicUsize,
    /// Number of the next results that do not arrive.
    lost_results: AtomicUsize,
}

/// Fails if the counter is above zero, and decrements it.
fn fail_next(counter: &AtomicUsize) -> Result<()> {
    let failing = counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
    if failing.is_ok() {
        fail!(Code::Unavailable, "the shelf is away");
    }
    Ok(())
}

impl Shelf {
    /// Removes and returns the only entry.
    fn take(&self) -> (IdempotencyKey, Entry) {
        let mut entries = self.entries.lock().unwrap();
        assert_eq!(entries.len(), 1);
        entries.drain().next().unwrap()
    }

    /// Returns the number of stored results.
    fn results(&self) -> usize {
        let entries = self.entries.lock().unwrap();
        entries.values().filter(|entry| entry.1.is_some()).count()
    }

    fn put(&self, key: IdempotencyKey, entry: Entry) {
        self.entries.lock().unwrap().insert(key, entry);
    }
}

impl IdempotencyStore for Shelf {
    fn begin<'a>(
        &'a self,
        key: &'a IdempotencyKey,
        message: Fingerprint,
    ) -> StoreFuture<'a, Claim> {
        Box::pin(async move {
            fail_next(&self.failures)?;
            let mut entries = self.entries.lock().unwrap();
            Ok(match entries.get(key) {
                Some((message, Some(outcome))) => {
                    Claim::Done(*message, Outcome::from_bytes(outcome)?)
                }
                Some((message, None)) => Claim::Running(*message),
                None => {
                    entries.insert(key.clone(), (message, None));
                    fail_next(&self.lost_claims)?;
                    Claim::New
                }
            })
        })
    }

    fn complete<'a>(
        &'a self,
        key: &'a IdempotencyKey,
        message: Fingerprint,
        outcome: &'a Outcome,
    ) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            fail_next(&self.lost_results)?;
            self.put(key.clone(), (message, Some(outcome.to_bytes())));
            Ok(())
        })
    }

    fn abandon<'a>(&'a self, key: &'a IdempotencyKey) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.entries.lock().unwrap().remove(key);
            Ok(())
        })
    }
}

//! Idempotency keys: a call runs once, in process and over sockets.

/// Repeats of calls that are running, or whose response was lost.
mod repeats;
/// Keys that go on to another service.
mod services;
/// A store outside of the process.
pub(crate) mod shelf;
/// Stores that fail, are full, or outlive the server.
mod stores;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rpc_runtime::prelude::*;
use rpc_runtime::{Client, RetryPolicy};
use rpc_tests::Running;
use tokio::sync::{Semaphore, mpsc};

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

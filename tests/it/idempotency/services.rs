use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rpc_runtime::prelude::*;
use rpc_runtime::testing::Faults;
use rpc_runtime::{Client, Remote, RetryPolicy};
use rpc_tests::Running;

#[derive(Debug, RpcError)]
enum BankError {
    #[rpc(code = "failed_precondition")]
    Declined,
    #[rpc(other)]
    Other(Error),
}

#[rpc_service(package = "services.v1")]
trait Bank {
    async fn charge(&self, #[rpc(idempotency_key)] key: &str, cents: u64)
    -> Result<u64, BankError>;
}

#[rpc_service(package = "services.v1")]
trait Orders {
    /// Passes its key on, and says that it may run again.
    async fn place(&self, #[rpc(idempotency_key)] key: &str, cents: u64) -> Result<u64>;
    /// Passes its key on, and says nothing.
    async fn place_once(&self, #[rpc(idempotency_key)] key: &str, cents: u64) -> Result<u64>;
    /// Has an effect of its own before it calls a method which may run again.
    async fn forward(&self, #[rpc(idempotency_key)] key: &str, cents: u64) -> Result<u64>;
}

#[derive(Default)]
struct Vault {
    charges: Mutex<Vec<String>>,
}

#[rpc_service]
impl Bank for Vault {
    async fn charge(&self, key: &str, cents: u64) -> Result<u64, BankError> {
        if cents == 0 {
            self.charges.lock().unwrap().push(format!("declined {key}"));
            return Err(BankError::Declined);
        }
        let mut charges = self.charges.lock().unwrap();
        charges.push(key.to_owned());
        Ok(charges.len() as u64)
    }
}

#[derive(Default)]
struct Book {
    orders: Mutex<HashMap<String, u64>>,
    runs: AtomicUsize,
}

struct Desk {
    book: Arc<Book>,
    bank: Option<BankClient>,
    next: Option<OrdersClient>,
}

impl Desk {
    fn bank(&self) -> &BankClient {
        self.bank.as_ref().unwrap()
    }
}

#[rpc_service]
impl Orders for Desk {
    async fn place(&self, key: &str, cents: u64) -> Result<u64> {
        self.book.runs.fetch_add(1, Ordering::Relaxed);
        let payment = self.bank().charge(key, cents).await;
        let payment = payment.map_err(Remote::safe_to_repeat)?;
        let mut orders = self.book.orders.lock().unwrap();
        let before = orders.insert(key.to_owned(), payment);
        assert_eq!(before, None, "{key} was placed twice");
        Ok(payment)
    }

    async fn place_once(&self, key: &str, cents: u64) -> Result<u64> {
        self.book.runs.fetch_add(1, Ordering::Relaxed);
        Ok(self.bank().charge(key, cents).await?)
    }

    async fn forward(&self, key: &str, cents: u64) -> Result<u64> {
        self.book.runs.fetch_add(1, Ordering::Relaxed);
        Ok(self.next.as_ref().unwrap().place(key, cents).await?)
    }
}

/// A bank, and two services of orders before it, each with a loss of the responses that it gets.
struct Chain {
    vault: Arc<Vault>,
    books: [Arc<Book>; 2],
    running: [Running; 3],
}

fn lossy(running: &Running, faults: Faults) -> Client {
    let client = Client::new(&running.url()).unwrap();
    client.retry(RetryPolicy::off()).attempt_layer(faults)
}

impl Chain {
    async fn start(lost: f64) -> Self {
        let vault = Arc::new(Vault::default());
        let bank = Server::new("bank").add(BankServer::new(Arc::clone(&vault)));
        let bank = Running::start(bank).await;
        let books = [Arc::<Book>::default(), Arc::default()];
        let faults = Faults::seeded(7).drop_response(lost);
        let desk = Desk {
            book: Arc::clone(&books[0]),
            bank: Some(BankClient::with_client(lossy(&bank, faults))),
            next: None,
        };
        let orders = Running::start(Server::new("orders").add(OrdersServer::new(desk))).await;
        let desk = Desk {
            book: Arc::clone(&books[1]),
            bank: None,
            next: Some(OrdersClient::with_client(lossy(&orders, Faults::seeded(1)))),
        };
        let outer = Running::start(Server::new("outer").add(OrdersServer::new(desk))).await;
        Self {
            vault,
            books,
            running: [bank, orders, outer],
        }
    }

    fn orders(&self, server: usize, lost: f64) -> OrdersClient {
        let faults = Faults::seeded(8).drop_response(lost);
        OrdersClient::with_client(lossy(&self.running[server], faults))
    }

    fn charges(&self) -> Vec<String> {
        let mut charges = self.vault.charges.lock().unwrap().clone();
        charges.sort();
        charges
    }

    fn runs(&self, book: usize) -> usize {
        self.books[book].runs.load(Ordering::Relaxed)
    }
}

/// Responses of both services get lost at random, and customers try again with their key.
#[tokio::test]
async fn every_order_has_one_payment() {
    let chain = Chain::start(0.5).await;
    let orders = chain.orders(1, 0.4);
    let keys: Vec<_> = (0..40).map(|n| format!("order {n:02}")).collect();
    let mut failures = 0;
    for key in &keys {
        let mut placed = Err(Code::Unknown);
        for _ in 0..100 {
            placed = orders.place(key, 350).await.map_err(|error| error.code());
            match placed {
                Ok(_) => break,
                Err(code) => assert_eq!(code, Code::Unavailable),
            }
            failures += 1;
        }
        assert!(placed.is_ok(), "{key}: {placed:?}");
    }
    assert!(failures > 20, "{failures}");
    assert_eq!(chain.charges(), keys);
    assert_eq!(chain.books[0].orders.lock().unwrap().len(), keys.len());
    assert!(chain.runs(0) > keys.len());
}

/// The caller learns that the same key may run again.
#[tokio::test]
async fn callers_learn_that_a_key_may_run_again() {
    let chain = Chain::start(1.0).await;
    let orders = chain.orders(1, 0.0);
    for runs in 1..=3 {
        let error = orders.place("a", 350).await.unwrap_err();
        assert!(error.is_safe_to_repeat() && !error.is_not_executed());
        assert!(error.as_error().is_safe_to_repeat());
        assert_eq!((error.code(), chain.runs(0)), (Code::Unavailable, runs));
    }
    assert_eq!(chain.charges(), ["a"]);
}

/// Without the statement, a handler runs once for its key: it may have effects of its own.
#[tokio::test]
async fn a_handler_that_says_nothing_runs_once() {
    let chain = Chain::start(1.0).await;
    let orders = chain.orders(1, 0.0);
    for _ in 0..3 {
        let error = orders.place_once("a", 350).await.unwrap_err();
        assert!(!error.is_safe_to_repeat(), "{error}");
        assert_eq!((error.code(), chain.runs(0)), (Code::Unavailable, 1));
    }
    // The statement of a dependency is about that dependency only.
    let outer = chain.orders(2, 0.0);
    for _ in 0..3 {
        let error = outer.forward("b", 350).await.unwrap_err();
        assert!(!error.is_safe_to_repeat(), "{error}");
        assert_eq!((error.code(), chain.runs(1)), (Code::Unavailable, 1));
    }
    assert_eq!(chain.charges(), ["a", "b"]);
}

/// A final answer of the dependency is a result, whatever the handler says of lost ones.
#[tokio::test]
async fn a_final_answer_is_kept() {
    let chain = Chain::start(0.0).await;
    let orders = chain.orders(1, 0.0);
    for _ in 0..3 {
        let error = orders.place("a", 0).await.unwrap_err();
        assert!(!error.is_safe_to_repeat(), "{error}");
        assert_eq!((error.code(), chain.runs(0)), (Code::Internal, 1));
    }
    assert_eq!(chain.charges(), ["declined a"]);
}

/// A dependency that cannot be reached has done nothing.
#[tokio::test]
async fn an_unreachable_dependency_leaves_the_key() {
    let chain = Chain::start(0.0).await;
    let Chain { running, books, .. } = chain;
    let [bank, orders, outer] = running;
    bank.stop().await;
    let client = OrdersClient::with_client(lossy(&orders, Faults::seeded(1)));
    for runs in 1..=2 {
        let error = client.place("a", 350).await.unwrap_err();
        assert_eq!(error.code(), Code::Unavailable, "{error}");
        assert_eq!(books[0].runs.load(Ordering::Relaxed), runs);
    }
    drop(outer);
}

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rpc_runtime::idempotency::{
    Claim, Fingerprint, IdempotencyKey, IdempotencyStore, MemoryStore, Outcome, StoreFuture,
};
use rpc_runtime::prelude::*;
use rpc_runtime::{Client, RetryPolicy};
use rpc_tests::Running;
use rpc_tests::wait::{until, within};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::shop::quick;
use super::vault::{BankClient, Vault, once};

/// A store in memory with a hook.
struct HookedStore<H> {
    memory: MemoryStore,
    hook: H,
}

/// Runs in each operation of a store: after a key is claimed, and before a claim ends.
trait Hook: Send + Sync + 'static {
    fn run(&self, operation: &'static str) -> impl Future<Output = Result<()>> + Send;
}

impl<H: Hook> HookedStore<H> {
    fn new(hook: H) -> Arc<Self> {
        let memory = MemoryStore::new();
        Arc::new(Self { memory, hook })
    }
}

impl<H: Hook> IdempotencyStore for HookedStore<H> {
    fn begin<'a>(
        &'a self,
        key: &'a IdempotencyKey,
        message: Fingerprint,
    ) -> StoreFuture<'a, Claim> {
        Box::pin(async move {
            let claim = self.memory.begin(key, message).await;
            self.hook.run("begin").await?;
            claim
        })
    }

    fn complete<'a>(
        &'a self,
        key: &'a IdempotencyKey,
        message: Fingerprint,
        outcome: &'a Outcome,
    ) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.hook.run("complete").await?;
            self.memory.complete(key, message, outcome).await
        })
    }

    fn abandon<'a>(&'a self, key: &'a IdempotencyKey) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.hook.run("abandon").await?;
            self.memory.abandon(key).await
        })
    }
}

/// Operations that wait for permits.
struct Slow {
    /// Whether operations wait.
    is_slow: AtomicBool,
    go: Semaphore,
    /// The operations that have begun.
    begun: Mutex<Vec<&'static str>>,
    /// Whether the ends of claims fail.
    fails: AtomicBool,
}

impl Slow {
    fn new() -> Self {
        Self {
            is_slow: AtomicBool::new(false),
            go: Semaphore::new(0),
            begun: Mutex::default(),
            fails: AtomicBool::new(false),
        }
    }

    fn has_begun(&self, operation: &str) -> bool {
        self.begun.lock().unwrap().contains(&operation)
    }
}

impl Hook for Slow {
    async fn run(&self, operation: &'static str) -> Result<()> {
        self.begun.lock().unwrap().push(operation);
        if self.is_slow.load(Ordering::SeqCst) {
            self.go.acquire().await.unwrap().forget();
        }
        if operation == "complete" && self.fails.load(Ordering::SeqCst) {
            return Err(Error::new(Code::Unavailable, "the store is away"));
        }
        Ok(())
    }
}

/// A caller leaves while the store is slow, and comes back with its key at the other replica.
#[tokio::test]
async fn a_caller_leaves_and_comes_back_elsewhere() {
    let (vault, store) = (Vault::default(), HookedStore::new(Slow::new()));
    let server = || vault.server().idempotency_store(Arc::clone(&store));
    let replicas = [
        Running::start(server()).await,
        Running::start(server()).await,
    ];
    let [first, second] = [0, 1].map(|n| once(&replicas[n].url()));
    store.hook.is_slow.store(true, Ordering::SeqCst);
    let leaving = tokio::spawn(first.pay("k"));
    until(async || store.hook.has_begun("begin")).await;
    leaving.abort();
    assert!(leaving.await.unwrap_err().is_cancelled());
    // At the other replica the key is in use, and nothing runs.
    store.hook.is_slow.store(false, Ordering::SeqCst);
    let error = second.pay("k").await.unwrap_err();
    assert!(!error.is_not_executed(), "{error}");
    assert_eq!((error.code(), vault.charges()), (Code::Unavailable, 0));
    // The claim arrives at a server that has noticed, or not yet, that its caller left.
    store.hook.go.add_permits(1);
    let client = Client::from_urls([replicas[0].url(), replicas[1].url()]).unwrap();
    let bank = BankClient::with_client(client.retry(quick()));
    until(async || bank.pay("k").await.is_ok()).await;
    for bank in [first, second, bank] {
        assert_eq!(bank.pay("k").await.unwrap(), 1);
    }
    assert_eq!(vault.charges(), 1);
}

/// A server restarts while the store does not yet have a result.
#[tokio::test]
async fn a_restart_before_the_store_has_the_result() {
    let (vault, store) = (Vault::default(), HookedStore::new(Slow::new()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = || vault.server().idempotency_store(Arc::clone(&store));
    let bank = once(&format!("http://{address}"));
    store.hook.fails.store(true, Ordering::SeqCst);
    let serving = tokio::spawn(server().serve(listener, std::future::pending()));
    for _ in 0..2 {
        assert_eq!(bank.pay("k").await.unwrap(), 1);
    }
    // The runtime of a killed process does not run its tasks; here they go on in the background.
    serving.abort();
    let _ = serving.await;
    let listener = TcpListener::bind(address).await.unwrap();
    let _serving = tokio::spawn(server().serve(listener, std::future::pending()));
    let error = bank.pay("k").await.unwrap_err();
    assert!(!error.is_not_executed(), "{error}");
    assert_eq!(error.code(), Code::Unavailable);
    // The store works again, and the old process has told it.
    store.hook.fails.store(false, Ordering::SeqCst);
    until(async || bank.pay("k").await.is_ok()).await;
    assert_eq!(vault.charges(), 1);
}

/// An operation that panics a few times.
struct Panicking {
    operation: &'static str,
    left: AtomicUsize,
}

impl Hook for Panicking {
    async fn run(&self, operation: &'static str) -> Result<()> {
        if operation == self.operation {
            let next = |left: usize| left.checked_sub(1);
            let left = self
                .left
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, next);
            assert!(left.is_err(), "the store has a bug");
        }
        Ok(())
    }
}

/// A store panics, once or twice in a row.
#[tokio::test]
async fn a_store_that_panics_runs_no_call_twice() {
    for (operation, times) in [("begin", 1), ("complete", 1), ("complete", 2)] {
        let vault = Vault::default();
        let store = HookedStore::new(Panicking {
            operation,
            left: times.into(),
        });
        let client = vault.server().idempotency_store(store).into_local_client();
        let bank = BankClient::with_client(client.unwrap().retry(RetryPolicy::off()));
        let error = within(bank.pay("k")).await.unwrap_err();
        assert!(!error.is_not_executed(), "{operation}: {error}");
        let _ = within(bank.pay("k")).await;
        let is_run = operation == "complete";
        assert_eq!(vault.charges(), usize::from(is_run), "{operation} {times}");
    }
}

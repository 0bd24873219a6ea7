//! Repeats of a purchase with its key: the number is computed once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use fibpro::api::compute_worker::{ComputeWorker, ComputeWorkerClient};
use fibpro::api::controller::ControllerClient;
use fibpro::api::pricing::PricingClient;
use fibpro::api::userstore::{PurchaseState, UserStoreClient};
use fibpro::service::controller::Seller;
use fibpro::service::pricing::Prices;
use futures_util::future::join_all;
use rpc_runtime::Limits;
use rpc_runtime::prelude::*;
use tokio::sync::Semaphore;

use crate::system::{Bank, System, text};

/// A compute worker that counts its calls, and computes when it gets a permit.
#[derive(Clone)]
struct Counting {
    calls: Arc<AtomicU32>,
    permits: Arc<Semaphore>,
    /// Number of calls that fail first.
    failures: u32,
}

impl Counting {
    fn new(permits: usize, failures: u32) -> Self {
        Self {
            calls: Arc::default(),
            permits: Arc::new(Semaphore::new(permits)),
            failures,
        }
    }

    fn calls(&self) -> u32 {
        self.calls.load(Ordering::SeqCst)
    }
}

impl ComputeWorker for Counting {
    async fn compute_fib(&self, n: u64) -> Result<String> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        self.permits.acquire().await.unwrap().forget();
        if call <= self.failures {
            fail!(Code::Internal, "out of order");
        }
        Ok(format!("F({n})"))
    }
}

fn controller(bank: &Bank, worker: &Counting) -> ControllerClient {
    let prices = Prices::new(UserStoreClient::local(bank.clone()));
    ControllerClient::local(Seller::new(
        PricingClient::local(prices),
        ComputeWorkerClient::local(worker.clone()),
    ))
}

#[tokio::test]
async fn a_paid_number_is_computed_once() {
    let (bank, worker) = (Bank::with_credit(4), Counting::new(100, 0));
    let system = System::with(bank, worker.clone(), Limits::default()).await;
    let key = [("idempotency-key", "order-1")];
    let sold = system.get_with("/10", &key).await;
    assert_eq!(text(&sold), (200, "F(10)".to_owned()));
    let repeats = join_all((0..40).map(|_| system.get_with("/10", &key))).await;
    for answer in repeats {
        assert_eq!(text(&answer), (200, "F(10)".to_owned()));
    }
    assert_eq!((worker.calls(), system.bank.credit()), (1, 2));
    // Another purchase is computed.
    system
        .get_with("/10", &[("idempotency-key", "order-2")])
        .await;
    assert_eq!((worker.calls(), system.bank.credit()), (2, 0));
}

#[tokio::test]
async fn repeats_wait_for_the_first_computation() {
    let (bank, worker) = (Bank::with_credit(4), Counting::new(1, 0));
    let controller = controller(&bank, &worker);
    let all = join_all((0..40).map(|_| controller.generate("username", 10, "k"))).await;
    for sold in all {
        assert_eq!(sold.unwrap().value, "F(10)");
    }
    assert_eq!((worker.calls(), bank.credit()), (1, 2));
    assert_eq!(bank.states(), [PurchaseState::Settled]);
}

#[tokio::test]
async fn a_key_with_another_number_gets_that_number() {
    let (bank, worker) = (Bank::with_credit(4), Counting::new(100, 0));
    let controller = controller(&bank, &worker);
    let first = controller.generate("username", 10, "k").await.unwrap();
    assert_eq!(first.value, "F(10)");
    // Whatever the payment, the value of one number is never sold as another one.
    if let Ok(other) = controller.generate("username", 11, "k").await {
        assert_eq!(other.value, "F(11)");
    }
    let again = controller.generate("username", 10, "k").await.unwrap();
    assert_eq!(again.value, "F(10)");
}

#[tokio::test]
async fn a_repeat_goes_on_when_the_first_call_leaves() {
    let (bank, worker) = (Bank::with_credit(4), Counting::new(0, 0));
    let controller = controller(&bank, &worker);
    let first = tokio::spawn({
        let controller = controller.clone();
        async move { controller.generate("username", 10, "k").await }
    });
    bank.until(|state| state.purchases.len() == 1).await;
    let second = tokio::spawn(async move { controller.generate("username", 10, "k").await });
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    worker.permits.add_permits(100);
    let sold = second.await.unwrap();
    // The first purchase was refunded, and the second one is paid.
    assert_eq!(sold.unwrap().value, "F(10)");
    assert_eq!(bank.credit(), 2);
    let paid = bank
        .states()
        .into_iter()
        .filter(|state| *state == PurchaseState::Settled);
    assert_eq!(paid.count(), 1);
}

#[tokio::test]
async fn concurrent_repeats_of_a_failure_pay_once() {
    let (bank, worker) = (Bank::with_credit(4), Counting::new(100, 2));
    let controller = controller(&bank, &worker);
    let all = join_all((0..10).map(|_| controller.generate("username", 10, "k"))).await;
    let (sold, failed): (Vec<_>, Vec<_>) = all.into_iter().partition(Result::is_ok);
    assert_eq!((sold.len(), failed.len()), (8, 2), "{failed:?}");
    assert_eq!((worker.calls(), bank.credit()), (3, 2));
}

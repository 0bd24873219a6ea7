//! The steps of a purchase: when it is paid, what is logged, and what failures leave behind.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use fibpro::api::compute_worker::{ComputeWorker, ComputeWorkerClient};
use fibpro::api::controller::{ControllerClient, ControllerError, Sold};
use fibpro::api::pricing::{PricingClient, PricingError};
use fibpro::api::userstore::{PurchaseState, UserStoreClient};
use fibpro::service::compute_worker::Worker;
use fibpro::service::controller::Seller;
use fibpro::service::pricing::Prices;
use futures_util::future::join_all;
use rpc_runtime::Limits;
use rpc_runtime::prelude::*;
use rpc_tests::raw::{Raw, request};
use rpc_tests::wait::StoppedClock;
use tokio::sync::Semaphore;

use crate::system::{Bank, Fault, LOGIN, Log, System, text};

/// Returns each line without its level and span names.
fn messages(lines: &[String]) -> Vec<&str> {
    let message = |line: &'_ String| line.find("fibpro::").or(line.find("it::")).unwrap_or(0);
    lines
        .iter()
        .map(|line| {
            line[message(line)..]
                .split_once(": ")
                .map_or("", |split| split.1)
        })
        .collect()
}

#[tokio::test]
async fn f02_f03_the_log_has_a_purchase_in_order() {
    let system = System::start(4).await;
    let log = Log::start();
    let response = system.get("/10").await;
    assert_eq!(response.status, 200);
    let id = response.header("x-request-id").unwrap();
    let lines = log.lines_with(&["requested fib", "incremented", "used", "denied fib"]);
    assert_eq!(
        messages(&lines),
        [
            "User \"username\" requested fib(10)",
            "Credit for username incremented -2 yielding 2",
            "username used 2 credit, balance: 2",
        ],
        "{lines:?}"
    );
    for line in &lines {
        assert!(line.contains(&format!("request_id=\"{id}\"")), "{line}");
    }
    for _ in 0..2 {
        system.get("/3").await;
    }
    let log = Log::start();
    assert_eq!(system.get("/3").await.status, 403);
    let lines = log.lines_with(&["requested fib", "incremented", "used", "denied fib"]);
    assert_eq!(
        messages(&lines),
        [
            "User \"username\" requested fib(3)",
            "User \"username\" denied fib(3), credit: 0",
        ],
        "{lines:?}"
    );
}

#[tokio::test]
async fn a_name_cannot_forge_a_log_line() {
    let name = "ada\" denied\nINFO forged\u{1b}[31m\u{202e}";
    let bank = Bank::with_credit(0);
    bank.add_user(name, 1);
    let controller = in_process(&bank, Worker::new());
    let log = Log::start();
    controller.generate(name, 1, "a").await.unwrap();
    controller.generate(name, 1, "b").await.unwrap_err();
    let shown = r#"ada\" denied\nINFO forged\u{1b}[31m\u{202e}"#;
    let text = log.text();
    assert!(
        text.contains(&format!("{shown} used 1 credit, balance: 0")),
        "{text}"
    );
    assert!(
        text.contains(&format!("User \"{shown}\" denied fib(1), credit: 0")),
        "{text}"
    );
}

#[tokio::test]
async fn e02_the_gatekeeper_logs_the_hops_of_a_denial() {
    let system = System::start(0).await;
    let log = Log::start();
    let response = system.get("/1").await;
    assert_eq!(
        text(&response),
        (
            403,
            "Error: fib(1) costs 1, user username has insufficient credit(0)".to_owned()
        )
    );
    let lines = log.lines_with(&["rpc.method=\"http GET\""]);
    let [line] = lines.as_slice() else {
        panic!("{}", log.text())
    };
    let mut rest = line.as_str();
    for words in [
        response.header("x-request-id").unwrap(),
        "failed_precondition: fib(1) costs 1, user username has insufficient credit(0)",
        "at   Controller.Generate",
        "fibpro/src/service/controller.rs:",
        "controller@prod 127.0.0.1:",
        "at   Pricing.Pay",
        "fibpro/src/service/pricing.rs:",
        "pricing@prod 127.0.0.1:",
        "from UserStore.Reserve",
        "reason INSUFFICIENT_CREDIT",
        "userstore@prod 127.0.0.1:",
    ] {
        let at = rest
            .find(words)
            .unwrap_or_else(|| panic!("{words}: {line}"));
        rest = &rest[at..];
    }
}

#[tokio::test]
async fn f05_credit_buys_what_it_covers() {
    let system = System::start(10).await;
    let answers = join_all((0..500).map(|_| system.get("/1"))).await;
    let count = |status| {
        answers
            .iter()
            .filter(|response| response.status == status)
            .count()
    };
    assert_eq!((count(200), count(403)), (10, 490));
    assert_eq!(system.bank.credit(), 0);
    assert_eq!(system.bank.states(), [PurchaseState::Settled; 10]);
}

#[tokio::test]
async fn f09_c11_a_dead_compute_worker_costs_nothing() {
    let mut system = System::start(4).await;
    system.stop_worker().await;
    let response = system.get("/1").await;
    let (status, text) = text(&response);
    assert_eq!(
        (status, text.as_str()),
        (503, "Error: fib(1) is currently unavailable; retry later")
    );
    assert!(response.header("retry-after").is_some());
    assert!(
        !text.contains(&system.internal[2].port().to_string()),
        "{text}"
    );
    assert_eq!(
        (system.bank.credit(), system.bank.states()),
        (4, vec![PurchaseState::Refunded])
    );
}

#[tokio::test]
async fn one_key_makes_one_purchase_of_many_requests() {
    let system = System::start(4).await;
    let key = |key| [("idempotency-key", key)];
    for _ in 0..3 {
        let response = system.get_with("/10", &key("order-1")).await;
        assert_eq!(text(&response), (200, "55".to_owned()));
    }
    let same =
        join_all((0..20).map(|_| system.get_with("/11", &[("idempotency-key", "order-2")]))).await;
    assert!(same.iter().all(|response| response.status == 200));
    assert_eq!((system.bank.credit(), system.bank.states().len()), (0, 2));
    // A key paid for one number does not pay for another number of the same price, nor for another
    // user.
    assert_eq!(system.get_with("/12", &key("order-1")).await.status, 403);
    system.bank.add_user("other", 0);
    let other = ("authorization", "Basic b3RoZXI6cGFzc3dvcmQ=");
    let response = system
        .ask("GET", "/10", &[other, ("idempotency-key", "order-1")])
        .await;
    assert_eq!(response.status, 403);
    // A repetition returns the balance of that time.
    let json = ("accept", "application/json");
    let response = system
        .get_with("/10", &[("idempotency-key", "order-1"), json])
        .await;
    assert_eq!(response.json()["price"], 2);
    let longest = "k".repeat(256);
    for bad in ["", "a b", &longest] {
        let response = system.get_with("/10", &[("idempotency-key", bad)]).await;
        assert_eq!(response.status, 400, "{bad}");
    }
}

#[tokio::test]
async fn a_failed_purchase_can_be_retried_with_its_key() {
    let bank = Bank::with_credit(1);
    let broken = in_process(&bank, Broken(Code::Unavailable));
    let error = broken.generate("username", 7, "k").await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert_eq!(
        (bank.credit(), bank.states()),
        (1, vec![PurchaseState::Refunded])
    );
    let healed = in_process(&bank, Worker::new());
    for replayed in [false, true] {
        let sold = healed.generate("username", 7, "k").await.unwrap();
        assert_eq!(
            sold,
            Sold {
                value: "13".to_owned(),
                price: 1,
                credit: 0,
                replayed,
            }
        );
    }
    assert_eq!(
        bank.states(),
        [PurchaseState::Refunded, PurchaseState::Settled]
    );
    // Bounded, since each failed purchase leaves a row.
    let bank = Bank::with_credit(1);
    let broken = in_process(&bank, Broken(Code::Internal));
    for _ in 0..8 {
        let error = broken.generate("username", 7, "k").await.unwrap_err();
        assert_eq!(error.code(), Code::Internal);
    }
    let error = broken.generate("username", 7, "k").await.unwrap_err();
    assert!(
        matches!(&*error, ControllerError::KeyUsedUp { purchases: 8, .. }),
        "{error:?}"
    );
    assert_eq!(
        (bank.credit(), bank.states()),
        (1, vec![PurchaseState::Refunded; 8])
    );
}

#[tokio::test]
async fn a_reservation_that_expires_early_costs_nothing() {
    let bank = Bank::with_credit(4);
    let controller = in_process(&bank, Worker::new());
    bank.set_fault(Fault::Expires);
    let call = controller.generate("username", 10, "k").no_retry();
    let error = call.await.unwrap_err();
    assert!(
        matches!(&*error, ControllerError::Ended { .. }),
        "{error:?}"
    );
    assert_eq!(
        (bank.credit(), bank.states()),
        (4, vec![PurchaseState::Expired])
    );
}

#[tokio::test]
async fn an_invalid_worker_result_is_not_charged() {
    for (code, ours) in [
        (Code::Internal, Code::Internal),
        (Code::DeadlineExceeded, Code::DeadlineExceeded),
        (Code::ResourceExhausted, Code::ResourceExhausted),
        (Code::InvalidArgument, Code::InvalidArgument),
        (Code::NotFound, Code::Internal),
    ] {
        let bank = Bank::with_credit(4);
        let error = in_process(&bank, Broken(code))
            .generate("username", 10, "k")
            .await
            .unwrap_err();
        assert_eq!(error.code(), ours);
        assert_eq!(
            (bank.credit(), bank.states()),
            (4, vec![PurchaseState::Refunded])
        );
        // The origin of the error is kept.
        assert_eq!(
            error.hops().last().unwrap().method,
            "fibpro.v1.ComputeWorker/ComputeFib"
        );
    }
}

#[tokio::test]
async fn a_worker_limit_is_reported_as_a_bad_number() {
    let bank = Bank::with_credit(4);
    let worker = Worker::new().largest_n(10);
    let system = System::with(bank, worker, Limits::default()).await;
    let expected = "Error: fib(11) exceeds the compute worker's limit: n is at most 10";
    assert_eq!(text(&system.get("/11").await), (400, expected.to_owned()));
    assert_eq!(system.bank.credit(), 4);
}

#[tokio::test]
async fn a_caller_that_disconnects_early_pays_nothing() {
    let (bank, hanging) = (Bank::with_credit(4), Hanging::new());
    let system = System::with(bank, hanging.clone(), Limits::default()).await;
    let mut raw = Raw::connect(system.gatekeeper.address()).await;
    raw.send(request("GET", "/10", &[LOGIN], b""))
        .await
        .unwrap();
    hanging.wait(1, 0).await;
    assert_eq!(system.bank.credit(), 2);
    drop(raw);
    // The worker is stopped, and the credit is refunded.
    hanging.wait(1, 1).await;
    system
        .bank
        .until(|books| {
            books
                .purchases
                .values()
                .all(|purchase| purchase.state == PurchaseState::Refunded)
        })
        .await;
    assert_eq!(system.bank.credit(), 4);
}

#[tokio::test]
async fn f10_work_stops_at_the_deadline_and_is_refunded() {
    let (bank, hanging) = (Bank::with_credit(4), Hanging::new());
    let mut limits = Limits::default();
    limits.default_deadline = Duration::from_secs(600);
    let system = System::with(bank, hanging.clone(), limits).await;
    let response = {
        let mut response = pin!(system.get("/10"));
        tokio::select! {
            response = &mut response => panic!("not computed yet: {response:?}"),
            () = hanging.wait(1, 0) => {}
        }
        // Time passes until the refund, and then stands still.
        let _clock = StoppedClock::start().await;
        let passing = async {
            while system.bank.states() == [PurchaseState::Reserved] {
                tokio::time::advance(Duration::from_millis(250)).await;
                for _ in 0..50 {
                    tokio::task::yield_now().await;
                }
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            response = &mut response => response,
            () = passing => unreachable!(),
        }
    };
    assert_eq!(
        text(&response),
        (504, "Error: fib(10) did not finish in time".to_owned())
    );
    hanging.wait(1, 1).await;
    // Refunded before the response, and not by expiry.
    assert_eq!(
        (system.bank.credit(), system.bank.states()),
        (4, vec![PurchaseState::Refunded])
    );
}

#[tokio::test]
async fn the_services_run_without_a_socket() {
    let bank = Bank::with_credit(1);
    let controller = in_process(&bank, Worker::new());
    let sold = controller.generate("username", 9, "k").await.unwrap();
    assert_eq!(
        sold,
        Sold {
            value: "34".to_owned(),
            price: 1,
            credit: 0,
            replayed: false,
        }
    );
    let error = controller.generate("username", 9, "l").await.unwrap_err();
    match &*error {
        ControllerError::Pricing(PricingError::InsufficientCredit {
            n: 9,
            price: 1,
            username,
            credit: 0,
        }) => {
            assert_eq!(username, "username");
        }
        other => panic!("{other:?}"),
    }
}

/// Controller, pricing and the worker in process.
pub(crate) fn in_process(bank: &Bank, worker: impl ComputeWorker) -> ControllerClient {
    let prices = Prices::new(UserStoreClient::local(bank.clone()));
    ControllerClient::local(Seller::new(
        PricingClient::local(prices),
        ComputeWorkerClient::local(worker),
    ))
}

/// A compute worker that always fails.
pub(crate) struct Broken(pub(crate) Code);

impl ComputeWorker for Broken {
    async fn compute_fib(&self, _n: u64) -> Result<String> {
        fail!(self.0, "canary: out of order")
    }
}

/// A compute worker that never responds, and counts its callers.
#[derive(Clone)]
pub(crate) struct Hanging(Arc<(Semaphore, Semaphore)>);

impl Hanging {
    pub(crate) fn new() -> Self {
        Self(Arc::new((Semaphore::new(0), Semaphore::new(0))))
    }

    pub(crate) async fn wait(&self, came: u32, left: u32) {
        let waiting = async {
            // Probed without taking them: the permits are returned.
            let _came = self.0.0.acquire_many(came).await.unwrap();
            let _left = self.0.1.acquire_many(left).await.unwrap();
        };
        tokio::time::timeout(Duration::from_secs(20), waiting)
            .await
            .expect("the counts of callers did not change");
    }
}

impl ComputeWorker for Hanging {
    async fn compute_fib(&self, _n: u64) -> Result<String> {
        struct Leaves<'h>(&'h Semaphore);
        impl Drop for Leaves<'_> {
            fn drop(&mut self) {
                self.0.add_permits(1);
            }
        }
        self.0.0.add_permits(1);
        let _leaves = Leaves(&self.0.1);
        std::future::pending().await
    }
}

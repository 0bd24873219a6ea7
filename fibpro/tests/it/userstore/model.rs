//! Any sequence of operations has the results of a model of a few lines.

use std::collections::HashMap;
use std::time::Duration;

use fibpro::api::userstore::{PurchaseState, UserStoreClient, UserStoreError};
use fibpro::service::userstore::RESERVATION_LIFETIME;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rpc_runtime::Remote;

use super::fixture::{Engine, Fixture};

#[derive(Debug, Clone)]
enum Step {
    Reserve {
        user: usize,
        amount: u64,
        key: usize,
    },
    Settle(usize),
    Refund(usize),
    SetCredit {
        user: usize,
        credit: u64,
    },
    Wait(u64),
    ReturnOverdue,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..2_usize, 1..5_u64, 0..12_usize).prop_map(|(user, amount, key)| Step::Reserve { user, amount, key }),
        4 => (0..12_usize).prop_map(Step::Settle),
        3 => (0..12_usize).prop_map(Step::Refund),
        1 => (0..2_usize, 0..12_u64).prop_map(|(user, credit)| Step::SetCredit { user, credit }),
        2 => (1..31_u64).prop_map(Step::Wait),
        1 => Just(Step::ReturnOverdue),
    ]
}

const USERS: [&str; 2] = ["ada", "grace"];

struct Bought {
    user: usize,
    amount: u64,
    state: PurchaseState,
    until: u64,
}

/// The expected state of the store. Expires every reservation as soon as it is overdue.
#[derive(Default)]
struct Model {
    credit: [u64; 2],
    bought: HashMap<usize, Bought>,
    now: u64,
}

impl Model {
    fn reserve(&mut self, user: usize, amount: u64, key: usize) -> &'static str {
        if let Some(bought) = self.bought.get(&key) {
            return match bought.state {
                _ if (bought.user, bought.amount) != (user, amount) => "differs",
                PurchaseState::Reserved | PurchaseState::Settled => "ok",
                PurchaseState::Refunded | PurchaseState::Expired => "ended",
            };
        }
        if self.credit[user] < amount {
            return "insufficient";
        }
        self.credit[user] -= amount;
        let until = self.now + RESERVATION_LIFETIME.as_secs();
        self.bought.insert(
            key,
            Bought {
                user,
                amount,
                state: PurchaseState::Reserved,
                until,
            },
        );
        "ok"
    }

    fn end(&mut self, key: usize, wanted: PurchaseState) -> &'static str {
        let Some(bought) = self.bought.get_mut(&key) else {
            return "none";
        };
        match (bought.state, wanted) {
            (PurchaseState::Reserved, _) => {
                bought.state = wanted;
                if wanted == PurchaseState::Refunded {
                    self.credit[bought.user] += bought.amount;
                }
                "ok"
            }
            (PurchaseState::Settled, PurchaseState::Settled)
            | (PurchaseState::Refunded | PurchaseState::Expired, PurchaseState::Refunded) => "ok",
            _ => "ended",
        }
    }

    fn wait(&mut self, seconds: u64) {
        self.now += seconds;
        for bought in self.bought.values_mut() {
            if bought.state == PurchaseState::Reserved && bought.until <= self.now {
                bought.state = PurchaseState::Expired;
                self.credit[bought.user] += bought.amount;
            }
        }
    }
}

fn word<T>(outcome: &Result<T, Remote<UserStoreError>>) -> &'static str {
    match outcome.as_ref().map_err(|error| &**error) {
        Ok(_) => "ok",
        Err(UserStoreError::InsufficientCredit { .. }) => "insufficient",
        Err(UserStoreError::NoSuchPurchase { .. }) => "none",
        Err(UserStoreError::PurchaseEnded { .. }) => "ended",
        Err(UserStoreError::PurchaseDiffers { .. }) => "differs",
        Err(error) => panic!("{error}"),
    }
}

async fn credits(store: &UserStoreClient) -> [u64; 2] {
    let [a, b] = USERS.map(|user| store.get_user(user));
    [
        a.await.unwrap().unwrap().credit,
        b.await.unwrap().unwrap().credit,
    ]
}

async fn follow(fixture: &Fixture, steps: &[Step]) {
    let (users, store) = fixture
        .open_list(
            r#"[{"username": "ada", "password": "p", "credit": 9},
                {"username": "grace", "password": "p", "credit": 3}]"#,
        )
        .await;
    let mut model = Model {
        credit: [9, 3],
        ..Model::default()
    };
    for (at, step) in steps.iter().enumerate() {
        let (is, should) = match step {
            Step::Reserve { user, amount, key } => (
                word(
                    &store
                        .reserve(USERS[*user], *amount, &format!("k{key}"))
                        .await,
                ),
                model.reserve(*user, *amount, *key),
            ),
            Step::Settle(key) => (
                word(&store.settle(&format!("k{key}")).await),
                model.end(*key, PurchaseState::Settled),
            ),
            Step::Refund(key) => (
                word(&store.refund(&format!("k{key}")).await),
                model.end(*key, PurchaseState::Refunded),
            ),
            Step::SetCredit { user, credit } => {
                model.credit[*user] = *credit;
                (word(&store.set_credit(USERS[*user], *credit).await), "ok")
            }
            Step::Wait(seconds) => {
                fixture.advance(Duration::from_secs(*seconds));
                model.wait(*seconds);
                ("ok", "ok")
            }
            Step::ReturnOverdue => {
                users.return_overdue().await.unwrap();
                ("ok", "ok")
            }
        };
        assert_eq!(is, should, "step {at} of {steps:?}");
        assert_eq!(
            credits(&store).await,
            model.credit,
            "after step {at} of {steps:?}"
        );
    }
    fixture.audit().await;
}

fn explore(engine: Engine, cases: u32) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    // Each failure prints its steps, so no regression file is written.
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 200,
        ..Config::default()
    };
    let steps = prop::collection::vec(step(), 1..60);
    let mut runner = TestRunner::new(config);
    let outcome = runner.run(&steps, |steps| {
        runtime.block_on(async {
            if let Some(fixture) = Fixture::new(engine).await {
                follow(&fixture, &steps).await;
            }
        });
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn any_operations_match_the_model_on_sqlite() {
    explore(Engine::Sqlite, 32);
}

#[test]
fn any_operations_match_the_model_on_postgres() {
    explore(Engine::Postgres, 12);
}

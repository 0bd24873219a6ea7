//! Deposits, withdrawals and conditional changes of credit, each once for its key.

use fibpro::api::userstore::{
    CREDIT_LIMIT, CreditChange, LedgerEntry, UserStoreClient, UserStoreError, UserStoreServer,
};
use rpc_runtime::{Code, Context, RequestId, Server};
use rpc_tests::wait::until;
use tokio::task::JoinSet;

use super::fixture::{Engine, Fixture, audit, execute, list_of, on_both};
use super::postgres::Cluster;
use super::waiting::MissingStandby;

/// Changes, reasons, keys and actors of a ledger, oldest first.
fn entries(ledger: &[LedgerEntry]) -> Vec<(i64, &str, Option<&str>, Option<&str>)> {
    ledger
        .iter()
        .rev()
        .map(|entry| {
            (
                entry.change,
                entry.reason.as_str(),
                entry.key.as_deref(),
                entry.actor.as_deref(),
            )
        })
        .collect()
}

async fn credit(store: &UserStoreClient) -> u64 {
    store.get_user("username").await.unwrap().unwrap().credit
}

fn change(key: &str, change: i64, credit: u64) -> CreditChange {
    CreditChange {
        key: key.to_owned(),
        username: "username".to_owned(),
        change,
        credit,
    }
}

on_both! {
    /// An absolute credit that is set again would undo the purchase in between.
    async fn a_repeated_deposit_keeps_purchases_in_between(fixture) {
        let (_users, store) = fixture.open(70).await;
        let deposit = || store.deposit("username", 30, 0, "bonus");
        assert_eq!(deposit().await.unwrap(), change("bonus", 30, 100));
        store.reserve("username", 30, "k").await.unwrap();
        store.settle("k").await.unwrap();
        // The first result.
        assert_eq!(deposit().await.unwrap(), change("bonus", 30, 100));
        assert_eq!(credit(&store).await, 70);
        let set = || store.compare_and_set_credit("username", 70, 100, "top-up");
        assert_eq!(set().await.unwrap(), change("top-up", 30, 100));
        store.reserve("username", 30, "l").await.unwrap();
        // The credit is the expected one again, and the key is used.
        assert_eq!(set().await.unwrap(), change("top-up", 30, 100));
        assert_eq!(credit(&store).await, 70);
        let ledger = store.ledger("username", 10).await.unwrap();
        assert_eq!(
            entries(&ledger),
            [
                (70, "opening", None, None),
                (30, "deposit", Some("bonus"), Some("-")),
                (-30, "reserve", Some("k"), None),
                (30, "set", Some("top-up"), Some("-")),
                (-30, "reserve", Some("l"), None),
            ]
        );
    }

    async fn a_withdrawal_leaves_its_floor(fixture) {
        let (_users, store) = fixture.open(10).await;
        let error = store.deposit("username", -6, 5, "a").await.unwrap_err();
        let UserStoreError::InsufficientCredit { credit: 10, amount: 11, .. } = &*error else {
            panic!("{error:?}");
        };
        // Nothing happened, so the key can be used.
        assert_eq!(
            store.deposit("username", -5, 5, "a").await.unwrap(),
            change("a", -5, 5)
        );
        store.deposit("username", -6, 0, "b").await.unwrap_err();
        assert_eq!(
            store.deposit("username", -5, 0, "b").await.unwrap(),
            change("b", -5, 0)
        );
        let ledger = store.ledger("username", 2).await.unwrap();
        assert!(ledger.iter().all(|entry| entry.reason == "withdraw"));
    }

    async fn a_condition_sees_the_present_credit(fixture) {
        let (_users, store) = fixture.open(100).await;
        store.reserve("username", 30, "k").await.unwrap();
        let stale = store.compare_and_set_credit("username", 100, 200, "a");
        let error = stale.await.unwrap_err();
        assert_eq!(error.code(), Code::Aborted);
        let UserStoreError::CreditDiffers { credit: 70, expected: 100, .. } = &*error else {
            panic!("{error:?}");
        };
        let set = store.compare_and_set_credit("username", 70, 200, "a");
        assert_eq!(set.await.unwrap(), change("a", 130, 200));
        // An expired reservation belongs to the present credit.
        fixture.advance(std::time::Duration::from_secs(31));
        let set = store.compare_and_set_credit("username", 230, 230, "b");
        assert_eq!(set.await.unwrap(), change("b", 0, 230));
    }

    async fn a_key_is_for_one_change(fixture) {
        let list = r#"[{"username": "username", "password": "p", "credit": 10},
            {"username": "other", "password": "p", "credit": 10}]"#;
        let (_users, store) = fixture.open_list(list).await;
        store.deposit("username", 2, 0, "a").await.unwrap();
        store.deposit("username", -2, 0, "b").await.unwrap();
        store.compare_and_set_credit("username", 10, 12, "c").await.unwrap();
        for (username, by, key) in [
            ("username", 3, "a"),
            ("other", 2, "a"),
            ("username", 2, "b"),
            // The same difference, and another kind of change.
            ("username", 2, "c"),
        ] {
            let error = store.deposit(username, by, 0, key).await.unwrap_err();
            let differs = matches!(&*error, UserStoreError::KeyDiffers { .. });
            assert!(differs, "{username} {by} {key}: {error}");
        }
        for (expected, new, key) in [(10, 12, "a"), (11, 13, "c"), (12, 14, "c")] {
            let set = store.compare_and_set_credit("username", expected, new, key);
            assert_eq!(set.await.unwrap_err().code(), Code::Aborted, "{key}");
        }
        // A purchase has keys of its own.
        store.reserve("username", 2, "a").await.unwrap();
        assert_eq!(credit(&store).await, 10);
    }

    async fn concurrent_repeats_deposit_once(fixture) {
        let (_users, store) = fixture.open(0).await;
        let (_other, other) = fixture.open(0).await;
        let mut calls = JoinSet::new();
        for n in 0..60_u64 {
            let store = if n % 2 == 0 { store.clone() } else { other.clone() };
            calls.spawn(async move {
                let key = format!("k{}", n % 3);
                store.deposit("username", 5, 0, &key).await.unwrap()
            });
        }
        let mut results = calls.join_all().await;
        results.sort_by(|a, b| a.key.cmp(&b.key));
        results.dedup();
        let mut credits: Vec<_> = results.iter().map(|result| result.credit).collect();
        credits.sort_unstable();
        assert_eq!(credits, [5, 10, 15]);
        assert_eq!(credit(&store).await, 15);
    }

    async fn invalid_changes_change_nothing(fixture) {
        let (_users, store) = fixture.open(10).await;
        let limit = i64::try_from(CREDIT_LIMIT).unwrap();
        for (username, by, floor, key, argument) in [
            ("username", 0, 0, "a", "change"),
            ("username", i64::MIN, 0, "a", "change"),
            ("username", limit + 1, 0, "a", "change"),
            ("username", -1, CREDIT_LIMIT + 1, "a", "floor"),
            ("username", 1, 0, "", "key"),
            ("", 1, 0, "a", "username"),
        ] {
            let error = store.deposit(username, by, floor, key).await.unwrap_err();
            let UserStoreError::Invalid { argument: named, .. } = &*error else {
                panic!("{error:?}");
            };
            assert_eq!(named, argument);
        }
        let set = store.compare_and_set_credit("username", u64::MAX, 0, "a");
        assert_eq!(set.await.unwrap_err().code(), Code::InvalidArgument);
        let set = store.compare_and_set_credit("username", 10, u64::MAX, "a");
        assert_eq!(set.await.unwrap_err().code(), Code::InvalidArgument);
        let error = store.deposit("username", limit, 0, "a").await.unwrap_err();
        let is_limit = matches!(&*error, UserStoreError::CreditLimitExceeded { credit: 10, .. });
        assert!(is_limit, "{error}");
        let error = store.deposit("unknown", 1, 0, "a").await.unwrap_err();
        assert!(matches!(&*error, UserStoreError::NoSuchUser { .. }), "{error}");
        store.deposit("username", limit - 10, 0, "a").await.unwrap();
        assert_eq!(credit(&store).await, CREDIT_LIMIT);
    }
}

#[tokio::test]
async fn an_absolute_credit_is_not_set_again_by_itself() {
    let fixture = Fixture::new(Engine::Sqlite).await.unwrap();
    let (users, _) = fixture.open(10).await;
    let server = Server::new("userstore")
        .allow_faults()
        .add(UserStoreServer::new(users));
    let store = UserStoreClient::with_client(server.into_local_client().unwrap());
    // Each response is lost.
    let context = Context::for_request(RequestId::random());
    let lost = context.with_faults("userstore.*=lose".parse().unwrap());
    let set = async { store.set_credit("username", 100).await };
    let error = lost.clone().scope(set).await.unwrap_err();
    assert!(
        !error.is_not_executed() && !error.message().contains("attempts"),
        "{error}"
    );
    let deposit = async { store.deposit("username", 5, 0, "a").await };
    let error = lost.scope(deposit).await.unwrap_err();
    assert!(error.message().contains("attempts"), "{error}");
    assert_eq!(credit(&store).await, 105);
    let ledger = store.ledger("username", 10).await.unwrap();
    assert_eq!(ledger.len(), 3, "{ledger:?}");
    fixture.audit().await;
}

/// The server has committed it, though its session ends without a response.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_commit_of_set_credit_is_not_repeated() {
    let Some(cluster) = Cluster::start("absolute") else {
        return;
    };
    let fixture = Fixture::new(Engine::Sqlite).await.unwrap();
    let database = cluster.database("postgres");
    let (users, store) = fixture.open_on(&database, &list_of(2)).await;
    let standby = MissingStandby::of(&database).await;
    let set = tokio::spawn(store.set_credit("u0", 100).no_retry());
    let change = tokio::spawn(store.deposit("u1", 5, 0, "k").no_retry());
    until(async || standby.waiting(&database).await == 2).await;
    let terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE wait_event = 'SyncRep' AND query NOT LIKE 'CREATE%'";
    execute(&database, terminate).await;
    standby.end(&database).await;
    let error = set.await.unwrap().unwrap_err();
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    assert!(!error.is_not_executed(), "{error}");
    let user = store.get_user("u0").await.unwrap().unwrap();
    assert_eq!(user.credit, 100);
    // A change with a key is repeated, and made once.
    change.await.unwrap().unwrap();
    let user = store.get_user("u1").await.unwrap().unwrap();
    assert_eq!(user.credit, 1005);
    users.close().await.unwrap();
    audit(&database).await;
}

#[tokio::test]
async fn the_ledger_names_the_caller() {
    let fixture = Fixture::new(Engine::Sqlite).await.unwrap();
    let (users, _) = fixture.open(10).await;
    let server = Server::new("userstore").add(UserStoreServer::new(users));
    let store = rpc_tests::Running::start(server).await;
    let client = UserStoreClient::connect(&store.url()).unwrap();
    let operator = Server::new("operator").context().unwrap();
    operator
        .scope(async { client.set_credit("username", 5).await })
        .await
        .unwrap();
    client.deposit("username", 1, 0, "a").await.unwrap();
    let ledger = client.ledger("username", 2).await.unwrap();
    let actors: Vec<_> = ledger.iter().map(|entry| entry.actor.as_deref()).collect();
    assert_eq!(actors[0], Some("-"));
    assert!(
        actors[1].unwrap().starts_with("operator@prod/"),
        "{actors:?}"
    );
    fixture.audit().await;
}

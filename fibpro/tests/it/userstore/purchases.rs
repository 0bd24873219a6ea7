//! Credit under concurrent, repeated, abandoned and restarted purchases.

use fibpro::api::userstore::{
    CREDIT_LIMIT, LedgerEntry, PurchaseState, Reservation, UserStoreClient, UserStoreError,
};
use fibpro::service::userstore::RESERVATION_LIFETIME;
use rpc_runtime::{Code, Remote};
use tokio::task::JoinSet;

use super::fixture::{Engine, Fixture, on_both};

type Outcome = Result<Reservation, Remote<UserStoreError>>;

/// Reserves and settles one credit for each key, all concurrently.
async fn buy_at_once(
    stores: &[&UserStoreClient],
    keys: impl Iterator<Item = String>,
) -> Vec<Outcome> {
    let mut buying = JoinSet::new();
    for (n, key) in keys.enumerate() {
        let store = stores[n % stores.len()].clone();
        buying.spawn(async move {
            store.reserve("username", 1, &key).await?;
            store.settle(&key).await
        });
    }
    buying.join_all().await
}

fn credits(bought: &[Outcome]) -> Vec<u64> {
    let mut left: Vec<u64> = bought
        .iter()
        .flatten()
        .map(|bought| bought.credit)
        .collect();
    left.sort_unstable();
    left
}

async fn credit(store: &UserStoreClient) -> u64 {
    store.get_user("username").await.unwrap().unwrap().credit
}

fn changes(entries: &[LedgerEntry]) -> Vec<(i64, u64, &str)> {
    entries
        .iter()
        .map(|entry| (entry.change, entry.credit, entry.reason.as_str()))
        .collect()
}

on_both! {
    /// The original sold twelve of ten credits and left a balance of -2.
    async fn f05_ten_credits_and_500_buyers_give_ten_sales(fixture) {
        let (_users, store) = fixture.open(10).await;
        let bought = buy_at_once(&[&store], (0..500).map(|n| format!("k{n}"))).await;
        assert_eq!(credits(&bought), Vec::from_iter(0..10));
        for error in bought.iter().filter_map(|bought| bought.as_ref().err()) {
            assert!(
                matches!(&**error, UserStoreError::InsufficientCredit { credit: 0, amount: 1, .. }),
                "{error}"
            );
            assert_eq!(error.message(), "user username has insufficient credit(0)");
        }
        assert_eq!(credit(&store).await, 0);
    }

    /// Two processes, each with its own store on the same database.
    async fn f08_two_stores_on_a_database_sell_no_credit_twice(fixture) {
        let (_one, one) = fixture.open(10).await;
        let (_two, two) = fixture.open(10).await;
        let bought = buy_at_once(&[&one, &two], (0..100).map(|n| format!("k{n}"))).await;
        assert_eq!(credits(&bought), Vec::from_iter(0..10));
        assert_eq!((credit(&one).await, credit(&two).await), (0, 0));
        // A purchase that one store has begun can be settled by the other one.
        one.set_credit("username", 5).await.unwrap();
        one.reserve("username", 2, "shared").await.unwrap();
        assert_eq!(two.settle("shared").await.unwrap().state, PurchaseState::Settled);
        assert_eq!(one.settle("shared").await.unwrap().credit, 3);
    }

    async fn the_last_credit_is_sold_once(fixture) {
        let (_users, store) = fixture.open(0).await;
        for buyers in [2, 16, 64] {
            store.set_credit("username", 1).await.unwrap();
            let bought = buy_at_once(&[&store], (0..buyers).map(|n| format!("k{buyers}/{n}"))).await;
            assert_eq!(credits(&bought), [0]);
            assert_eq!(credit(&store).await, 0);
        }
    }

    async fn a_key_is_one_purchase_however_often_repeated(fixture) {
        let (_users, store) = fixture.open(10).await;
        let first = store.reserve("username", 3, "k").await.unwrap();
        assert_eq!(
            (first.amount, first.credit, first.state, first.username.as_str(), first.key.as_str()),
            (3, 7, PurchaseState::Reserved, "username", "k")
        );
        // A different purchase in between, so that the balance of the first result differs from the
        // current one.
        store.reserve("username", 1, "other").await.unwrap();
        assert_eq!(store.reserve("username", 3, "k").await.unwrap(), first);

        let settled = store.settle("k").await.unwrap();
        assert_eq!((settled.credit, settled.state), (7, PurchaseState::Settled));
        assert_eq!(store.settle("k").await.unwrap(), settled);
        assert_eq!(store.reserve("username", 3, "k").await.unwrap(), settled);
        assert_eq!(credit(&store).await, 6);
    }

    async fn concurrent_uses_of_a_key_are_one_purchase(fixture) {
        let (_one, one) = fixture.open(100).await;
        let (_two, two) = fixture.open(100).await;
        for round in 0..5 {
            let bought = buy_at_once(&[&one, &two], (0..32).map(|_| format!("k{round}"))).await;
            let first = bought[0].as_ref().unwrap();
            assert!(bought.iter().all(|bought| bought.as_ref().unwrap() == first), "{bought:?}");
            assert_eq!(first.credit, 99 - round);
        }
        assert_eq!(credit(&one).await, 95);
    }

    async fn a_key_with_another_user_or_amount_is_rejected(fixture) {
        let (_users, store) = fixture.open_list(
            r#"[{"username": "username", "password": "p", "credit": 10},
                {"username": "other", "password": "p", "credit": 10}]"#,
        ).await;
        store.reserve("username", 3, "k").await.unwrap();
        for (username, amount) in [("username", 4), ("other", 3)] {
            let error = store.reserve(username, amount, "k").await.unwrap_err();
            assert!(matches!(&*error, UserStoreError::PurchaseDiffers { key } if key == "k"), "{error}");
            assert_eq!(error.code(), Code::Aborted);
        }
        assert_eq!(credit(&store).await, 7);
        assert_eq!(store.get_user("other").await.unwrap().unwrap().credit, 10);
    }

    async fn a_failed_purchase_has_not_begun(fixture) {
        let (_users, store) = fixture.open(2).await;
        for _ in 0..2 {
            let error = store.reserve("username", 3, "k").await.unwrap_err();
            assert!(
                matches!(&*error, UserStoreError::InsufficientCredit { credit: 2, amount: 3, .. }),
                "{error}"
            );
        }
        assert!(matches!(&*store.settle("k").await.unwrap_err(), UserStoreError::NoSuchPurchase { .. }));
        store.set_credit("username", 3).await.unwrap();
        assert_eq!(store.reserve("username", 3, "k").await.unwrap().credit, 0);
    }

    async fn a_key_outlives_the_process(fixture) {
        let (users, store) = fixture.open(10).await;
        let first = store.reserve("username", 3, "k").await.unwrap();
        let settled = store.reserve("username", 1, "l").await.unwrap();
        store.settle("l").await.unwrap();
        drop((users, store));
        let (_users, store) = fixture.open(10).await;
        assert_eq!(store.reserve("username", 3, "k").await.unwrap(), first);
        assert_eq!(store.settle("l").await.unwrap().credit, settled.credit);
        assert_eq!(credit(&store).await, 6);
    }

    async fn a_lost_response_is_retried_without_second_debit(fixture) {
        let (_users, store) = fixture.open(100).await;
        for n in 0..40 {
            let key = format!("k{n}");
            let mut call = store.reserve("username", 1, &key);
            // Sent, and dropped before it completes.
            for _ in 0..n {
                if futures_util::poll!(&mut call).is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            drop(call);
            let again = store.reserve("username", 1, &key).await.unwrap();
            assert_eq!(again.state, PurchaseState::Reserved);
            assert_eq!(credit(&store).await, 99 - n);
        }
    }

    async fn an_undelivered_purchase_is_refunded_in_the_ledger(fixture) {
        let (_users, store) = fixture.open(4).await;
        store.reserve("username", 3, "k").await.unwrap();
        let refunded = store.refund("k").await.unwrap();
        assert_eq!((refunded.credit, refunded.state), (4, PurchaseState::Refunded));
        store.reserve("username", 1, "l").await.unwrap();
        assert_eq!(store.refund("k").await.unwrap(), refunded);

        for error in [store.settle("k").await, store.reserve("username", 3, "k").await] {
            let error = error.unwrap_err();
            assert!(
                matches!(&*error, UserStoreError::PurchaseEnded { state: PurchaseState::Refunded, .. }),
                "{error}"
            );
            assert_eq!(error.code(), Code::FailedPrecondition);
            assert_eq!(error.message(), "purchase k is already refunded");
        }
        store.settle("l").await.unwrap();
        let error = store.refund("l").await.unwrap_err();
        assert!(
            matches!(&*error, UserStoreError::PurchaseEnded { state: PurchaseState::Settled, .. }),
            "{error}"
        );
        let ledger = store.ledger("username", 1000).await.unwrap();
        assert_eq!(
            changes(&ledger),
            [(-1, 3, "reserve"), (3, 4, "refund"), (-3, 1, "reserve"), (4, 4, "opening")]
        );
        assert_eq!(ledger[1].key.as_deref(), Some("k"));
        assert_eq!(ledger[3].key, None);
        assert_eq!(changes(&store.ledger("username", 2).await.unwrap()), changes(&ledger[..2]));
    }

    async fn a_purchase_is_settled_or_refunded_and_never_both(fixture) {
        let (_users, store) = fixture.open(40).await;
        for n in 0..20 {
            let key = format!("k{n}");
            store.reserve("username", 1, &key).await.unwrap();
            let before = credit(&store).await;
            let (settled, refunded) = tokio::join!(
                tokio::spawn(store.settle(&key)),
                tokio::spawn(store.refund(&key)),
            );
            let (settled, refunded) = (settled.unwrap(), refunded.unwrap());
            assert_ne!(settled.is_ok(), refunded.is_ok());
            assert_eq!(credit(&store).await, before + u64::from(refunded.is_ok()));
        }
    }

    async fn amounts_and_credits_have_bounds(fixture) {
        let (_users, store) = fixture.open(4).await;
        for amount in [0, CREDIT_LIMIT + 1, u64::MAX] {
            let error = store.reserve("username", amount, "k").await.unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument);
            assert_eq!(
                error.message(),
                format!("amount: must be 1 to 1000000000000000 credits, not {amount}")
            );
        }
        for credit in [CREDIT_LIMIT + 1, u64::MAX] {
            let error = store.set_credit("username", credit).await.unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument);
        }
        assert_eq!(store.ledger("username", 0).await.unwrap_err().code(), Code::InvalidArgument);
        assert_eq!(credit(&store).await, 4);
        store.set_credit("username", CREDIT_LIMIT).await.unwrap();
        store.reserve("username", CREDIT_LIMIT, "k").await.unwrap();
        store.set_credit("username", CREDIT_LIMIT).await.unwrap();
        assert_eq!(store.refund("k").await.unwrap().credit, 2 * CREDIT_LIMIT);
    }

    /// Also when all that is reserved returns: JSON readers that use doubles round larger numbers.
    async fn a_credit_stays_an_exact_double(fixture) {
        let (_users, store) = fixture.open(0).await;
        for n in 0..9 {
            store.set_credit("username", CREDIT_LIMIT).await.unwrap();
            store.reserve("username", CREDIT_LIMIT, &format!("k{n}")).await.unwrap();
        }
        store.set_credit("username", 8).await.unwrap();
        store.reserve("username", 8, "l").await.unwrap();
        // 2^53 - 1 in all.
        let most = (1 << 53) - 1 - 9 * CREDIT_LIMIT - 8;
        for credit in [CREDIT_LIMIT, most + 1] {
            let error = store.set_credit("username", credit).await.unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument);
            let text = format!("credit: must be at most {most}, because 9000000000000008 are reserved and may return");
            assert_eq!(error.message(), text);
        }
        store.set_credit("username", most).await.unwrap();
        fixture.advance(RESERVATION_LIFETIME);
        assert_eq!(credit(&store).await, (1 << 53) - 1);
        // What is overdue is replaced.
        store.set_credit("username", CREDIT_LIMIT).await.unwrap();
    }

    async fn names_and_keys_that_forge_lines_are_rejected(fixture) {
        let (_users, store) = fixture.open(4).await;
        for bad in ["", "a\0", "a\nb", "\u{1b}[2K", "a\u{202e}b"] {
            for code in [
                store.get_user(bad).await.unwrap_err().code(),
                store.set_credit(bad, 1).await.unwrap_err().code(),
                store.reserve(bad, 1, "k").await.unwrap_err().code(),
                store.reserve("username", 1, bad).await.unwrap_err().code(),
                store.settle(bad).await.unwrap_err().code(),
                store.refund(bad).await.unwrap_err().code(),
                store.ledger(bad, 1).await.unwrap_err().code(),
            ] {
                assert_eq!(code, Code::InvalidArgument);
            }
        }
        let error = store.reserve("username", 1, &"k".repeat(256)).await.unwrap_err();
        assert_eq!(error.message(), "key: must have 1 to 255 bytes, not 256");
        assert_eq!(credit(&store).await, 4);
    }

    async fn f04_an_unknown_user_is_a_result_and_not_an_error(fixture) {
        let (_users, store) = fixture.open(4).await;
        // Names are case-sensitive, and quotes have no meaning.
        for name in ["nobody", "Username", "username ", "' OR 1=1 --"] {
            assert_eq!(store.get_user(name).await.unwrap(), None);
            for error in [
                store.set_credit(name, 1).await.unwrap_err(),
                store.reserve(name, 1, "k").await.unwrap_err(),
                store.ledger(name, 1).await.unwrap_err(),
            ] {
                assert!(
                    matches!(&*error, UserStoreError::NoSuchUser { username } if username == name),
                    "{error}"
                );
                assert_eq!(error.code(), Code::NotFound);
            }
        }
        for error in [store.settle("nothing").await, store.refund("nothing").await] {
            let error = error.unwrap_err();
            assert!(matches!(&*error, UserStoreError::NoSuchPurchase { .. }), "{error}");
        }
    }

    async fn setting_the_credit_leaves_what_is_reserved_alone(fixture) {
        let (_users, store) = fixture.open(10).await;
        store.reserve("username", 3, "k").await.unwrap();
        store.reserve("username", 4, "l").await.unwrap();
        assert_eq!(store.set_credit("username", 20).await.unwrap().credit, 20);
        // A repetition changes nothing and adds no entry.
        assert_eq!(store.set_credit("username", 20).await.unwrap().credit, 20);
        store.settle("k").await.unwrap();
        assert_eq!(store.refund("l").await.unwrap().credit, 24);
        assert_eq!(
            changes(&store.ledger("username", 10).await.unwrap()),
            [(4, 24, "refund"), (17, 20, "set"), (-4, 3, "reserve"), (-3, 7, "reserve"), (10, 10, "opening")]
        );
    }

    /// A removed user must not reappear at the next start.
    async fn a_list_is_added_only_to_a_store_without_users(fixture) {
        let (users, store) = fixture.open(4).await;
        store.set_credit("username", 1).await.unwrap();
        drop((users, store));
        let (_users, store) = fixture.open_list(
            r#"[{"username": "username", "password": "new", "credit": 9},
                {"username": "other", "password": "p", "credit": 9}]"#,
        ).await;
        assert_eq!(credit(&store).await, 1);
        assert_eq!(store.get_user("other").await.unwrap(), None);
    }
}

//! Reservations that are never settled, under a manual clock.

use std::time::Duration;

use fibpro::api::userstore::{PurchaseState, UserStoreError};
use fibpro::service::userstore::RESERVATION_LIFETIME;

use super::fixture::{Engine, Fixture, count, execute, list_of, on_both};

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

const MOMENT: Duration = Duration::from_micros(1);

on_both! {
    async fn a_reservation_ends_after_exactly_30_seconds(fixture) {
        let (_users, store) = fixture.open(10).await;
        store.reserve("username", 3, "in time").await.unwrap();
        store.reserve("username", 4, "late").await.unwrap();
        fixture.advance(RESERVATION_LIFETIME - MOMENT);
        assert_eq!(store.settle("in time").await.unwrap().state, PurchaseState::Settled);
        fixture.advance(MOMENT);
        for error in [store.settle("late").await, store.reserve("username", 4, "late").await, store.settle("late").await] {
            let error = error.unwrap_err();
            assert!(
                matches!(&*error, UserStoreError::PurchaseEnded { state: PurchaseState::Expired, .. }),
                "{error}"
            );
        }
        // The expired credit is available again.
        let refunded = store.refund("late").await.unwrap();
        assert_eq!((refunded.state, refunded.credit), (PurchaseState::Expired, 7));
        assert_eq!(store.get_user("username").await.unwrap().unwrap().credit, 7);
    }

    async fn a_credit_includes_what_is_overdue(fixture) {
        let (_users, store) = fixture.open(10).await;
        store.reserve("username", 3, "k").await.unwrap();
        store.reserve("username", 3, "l").await.unwrap();
        fixture.advance(RESERVATION_LIFETIME);
        assert_eq!(store.get_user("username").await.unwrap().unwrap().credit, 10);
        let password = "password".to_owned().into();
        assert_eq!(store.verify("username", password).await.unwrap().credit, 10);
        // All of the credit can be spent.
        assert_eq!(store.reserve("username", 10, "m").await.unwrap().credit, 0);
        let ledger = store.ledger("username", 10).await.unwrap();
        let reasons: Vec<_> = ledger.iter().map(|entry| entry.reason.as_str()).collect();
        assert_eq!(reasons, ["reserve", "expire", "expire", "reserve", "reserve", "opening"]);
        assert_eq!(ledger[0].time.duration_since(ledger[3].time).as_secs(), 30);
    }

    async fn the_first_ledger_entry_has_the_credit_of_its_user(fixture) {
        let (_users, store) = fixture.open(10).await;
        store.reserve("username", 3, "k").await.unwrap();
        fixture.advance(RESERVATION_LIFETIME);
        let newest = &store.ledger("username", 1).await.unwrap()[0];
        assert_eq!((newest.credit, newest.change, newest.reason.as_str()), (10, 3, "expire"));
        assert_eq!(newest.key.as_deref(), Some("k"));
    }

    async fn setting_a_credit_replaces_what_is_overdue_as_well(fixture) {
        let (_users, store) = fixture.open(10).await;
        store.reserve("username", 3, "k").await.unwrap();
        fixture.advance(RESERVATION_LIFETIME);
        assert_eq!(store.set_credit("username", 5).await.unwrap().credit, 5);
        assert_eq!(store.get_user("username").await.unwrap().unwrap().credit, 5);
    }

    async fn what_is_overdue_returns_without_anybody_asking(fixture) {
        let (users, store) = fixture.open_list(&list_of(120)).await;
        for n in 0..120 {
            store.reserve(&format!("u{n}"), 1, &format!("k{n}")).await.unwrap();
        }
        store.reserve("u0", 1, "k").await.unwrap();
        store.settle("k").await.unwrap();
        assert_eq!(users.return_overdue().await.unwrap(), 0);
        fixture.advance(RESERVATION_LIFETIME);
        // The store's own task may have expired some of them first.
        assert!(users.return_overdue().await.unwrap() <= 120);
        assert_eq!(users.return_overdue().await.unwrap(), 0);
        let states = "SELECT COUNT(*) FROM purchases WHERE state = 'expired'";
        assert_eq!(count(&fixture.database, states).await, 120);
        assert_eq!(store.get_user("u0").await.unwrap().unwrap().credit, 999);
        assert_eq!(store.get_user("u1").await.unwrap().unwrap().credit, 1000);
    }

    async fn a_user_that_fails_holds_back_no_other(fixture) {
        let (users, store) = fixture.open_list(&list_of(130)).await;
        for n in 0..130 {
            store.reserve(&format!("u{n}"), 1, &format!("k{n}")).await.unwrap();
        }
        // Their credit would not be a number of 64 bits any more, so it cannot be returned: the
        // first of all, two in a row, the last.
        for name in ["u0", "u50", "u51", "u99"] {
            let most = i64::MAX;
            execute(&fixture.database, &format!("UPDATE users SET credit = {most} WHERE username = '{name}'")).await;
        }
        fixture.advance(RESERVATION_LIFETIME);
        for _ in 0..2 {
            users.return_overdue().await.unwrap_err();
            let open = "SELECT COUNT(*) FROM purchases WHERE state = 'reserved'";
            assert_eq!(count(&fixture.database, open).await, 4);
        }
        execute(&fixture.database, "UPDATE users SET credit = 999 WHERE credit > 1000").await;
        assert_eq!(users.return_overdue().await.unwrap(), 4);
    }

    async fn a_reservation_of_a_clock_that_was_ahead_returns(fixture) {
        let (users, store) = fixture.open(10).await;
        for (key, jump) in [("a", 20 * YEAR), ("b", Duration::from_secs(120)), ("c", Duration::from_secs(40))] {
            fixture.advance(jump);
            store.reserve("username", 7, key).await.unwrap();
            fixture.rewind(jump);
            // The credit is right at once, without waiting for the clock.
            assert_eq!(store.get_user("username").await.unwrap().unwrap().credit, 10, "{key}");
            assert_eq!(store.ledger("username", 1).await.unwrap()[0].reason, "expire", "{key}");
            let error = store.settle(key).await.unwrap_err();
            assert!(
                matches!(&*error, UserStoreError::PurchaseEnded { state: PurchaseState::Expired, .. }),
                "{error}"
            );
            assert_eq!(store.refund(key).await.unwrap().state, PurchaseState::Expired);
        }
        fixture.advance(20 * YEAR);
        store.reserve("username", 7, "d").await.unwrap();
        fixture.rewind(20 * YEAR);
        // The store's own task may have returned it first.
        assert!(users.return_overdue().await.unwrap() <= 1);
        let open = "SELECT COUNT(*) FROM purchases WHERE state = 'reserved'";
        assert_eq!(count(&fixture.database, open).await, 0);
    }

    async fn an_overdue_settlement_is_refused_and_costs_nothing(fixture) {
        let (_users, store) = fixture.open(10).await;
        fixture.advance(Duration::from_secs(3600));
        store.reserve("username", 7, "k").await.unwrap();
        fixture.rewind(Duration::from_secs(3600));
        store.settle("k").await.unwrap_err();
        assert_eq!(store.get_user("username").await.unwrap().unwrap().credit, 10);
        // All of it can be spent.
        assert_eq!(store.reserve("username", 10, "l").await.unwrap().credit, 0);
        store.settle("l").await.unwrap();
    }

    async fn clocks_that_differ_a_little_expire_nothing(fixture) {
        let (_users, store) = fixture.open(10).await;
        for (key, ahead) in [("a", Duration::from_millis(1)), ("b", Duration::from_secs(5))] {
            // As another process whose clock is ahead.
            fixture.advance(ahead);
            store.reserve("username", 1, key).await.unwrap();
            fixture.rewind(ahead);
            assert_eq!(store.settle(key).await.unwrap().state, PurchaseState::Settled);
        }
        assert_eq!(store.get_user("username").await.unwrap().unwrap().credit, 8);
    }
}

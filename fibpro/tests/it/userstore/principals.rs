//! Calls that are made for a user: what it may do, and what the ledger and the log have of it.

use fibpro::api::userstore::{
    LedgerEntry, OPERATOR, PurchaseState, UserStoreClient, UserStoreError,
};
use rpc_runtime::{Code, Context, Principal, RequestId, Secret};

use super::fixture::{Engine, Fixture, count, execute, on_both};
use super::names::add_stored;

const LIST: &str = r#"[{"username": "ada", "password": "password", "credit": 10},
    {"username": "bob", "password": "password", "credit": 10},
    {"username": "olga", "password": "password", "credit": 0, "roles": ["operator"]}]"#;

fn ada() -> Principal {
    Principal::new("ada").with_role("developer")
}

fn bob() -> Principal {
    Principal::new("bob")
}

fn olga() -> Principal {
    Principal::new("olga").with_role(OPERATOR)
}

fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

/// Runs calls for a user.
async fn within<T>(user: Principal, calls: impl Future<Output = T>) -> T {
    let context = Context::for_request(RequestId::random());
    context.with_principal(user).unwrap().scope(calls).await
}

/// Makes a call for a user. A call has the context in which it was created.
macro_rules! by {
    ($user:expr, $call:expr) => {
        within($user, async { $call.await }).await
    };
}

/// Calls each method that is about `name`, and those about its purchase `key`. Returns the codes.
async fn call_all(
    store: &UserStoreClient,
    name: &str,
    key: &str,
) -> Vec<(&'static str, Option<Code>)> {
    macro_rules! codes {
        ($($method:ident($($argument:expr),*)),* $(,)?) => {
            vec![$((
                stringify!($method),
                store.$method($($argument),*).await.err().map(|error| error.code()),
            )),*]
        };
    }
    codes![
        verify(name, secret("password")),
        get_user(name),
        ledger(name, 10),
        ledger_page(name, None, 10),
        ledger_page(name, Some(1), 10),
        deposit(name, 1, 0, "deposit"),
        deposit(name, -1, 0, "withdraw"),
        reserve(name, 1, "reserve"),
        reserve(name, 1, key),
        settle(key),
        refund(key),
        set_password(name, secret("password")),
        compare_and_set_credit(name, 5, 5, "set"),
        set_credit(name, 5),
    ]
}

/// Returns what is stored of the users, their purchases and their credit.
async fn state(store: &UserStoreClient, fixture: &Fixture) -> (Vec<LedgerEntry>, i64) {
    let ledger = store.ledger("bob", 100).await.unwrap();
    let open = "SELECT COUNT(*) FROM purchases WHERE state = 'reserved'";
    (ledger, count(&fixture.database, open).await)
}

on_both! {
    async fn no_method_serves_another_user(fixture) {
        let (_users, store) = fixture.open_list(LIST).await;
        by!(bob(), store.reserve("bob", 1, "of-bob")).unwrap();
        by!(olga(), store.deposit("bob", 2, 0, "of-bob")).unwrap();
        let before = state(&store, fixture).await;
        for user in [ada(), Principal::new("bob2"), Principal::new("Bob").with_role("Operator")] {
            for (method, code) in by!(user.clone(), call_all(&store, "bob", "of-bob")) {
                assert_eq!(code, Some(Code::PermissionDenied), "{user:?}: {method}");
            }
        }
        assert_eq!(state(&store, fixture).await, before);
        // Under its own name, with the keys of the other.
        let own = by!(ada(), store.reserve("ada", 1, "of-bob"));
        assert_eq!(own.unwrap_err().code(), Code::Aborted);
        let own = by!(ada(), store.deposit("ada", 2, 0, "of-bob"));
        assert_eq!(own.unwrap_err().code(), Code::PermissionDenied);
        // What does not exist is refused alike.
        let error = by!(ada(), store.get_user("zoe")).unwrap_err();
        assert_eq!(error.code(), Code::PermissionDenied);
        let error = by!(ada(), store.refund("no-key")).unwrap_err();
        assert_eq!(error.code(), Code::NotFound);
        let error = by!(ada(), store.settle("no-key")).unwrap_err();
        assert_eq!(error.code(), Code::NotFound);
        assert_eq!(state(&store, fixture).await, before);
        by!(bob(), store.settle("of-bob")).unwrap();
    }

    async fn no_user_changes_its_own_credit(fixture) {
        let (_users, store) = fixture.open_list(LIST).await;
        let before = state(&store, fixture).await;
        for user in [bob(), bob().with_role("developer"), bob().with_role("Operator")] {
            let calls = async {
                [
                    store.deposit("bob", 1, 0, "more").await.map(drop),
                    store.deposit("bob", -1, 0, "less").await.map(drop),
                    // Refused before the arguments are checked.
                    store.deposit("bob", 0, 0, "").await.map(drop),
                    store.set_credit("bob", 99).await.map(drop),
                    store.set_credit("bob", u64::MAX).await.map(drop),
                    store.compare_and_set_credit("bob", 10, 11, "set").await.map(drop),
                    store.compare_and_set_credit("bob", 10, u64::MAX, "set").await.map(drop),
                ]
            };
            for (n, outcome) in by!(user.clone(), calls).into_iter().enumerate() {
                let error = outcome.unwrap_err();
                assert_eq!(error.code(), Code::PermissionDenied, "{user:?}: {n}");
                assert!(matches!(*error, UserStoreError::OperatorRequired), "{user:?}: {n}");
            }
        }
        assert_eq!(state(&store, fixture).await, before);
        // The keys are unused, an operator has itself paid, and a service pays on its own behalf.
        by!(olga(), store.deposit("bob", 1, 0, "more")).unwrap();
        by!(olga(), store.deposit("olga", 3, 0, "own")).unwrap();
        store.deposit("bob", -1, 0, "less").await.unwrap();
        store.compare_and_set_credit("bob", 10, 11, "set").await.unwrap();
        store.set_credit("bob", 10).await.unwrap();
    }

    async fn ended_and_overdue_purchases_of_others_stay(fixture) {
        let (_users, store) = fixture.open_list(LIST).await;
        for key in ["settled", "refunded", "overdue"] {
            store.reserve("bob", 1, key).await.unwrap();
        }
        store.settle("settled").await.unwrap();
        store.refund("refunded").await.unwrap();
        fixture.advance(std::time::Duration::from_secs(31));
        for key in ["settled", "refunded", "overdue"] {
            for ended in [by!(ada(), store.settle(key)), by!(ada(), store.refund(key))] {
                assert_eq!(ended.unwrap_err().code(), Code::PermissionDenied, "{key}");
            }
        }
        let refunded = by!(bob(), store.refund("overdue")).unwrap();
        assert_eq!(refunded.state, PurchaseState::Expired);
    }

    async fn a_user_is_served_under_each_spelling(fixture) {
        let (_users, store) = fixture.open(4).await;
        let (composed, stored) = ("j\u{f6}rg", "jo\u{308}rg");
        add_stored(fixture, &store, stored).await;
        for (n, (subject, name)) in [(stored, composed), (composed, stored), (stored, stored)]
            .into_iter()
            .enumerate()
        {
            let user = Principal::new(subject);
            for end in ["settle", "refund"] {
                let key = format!("{end}{n}");
                let reserve = by!(user.clone(), store.reserve(name, 1, &key));
                assert_eq!(reserve.unwrap().username, stored);
                let ended = match end {
                    "settle" => by!(user.clone(), store.settle(&key)),
                    _ => by!(user.clone(), store.refund(&key)),
                };
                ended.unwrap();
            }
            by!(user.clone(), store.ledger(name, 10)).unwrap();
            by!(user.clone(), store.get_user(name)).unwrap().unwrap();
            // Another user is refused under both names.
            for (method, code) in by!(ada(), call_all(&store, name, &format!("settle{n}"))) {
                assert_eq!(code, Some(Code::PermissionDenied), "{name:?}: {method}");
            }
        }
    }

    async fn an_operator_serves_all_and_is_recorded(fixture) {
        let (_users, store) = fixture.open_list(LIST).await;
        by!(olga(), store.deposit("bob", 5, 0, "gift")).unwrap();
        by!(olga(), store.deposit("bob", -1, 0, "fee")).unwrap();
        by!(olga(), store.reserve("bob", 1, "k")).unwrap();
        by!(olga(), store.settle("k")).unwrap();
        by!(bob(), store.reserve("bob", 2, "l")).unwrap();
        by!(bob(), store.refund("l")).unwrap();
        store.reserve("bob", 1, "m").await.unwrap();
        store.set_credit("bob", 3).await.unwrap();
        let ledger = by!(olga(), store.ledger("bob", 20)).unwrap();
        let who = ledger.iter().rev().map(|entry| {
            let (actor, principal) = (entry.actor.as_deref(), entry.principal.as_deref());
            (entry.reason.as_str(), actor, principal)
        });
        assert_eq!(who.collect::<Vec<_>>(), [
            ("opening", None, None),
            ("deposit", Some("-"), Some("olga")),
            ("withdraw", Some("-"), Some("olga")),
            ("reserve", Some("-"), Some("olga")),
            ("reserve", Some("-"), Some("bob")),
            ("refund", Some("-"), Some("bob")),
            ("reserve", None, None),
            ("set", Some("-"), None),
        ]);
    }

    async fn only_operators_add_users_and_roles(fixture) {
        let (users, store) = fixture.open_list(LIST).await;
        let new = || secret("new-canary");
        for user in [None, Some(ada()), Some(Principal::new("olga"))] {
            let calls = async {
                let added = store.add_user("eve", new(), 9, vec![OPERATOR.to_owned()]).await;
                let changed = store.change_roles("ada", vec![OPERATOR.to_owned()], vec![]).await;
                [added.map(drop), changed.map(drop)]
            };
            let outcomes = match user {
                Some(user) => by!(user, calls),
                None => calls.await,
            };
            for outcome in outcomes {
                assert_eq!(outcome.unwrap_err().code(), Code::PermissionDenied);
            }
        }
        // A service on its own behalf sets no password either.
        let error = store.set_password("ada", new()).await.unwrap_err();
        assert_eq!(error.code(), Code::PermissionDenied);
        let added = by!(olga(), store.add_user("e\u{301}ve", new(), 9, vec!["a".to_owned()]));
        let added = added.unwrap();
        assert_eq!((added.username.as_str(), added.credit), ("\u{e9}ve", 9));
        for twin in ["\u{e9}ve", "e\u{301}ve"] {
            let again = by!(olga(), store.add_user(twin, new(), 9, vec![]));
            assert_eq!(again.unwrap_err().code(), Code::AlreadyExists, "{twin:?}");
        }
        let change = |add: &[&str], remove: &[&str]| {
            let list = |roles: &[&str]| roles.iter().map(|&role| role.to_owned()).collect();
            let (add, remove): (Vec<_>, Vec<_>) = (list(add), list(remove));
            let store = store.clone();
            within(olga(), async move { store.change_roles("e\u{301}ve", add, remove).await })
        };
        assert_eq!(change(&["b", "a"], &[]).await.unwrap().roles, ["a", "b"]);
        assert_eq!(change(&["c"], &["a", "z"]).await.unwrap().roles, ["b", "c"]);
        let many: Vec<_> = (0..15).map(|n| format!("r{n}")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        for (add, remove) in [(&["Dev"][..], &[][..]), (&["a"], &["a"]), (&many, &[])] {
            let error = change(add, remove).await.unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument, "{add:?}");
        }
        // Roles are stored.
        drop((users, store));
        let (_users, store) = fixture.open_list(LIST).await;
        let login = store.verify("\u{e9}ve", new()).await.unwrap();
        assert_eq!((login.credit, login.roles.join(",")), (9, "b,c".to_owned()));
    }

    async fn a_new_password_replaces_the_old_one(fixture) {
        let (_users, store) = fixture.open_list(LIST).await;
        for (user, old, new) in [(ada(), "password", "pass\u{e9}"), (olga(), "passe\u{301}", "third")] {
            store.verify("ada", secret(old)).await.unwrap();
            by!(user, store.set_password("ada", secret(new))).unwrap();
            // Also the cached login.
            let error = store.verify("ada", secret(old)).await.unwrap_err();
            assert_eq!(error.code(), Code::Unauthenticated);
            store.verify("ada", secret(new)).await.unwrap();
        }
        for bad in ["", "a\tb", &"x".repeat(1025)] {
            let error = by!(olga(), store.set_password("ada", secret(bad))).unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument, "{bad:?}");
        }
        let error = by!(olga(), store.set_password("zoe", secret("p"))).unwrap_err();
        assert_eq!(error.code(), Code::NotFound);
    }

    /// As a database of the version before, whose ledger has no principals.
    async fn a_database_without_principals_is_migrated(fixture) {
        let (users, store) = fixture.open_list(LIST).await;
        store.deposit("bob", 5, 0, "gift").await.unwrap();
        users.close().await.unwrap();
        let version = match fixture.database {
            fibpro::service::userstore::Database::Sqlite(_) => 5,
            fibpro::service::userstore::Database::Postgres(_) => 4,
        };
        let forget = format!("DELETE FROM _sqlx_migrations WHERE version = {version}");
        execute(&fixture.database, &forget).await;
        execute(&fixture.database, "ALTER TABLE ledger DROP COLUMN principal").await;
        let (_users, store) = fixture.open_list(LIST).await;
        by!(olga(), store.deposit("bob", 1, 0, "more")).unwrap();
        let ledger = store.ledger("bob", 10).await.unwrap();
        let principals: Vec<_> = ledger.iter().map(|entry| entry.principal.as_deref()).collect();
        assert_eq!(principals, [Some("olga"), None, None]);
        let olga = store.get_user("olga").await.unwrap().unwrap();
        assert_eq!(olga.roles, [OPERATOR]);
    }
}

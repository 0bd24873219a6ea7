//! Users whose names an earlier version stored as they were typed: each spelling is the same user.

use fibpro::api::userstore::{PurchaseState, UserStoreClient, UserStoreError};
use rpc_runtime::Secret;

use super::fixture::{Engine, Fixture, execute, on_both};

/// Adds a user with credit 20 as an earlier version stored it.
pub(crate) async fn add_stored(fixture: &Fixture, store: &UserStoreClient, stored: &str) {
    let hash = "(SELECT password_hash FROM users WHERE username = 'username')";
    let insert = format!("INSERT INTO users VALUES ('{stored}', {hash}, '[]', 0)");
    execute(&fixture.database, &insert).await;
    store.set_credit(stored, 20).await.unwrap();
}

/// Does everything as `first`, and repeats it as `second`.
async fn use_both(store: &UserStoreClient, stored: &str, first: &str, second: &str) {
    let key = |what: &str| format!("{what} {}", second.escape_unicode());
    let before = store.get_user(first).await.unwrap().unwrap().credit;
    for name in [first, second, first] {
        let login = store.verify(name, Secret::new("password".to_owned()));
        assert_eq!(login.await.unwrap().username, stored);
        let reserved = store.reserve(name, 2, &key("sold")).await.unwrap();
        assert_eq!(reserved.username, stored);
        assert_eq!(reserved.credit, before - 2, "{name:?}");
        let gift = store.deposit(name, 3, 0, &key("gift")).await.unwrap();
        assert_eq!((gift.username.as_str(), gift.credit), (stored, before + 1));
        let set = store.compare_and_set_credit(name, before + 1, before - 1, &key("set"));
        assert_eq!(set.await.unwrap().credit, before - 1, "{name:?}");
    }
    store.settle(&key("sold")).await.unwrap();
    for name in [second, first] {
        let sold = store.reserve(name, 2, &key("sold")).await.unwrap();
        assert_eq!(sold.state, PurchaseState::Settled);
        let user = store.get_user(name).await.unwrap().unwrap();
        assert_eq!((user.username.as_str(), user.credit), (stored, before - 1));
        let other = store.reserve(name, 1, &key("sold")).await.unwrap_err();
        let differs = matches!(&*other, UserStoreError::PurchaseDiffers { .. });
        assert!(differs, "{other}");
        let other = store.deposit(name, 4, 0, &key("gift")).await.unwrap_err();
        let differs = matches!(&*other, UserStoreError::KeyDiffers { .. });
        assert!(differs, "{other}");
    }
    store.set_credit(second, 20).await.unwrap();
    let pages = [
        store.ledger(first, 100).await,
        store.ledger(second, 100).await,
    ];
    let [of_first, of_second] = pages.map(Result::unwrap);
    assert_eq!(of_first, of_second);
    assert!(of_first.iter().any(|entry| entry.reason == "reserve"));
}

on_both! {
    async fn both_spellings_of_a_stored_name_are_one_user(fixture) {
        let (_users, store) = fixture.open(4).await;
        for (stored, composed) in [
            ("jo\u{308}rg", "j\u{f6}rg"),
            ("\u{1112}\u{1161}\u{11ab}", "\u{d55c}"),
        ] {
            add_stored(fixture, &store, stored).await;
            use_both(&store, stored, composed, stored).await;
            use_both(&store, stored, stored, composed).await;
        }
    }

    /// In NFC as well as in NFD it is another text, so the user types it as it is stored.
    async fn a_name_in_neither_form_is_found_as_it_is_typed(fixture) {
        let (_users, store) = fixture.open(4).await;
        for stored in ["\u{e9}o\u{308}", "\u{212b}sa"] {
            add_stored(fixture, &store, stored).await;
            use_both(&store, stored, stored, stored).await;
        }
    }

    async fn a_key_of_another_user_still_differs(fixture) {
        let (_users, store) = fixture.open(4).await;
        add_stored(fixture, &store, "jo\u{308}rg").await;
        store.reserve("username", 2, "k").await.unwrap();
        store.deposit("username", 2, 0, "k").await.unwrap();
        for name in ["j\u{f6}rg", "jo\u{308}rg", "j\u{fc}rg", "unknown"] {
            let error = store.reserve(name, 2, "k").await.unwrap_err();
            let differs = matches!(&*error, UserStoreError::PurchaseDiffers { .. });
            assert!(differs, "{name:?}: {error}");
            let error = store.deposit(name, 2, 0, "k").await.unwrap_err();
            let differs = matches!(&*error, UserStoreError::KeyDiffers { .. });
            assert!(differs, "{name:?}: {error}");
        }
        for name in ["j\u{fc}rg", "unknown"] {
            let error = store.reserve(name, 2, "new").await.unwrap_err();
            let named = matches!(&*error, UserStoreError::NoSuchUser { username } if username == name);
            assert!(named, "{error}");
        }
    }
}

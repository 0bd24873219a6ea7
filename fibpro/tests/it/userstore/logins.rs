//! Logins: equal responses and equal work for unknown users and wrong passwords.

use std::time::Duration;

use argon2::password_hash::PasswordHasher as _;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, Version};
use fibpro::api::userstore::{User, UserStore as _, UserStoreClient, UserStoreError};
use rpc_runtime::{Code, Secret};

use super::fixture::{Engine, Fixture, execute, on_both};

async fn verify(
    store: &UserStoreClient,
    username: &str,
    password: &str,
) -> Result<User, (Code, String)> {
    let outcome = store
        .verify(username, Secret::new(password.to_owned()))
        .await;
    outcome.map_err(|error| {
        assert!(
            matches!(&*error, UserStoreError::WrongCredentials),
            "{error}"
        );
        (error.code(), error.message().to_owned())
    })
}

/// Returns a hash as an earlier version stored it: of the bytes as they were typed.
fn hash_of(password: &str) -> String {
    let params = Params::new(Params::MIN_M_COST, 1, 1, None).unwrap();
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash: PasswordHash = argon2.hash_password(password.as_bytes()).unwrap();
    hash.to_string()
}

/// Guesses at one name are in flight, and the login of its owner is no longer fresh.
#[tokio::test]
async fn a_known_login_passes_200_guesses() {
    let fixture = Fixture::new(Engine::Sqlite).await.unwrap();
    let list = r#"[{"username": "ada", "password": "right", "credit": 4}, {"username": "eve", "password": "e", "credit": 4}]"#;
    let (users, _store) = fixture.open_list(list).await;
    // Without a client, whose deadlines do not follow the clock below.
    let login = async |username: &'static str, password: String| {
        users.verify(username, Secret::new(password)).await
    };
    login("ada", "right".to_owned()).await.unwrap();
    let before = users.hashes();
    login("ada", "right".to_owned()).await.unwrap();
    assert_eq!(users.hashes(), before);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(61)).await;
    tokio::time::resume();
    let mut guesses = tokio::task::JoinSet::new();
    for n in 0..200 {
        let users = users.clone();
        guesses.spawn(async move { users.verify("ada", Secret::new(format!("wrong {n}"))).await });
    }
    // All of them wait or have their turn.
    while users.hashes() - before < 20 {
        tokio::task::yield_now().await;
    }
    let before = users.hashes();
    login("ada", "right".to_owned()).await.unwrap();
    // It waited for what ran, and not for the guesses: they have a delay by now.
    assert!(users.hashes() - before <= 5, "{}", users.hashes() - before);
    // Another name is not delayed either.
    login("eve", "e".to_owned()).await.unwrap();
    assert!(users.hashes() - before <= 10, "{}", users.hashes() - before);
    // None of the guesses is refused, apart from being wrong.
    let mut wrong = 0;
    while let Some(guess) = guesses.try_join_next() {
        assert!(matches!(
            guess.unwrap(),
            Err(UserStoreError::WrongCredentials)
        ));
        wrong += 1;
    }
    assert!((10..100).contains(&wrong), "{wrong}");
    guesses.shutdown().await;
}

on_both! {
    /// Stored in one spelling, typed in another.
    async fn names_and_passwords_are_compared_in_nfc(fixture) {
        let (_users, store) = fixture.open_list(
            r#"[{"username": "jo\u0308rg", "password": "ka\u0308se", "credit": 4},
                {"username": "an\u0065\u0301", "password": "\u1112\u1161\u11ab", "credit": 4}]"#,
        ).await;
        for name in ["jörg", "jo\u{308}rg"] {
            for password in ["käse", "ka\u{308}se"] {
                assert_eq!(verify(&store, name, password).await.unwrap().username, "jörg");
            }
            assert_eq!(store.get_user(name).await.unwrap().unwrap().username, "jörg");
        }
        assert_eq!(verify(&store, "ané", "한").await.unwrap().username, "ané");
        // One user, whatever the spelling of the name.
        store.set_credit("jo\u{308}rg", 10).await.unwrap();
        let reserved = store.reserve("jo\u{308}rg", 3, "k").await.unwrap();
        assert_eq!((reserved.username.as_str(), reserved.credit), ("jörg", 7));
        assert_eq!(store.reserve("jörg", 3, "k").await.unwrap(), reserved);
        assert_eq!(store.ledger("jo\u{308}rg", 9).await.unwrap().len(), 3);
        // A letter without its accent is another password.
        verify(&store, "jörg", "kase").await.unwrap_err();
    }

    /// An earlier version stored names and hashes as they were typed.
    async fn users_of_an_earlier_version_still_log_in(fixture) {
        let (_users, store) = fixture.open_list(
            r#"[{"username": "ada", "password": "x", "credit": 4}]"#,
        ).await;
        let old = "UPDATE users SET password_hash = ";
        for stored in ["ka\u{308}se", "käse", "kä\u{308}se"] {
            execute(&fixture.database, &format!("{old}'{}'", hash_of(stored))).await;
            verify(&store, "ada", stored).await.unwrap();
            verify(&store, "ada", "kase").await.unwrap_err();
        }
        // Stored as NFD, typed as NFC.
        execute(&fixture.database, &format!("{old}'{}'", hash_of("ka\u{308}se"))).await;
        verify(&store, "ada", "käse").await.unwrap();
        execute(
            &fixture.database,
            &format!("INSERT INTO users VALUES ('jo\u{308}rg', '{}', '[]', 0)", hash_of("p")),
        ).await;
        assert_eq!(verify(&store, "jörg", "p").await.unwrap().username, "jo\u{308}rg");
        store.set_credit("jörg", 5).await.unwrap();
        assert_eq!(store.reserve("jörg", 2, "k").await.unwrap().credit, 3);
        assert_eq!(store.ledger("jörg", 9).await.unwrap().len(), 2);
        let error = store.reserve("jürg", 2, "l").await.unwrap_err();
        assert!(matches!(&*error, UserStoreError::NoSuchUser { username } if username == "jürg"));
    }

    async fn a_stored_hash_takes_no_unbounded_memory(fixture) {
        let (users, store) = fixture.open_list(
            r#"[{"username": "ada", "password": "a", "credit": 4}, {"username": "eve", "password": "e", "credit": 4}]"#,
        ).await;
        let hash = hash_of("a");
        let before = users.hashes();
        for cost in ["m=4194304,t=2,p=1", "m=8,t=4000000000,p=1", "m=1048576,t=1,p=4096"] {
            let stored = hash.replace("m=8,t=1,p=1", cost);
            assert_ne!(stored, hash);
            let update = format!("UPDATE users SET password_hash = '{stored}' WHERE username = 'ada'");
            execute(&fixture.database, &update).await;
            let error = store.verify("ada", Secret::new("a".to_owned())).await.unwrap_err();
            assert_eq!(error.code(), Code::Internal, "{error}");
            // Other users are not concerned.
            verify(&store, "eve", "e").await.unwrap();
        }
        assert!(users.hashes() - before >= 1);
    }

    async fn the_right_password_is_answered_with_the_user(fixture) {
        let (_users, store) = fixture.open_list(
            r#"[{"username": "ada", "password": "pass: wörd", "credit": 4, "roles": ["developer", "admin"]}]"#,
        ).await;
        let ada = User {
            username: "ada".to_owned(),
            credit: 4,
            roles: vec!["developer".to_owned(), "admin".to_owned()],
        };
        for _ in 0..2 {
            assert_eq!(verify(&store, "ada", "pass: wörd").await.unwrap(), ada);
        }
        assert_eq!(store.get_user("ada").await.unwrap(), Some(ada));
        // The login is cached, the credit is not.
        store.set_credit("ada", 9).await.unwrap();
        assert_eq!(verify(&store, "ada", "pass: wörd").await.unwrap().credit, 9);
    }

    async fn an_unknown_user_costs_as_much_as_a_wrong_password(fixture) {
        let (users, store) = fixture.open(4).await;
        let mut outcomes = Vec::new();
        for name in ["username", "nobody"] {
            let before = users.hashes();
            let mut answers = Vec::new();
            for password in ["", "passwor", "Password", "password ", "x", "x"] {
                answers.push(verify(&store, name, password).await.unwrap_err());
            }
            outcomes.push((answers, users.hashes() - before));
        }
        assert_eq!(outcomes[0], outcomes[1]);
        assert_eq!(outcomes[0].1, 6);
        let text = "wrong user name or password".to_owned();
        assert_eq!(outcomes[0].0[0], (Code::Unauthenticated, text));
    }

    async fn a_password_that_was_changed_is_not_remembered(fixture) {
        let (users, store) = fixture.open_list(
            r#"[{"username": "ada", "password": "old", "credit": 4}, {"username": "eve", "password": "new", "credit": 4}]"#,
        ).await;
        verify(&store, "ada", "old").await.unwrap();
        let before = users.hashes();
        verify(&store, "ada", "old").await.unwrap();
        assert_eq!(users.hashes(), before);
        // As another process would.
        execute(
            &fixture.database,
            "UPDATE users SET password_hash = (SELECT password_hash FROM users WHERE username = 'eve') \
             WHERE username = 'ada'",
        ).await;
        verify(&store, "ada", "old").await.unwrap_err();
        verify(&store, "ada", "new").await.unwrap();
    }

    async fn invalid_names_and_passwords_are_rejected(fixture) {
        let (users, store) = fixture.open(4).await;
        let before = users.hashes();
        for (username, password, text) in [
            ("a:b", "canary", "username: must not contain a colon".to_owned()),
            ("a\0", "canary", r"username: must not contain the character \u{0}".to_owned()),
            ("", "canary", "username: must have 1 to 64 characters, not 0".to_owned()),
            ("username", &"canary".repeat(200), "password: must have at most 1024 bytes, not 1200".to_owned()),
        ] {
            let password = Secret::new(password.to_owned());
            let error = store.verify(username, password).await.unwrap_err();
            assert_eq!((error.code(), error.message()), (Code::InvalidArgument, text.as_str()));
            assert!(!format!("{error:?} {:#}", error.as_error()).contains("canary"));
        }
        assert_eq!(users.hashes(), before);
    }

    /// The first login costs a hash; the purchases that follow must not wait for 500 of them.
    async fn concurrent_logins_cost_one_hash(fixture) {
        let (users, store) = fixture.open(4).await;
        let before = users.hashes();
        let mut logins = tokio::task::JoinSet::new();
        for _ in 0..500 {
            logins.spawn(store.verify("username", Secret::new("password".to_owned())));
        }
        for login in logins.join_all().await {
            login.unwrap();
        }
        // Logins that arrive after the first result use the cache.
        assert_eq!(users.hashes() - before, 1);
    }
}

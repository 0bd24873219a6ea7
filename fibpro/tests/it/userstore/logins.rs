//! Logins: equal responses and equal work for unknown users and wrong passwords.

use fibpro::api::userstore::{User, UserStoreClient, UserStoreError};
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

on_both! {
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
    async fn f05_500_concurrent_logins_cost_one_hash(fixture) {
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

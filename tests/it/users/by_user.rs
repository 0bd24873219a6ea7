//! Keys, policies, rate limits and plain routes go by the user.

use rpc_runtime::{Callers, ListenOptions, Policy, RateLimit, axum};
use rpc_tests::raw::request;
use serde_json::json;

use super::*;

#[tokio::test]
async fn two_users_with_one_key_get_their_own_results() {
    let vault = vault().await;
    let desk = Running::start(desk_with_users(&vault)).await;
    let body = r#"{"key":"k"}"#;
    let mut results = Vec::new();
    for authorization in [
        "Bearer t-alice",
        "Bearer t-bob",
        "Bearer t-alice",
        // Another way to be alice.
        "Basic YWxpY2U6cA==",
    ] {
        let response = call(&desk, "Pay", authorization, body).await;
        let replayed = response.header("idempotent-replayed").is_some();
        results.push((response.value().1, replayed));
    }
    let expected = [
        (json!(1), false),
        (json!(2), false),
        (json!(1), true),
        (json!(1), true),
    ];
    assert_eq!(results, expected);
    // A key that is meant for all.
    for (authorization, replayed) in [("Bearer t-alice", false), ("Bearer t-bob", true)] {
        let response = call(&desk, "PayShared", authorization, body).await;
        assert_eq!(response.value().1, json!(3));
        assert_eq!(response.header("idempotent-replayed").is_some(), replayed);
    }
}

#[tokio::test]
async fn keys_without_users_are_refused_at_the_start() {
    let vault = vault().await;
    let starts = [
        (desk(&vault), Err("Desk/")),
        (
            desk_with_users(&vault).allow_anonymous("users.v1.Desk/Pay"),
            Err("users.v1.Desk/Pay "),
        ),
        (
            desk_with_users(&vault).allow_anonymous("users.v1.Desk/PayShared"),
            Ok(()),
        ),
        (desk_with_users(&vault), Ok(())),
    ];
    for (server, expected) in starts {
        let started = server.into_router().map(drop);
        match expected {
            Ok(()) => started.unwrap(),
            Err(part) => {
                let error = started.unwrap_err();
                assert_eq!(error.code(), Code::FailedPrecondition);
                let text = error.to_string();
                assert!(text.contains(part) && text.contains("shared"), "{error}");
            }
        }
    }
    let internal = desk(&vault).trust(Trust::Internal);
    drop(internal.into_router().unwrap());
    let error = desk_with_users(&vault).allow_anonymous("users.v1.Desk/Pai");
    let error = error.into_router().unwrap_err();
    assert!(
        error.message().contains("`allow_anonymous` of desk"),
        "{error}"
    );
}

#[tokio::test]
async fn a_policy_goes_by_roles() {
    let vault = vault().await;
    let policy = Policy::new()
        .allow("users.v1.Desk/Who", Callers::roles(["operator", "auditor"]))
        .allow("users.v1.Desk/WhoDetached", Callers::users())
        .allow("users.v1.Desk/Hours", Callers::anyone())
        .allow("users.v1.Desk/Pay", Callers::servers(["web"]).with_user())
        .deny("users.v1.Desk/WhoKeyed")
        .deny("users.v1.Desk/PayShared");
    let desk = Running::start(desk_with_users(&vault).policy(policy)).await;
    let key = r#"{"key":"k"}"#;
    for (method, body, user, status) in [
        ("Who", "{}", "Bearer t-alice", 200),
        ("Who", "{}", "Bearer t-bob", 403),
        ("Who", "{}", "", 401),
        ("WhoDetached", "{}", "Bearer t-bob", 200),
        ("WhoDetached", "{}", "", 401),
        ("Hours", "{}", "", 200),
        ("Pay", key, "Bearer t-bob", 403),
        ("WhoKeyed", key, "Bearer t-alice", 403),
    ] {
        let response = call(&desk, method, user, body).await;
        assert_eq!(response.status, status, "{method} {user}");
    }
    let refused = call(&desk, "Who", "Bearer t-bob", "{}").await;
    let text = "the user bob may not call users.v1.Desk/Who";
    assert_eq!(refused.message(), text);
}

#[tokio::test]
async fn each_user_has_an_allowance() {
    let vault = vault().await;
    let limit = RateLimit::per_minute(2);
    let desk = Running::start(desk_with_users(&vault).rate_limit(limit)).await;
    for (user, statuses) in [
        ("Bearer t-alice", [200, 200, 429]),
        ("Bearer t-bob", [200, 200, 429]),
        ("Basic YWxpY2U6cA==", [429; 3]),
        ("", [200, 200, 429]),
    ] {
        for status in statuses {
            let response = call(&desk, "Hours", user, "{}").await;
            assert_eq!(response.status, status, "{user}");
        }
    }
    let refused = call(&desk, "Hours", "Bearer t-bob", "{}").await;
    assert!(refused.message().starts_with("the user bob calls"));
}

#[tokio::test]
async fn a_plain_route_has_the_user() {
    async fn show() -> String {
        shown(Context::current().principal())
    }
    let routes = axum::Router::new()
        .route("/me", axum::routing::get(show))
        .route("/login", axum::routing::get(show));
    let vault = vault().await;
    let server = desk_with_users(&vault)
        .http(routes)
        .allow_anonymous("http /login");
    let desk = Running::start(server).await;
    let mut raw = Raw::connect(desk.address()).await;
    for (path, user, expected) in [
        ("/me", "Bearer t-alice", Ok("alice [operator] ")),
        ("/me", "", Err(401)),
        ("/me", "Bearer t-foreign", Err(401)),
        ("/login", "", Ok("-")),
        ("/login", "Bearer t-bob", Ok("bob [] ")),
        ("/login", "Bearer t-foreign", Err(401)),
    ] {
        let lines: &[(&str, &str)] = match user {
            "" => &[],
            user => &[("authorization", user)],
        };
        let response = raw.ask(request("GET", path, lines, b"")).await;
        match expected {
            Ok(text) => assert_eq!(response.body, text.as_bytes(), "{path} {user}"),
            Err(status) => {
                assert_eq!(response.status, status, "{path} {user}");
                let names = response.headers.iter().map(|(name, _)| name.as_str());
                assert_eq!(names.filter(|name| *name == "www-authenticate").count(), 2);
            }
        }
    }
}

#[tokio::test]
async fn keys_of_methods_that_an_edge_hides_are_free() {
    let vault = vault().await;
    let started = async |shown: &[&str]| {
        let public = ListenOptions::edge("127.0.0.1:0").only(shown.iter().copied());
        desk(&vault).listen_with(public).bind().await.map(drop)
    };
    started(&["users.v1.Desk/Hours"]).await.unwrap();
    started(&["users.v1.Desk/Hours", "users.v1.Desk/PayShared"])
        .await
        .unwrap();
    for shown in ["users.v1.Desk/Pay", "users.v1.Desk"] {
        let error = started(&[shown]).await.unwrap_err();
        assert_eq!(error.code(), Code::FailedPrecondition, "{shown}");
        assert!(error.message().contains("have no user"), "{error}");
    }
    // Another edge shows everything.
    let public = ListenOptions::edge("127.0.0.1:0").only(["users.v1.Desk/Hours"]);
    let both = desk(&vault).listen_with(public).listen_edge("127.0.0.1:0");
    assert!(both.bind().await.is_err());
}

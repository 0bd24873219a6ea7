//! A peer that tries many credentials.

use rpc_runtime::{Limits, axum};
use rpc_tests::raw::request;

use super::*;
use crate::call_lines::Lines;

/// Returns the desk for clients behind a proxy, which may send two wrong credentials in a minute.
async fn guarded(vault: &Running) -> Running {
    let mut limits = Limits::default();
    limits.wrong_credentials_per_peer = 2;
    let pages = axum::Router::new().route("/me", axum::routing::get(async || "page"));
    let server = desk_with_users(vault).http(pages).limits(limits);
    Running::start(server.trusted_proxies(["127.0.0.1"])).await
}

/// Calls a method for the client of a proxy.
async fn call_from(desk: &Running, client: &str, method: &str, authorization: &str) -> Response {
    let lines = [
        ("x-forwarded-for", client),
        ("authorization", authorization),
    ];
    let target = format!("/users.v1.Desk/{method}");
    let mut raw = Raw::connect(desk.address()).await;
    raw.ask(post_with(&target, &lines, "{}")).await
}

#[tokio::test]
async fn a_guesser_is_refused_also_with_the_right_token() {
    let vault = vault().await;
    let desk = guarded(&vault).await;
    let guesser = "203.0.113.7";
    for (authorization, status) in [
        ("Bearer t-alice", 200),
        ("Bearer t-foreign", 401),
        // Not counted: no credentials, and an authenticator that fails.
        ("Digest username=\"alice\"", 401),
        ("Bearer t-down", 503),
        ("Bearer t-alice", 200),
        ("Basic ?", 401),
        ("Bearer t-alice", 429),
        ("Bearer t-foreign", 429),
        ("Digest username=\"alice\"", 429),
    ] {
        let response = call_from(&desk, guesser, "Who", authorization).await;
        assert_eq!(response.status, status, "{authorization}");
        if status == 429 {
            assert_eq!(response.error().1, "resource_exhausted");
            let body = String::from_utf8_lossy(&response.body);
            assert!(body.contains("google.rpc.RetryInfo"), "{body}");
            assert_eq!(response.header("www-authenticate"), None);
            let text = "too many wrong credentials came from this address; the call was not begun, retry later";
            assert_eq!(response.message(), text);
        }
    }
    // Everything that is authenticated, also for callers without credentials.
    let hours = call_from(&desk, guesser, "Hours", "Bearer t-bob").await;
    assert_eq!(hours.status, 429);
    let lines = [("x-forwarded-for", guesser)];
    let mut raw = Raw::connect(desk.address()).await;
    let page = raw.ask(request("GET", "/me", &lines, b"")).await;
    assert_eq!(page.status, 429);
    assert!(page.header("retry-after").is_some());
    let ping = call_from(&desk, guesser, "Ping", "Bearer t-foreign").await;
    assert_eq!(ping.status, 200);
}

#[tokio::test]
async fn a_guesser_refuses_no_other_peer() {
    let vault = vault().await;
    let desk = guarded(&vault).await;
    for guesser in ["203.0.113.7", "[2001:db8::1]:80"] {
        for _ in 0..2 {
            let wrong = call_from(&desk, guesser, "Who", "Basic YTpi").await;
            assert_eq!(wrong.status, 401);
        }
    }
    for (client, status) in [
        ("203.0.113.7", 429),
        ("203.0.113.7:4711", 429),
        ("::ffff:203.0.113.7", 429),
        ("2001:db8::ffff:2", 429),
        ("203.0.113.8", 200),
        ("2001:db8:0:1::1", 200),
        // The proxy itself, because the entry is malformed.
        ("unknown", 200),
        // What a client writes itself does not count.
        ("203.0.113.8, 203.0.113.7", 429),
        ("203.0.113.7, 203.0.113.8", 200),
    ] {
        let response = call_from(&desk, client, "Who", "Bearer t-bob").await;
        assert_eq!(response.status, status, "{client}");
    }
}

#[tokio::test]
async fn a_guesser_is_logged_without_its_guesses() {
    let vault = vault().await;
    let desk = guarded(&vault).await;
    let lines = Lines::start();
    for _ in 0..4 {
        call_from(&desk, "203.0.113.7", "Who", "Bearer t-foreign").await;
    }
    let counted = lines.counted.lock().unwrap().clone();
    let text = "peer refused after too many wrong credentials; `count` so far; if it is a proxy, name it as trusted";
    for line in [
        "1 credentials refused; `count` so far",
        "2 credentials refused; `count` so far",
        &format!("1 {text}"),
        &format!("2 {text}"),
    ] {
        assert!(
            counted.iter().any(|logged| logged == line),
            "{line}: {counted:?}"
        );
    }
    assert_eq!(counted.len(), 4, "{counted:?}");
}

#[tokio::test]
async fn the_largest_limit_refuses_no_guesser() {
    let vault = vault().await;
    let mut limits = Limits::default();
    limits.wrong_credentials_per_peer = usize::MAX;
    let desk = Running::start(desk_with_users(&vault).limits(limits)).await;
    for _ in 0..100 {
        let wrong = call(&desk, "Who", "Bearer t-foreign", "{}").await;
        assert_eq!(wrong.status, 401);
    }
    assert_eq!(call(&desk, "Who", "Bearer t-bob", "{}").await.status, 200);
}

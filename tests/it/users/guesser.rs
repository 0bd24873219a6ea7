//! A peer that tries many credentials.

use rpc_runtime::authentication::Authenticator;
use rpc_runtime::middleware::BoxFuture;
use rpc_runtime::{Limits, axum};
use rpc_tests::raw::request;

use super::*;
use crate::call_lines::Lines;

/// Returns the desk for clients behind a proxy, which may send two wrong credentials in a minute.
async fn guarded(vault: &Running) -> Running {
    let mut limits = Limits::default();
    limits.wrong_credentials_per_peer = 2;
    let pages = axum::Router::new()
        .route("/me", axum::routing::get(async || "page"))
        .route("/open", axum::routing::get(async || "page"));
    let server = desk_with_users(vault).http(pages).limits(limits);
    let server = server.allow_anonymous("http /open");
    Running::start(server.trusted_proxies(["127.0.0.1"])).await
}

/// Calls a method for the client of a proxy; without credentials if they are empty.
async fn call_from(desk: &Running, client: &str, method: &str, authorization: &str) -> Response {
    let mut lines = vec![("x-forwarded-for", client)];
    if !authorization.is_empty() {
        lines.push(("authorization", authorization));
    }
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
        // No authenticator would check them.
        ("Digest username=\"alice\"", 401),
        ("", 401),
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
    let mut raw = Raw::connect(desk.address()).await;
    let lines = [
        ("x-forwarded-for", guesser),
        ("authorization", "Bearer t-bob"),
    ];
    let page = raw.ask(request("GET", "/me", &lines, b"")).await;
    assert_eq!(page.status, 429);
    assert!(page.header("retry-after").is_some());
    let ping = call_from(&desk, guesser, "Ping", "Bearer t-foreign").await;
    assert_eq!(ping.status, 200);
}

#[tokio::test]
async fn a_guesser_is_served_without_credentials() {
    let vault = vault().await;
    let desk = guarded(&vault).await;
    let guesser = "203.0.113.7";
    for _ in 0..2 {
        let wrong = call_from(&desk, guesser, "Who", "Bearer t-foreign").await;
        assert_eq!(wrong.status, 401);
    }
    for (method, authorization, status) in [
        ("Hours", "", 200),
        ("Hours", "Bearer t-bob", 429),
        ("Hours", "Basic Ym9iOnA=", 429),
        ("Hours", "Digest username=\"bob\"", 200),
        ("Who", "", 401),
        ("Who", "Bearer t-bob", 429),
        ("Hours", "", 200),
    ] {
        let response = call_from(&desk, guesser, method, authorization).await;
        assert_eq!(response.status, status, "{method} {authorization}");
    }
    let mut raw = Raw::connect(desk.address()).await;
    for (path, authorization, status) in [
        ("/open", "", 200),
        ("/open", "Bearer t-bob", 429),
        ("/me", "", 401),
    ] {
        let lines = [
            ("x-forwarded-for", guesser),
            ("authorization", authorization),
        ];
        let lines = &lines[..if authorization.is_empty() { 1 } else { 2 }];
        let page = raw.ask(request("GET", path, lines, b"")).await;
        assert_eq!(page.status, status, "{path} {authorization}");
    }
}

/// Takes users by a number in a header, and does not say which calls have one.
struct ByNumber;

impl Authenticator for ByNumber {
    fn authenticate(&self, context: Context) -> BoxFuture<Result<Option<Principal>>> {
        let user = match context.metadata().get("x-number") {
            None => Ok(None),
            Some("7") => Ok(Some(Principal::new("seven"))),
            Some(_) => Err(Error::new(Code::Unauthenticated, "an unknown number")),
        };
        Box::pin(std::future::ready(user))
    }
}

#[tokio::test]
async fn other_authenticators_are_guarded_as_well() {
    let vault = vault().await;
    let mut limits = Limits::default();
    limits.wrong_credentials_per_peer = 2;
    let server = desk(&vault).authenticate(ByNumber).limits(limits);
    let desk = Running::start(server.allow_anonymous("users.v1.Desk/Hours")).await;
    let mut raw = Raw::connect(desk.address()).await;
    let browser = ("referer", "http://shop.test/");
    for (line, status) in [
        (("x-number", "1"), 401),
        (("x-number", "2"), 401),
        (("x-number", "7"), 429),
        (browser, 200),
        (("accept-language", "sv"), 200),
        // It may be a credential.
        (("cookie", "a=b"), 429),
    ] {
        let hours = raw
            .ask(post_with("/users.v1.Desk/Hours", &[line], "{}"))
            .await;
        assert_eq!(hours.status, status, "{line:?}");
    }
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

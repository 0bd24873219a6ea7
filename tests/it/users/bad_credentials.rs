//! Credentials that are missing, wrong or malformed, and authenticators that fail.

use rpc_runtime::authentication::Authenticator;
use rpc_runtime::middleware::BoxFuture;
use rpc_runtime::{Client, Limits};
use rpc_tests::raw::post_with;
use rpc_tests::wait::until;
use tokio::sync::Semaphore;

use super::*;

#[tokio::test]
async fn wrong_credentials_are_refused() {
    let vault = vault().await;
    let desk = Running::start(desk_with_users(&vault)).await;
    for authorization in [
        "",
        "Bearer",
        "Bearer ",
        "Bearer t-foreign",
        "Bearer a b",
        "Bearer t-alice, Bearer t-bob",
        "Basic",
        "Basic ?",
        "Basic YQ==",
        "Basic YTpi",
        "Digest username=\"alice\"",
        "t-alice",
    ] {
        let response = call(&desk, "Who", authorization, "{}").await;
        assert_eq!(
            response.error(),
            (401, "unauthenticated".to_owned()),
            "{authorization}"
        );
        let challenges: Vec<_> = response
            .headers
            .iter()
            .filter(|(name, _)| name == "www-authenticate")
            .map(|(_, value)| value.as_str())
            .collect();
        assert_eq!(
            challenges,
            ["Basic realm=\"desk\", charset=\"UTF-8\"", "Bearer"]
        );
        assert!(!response.message().contains("t-"), "{}", response.message());
        // An anonymous call is served, a wrong password is not forgotten.
        let hours = call(&desk, "Hours", authorization, "{}").await;
        let is_foreign = ["", "Digest username=\"alice\"", "t-alice"].contains(&authorization);
        assert_eq!(
            hours.status,
            if is_foreign { 200 } else { 401 },
            "{authorization}"
        );
    }
    let lines = [
        ("authorization", "Bearer t-alice"),
        ("authorization", "Bearer t-bob"),
    ];
    let mut raw = Raw::connect(desk.address()).await;
    let two = raw.ask(post_with("/users.v1.Desk/Who", &lines, "{}")).await;
    assert_eq!(two.error(), (401, "unauthenticated".to_owned()));
}

#[tokio::test]
async fn an_authenticator_that_fails_serves_no_caller() {
    let vault = vault().await;
    let desk = Running::start(desk_with_users(&vault)).await;
    for (token, code, text) in [
        (
            "t-down",
            "unavailable",
            "the store of tokens does not respond",
        ),
        ("t-panic", "internal", "internal error"),
        (
            "t-empty",
            "unauthenticated",
            "the credentials name no user: the subject is empty",
        ),
        (
            "t-huge",
            "invalid_argument",
            "its largest part is the claim `photo`",
        ),
    ] {
        let response = call(&desk, "Who", &format!("Bearer {token}"), "{}").await;
        assert_eq!(response.error().1, code, "{token}");
        assert!(response.message().contains(text), "{}", response.message());
    }
}

#[tokio::test]
async fn built_in_methods_need_no_credentials() {
    let vault = vault().await;
    let desk = Running::start(desk_with_users(&vault)).await;
    let client = DeskClient::with_client(Client::new(&desk.url()).unwrap());
    client.ping().await.unwrap();
    let response = call(&desk, "Ping", "Bearer t-foreign", "{}").await;
    assert_eq!(response.status, 200);
}

/// Waits until it gets a permit.
#[derive(Clone)]
struct Slow(Arc<(AtomicU32, Semaphore)>);

impl Authenticator for Slow {
    fn authenticate(&self, _: Context) -> BoxFuture<Result<Option<Principal>>> {
        let state = Arc::clone(&self.0);
        Box::pin(async move {
            state.0.fetch_add(1, Ordering::Relaxed);
            drop(state.1.acquire().await);
            Ok(Some(Principal::new("slow")))
        })
    }
}

#[tokio::test]
async fn authentication_takes_a_quarter_of_the_places() {
    let slow = Slow(Arc::new((AtomicU32::new(0), Semaphore::new(0))));
    let vault = vault().await;
    let mut limits = Limits::default();
    limits.running_calls = 8;
    let server = desk(&vault).authenticate(slow.clone()).limits(limits);
    let desk = Arc::new(Running::start(server).await);
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let desk = Arc::clone(&desk);
            tokio::spawn(async move { call(&desk, "Hours", "", "{}").await.status })
        })
        .collect();
    until(async || slow.0.0.load(Ordering::Relaxed) == 2).await;
    let refused = call(&desk, "Hours", "", "{}").await;
    assert_eq!(refused.error(), (503, "unavailable".to_owned()));
    slow.0.1.add_permits(2);
    for waiting in waiting {
        assert_eq!(waiting.await.unwrap(), 200);
    }
    assert_eq!(call(&desk, "Hours", "", "{}").await.status, 200);
}

//! Rate limits by role, and by the address of callers without a user.

use rpc_runtime::{Callers, RateLimit, axum};
use rpc_tests::raw::request;

use super::*;

const ALICE: &str = "Bearer t-alice";
const BOB: &str = "Bearer t-bob";

fn operators() -> Callers {
    Callers::roles(["operator"])
}

/// Checks the statuses of calls one after another, each with these credentials.
async fn check(desk: &Running, method: &str, steps: &[(&str, &[u16])]) {
    for (authorization, statuses) in steps {
        for (n, status) in statuses.iter().enumerate() {
            let response = call(desk, method, authorization, "{}").await;
            assert_eq!(response.status, *status, "{method} {authorization} {n}");
        }
    }
}

#[tokio::test]
async fn a_rate_limit_goes_by_roles() {
    let vault = vault().await;
    let server = desk_with_users(&vault)
        .rate_limit(RateLimit::per_minute(2))
        .rate_limit(RateLimit::per_minute(1).callers(operators()))
        .rate_limit(RateLimit::per_minute(3).callers(Callers::users()));
    let desk = Running::start(server).await;
    let others: &[u16] = &[200, 200, 200, 429];
    check(
        &desk,
        "Hours",
        &[
            (ALICE, &[200, 429, 429]),
            (BOB, others),
            // Each user has an allowance, and one user has one whatever the credentials.
            ("Basic YW5uOnA=", others),
            ("Basic Ym9iOnA=", &[429]),
            ("", &[200, 200, 429]),
        ],
    )
    .await;
    // The method is part of the allowance.
    check(&desk, "Who", &[(ALICE, &[200, 429]), (BOB, others)]).await;
    let refused = call(&desk, "Hours", ALICE, "{}").await;
    assert!(refused.message().contains("more often than 1 times"));
}

#[tokio::test]
async fn the_limit_of_a_method_goes_before() {
    let vault = vault().await;
    let hours = "users.v1.Desk/Hours";
    let server = desk_with_users(&vault)
        .rate_limit(RateLimit::per_minute(1).callers(operators()))
        .rate_limit(
            RateLimit::per_minute(3)
                .callers(Callers::users())
                .method(hours),
        )
        .rate_limit(RateLimit::per_minute(2).callers(operators()).method(hours));
    let desk = Running::start(server).await;
    // The first one added is for alice too.
    check(&desk, "Hours", &[(ALICE, &[200, 200, 200, 429])]).await;
    check(&desk, "Hours", &[(BOB, &[200, 200, 200, 429])]).await;
    // Nothing limits strangers here, and other users elsewhere.
    check(&desk, "Hours", &[("", &[200; 5])]).await;
    check(&desk, "Who", &[(BOB, &[200; 5]), (ALICE, &[200, 429])]).await;
}

#[tokio::test]
async fn a_plain_route_is_limited_by_roles() {
    let vault = vault().await;
    let page = || axum::routing::get(async || "page");
    let routes = axum::Router::new().route("/a", page()).route("/b", page());
    let server = desk_with_users(&vault)
        .http(routes)
        .rate_limit(
            RateLimit::per_minute(1)
                .callers(operators())
                .method("http /a"),
        )
        .rate_limit(RateLimit::per_minute(2).method("http"));
    let desk = Running::start(server).await;
    let mut raw = Raw::connect(desk.address()).await;
    for (path, user, status) in [
        ("/a", ALICE, 200),
        ("/a", ALICE, 429),
        ("/b", ALICE, 200),
        ("/b", ALICE, 200),
        ("/b", ALICE, 429),
        // All routes that no limit of the user names are one.
        ("/a", BOB, 200),
        ("/a", BOB, 200),
        ("/b", BOB, 429),
    ] {
        let lines = [("authorization", user)];
        let page = raw.ask(request("GET", path, &lines, b"")).await;
        assert_eq!(page.status, status, "{path} {user}");
    }
}

#[tokio::test]
async fn strangers_are_limited_by_their_address() {
    let vault = vault().await;
    let server = desk_with_users(&vault)
        .trusted_proxies(["127.0.0.1"])
        .rate_limit(RateLimit::per_minute(1));
    let desk = Running::start(server).await;
    let mut raw = Raw::connect(desk.address()).await;
    for (client, user, status) in [
        ("203.0.113.7", "", 200),
        ("203.0.113.7:4711", "", 429),
        ("::ffff:203.0.113.7", "", 429),
        ("203.0.113.8", "", 200),
        ("2001:db8::1", "", 200),
        ("2001:db8::2:1", "", 429),
        ("2001:db8:0:1::1", "", 200),
        // What the client writes itself does not count.
        ("203.0.113.9, 203.0.113.8", "", 429),
        // A user is not its address.
        ("203.0.113.7", BOB, 200),
        ("203.0.113.9", BOB, 429),
        ("203.0.113.9", "", 200),
    ] {
        let lines = [("x-forwarded-for", client), ("authorization", user)];
        let lines = &lines[..if user.is_empty() { 1 } else { 2 }];
        let hours = raw
            .ask(post_with("/users.v1.Desk/Hours", lines, "{}"))
            .await;
        assert_eq!(hours.status, status, "{client} {user}");
    }
}

#[tokio::test]
async fn two_limits_of_the_same_callers_are_refused() {
    let vault = vault().await;
    let of = |first: RateLimit, second: RateLimit| {
        let server = desk_with_users(&vault).rate_limit(first).rate_limit(second);
        server.into_router().map(drop)
    };
    let limit = || RateLimit::per_minute(1);
    let hours = || limit().method("users.v1.Desk/Hours");
    for (first, second) in [
        (limit(), limit()),
        (limit(), limit().callers(Callers::anyone())),
        (limit().callers(operators()), limit().callers(operators())),
        (hours().callers(operators()), hours().callers(operators())),
    ] {
        let error = of(first, second).unwrap_err();
        assert_eq!(error.code(), Code::FailedPrecondition);
        assert!(error.message().contains("the same callers"), "{error}");
    }
    of(limit(), limit().callers(operators())).unwrap();
    of(limit().callers(operators()), hours().callers(operators())).unwrap();
    of(hours(), hours().callers("web")).unwrap();
}

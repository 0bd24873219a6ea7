//! Policies and rate limits of plain routes go by the user.

use rpc_runtime::{Callers, Policy, RateLimit, axum};
use rpc_tests::raw::request;

use super::*;

async fn ask(desk: &Running, path: &str, authorization: &str) -> u16 {
    let lines = [("authorization", authorization)];
    let lines = if authorization.is_empty() {
        &[]
    } else {
        &lines[..]
    };
    let mut raw = Raw::connect(desk.address()).await;
    raw.ask(request("GET", path, lines, b"")).await.status
}

/// Returns the desk with the routes `/me`, `/admin` and `/files/{name}`.
fn with_pages(vault: &Running) -> Server {
    let page = || axum::routing::get(async || "page");
    let routes = axum::Router::new()
        .route("/me", page())
        .route("/admin", page())
        .route("/files/{name}", page());
    desk_with_users(vault).http(routes)
}

const ALICE: &str = "Bearer t-alice";
const BOB: &str = "Bearer t-bob";

#[tokio::test]
async fn a_policy_of_a_plain_route_goes_by_roles() {
    let vault = vault().await;
    let policy = Policy::new()
        .allow("http /admin", Callers::roles(["operator"]))
        .allow("http /files/{name}", Callers::users())
        .deny("http");
    let server = with_pages(&vault).allow_anonymous("http /files/{name}");
    let desk = Running::start(server.policy(policy)).await;
    for (path, user, status) in [
        ("/admin", ALICE, 200),
        ("/admin", BOB, 403),
        ("/admin", "Basic YWxpY2U6cA==", 403),
        ("/admin", "", 401),
        ("/admin", "Bearer t-eve", 401),
        ("/files/a", BOB, 200),
        // Credentials are optional there, and the policy needs a user.
        ("/files/a", "", 403),
        ("/files/a", "Bearer t-eve", 401),
        ("/me", ALICE, 403),
        ("/me", "", 401),
        ("/unknown", ALICE, 404),
    ] {
        assert_eq!(ask(&desk, path, user).await, status, "{path} {user}");
    }
}

#[tokio::test]
async fn each_user_has_an_allowance_of_a_plain_route() {
    let vault = vault().await;
    let limit = RateLimit::per_minute(2).method("http /files/{name}");
    let desk = Running::start(with_pages(&vault).rate_limit(limit)).await;
    for (path, user, statuses) in [
        ("/files/a", ALICE, [200, 200, 429]),
        // The same user by another way, and at another path of the route.
        ("/files/b", "Basic YWxpY2U6cA==", [429; 3]),
        ("/files/a", BOB, [200, 200, 429]),
        // Without a user there is no allowance to take.
        ("/files/a", "", [401; 3]),
        ("/files/a", "Bearer t-eve", [401; 3]),
        ("/me", ALICE, [200; 3]),
    ] {
        for status in statuses {
            assert_eq!(ask(&desk, path, user).await, status, "{path} {user}");
        }
    }
}

//! At an edge, a path that the application does not have is 404 for all callers.

use rpc_runtime::axum::Router;
use rpc_runtime::axum::http::StatusCode;
use rpc_runtime::axum::routing::get;
use rpc_runtime::{Callers, Policy};
use rpc_tests::raw::request;

use super::*;

async fn ask(desk: &Running, verb: &str, path: &str, authorization: &str) -> Response {
    let lines = [("authorization", authorization)];
    let lines = &lines[usize::from(authorization.is_empty())..];
    let mut raw = Raw::connect(desk.address()).await;
    raw.ask(request(verb, path, lines, b"")).await
}

const ALICE: &str = "Bearer t-alice";
const EVE: &str = "Bearer t-eve";

fn about() -> Router {
    Router::new().route("/about", get(async || "about"))
}

#[tokio::test]
async fn an_unknown_path_is_404_with_and_without_users() {
    let vault = vault().await;
    let policy = || Policy::new().allow("http /about", Callers::users());
    let servers = [
        desk_with_users(&vault).http(about()),
        desk_with_users(&vault).http(about()).policy(policy()),
        desk_with_users(&vault)
            .http(about())
            .policy(policy().deny("http")),
        // Nested, and of two routers.
        desk_with_users(&vault)
            .http(about())
            .http(Router::new().nest("/shop", about()))
            .policy(policy()),
    ];
    for server in servers {
        let desk = Running::start(server).await;
        for path in [
            "/",
            "/nothing",
            "/favicon.ico",
            "/about/x",
            "/shop/x",
            "/a?b=c",
        ] {
            for user in ["", ALICE, EVE, "Basic bWFsbG9yeTp4"] {
                let response = ask(&desk, "GET", path, user).await;
                assert_eq!(response.status, 404, "{path} {user}");
                assert_eq!(response.header("www-authenticate"), None, "{path} {user}");
            }
            assert_eq!(ask(&desk, "POST", path, "").await.status, 404, "{path}");
        }
        // What is there asks for a user, by every verb.
        for (verb, user, status) in [
            ("GET", "", 401),
            ("DELETE", "", 401),
            ("GET", EVE, 401),
            ("GET", ALICE, 200),
            ("DELETE", ALICE, 405),
        ] {
            assert_eq!(
                ask(&desk, verb, "/about", user).await.status,
                status,
                "{verb} {user}"
            );
        }
    }
}

#[tokio::test]
async fn a_policy_without_users_keeps_404_at_an_edge() {
    let server = || {
        let policy = Policy::new().allow("http /about", Callers::anyone());
        Server::new("pages").http(about()).policy(policy)
    };
    let pages = Running::start(server().trust(Trust::Edge)).await;
    assert_eq!(ask(&pages, "GET", "/nothing", "").await.status, 404);
    assert_eq!(ask(&pages, "GET", "/about", "").await.status, 200);
    // A service of the same system learns that a rule is missing.
    let internal = Running::start(server().trust(Trust::Internal)).await;
    assert_eq!(ask(&internal, "GET", "/nothing", "").await.status, 403);
}

#[tokio::test]
async fn a_fallback_of_the_application_is_for_its_users() {
    let vault = vault().await;
    let routes = about().fallback(async || (StatusCode::NOT_FOUND, "no such page"));
    let policy = Policy::new().allow("http /about", Callers::users());
    let desk = Running::start(desk_with_users(&vault).http(routes.clone())).await;
    let closed = Running::start(desk_with_users(&vault).http(routes).policy(policy)).await;
    for (server, user, status) in [
        (&desk, "", 401),
        (&desk, ALICE, 404),
        (&closed, "", 401),
        (&closed, ALICE, 403),
    ] {
        let response = ask(server, "GET", "/nothing", user).await;
        assert_eq!(response.status, status, "{user}");
        assert_eq!(response.body == b"no such page", status == 404);
    }
}

#[tokio::test]
async fn guesses_at_unknown_paths_are_counted() {
    let vault = vault().await;
    let mut limits = rpc_runtime::Limits::default();
    limits.wrong_credentials_per_peer = 3;
    let desk = Running::start(desk_with_users(&vault).http(about()).limits(limits)).await;
    for status in [404, 404, 404, 429] {
        assert_eq!(ask(&desk, "GET", "/nothing", EVE).await.status, status);
    }
}

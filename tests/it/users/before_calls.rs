//! Users that are set before the call: by HTTP layers, and by the application around a mounted
//! router.

use rpc_runtime::axum::body::Body;
use rpc_runtime::axum::http::{HeaderMap, Request, StatusCode};
use rpc_runtime::axum::middleware::{Next, from_fn};
use rpc_runtime::axum::response::{IntoResponse as _, Response};
use rpc_runtime::{Callers, Policy, RateLimit, axum};
use rpc_tests::raw::request;
use tower::ServiceExt as _;
use tower_http::auth::AsyncRequireAuthorizationLayer;

use super::*;

/// Returns the user of a session: its name, and `operator` for alice.
fn user_of(headers: &HeaderMap) -> Option<Principal> {
    let name = headers.get("x-session")?.to_str().ok()?;
    let user = Principal::new(name);
    Some(if name == "alice" {
        user.with_role("operator")
    } else {
        user
    })
}

fn refused() -> Response {
    StatusCode::IM_A_TEAPOT.into_response()
}

/// Sets the user of the context in which the layer runs.
async fn sets(request: Request<Body>, next: Next) -> Response {
    if let Some(user) = user_of(request.headers())
        && Context::current().set_principal(user).is_err()
    {
        return refused();
    }
    next.run(request).await
}

/// Runs the rest for the user.
async fn scopes(request: Request<Body>, next: Next) -> Response {
    let Some(user) = user_of(request.headers()) else {
        return next.run(request).await;
    };
    match Context::current().with_principal(user) {
        Ok(context) => context.scope(next.run(request)).await,
        Err(_) => refused(),
    }
}

/// Leaves a context in the extensions of the request.
async fn leaves(mut request: Request<Body>, next: Next) -> Response {
    if let Some(user) = user_of(request.headers()) {
        let Ok(context) = Context::current().with_principal(user) else {
            return refused();
        };
        request.extensions_mut().insert(context);
    }
    next.run(request).await
}

/// Adds the user to the extensions of the request, as layers of tower-http do.
async fn inserts(mut request: Request<Body>) -> Result<Request<Body>, Response> {
    if let Some(user) = user_of(request.headers()) {
        request.extensions_mut().insert(user);
    }
    Ok(request)
}

/// Returns the server with each kind of layer.
fn layered(server: impl Fn() -> Server) -> [(&'static str, Server); 4] {
    [
        ("sets", server().http_layer(from_fn(sets))),
        ("scopes", server().http_layer(from_fn(scopes))),
        ("leaves", server().http_layer(from_fn(leaves))),
        (
            "inserts",
            server().http_layer(AsyncRequireAuthorizationLayer::new(inserts)),
        ),
    ]
}

async fn call_as(
    desk: &Running,
    method: &str,
    session: &str,
    body: &str,
) -> rpc_tests::raw::Response {
    let lines = [("x-session", session)];
    let lines = &lines[..usize::from(!session.is_empty())];
    let mut raw = Raw::connect(desk.address()).await;
    raw.ask(post_with(&format!("/users.v1.Desk/{method}"), lines, body))
        .await
}

#[tokio::test]
async fn the_user_of_an_http_layer_reaches_handlers() {
    let vault = vault().await;
    for (layer, server) in layered(|| desk_with_users(&vault)) {
        let desk = Running::start(server).await;
        for (method, body) in [
            ("Who", "{}"),
            ("WhoDetached", "{}"),
            ("WhoKeyed", r#"{"key":"k"}"#),
        ] {
            let user = "alice [operator] ";
            let expected = serde_json::json!([user, user, user]);
            let response = call_as(&desk, method, "alice", body).await;
            assert_eq!(response.value(), (200, expected), "{layer} {method}");
        }
        // Each user has its own result of one key.
        for (user, run) in [("ada", 1), ("eve", 2), ("ada", 1)] {
            let paid = call_as(&desk, "Pay", user, r#"{"key":"k"}"#).await;
            assert_eq!(
                paid.value(),
                (200, serde_json::json!(run)),
                "{layer} {user}"
            );
        }
        // Of others the authenticators ask for credentials.
        assert_eq!(call_as(&desk, "Who", "", "{}").await.status, 401, "{layer}");
        assert_eq!(
            call(&desk, "Who", "Bearer t-bob", "{}").await.status,
            200,
            "{layer}"
        );
    }
}

#[tokio::test]
async fn rules_go_by_the_user_of_an_http_layer() {
    let vault = vault().await;
    let policy = || {
        Policy::new()
            .allow("users.v1.Desk/Who", Callers::roles(["operator"]))
            .allow("users.v1.Desk/Hours", Callers::users())
            .allow("http", Callers::roles(["operator"]))
    };
    let page = || {
        axum::Router::new().route(
            "/me",
            axum::routing::get(async || shown(Context::current().principal())),
        )
    };
    let server = || {
        let limit = RateLimit::per_minute(1).method("users.v1.Desk/Hours");
        desk_with_users(&vault)
            .policy(policy())
            .rate_limit(limit)
            .http(page())
    };
    for (layer, server) in layered(server) {
        let desk = Running::start(server).await;
        for (method, session, status) in [
            ("Who", "alice", 200),
            ("Who", "bob", 403),
            ("Hours", "bob", 200),
            ("Hours", "bob", 429),
            ("Hours", "alice", 200),
            ("Hours", "", 403),
        ] {
            let response = call_as(&desk, method, session, "{}").await;
            assert_eq!(response.status, status, "{layer} {method} {session}");
        }
        let mut raw = Raw::connect(desk.address()).await;
        let me = raw
            .ask(request("GET", "/me", &[("x-session", "alice")], b""))
            .await;
        assert_eq!(
            (me.status, &*me.body),
            (200, &b"alice [operator] "[..]),
            "{layer}"
        );
        let me = raw
            .ask(request("GET", "/me", &[("x-session", "bob")], b""))
            .await;
        assert_eq!(me.status, 403, "{layer}");
    }
}

#[tokio::test]
async fn a_user_that_is_too_large_is_refused() {
    async fn large(mut request: Request<Body>, next: Next) -> Response {
        let user = Principal::new("h").with_claim("photo", "x".repeat(3000));
        request.extensions_mut().insert(user);
        next.run(request).await
    }

    let vault = vault().await;
    let desk = Running::start(desk_with_users(&vault).http_layer(from_fn(large))).await;
    let response = call(&desk, "Who", "Bearer t-bob", "{}").await;
    assert_eq!(response.error().1, "invalid_argument");
    assert!(
        response.message().contains("photo"),
        "{}",
        response.message()
    );
}

#[tokio::test]
async fn an_application_authenticates_for_a_router() {
    async fn scoped(request: Request<Body>, next: Next) -> Response {
        // Outside of the server there is no call, and the error says so.
        let user = Principal::new("lost");
        assert!(Context::current().set_principal(user).is_err());
        next.run(request).await
    }

    let vault = vault().await;
    for server in [
        desk_with_users(&vault),
        desk_with_users(&vault).http_layer(from_fn(scopes)),
    ] {
        let router = server.into_router().unwrap();
        let app = router
            .layer(AsyncRequireAuthorizationLayer::new(inserts))
            .layer(from_fn(scoped));
        for (session, expected) in [("alice", Ok("alice [operator] ")), ("", Err(401))] {
            let mut ask = Request::post("/users.v1.Desk/Who").header("host", "localhost");
            if !session.is_empty() {
                ask = ask.header("x-session", session);
            }
            let ask = ask.header("content-type", "application/json");
            let response = app
                .clone()
                .oneshot(ask.body(Body::from("{}")).unwrap())
                .await;
            let response = response.unwrap();
            let status = response.status().as_u16();
            let body = axum::body::to_bytes(response.into_body(), 10_000)
                .await
                .unwrap();
            match expected {
                Ok(user) => {
                    let seen: serde_json::Value = serde_json::from_slice(&body).unwrap();
                    assert_eq!(
                        seen["result"],
                        serde_json::json!([user, user, user]),
                        "{seen}"
                    );
                }
                Err(expected) => assert_eq!(status, expected),
            }
        }
    }
}

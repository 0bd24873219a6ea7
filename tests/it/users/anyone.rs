//! A policy that opens a method to anyone does not open it to callers without credentials, and the
//! start says so.

use rpc_runtime::{Callers, ListenOptions, Policy, axum};

use super::*;
use crate::flags::LogBuffer;

/// Returns what the start of the desk says about rules for anyone.
async fn warnings(settings: impl FnOnce(Server) -> Server) -> Vec<String> {
    let vault = vault().await;
    let page = || axum::routing::get(async || "page");
    let routes = axum::Router::new()
        .route("/about", page())
        .route("/terms", page());
    let server = settings(desk_with_users(&vault).http(routes));
    let (logs, _guard) = LogBuffer::start();
    let desk = Running::start(server).await;
    drop(desk);
    logs.lines("allows anyone to call")
}

/// A policy that opens everything to anyone.
fn open() -> Policy {
    let methods = [
        "Who",
        "WhoDetached",
        "WhoKeyed",
        "Pay",
        "PayShared",
        "Hours",
    ];
    let methods = methods.map(|method| format!("users.v1.Desk/{method}"));
    let policy = methods.into_iter().fold(Policy::new(), |policy, method| {
        policy.allow(method, Callers::anyone())
    });
    policy
        .allow("http /about", Callers::anyone())
        .allow("http", Callers::anyone())
}

#[tokio::test]
async fn anyone_who_needs_credentials_is_a_warning() {
    let lines = warnings(|server| server.policy(open())).await;
    let [line] = &lines[..] else {
        panic!("{lines:?}");
    };
    let expected = "WARN rpc: the policy of desk allows anyone to call http, http /about, \
         users.v1.Desk/Pay, users.v1.Desk/PayShared, users.v1.Desk/Who, users.v1.Desk/WhoDetached, \
         users.v1.Desk/WhoKeyed, but callers at an edge listener need credentials: name what needs \
         none in `Server::allow_anonymous`, and allow the rest to `Callers::users()`";
    assert!(line.ends_with(expected), "{line}");
}

#[tokio::test]
async fn a_warning_names_only_what_needs_credentials() {
    let hours = || Policy::new().allow("users.v1.Desk/Hours", Callers::anyone());
    for (policy, named) in [
        (hours(), None),
        (
            hours().allow("http /about", Callers::anyone()),
            Some("http /about"),
        ),
        (hours().allow("http /about", Callers::users()), None),
        (
            hours().allow("http /about", Callers::roles(["operator"])),
            None,
        ),
        (hours().allow("users.v1.Desk/Pay", ["web", "app"]), None),
        (hours().deny("users.v1.Desk/Pay"), None),
        (hours().allow("rpc.v1.Status/Get", Callers::anyone()), None),
        (
            hours().allow("users.v1.Desk/Pay", Callers::anyone()),
            Some("users.v1.Desk/Pay"),
        ),
    ] {
        let text = format!("{policy:?}");
        let lines = warnings(|server| server.policy(policy)).await;
        let expected = named.map(|named| format!("allows anyone to call {named}, but"));
        assert_eq!(
            lines.len(),
            usize::from(named.is_some()),
            "{text}: {lines:?}"
        );
        if let Some(expected) = expected {
            assert!(lines[0].contains(&expected), "{lines:?}");
        }
    }
    // `http` covers all routes, in both settings.
    let pages = || hours().allow("http /about", Callers::anyone());
    let lines = warnings(|server| server.policy(pages()).allow_anonymous("http")).await;
    assert_eq!(lines, [""; 0]);
    // An internal listener asks for no credentials.
    let lines = warnings(|server| server.policy(open()).trust(Trust::Internal)).await;
    assert_eq!(lines, [""; 0]);
}

#[tokio::test]
async fn what_an_edge_hides_needs_no_warning() {
    for (shown, named) in [
        ("users.v1.Desk", Some("users.v1.Desk/Who")),
        (
            "http /about",
            Some("allows anyone to call http /about, but"),
        ),
        ("http /terms", None),
    ] {
        let vault = vault().await;
        let page = || axum::routing::get(async || "page");
        let routes = axum::Router::new()
            .route("/about", page())
            .route("/terms", page());
        let at = ListenOptions::edge("127.0.0.1:0").only([shown]);
        let policy = Policy::new()
            .allow("users.v1.Desk/Hours", Callers::anyone())
            .allow("users.v1.Desk/Who", Callers::anyone())
            .allow("http /about", Callers::anyone());
        let server = desk_with_users(&vault).http(routes).policy(policy);
        let (logs, _guard) = LogBuffer::start();
        drop(server.listen_with(at).bind().await.unwrap());
        let lines = logs.lines("allows anyone to call");
        assert_eq!(lines.len(), usize::from(named.is_some()), "{lines:?}");
        assert!(
            named.is_none_or(|named| lines[0].contains(named)),
            "{lines:?}"
        );
    }
}

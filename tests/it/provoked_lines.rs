//! Log lines that strangers can cause as often as they want: each is `info`, and some are counted
//! at `warn`.

use rpc_runtime::axum::Router;
use rpc_runtime::axum::http::StatusCode;
use rpc_runtime::axum::response::{IntoResponse as _, Response};
use rpc_runtime::axum::routing::get;
use rpc_runtime::prelude::*;
use rpc_runtime::{HttpAccess, Trust};
use rpc_tests::Running;
use rpc_tests::raw::{Raw, request};

use crate::call_lines::Lines;

/// A refusal because of what a dependency said.
async fn told() -> Response {
    let mut response = StatusCode::FORBIDDEN.into_response();
    let cause = Error::new(Code::FailedPrecondition, "sold out");
    response.extensions_mut().insert(cause);
    response
}

/// Returns a server with plain routes that refuse their requests.
async fn refusing(trust: Trust) -> Running {
    let routes = Router::new()
        .route("/page", get(async || StatusCode::FORBIDDEN))
        .route("/busy", get(async || StatusCode::TOO_MANY_REQUESTS))
        .route("/large", get(async || StatusCode::PAYLOAD_TOO_LARGE))
        .route("/broken", get(async || StatusCode::SERVICE_UNAVAILABLE))
        .route("/told", get(told))
        .route("/never", get(std::future::pending::<()>));
    let server = Server::new("shop").trust(trust);
    Running::start(server.http_for(HttpAccess::Public, routes)).await
}

async fn ask(server: &Running, path: &str, lines: &[(&str, &str)]) -> u16 {
    let mut raw = Raw::connect(server.address()).await;
    raw.ask(request("GET", path, lines, b"")).await.status
}

#[tokio::test]
async fn refusals_of_plain_routes_are_counted() {
    let edge = refusing(Trust::Edge).await;
    for (path, status, code, text) in [
        (
            "/page",
            403,
            "permission_denied",
            "an untrusted caller refused with 403",
        ),
        (
            "/busy",
            429,
            "resource_exhausted",
            "an untrusted caller refused with 429",
        ),
        (
            "/large",
            413,
            "resource_exhausted",
            "above a limit of size refused",
        ),
    ] {
        let lines = Lines::start();
        let mut sent = 0;
        // The count is that of the process, in which other tests send such requests too.
        while sent < 6 || lines.counted.lock().unwrap().is_empty() {
            assert_eq!(ask(&edge, path, &[]).await, status);
            sent += 1;
            assert!(sent < 10_000, "none of them is a warning");
        }
        assert_eq!(lines.shown(), vec![format!("INFO shop {code}"); sent]);
        for line in &*lines.counted.lock().unwrap() {
            assert!(line.contains(text), "{line}");
        }
    }
}

#[tokio::test]
async fn other_failures_of_plain_routes_stay_warnings() {
    let edge = refusing(Trust::Edge).await;
    for (path, status, code) in [
        ("/told", 403, "permission_denied"),
        ("/broken", 503, "unavailable"),
    ] {
        let lines = Lines::start();
        assert_eq!(ask(&edge, path, &[]).await, status);
        assert_eq!(lines.shown(), [format!("WARN shop {code}")]);
    }
    // Callers that are trusted are no strangers.
    let internal = refusing(Trust::Internal).await;
    for (path, code) in [
        ("/page", "permission_denied"),
        ("/busy", "resource_exhausted"),
    ] {
        let lines = Lines::start();
        ask(&internal, path, &[]).await;
        assert_eq!(lines.shown(), [format!("WARN shop {code}")]);
    }
}

#[tokio::test]
async fn a_strangers_own_deadline_is_no_warning() {
    let edge = refusing(Trust::Edge).await;
    for timeout in ["0", "1", "20"] {
        let lines = Lines::start();
        let status = ask(&edge, "/never", &[("connect-timeout-ms", timeout)]).await;
        assert_eq!(status, 504, "{timeout}");
        assert_eq!(lines.shown(), ["INFO shop deadline_exceeded"], "{timeout}");
    }
}

//! Log lines that strangers can cause as often as they want: each is `info`, and some are counted
//! at `warn`.

use rpc_runtime::axum::Router;
use rpc_runtime::axum::http::StatusCode;
use rpc_runtime::axum::response::{IntoResponse as _, Response};
use rpc_runtime::axum::routing::get;
use rpc_runtime::prelude::*;
use rpc_runtime::{Callers, HttpAccess, Policy, RateLimit, Trust};
use rpc_tests::Running;
use rpc_tests::raw::{Raw, post_with, request};

use crate::call_lines::Lines;

/// Refuses as services refuse customers.
#[rpc_service(package = "provoked.v1")]
trait Till {
    /// Fails with this code.
    async fn fail(&self, code: u8) -> Result<()>;
    async fn pay(&self, #[rpc(idempotency_key(shared))] key: &str, amount: u8) -> Result<u8>;
    /// Denied to all callers.
    async fn close(&self) -> Result<()>;
    /// Once in a minute.
    async fn coupon(&self) -> Result<()>;
}

struct Cash;

impl Till for Cash {
    async fn fail(&self, code: u8) -> Result<()> {
        fail!(Code::from_number(code).unwrap(), "not like this")
    }

    async fn pay(&self, _key: &str, amount: u8) -> Result<u8> {
        Ok(amount)
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }

    async fn coupon(&self) -> Result<()> {
        Ok(())
    }
}

async fn till(trust: Trust) -> Running {
    let methods = ["Fail", "Pay", "Coupon"].map(|method| format!("provoked.v1.Till/{method}"));
    let policy = methods.into_iter().fold(Policy::new(), |policy, method| {
        policy.allow(method, Callers::anyone())
    });
    let coupons = RateLimit::per_minute(1).method("provoked.v1.Till/Coupon");
    let server = Server::new("till").trust(trust).add(TillServer::new(Cash));
    let server = server.policy(policy.deny("provoked.v1.Till/Close"));
    Running::start(server.rate_limit(coupons)).await
}

async fn call(server: &Running, method: &str, body: &str) -> u16 {
    let mut raw = Raw::connect(server.address()).await;
    let target = format!("/provoked.v1.Till/{method}");
    raw.ask(post_with(&target, &[], body)).await.status
}

/// The calls that customers get refused, with status and code.
const REFUSALS: [(&str, &str, u16, &str); 6] = [
    ("Close", "{}", 403, "permission_denied"),
    ("Fail", r#"{"code":7}"#, 403, "permission_denied"),
    ("Fail", r#"{"code":9}"#, 400, "failed_precondition"),
    ("Fail", r#"{"code":10}"#, 409, "aborted"),
    ("Fail", r#"{"code":11}"#, 400, "out_of_range"),
    ("Coupon", "{}", 429, "resource_exhausted"),
];

#[tokio::test]
async fn refusals_of_customers_are_counted() {
    let edge = till(Trust::Edge).await;
    assert_eq!(call(&edge, "Coupon", "{}").await, 200);
    for (method, body, status, code) in REFUSALS {
        let lines = Lines::start();
        let mut sent = 0;
        // The count is that of the process, in which other tests send such requests too.
        while sent < 3 || lines.counted.lock().unwrap().is_empty() {
            assert_eq!(call(&edge, method, body).await, status, "{method} {code}");
            sent += 1;
            assert!(sent < 10_000, "none of them is a warning");
        }
        assert_eq!(lines.shown(), vec![format!("INFO till {code}"); sent]);
    }
    let lines = Lines::start();
    for (amount, status) in [(1, 200), (2, 409), (3, 409)] {
        let body = format!(r#"{{"key":"k","amount":{amount}}}"#);
        assert_eq!(call(&edge, "Pay", &body).await, status);
    }
    let shown = lines.shown();
    assert!(
        shown.len() == 3 && shown.iter().all(|line| line.starts_with("INFO ")),
        "{shown:?}"
    );
}

#[tokio::test]
async fn refusals_of_trusted_callers_stay_warnings() {
    let internal = till(Trust::Internal).await;
    assert_eq!(call(&internal, "Coupon", "{}").await, 200);
    for (method, body, status, code) in REFUSALS {
        let lines = Lines::start();
        assert_eq!(
            call(&internal, method, body).await,
            status,
            "{method} {code}"
        );
        assert_eq!(lines.shown(), [format!("WARN till {code}")]);
    }
    // What an operator should see of an edge.
    let edge = till(Trust::Edge).await;
    for (number, level, code) in [(14, "WARN", "unavailable"), (13, "ERROR", "internal")] {
        let lines = Lines::start();
        call(&edge, "Fail", &format!(r#"{{"code":{number}}}"#)).await;
        assert_eq!(lines.shown(), [format!("{level} till {code}")]);
    }
}

#[tokio::test]
async fn a_policy_denies_plain_routes_at_info() {
    for (trust, level) in [(Trust::Edge, "INFO"), (Trust::Internal, "WARN")] {
        let routes = Router::new()
            .route("/open", get(async || ""))
            .route("/admin", get(async || ""));
        let policy = Policy::new().allow("http /open", Callers::anyone());
        let server = Server::new("shop").trust(trust).policy(policy);
        let server = server.http_for(HttpAccess::Public, routes);
        let limit = RateLimit::per_minute(1).method("http /open");
        let shop = Running::start(server.rate_limit(limit)).await;
        let lines = Lines::start();
        for (path, status) in [("/admin", 403), ("/open", 200), ("/open", 429)] {
            assert_eq!(ask(&shop, path, &[]).await, status, "{path}");
        }
        let expected = [
            format!("{level} shop permission_denied"),
            "INFO shop ok".to_owned(),
            format!("{level} shop resource_exhausted"),
        ];
        assert_eq!(lines.shown(), expected);
    }
}

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

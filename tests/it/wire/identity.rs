use rpc_runtime::Trust;
use rpc_tests::raw::{Response, post, post_with, request};

use super::{HandlerContext, start, start_with};

const NEXT: &str = "/wire.v1.Wire/Next";
const SEEN: &str = "/wire.v1.Wire/Seen";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

const CONTEXT: [(&str, &str); 8] = [
    ("X-Request-Id", "r-1"),
    ("Traceparent", PARENT),
    ("Tracestate", "a=b"),
    ("Baggage", "tenant=blue,cohort=7"),
    ("X-Rpc-Source", "gatekeeper@dev/1"),
    ("X-Rpc-Environment", "dev"),
    ("X-Rpc-Hops", "3"),
    ("X-Rpc-Attempt", "2"),
];

fn seen(response: &Response) -> HandlerContext {
    serde_json::from_value(response.json()["result"].clone()).unwrap()
}

#[tokio::test]
async fn an_internal_listener_carries_the_context_on() {
    let wired = start().await;
    let response = wired
        .connect()
        .await
        .ask(post_with(SEEN, &CONTEXT, "{}"))
        .await;
    assert_eq!(response.header("x-request-id"), Some("r-1"));
    let seen = seen(&response);
    assert_eq!(
        (seen.request_id.as_str(), seen.client_request_id),
        ("r-1", None)
    );
    assert_eq!(seen.source.as_deref(), Some("gatekeeper@dev/1"));
    assert_eq!(seen.environment.as_deref(), Some("dev"));
    assert_eq!(
        (seen.baggage, seen.trace, seen.trace_link),
        (2, true, false)
    );
    assert_eq!((seen.hops, seen.attempt), (3, 2));
}

#[tokio::test]
async fn an_edge_trusts_no_context() {
    let wired = start_with(Trust::Edge, |_| ()).await;
    let response = wired
        .connect()
        .await
        .ask(post_with(SEEN, &CONTEXT, "{}"))
        .await;
    let seen = seen(&response);
    assert_eq!(
        response.header("x-request-id"),
        Some(seen.request_id.as_str())
    );
    assert_ne!(seen.request_id, "r-1");
    assert_eq!(seen.client_request_id.as_deref(), Some("r-1"));
    assert_eq!(seen.source, None);
    assert_eq!(seen.environment.as_deref(), Some("prod"));
    assert_eq!(
        (seen.baggage, seen.trace, seen.trace_link),
        (0, false, true)
    );
    assert_eq!((seen.hops, seen.attempt), (0, 1));
    // Headers that a trusting server would reject as malformed are ignored here.
    let response = wired
        .connect()
        .await
        .ask(post_with(NEXT, &[("X-Rpc-Hops", "17")], r#"{"n":3}"#))
        .await;
    assert_eq!(response.status, 200);
}

#[tokio::test]
async fn an_edge_error_hides_internal_details() {
    for trust in [Trust::Edge, Trust::Internal] {
        let wired = start_with(trust, |_| ()).await;
        let response = wired
            .connect()
            .await
            .ask(post_with(
                "/wire.v1.Wire/Fails",
                &[("x-rpc-accept", "error-chain")],
                r#"{"message":"no such thing"}"#,
            ))
            .await;
        assert_eq!(
            (response.error(), response.message()),
            ((404, "not_found".to_owned()), "no such thing".to_owned())
        );
        let body = response.json();
        let details: Vec<_> = body["details"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|detail| &detail["type"])
            .collect();
        let expected: &[&str] = match trust {
            Trust::Edge => &[],
            _ => &["rpc.v1.HopChain"],
        };
        assert_eq!(details, expected);
        assert!(response.header("x-request-id").is_some());
        assert_eq!(
            body.to_string().contains("wire@prod"),
            trust == Trust::Internal
        );
    }
}

#[tokio::test]
async fn a_request_over_the_hop_limit_is_rejected() {
    let wired = start().await;
    let mut raw = wired.connect().await;
    for (hops, status) in [
        ("16", 200),
        ("17", 400),
        ("4294967295", 400),
        ("99999999999", 400),
        ("-1", 400),
        ("x", 400),
    ] {
        let response = raw
            .ask(post_with(NEXT, &[("X-Rpc-Hops", hops)], r#"{"n":3}"#))
            .await;
        assert_eq!(response.status, status, "{hops}");
    }
    let response = raw
        .ask(post_with(NEXT, &[("X-Rpc-Hops", "17")], r#"{"n":3}"#))
        .await;
    assert_eq!(response.error().1, "failed_precondition");
    assert!(response.message().contains("loop detected"));
    assert_eq!(wired.runs(), 1);
}

#[tokio::test]
async fn an_invalid_request_id_is_replaced() {
    let long = "a".repeat(10 << 10);
    let id = |value| ("X-Request-Id", value);
    let bad: [&[(&str, &str)]; 9] = [
        &[id("")],
        &[id("a b")],
        &[id("\"quoted\"")],
        &[id("<script>alert(1)</script>")],
        &[id("é")],
        &[id("a\tb")],
        &[id(&long)],
        &[id("one"), id("two")],
        &[id("same"), id("same")],
    ];
    for trust in [Trust::Internal, Trust::Edge] {
        let wired = start_with(trust, |_| ()).await;
        let mut raw = wired.connect().await;
        for lines in bad {
            let response = raw.ask(post_with(SEEN, lines, "{}")).await;
            let fresh = response.header("x-request-id").unwrap();
            assert_eq!(fresh.len(), 16, "{response:?}");
            assert_eq!(
                (
                    seen(&response).request_id.as_str(),
                    seen(&response).client_request_id
                ),
                (fresh, None)
            );
        }
        // The HTTP client cannot send these as a header.
        for value in ["a\0b", "\x1b[31m", "a\rb"] {
            let mut raw = wired.connect().await;
            let response = raw.ask(post_with(SEEN, &[id(value)], "{}")).await;
            assert_eq!(
                response.error(),
                (400, "invalid_argument".to_owned()),
                "{value:?}"
            );
        }
    }
}

#[tokio::test]
async fn every_response_has_the_id_of_its_request() {
    let wired = start().await;
    let mut raw = wired.connect().await;
    let id = ("X-Request-Id", "r-1");
    let json = ("Content-Type", "application/json");
    for (status, request) in [
        (200, post_with(NEXT, &[id], r#"{"n":3}"#)),
        (
            404,
            post_with("/wire.v1.Wire/Fails", &[id], r#"{"message":"x"}"#),
        ),
        (500, post_with("/wire.v1.Wire/Panics", &[id], "{}")),
        (404, request("POST", "/x", &[id, json], b"{}")),
        (405, request("PUT", NEXT, &[id, json], b"{}")),
        (415, request("POST", NEXT, &[id], b"{}")),
        (
            414,
            request(
                "POST",
                &format!("/{}", "x".repeat(9000)),
                &[id, json],
                b"{}",
            ),
        ),
        (400, post_with(NEXT, &[id], "{")),
        (
            400,
            post_with(NEXT, &[id, ("Host", "localhost")], r#"{"n":3}"#),
        ),
        (
            501,
            post_with(NEXT, &[id, ("Content-Encoding", "br")], "{}"),
        ),
        (
            504,
            post_with(NEXT, &[id, ("Connect-Timeout-Ms", "0")], "{}"),
        ),
    ] {
        let response = raw.ask(request).await;
        assert_eq!(
            (response.status, response.header("x-request-id")),
            (status, Some("r-1"))
        );
    }
}

#[tokio::test]
async fn a_handler_cannot_split_its_response() {
    let wired = start().await;
    let mut raw = wired.connect().await;
    for (name, value) in [
        ("x-a", r"1\r\nx-evil: 1"),
        ("x-a", r"1\nx"),
        (r"x-a\r\nx-evil", "1"),
        ("x-a", r"\u0000"),
        ("Content-Length", "0"),
        ("x-request-id", "evil"),
    ] {
        let response = raw
            .ask(post(
                "/wire.v1.Wire/Header",
                format!(r#"{{"name":"{name}","value":"{value}"}}"#),
            ))
            .await;
        assert_eq!(
            response.error(),
            (500, "internal".to_owned()),
            "{name}: {value}"
        );
        assert_eq!(response.header("x-evil"), None);
    }
    let response = raw
        .ask(post(
            "/wire.v1.Wire/Header",
            r#"{"name":"x-a","value":"1 and 2"}"#,
        ))
        .await;
    assert_eq!(
        (
            response.status,
            response.header("x-a"),
            response.header("trailer-x-a")
        ),
        (200, Some("1 and 2"), Some("1 and 2"))
    );
    let response = raw
        .ask(post(
            "/wire.v1.Wire/Fails",
            r#"{"message":"a\r\nx-evil: 1\u0000é"}"#,
        ))
        .await;
    assert_eq!(
        (response.error().0, response.message()),
        (404, "a\r\nx-evil: 1\0é".to_owned())
    );
    assert_eq!(response.header("x-evil"), None);
}

#[tokio::test]
async fn a_handler_sees_the_headers_of_applications_only() {
    let wired = start().await;
    let lines = [
        ("X-Tenant", "blue"),
        ("Authorization", "Bearer x"),
        ("X-Tenant", "green"),
        ("Cookie", "a=b"),
        ("Accept", "*/*"),
        ("User-Agent", "me"),
        ("X-Rpc-New", "1"),
        ("X-Latin", "é"),
    ];
    let seen = seen(
        &wired
            .connect()
            .await
            .ask(post_with(SEEN, &lines, "{}"))
            .await,
    );
    let names: Vec<_> = seen
        .metadata
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    assert_eq!(
        names,
        [
            "x-tenant=blue",
            "x-tenant=green",
            "authorization=Bearer x",
            "cookie=a=b"
        ]
    );
}

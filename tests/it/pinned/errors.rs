use std::fmt::Write as _;

use rpc_runtime::{Server, Trust};
use rpc_tests::Running;
use rpc_tests::raw::{Raw, Response, post_with, request};

use super::origin::{Cash, TillClient, TillServer};
use super::{expect, mask};

fn server(next: Option<TillClient>) -> Server {
    Server::new("till")
        .environment("dev")
        .instance("a1")
        .add(TillServer::new(Cash(next)))
}

/// Formats status, headers and body; masks the time of the response and the request id that an edge
/// makes.
fn shown(response: &Response, text_may_change: bool) -> String {
    let mut shown = format!("{}\n", response.status);
    for (name, value) in &response.headers {
        let value = match name.as_str() {
            "date" | "content-length" => "…",
            "x-request-id" if value != "r-1" => "…",
            _ => value,
        };
        writeln!(shown, "{name}: {value}").unwrap();
    }
    let body = String::from_utf8(response.body.clone()).unwrap();
    let body = if text_may_change {
        // The text also occurs in the details.
        let (body, _) = body.split_once(",\"details\"").unwrap_or((&body, ""));
        mask(body, "message")
    } else {
        body
    };
    shown + &body + "\n\n"
}

async fn answers(trust: Trust) -> String {
    let back = Running::start(server(None)).await;
    let next = TillClient::connect(&back.url()).unwrap();
    let running = Running::start(server(Some(next)).trust(trust)).await;
    let mut raw = Raw::connect(running.address()).await;
    let id = [("X-Request-Id", "r-1")];
    let mut all = String::new();
    for method in ["Typed", "Rich", "Internal", "Relay"] {
        let path = format!("/pinned.v1.Till/{method}");
        let response = raw.ask(post_with(&path, &id, "{}")).await;
        let text = shown(&response, false);
        // The id made by an edge also occurs in a detail.
        let text = match trust {
            Trust::Edge => hide_ids(&text),
            _ => text,
        };
        all += &format!("== {method} {text}");
    }
    for (name, request) in [
        ("bad JSON", post_with("/pinned.v1.Till/Typed", &id, "[")),
        ("unknown path", post_with("/pinned.v1.Till/None", &id, "{}")),
        (
            "wrong verb",
            request("PUT", "/pinned.v1.Till/Typed", &id, b""),
        ),
        (
            "wrong content type",
            request(
                "POST",
                "/pinned.v1.Till/Typed",
                &[("Content-Type", "text/html"), id[0]],
                b"x",
            ),
        ),
    ] {
        all += &format!("== {name} {}", shown(&raw.ask(request).await, true));
    }
    all
}

/// Masks `google.rpc.RequestInfo`.
fn hide_ids(text: &str) -> String {
    let name = r#"{"type":"google.rpc.RequestInfo","#;
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(name) {
        let end = after.find("}}").unwrap();
        let detail = mask(&mask(&after[..end], "value"), "requestId");
        out += &format!("{before}{name}{detail}");
        rest = &after[end..];
    }
    out + rest
}

#[tokio::test]
async fn errors_for_services() {
    expect("errors_internal.txt", &answers(Trust::Internal).await);
}

#[tokio::test]
async fn errors_at_an_edge() {
    expect("errors_edge.txt", &answers(Trust::Edge).await);
}

#[tokio::test]
async fn codes_and_their_http_status() {
    let mut table = String::new();
    for code in rpc_runtime::Code::all() {
        writeln!(table, "{code} {}", code.http_status()).unwrap();
    }
    expect("codes.txt", &table);
}

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

/// Formats status, headers and body; masks the time of the response and the request ID that an edge
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

async fn answers(trust: Trust, headers: &[(&str, &str)]) -> String {
    let back = Running::start(server(None)).await;
    let next = TillClient::connect(&back.url()).unwrap();
    let running = Running::start(server(Some(next)).trust(trust)).await;
    let mut raw = Raw::connect(running.address()).await;
    let id = [&[("X-Request-Id", "r-1")], headers].concat();
    let mut all = String::new();
    for method in ["Typed", "Rich", "Internal", "Relay"] {
        let path = format!("/pinned.v1.Till/{method}");
        let response = raw.ask(post_with(&path, &id, "{}")).await;
        let text = shown(&response, false);
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
                &[&[("Content-Type", "text/html")], &id[..]].concat(),
                b"x",
            ),
        ),
    ] {
        all += &format!("== {name} {}", shown(&raw.ask(request).await, true));
    }
    all
}

#[tokio::test]
async fn errors_for_services() {
    let asks = [("x-rpc-accept", "error-chain")];
    expect(
        "errors_internal.txt",
        &answers(Trust::Internal, &asks).await,
    );
}

#[tokio::test]
async fn errors_at_an_edge() {
    for headers in [&[][..], &[("x-rpc-accept", "error-chain")]] {
        expect("errors_edge.txt", &answers(Trust::Edge, headers).await);
    }
}

#[tokio::test]
async fn services_that_do_not_ask_get_what_an_edge_sends() {
    for headers in [&[][..], &[("x-rpc-accept", "other")]] {
        let answers = answers(Trust::Internal, headers).await;
        let hidden = answers.replace("x-request-id: r-1", "x-request-id: …");
        expect("errors_edge.txt", &hidden);
    }
}

#[tokio::test]
async fn codes_and_their_http_status() {
    let mut table = String::new();
    for code in rpc_runtime::Code::all() {
        writeln!(table, "{code} {}", code.http_status()).unwrap();
    }
    expect("codes.txt", &table);
}

use rpc_runtime::{Limits, Server};
use rpc_tests::Running;
use rpc_tests::raw::{Raw, Response, request};
use serde_json::{Value, json};

use super::{Service, StreamsServer};

const COUNT: &str = "/test.v1.Streams/Count";
const SUM: &str = "/test.v1.Streams/Sum";
const JSON: (&str, &str) = ("Content-Type", "application/connect+json");

async fn start() -> Running {
    let mut limits = Limits::default();
    limits.message_bytes = 1024;
    let server = Server::new("streams").limits(limits);
    Running::start(server.add(StreamsServer::new(Service::default()))).await
}

fn envelope(flags: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&[flags], &length[..], payload].concat()
}

/// Splits a response into its envelopes.
fn envelopes(response: &Response) -> Vec<(u8, Value)> {
    let mut rest = &response.body[..];
    let mut found = Vec::new();
    while let [flags, a, b, c, d, after @ ..] = rest {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        let (payload, after) = after.split_at(length);
        found.push((*flags, serde_json::from_slice(payload).unwrap()));
        rest = after;
    }
    assert!(rest.is_empty(), "{rest:?}");
    found
}

/// Returns the code at the end of a stream without messages.
fn code(response: &Response) -> String {
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(response.header("content-type"), Some(JSON.1));
    let found = envelopes(response);
    let [(2, end)] = &found[..] else {
        panic!("{found:?}");
    };
    end["error"]["code"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_response_stream_on_the_wire() {
    let running = start().await;
    let mut raw = Raw::connect(running.address()).await;
    for _ in 0..2 {
        // On one connection.
        let body = envelope(0, br#"{"end": 2}"#);
        let response = raw.ask(request("POST", COUNT, &[JSON], &body)).await;
        assert_eq!(response.header("x-end"), Some("2"));
        let expected = [
            (0, json!(0)),
            (0, json!(1)),
            (2, json!({"metadata": {"x-sent": ["2"]}})),
        ];
        assert_eq!(envelopes(&response), expected);
    }
    running.stop().await;
}

#[tokio::test]
async fn a_request_stream_on_the_wire() {
    let running = start().await;
    let mut raw = Raw::connect(running.address()).await;
    for (body, sum) in [
        (Vec::new(), 0),
        (envelope(0, b"5"), 5),
        ([envelope(0, b"5"), envelope(0, b" 7 ")].concat(), 12),
    ] {
        let response = raw.ask(request("POST", SUM, &[JSON], &body)).await;
        let expected = [(0, json!({"result": sum})), (2, json!({}))];
        assert_eq!(envelopes(&response), expected);
    }
    running.stop().await;
}

#[tokio::test]
async fn invalid_envelopes_end_the_stream_with_their_code() {
    let running = start().await;
    let one = envelope(0, br#"{"end": 1}"#);
    let large = envelope(0, &[b' '; 1025]);
    for (what, body, unary, stream) in [
        ("no message", Vec::new(), "unimplemented", ""),
        (
            "two messages",
            [one.clone(), one.clone()].concat(),
            "unimplemented",
            "",
        ),
        ("no head", vec![0], "invalid_argument", "invalid_argument"),
        (
            "half a head",
            vec![0, 0, 0, 0],
            "invalid_argument",
            "invalid_argument",
        ),
        (
            "cut off",
            one[..9].to_vec(),
            "invalid_argument",
            "invalid_argument",
        ),
        (
            "4 GiB",
            vec![0, 255, 255, 255, 255],
            "resource_exhausted",
            "resource_exhausted",
        ),
        (
            "too large",
            large,
            "resource_exhausted",
            "resource_exhausted",
        ),
        (
            "an unknown flag",
            envelope(0x80, b"1"),
            "invalid_argument",
            "invalid_argument",
        ),
        (
            "two flags",
            envelope(5, b"1"),
            "invalid_argument",
            "invalid_argument",
        ),
        ("compressed", envelope(1, b"1"), "internal", "internal"),
        (
            "the end flag",
            envelope(2, b"{}"),
            "invalid_argument",
            "invalid_argument",
        ),
        (
            "no JSON",
            envelope(0, b"{"),
            "invalid_argument",
            "invalid_argument",
        ),
        (
            "another type",
            envelope(0, br#""x""#),
            "invalid_argument",
            "invalid_argument",
        ),
    ] {
        let mut raw = Raw::connect(running.address()).await;
        let response = raw.ask(request("POST", COUNT, &[JSON], &body)).await;
        assert_eq!(code(&response), unary, "{what}: {response:?}");
        if !stream.is_empty() {
            let mut raw = Raw::connect(running.address()).await;
            let response = raw.ask(request("POST", SUM, &[JSON], &body)).await;
            assert_eq!(code(&response), stream, "{what}: {response:?}");
        }
    }
    running.stop().await;
}

#[tokio::test]
async fn heads_of_streams_are_checked() {
    let running = start().await;
    let body = envelope(0, br#"{"end": 1}"#);
    for path in [COUNT, SUM] {
        let mut raw = Raw::connect(running.address()).await;
        for kind in [
            "application/json",
            "application/connect+proto",
            "text/plain",
        ] {
            let line = ("Content-Type", kind);
            let response = raw.ask(request("POST", path, &[line], &body)).await;
            assert_eq!(response.status, 415, "{kind}");
            assert_eq!(response.header("accept-post"), Some(JSON.1));
        }
        let response = raw.ask(request("GET", path, &[], b"")).await;
        assert_eq!(response.status, 405);
        assert_eq!(response.header("allow"), Some("POST"));
        for (name, value, expected) in [
            ("Connect-Content-Encoding", "br", "unimplemented"),
            ("Connect-Timeout-Ms", "x", "invalid_argument"),
            ("Connect-Timeout-Ms", "0", "deadline_exceeded"),
            ("Connect-Protocol-Version", "2", "invalid_argument"),
        ] {
            let lines = [JSON, (name, value)];
            let response = raw.ask(request("POST", path, &lines, &body)).await;
            assert_eq!(code(&response), expected, "{name}: {value}");
        }
    }
    // And the reverse.
    let mut raw = Raw::connect(running.address()).await;
    let response = raw
        .ask(request("POST", "/test.v1.Streams/Ping", &[JSON], &body))
        .await;
    assert_eq!(response.status, 415);
    running.stop().await;
}

#[tokio::test]
async fn incomplete_messages_count_against_the_memory() {
    let mut limits = Limits::default();
    limits.message_bytes = 64 << 10;
    limits.buffered_bytes = 256 << 10;
    let server = Server::new("streams").limits(limits);
    let server = server.add(StreamsServer::new(Service::default()));
    let running = Running::start(server).await;
    // Each lacks its last byte, so none of them gets another response.
    let mut incomplete = request("POST", SUM, &[JSON], &envelope(0, &[b' '; 60 << 10]));
    incomplete.pop();
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let (address, incomplete) = (running.address(), incomplete.clone());
        asking.spawn(async move { Raw::connect(address).await.ask(incomplete).await });
    }
    let refused = asking.join_next().await.unwrap().unwrap();
    assert_eq!(code(&refused), "resource_exhausted");
    asking.shutdown().await;
    running.stop().await;
}

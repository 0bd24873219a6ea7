//! Requests to the shop with a body: one that is broken or not complete buys nothing.

use rpc_tests::raw::{Raw, Response};

use crate::system::{LOGIN, System, text};

/// Returns a request for the tenth number with these headers and this body, as they are.
fn request(verb: &str, lines: &str, body: &str) -> String {
    let (name, login) = LOGIN;
    format!("{verb} /10 HTTP/1.1\r\nhost: a\r\n{name}: {login}\r\n{lines}\r\n{body}")
}

async fn ask(system: &System, bytes: &str) -> Response {
    Raw::connect(system.gatekeeper.address())
        .await
        .ask(bytes)
        .await
}

/// Sends the beginning of a request, and returns the status of the response, if there is one.
async fn break_off(system: &System, bytes: &str) -> Option<u16> {
    let mut raw = Raw::connect(system.gatekeeper.address()).await;
    raw.send(bytes).await.unwrap();
    raw.half_close().await;
    raw.try_response().await.ok().map(|answer| answer.status)
}

const CHUNKED: &str = "transfer-encoding: chunked\r\n";

#[tokio::test]
async fn a_broken_body_is_refused_and_costs_nothing() {
    let system = System::start(4).await;
    let json = "content-type: application/json\r\ncontent-length: 5\r\n";
    for (lines, body) in [
        // Invalid chunk sizes and ends.
        (CHUNKED, "zz\r\nabc\r\n0\r\n\r\n"),
        (CHUNKED, "-3\r\nabc\r\n0\r\n\r\n"),
        (CHUNKED, "3\r\nabcd\r\n0\r\n\r\n"),
        (CHUNKED, "ffffffffffffffffff\r\nabc"),
        // Not what its type promises.
        (json, "{\"n\":"),
        (json, "10 10"),
        (
            "content-type: application/vnd.a+json; charset=utf-8\r\ncontent-length: 1\r\n",
            "{",
        ),
        (
            "content-type: application/json\r\ncontent-length: 14\r\n",
            r#"{"a":"\ud800"}"#,
        ),
        (
            "content-type: text/plain\r\ncontent-type: application/json\r\ncontent-length: 1\r\n",
            "{",
        ),
    ] {
        for verb in ["POST", "GET"] {
            let answer = ask(&system, &request(verb, lines, body)).await;
            assert_eq!(answer.status, 400, "{verb} {lines}{body}: {answer:?}");
        }
    }
    let answer = ask(&system, &request("POST", CHUNKED, "zz\r\n")).await;
    let words = "Error: the request body is broken or ends too early; this route needs no body";
    assert_eq!(text(&answer), (400, words.to_owned()));
    assert_eq!(
        (system.bank.credit(), system.bank.states()),
        (4, Vec::new())
    );
}

#[tokio::test]
async fn an_unfinished_body_costs_nothing() {
    let system = System::start(4).await;
    for (lines, body) in [
        // It ends before its length.
        ("content-length: 10\r\n", "abc"),
        ("content-length: 1\r\n", ""),
        // It ends before its last chunk, and within a chunk.
        (CHUNKED, ""),
        (CHUNKED, "3\r\nabc\r\n"),
        (CHUNKED, "a\r\nabc"),
        (CHUNKED, "0\r\n"),
    ] {
        for verb in ["POST", "GET"] {
            let status = break_off(&system, &request(verb, lines, body)).await;
            // A caller that has closed its side may get no response.
            assert!(
                matches!(status, None | Some(400)),
                "{verb} {lines}{body}: {status:?}"
            );
        }
    }
    assert_eq!(
        (system.bank.credit(), system.bank.states()),
        (4, Vec::new())
    );
}

#[tokio::test]
async fn a_complete_body_is_ignored() {
    let system = System::start(10).await;
    let long = "x".repeat(64 << 10);
    let length = format!("content-length: {}\r\n", long.len());
    for (lines, body) in [
        ("content-length: 0\r\n", ""),
        ("content-length: 3\r\n", "n=7"),
        (
            "content-type: application/json\r\ncontent-length: 0\r\n",
            "",
        ),
        (
            "content-type: application/json\r\ncontent-length: 7\r\n",
            "{\"n\":7}",
        ),
        (CHUNKED, "3\r\nabc\r\n0\r\n\r\n"),
    ] {
        let answer = ask(&system, &request("POST", lines, body)).await;
        assert_eq!(text(&answer), (200, "55".to_owned()), "{lines}{body}");
    }
    assert_eq!(system.bank.credit(), 0);
    system.bank.add_user("username", 2);
    let answer = ask(&system, &request("POST", &length, &long)).await;
    assert_eq!(text(&answer), (200, "55".to_owned()));
}

#[tokio::test]
async fn a_body_that_is_too_large_costs_nothing() {
    let system = System::start(4).await;
    let long = "x".repeat((64 << 10) + 1);
    let length = format!("content-length: {}\r\n", long.len());
    let answer = ask(&system, &request("POST", &length, &long)).await;
    assert_eq!(answer.status, 413, "{answer:?}");
    assert_eq!(
        (system.bank.credit(), system.bank.states()),
        (4, Vec::new())
    );
}

#[tokio::test]
async fn the_body_is_read_after_the_login() {
    let system = System::start(4).await;
    // Without an end of the body: a caller without login, and one with an invalid number, do not
    // have to send it.
    for (path, login, status) in [("/10", "", 401), ("/x", "dXNlcm5hbWU6cGFzc3dvcmQ=", 400)] {
        let mut raw = Raw::connect(system.gatekeeper.address()).await;
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\nauthorization: Basic {login}\r\ncontent-length: 9\r\n\r\n"
        );
        raw.send(head).await.unwrap();
        assert_eq!(raw.response().await.status, status);
    }
    assert_eq!(system.bank.credit(), 4);
}

use std::time::Duration;

use rpc_runtime::Code;
use rpc_tests::raw::{post, post_with, request};
use serde_json::json;

use super::{Wired, start, start_limited};

const NEXT: &str = "/wire.v1.Wire/Next";

const JSON: (&str, &str) = ("Content-Type", "application/json");

fn is_fresh_id(id: Option<&str>) -> bool {
    id.is_some_and(|id| {
        id.len() == 16 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// Returns whether the body is one line of plain text for people, which contains `text`.
fn is_one_line(response: &rpc_tests::raw::Response, text: &str) -> bool {
    let body = String::from_utf8_lossy(&response.body);
    response.header("content-type") == Some("text/plain; charset=utf-8")
        && body.lines().count() == 1
        && body.ends_with('\n')
        && body.contains(text)
}

#[tokio::test]
async fn a_rejection_quotes_no_control_characters() {
    let wired = start().await;
    let mut raw = wired.connect().await;
    let response = raw
        .ask(request(
            "POST",
            NEXT,
            &[("Content-Type", "a/\u{9b}31m\tb")],
            b"{}",
        ))
        .await;
    assert_eq!(response.status, 415);
    assert!(is_one_line(&response, "it is a/"), "{response:?}");
    assert!(
        response
            .body
            .iter()
            .all(|b| (b' '..=b'~').contains(b) || *b == b'\n')
    );
    let response = raw.ask(request("POST", "/healthz", &[], b"")).await;
    assert_eq!(response.status, 405);
    assert!(is_one_line(&response, "use GET or HEAD"), "{response:?}");
}

#[tokio::test]
async fn a_get_may_have_an_empty_body() {
    let wired = start().await;
    let mut raw = wired.connect().await;
    let target = "/wire.v1.Wire/Look?encoding=json&message={%22n%22:3}";
    let with = |lines: &str, body: &str| {
        format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n\r\n{body}")
    };
    for (lines, body) in [
        ("Content-Length: 0", ""),
        ("Transfer-Encoding: chunked", "0\r\n\r\n"),
        ("Transfer-Encoding: chunked", "0;a=b\r\n\r\n"),
        (
            "Transfer-Encoding: chunked\r\nTrailer: x-sum",
            "0\r\nx-sum: 1\r\n\r\n",
        ),
    ] {
        // On one connection: the body was read to its end.
        assert_eq!(
            raw.ask(with(lines, body)).await.value(),
            (200, json!(3)),
            "{lines} {body:?}"
        );
    }
    assert_eq!(wired.runs(), 4);
    for (lines, body) in [
        ("Content-Length: 1", "x"),
        ("Transfer-Encoding: chunked", "1\r\nx\r\n0\r\n\r\n"),
    ] {
        assert_eq!(raw.ask(with(lines, body)).await.status, 415, "{lines}");
    }
    // A damaged body is neither empty nor a message.
    raw.send(with("Transfer-Encoding: chunked", "x\r\n"))
        .await
        .unwrap();
    assert_eq!(
        raw.response().await.error(),
        (400, "invalid_argument".to_owned())
    );
    raw.closed().await;
    assert_eq!(wired.runs(), 4);
}

#[tokio::test]
async fn a_get_whose_body_does_not_end_is_observed() {
    let mut wired = start().await;
    let mut raw = wired.connect().await;
    raw.send(
        "GET /wire.v1.Wire/Look?encoding=json&message={%22n%22:3} HTTP/1.1\r\nHost: localhost\r\n\
         Transfer-Encoding: chunked\r\n\r\n",
    )
    .await
    .unwrap();
    drop(raw);
    let (method, code) = wired.observed.recv().await.unwrap();
    assert_eq!(method, Some("Look"));
    assert!(code.is_some());
    assert_eq!(wired.runs(), 0);
}

#[tokio::test]
async fn a_get_that_waits_to_send_a_body_is_refused() {
    // The server has no time limit that the test could wait for.
    let wired = start_limited(|limits| limits.body_timeout = Duration::from_secs(3600)).await;
    let target = "/wire.v1.Wire/Look?encoding=json&message={%22n%22:3}";
    for lines in [
        "Expect: 100-continue\r\nContent-Length: 7",
        "Expect: 100-continue\r\nTransfer-Encoding: chunked",
        "Content-Length: 7",
    ] {
        let mut raw = wired.connect().await;
        let head = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n\r\n");
        let response = raw.ask(head).await;
        assert_eq!(response.status, 415, "{lines}");
        assert_eq!(response.header("connection"), Some("close"), "{lines}");
    }
    assert_eq!(wired.runs(), 0);
}

#[tokio::test]
async fn a_call_returns_its_result() {
    let wired = start().await;
    let mut raw = wired.connect().await;
    let response = raw.ask(post("/wire.v1.Wire/Next", r#"{"n":3}"#)).await;
    assert_eq!(response.value(), (200, json!(4)));
    assert!(is_fresh_id(response.header("x-request-id")), "{response:?}");
    assert_eq!(response.header("connection"), None);
    assert_eq!(response.header("content-length"), Some("12"));
}

#[tokio::test]
async fn other_content_types_are_refused() {
    let mut wired = start().await;
    let mut raw = wired.connect().await;
    let kinds: [&[(&str, &str)]; 8] = [
        &[],
        &[("Content-Type", "text/plain")],
        &[("Content-Type", "application/x-www-form-urlencoded")],
        &[("Content-Type", "application/proto")],
        &[("Content-Type", "application/json; charset=latin1")],
        &[("Content-Type", "application/json; charset=utf-8; x=y")],
        &[("Content-Type", "")],
        &[JSON, ("Content-Type", "text/plain")],
    ];
    for lines in kinds {
        let response = raw
            .ask(request("POST", "/wire.v1.Wire/Next", lines, b"{\"n\":3}"))
            .await;
        assert_eq!(response.status, 415, "{lines:?}");
        assert_eq!(response.header("accept-post"), Some("application/json"));
        assert!(is_one_line(&response, "application/json"), "{response:?}");
        assert!(is_fresh_id(response.header("x-request-id")), "{response:?}");
        assert_eq!(
            wired.observed.recv().await,
            Some((Some("Next"), Some(Code::InvalidArgument)))
        );
    }
    assert_eq!(wired.runs(), 0);
}

#[tokio::test]
async fn the_content_type_is_case_insensitive() {
    let wired = start().await;
    let mut raw = wired.connect().await;
    for kind in [
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
        "APPLICATION/JSON",
        "Application/Json; Charset=\"Utf-8\"",
    ] {
        let response = raw
            .ask(request(
                "POST",
                "/wire.v1.Wire/Next",
                &[("Content-Type", kind)],
                b"{\"n\":3}",
            ))
            .await;
        assert_eq!(response.value(), (200, json!(4)), "{kind}");
        assert_eq!(response.header("content-type"), Some("application/json"));
    }
}

#[tokio::test]
async fn a_stream_is_not_a_message() {
    let wired = start().await;
    let mut raw = wired.connect().await;
    for kind in [
        "application/connect+json",
        "application/connect+proto",
        "application/grpc",
        "application/grpc-web+json",
    ] {
        let lines = [("Content-Type", kind)];
        let response = raw
            .ask(request(
                "POST",
                "/wire.v1.Wire/Next",
                &lines,
                b"\0\0\0\0\x07{\"n\":3}",
            ))
            .await;
        assert_eq!(
            (response.status, response.header("accept-post")),
            (415, Some("application/json")),
            "{kind}"
        );
    }
    assert_eq!(wired.runs(), 0);
}

#[tokio::test]
async fn other_verbs_are_rejected_with_alternatives() {
    let mut wired = start().await;
    let mut raw = wired.connect().await;
    for verb in ["DELETE", "PUT", "TRACE", "PATCH", "OPTIONS", "BREW", "post"] {
        for (path, allowed) in [
            ("/wire.v1.Wire/Next", "POST"),
            ("/wire.v1.Wire/Look", "GET, POST"),
        ] {
            let response = raw.ask(request(verb, path, &[JSON], b"{\"n\":3}")).await;
            assert_eq!(
                (response.status, response.header("allow")),
                (405, Some(allowed)),
                "{verb}"
            );
            assert!(is_one_line(&response, "use POST"), "{response:?}");
            assert!(is_fresh_id(response.header("x-request-id")), "{response:?}");
            assert!(wired.observed.recv().await.unwrap().1.is_some());
        }
    }
    // The response to a HEAD has no body, whatever its length says.
    let target = "/wire.v1.Wire/Look?encoding=json&message={}";
    let close = [("Connection", "close")];
    raw.send(request("HEAD", target, &close, b""))
        .await
        .unwrap();
    let bytes = raw.closed().await;
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.starts_with("HTTP/1.1 405 "), "{text}");
    assert!(text.contains("\r\nallow: GET, POST\r\n"), "{text}");
    assert!(text.ends_with("\r\n\r\n"), "{text}");
    assert_eq!(wired.runs(), 0);
}

#[tokio::test]
async fn a_get_never_calls_a_method_with_side_effects() {
    let wired = start().await;
    let mut raw = wired.connect().await;
    let target = "/wire.v1.Wire/Next?connect=v1&encoding=json&message=%7B%22n%22%3A3%7D";
    let response = raw.ask(request("GET", target, &[], b"")).await;
    assert_eq!(
        (response.status, response.header("allow")),
        (405, Some("POST"))
    );
    assert_eq!(wired.runs(), 0);
}

#[tokio::test]
async fn a_path_must_match_a_method_exactly() {
    let mut wired = start().await;
    let mut raw = wired.connect().await;
    for path in [
        "/",
        "/wire.v1.Wire/Missing",
        "/wire.v1.Missing/Next",
        "/wire.v1.Wire/next",
        "/Wire.v1.Wire/Next",
        "/wire.v1.Wire/Next/",
        "//wire.v1.Wire/Next",
        "/wire.v1.Wire//Next",
        "/x/../wire.v1.Wire/Next",
        "/./wire.v1.Wire/Next",
        "/wire.v1.Wire/%4eext",
        "/wire.v1.Wire/N%65xt",
        "/wire.v1.Wire%2fNext",
        "/wire.v1.Wire/Next;a=b",
        "/wire.v1.Wire/Next%00",
        "/__init__",
        "*",
        "http://localhost/x",
    ] {
        let response = raw.ask(post(path, r#"{"n":3}"#)).await;
        assert_eq!(
            response.error(),
            (404, "unimplemented".to_owned()),
            "{path}"
        );
        assert!(is_fresh_id(response.header("x-request-id")), "{response:?}");
        assert_eq!(
            wired.observed.recv().await,
            Some((None, Some(Code::Unimplemented)))
        );
    }
    let response = raw.ask(post("/a'%0d%0a\u{202e}\"?secret=1", "{}")).await;
    assert_eq!(
        response.message(),
        r#"there is no method at /a'%0d%0a\u{202e}""#
    );
    let response = raw.ask(post(&format!("/{}", "a".repeat(5000)), "{}")).await;
    assert!(response.message().len() < 200, "{response:?}");
    // The scheme and the host are not part of the path.
    let response = raw
        .ask(post("http://localhost:1/wire.v1.Wire/Next", r#"{"n":3}"#))
        .await;
    assert_eq!(response.status, 200);
    // A fragment is not valid in a request. The `http` crate removes it, so the path before it
    // selects the method.
    let response = raw
        .ask(post("/wire.v1.Wire/Next#/wire.v1.Wire/Hang", r#"{"n":3}"#))
        .await;
    assert_eq!(response.value(), (200, json!(4)));
    assert_eq!(wired.runs(), 2);
}

async fn get(wired: &Wired, query: &str) -> rpc_tests::raw::Response {
    wired
        .connect()
        .await
        .ask(request(
            "GET",
            &format!("/wire.v1.Wire/Look{query}"),
            &[],
            b"",
        ))
        .await
}

#[tokio::test]
async fn a_method_without_side_effects_is_called_by_a_link() {
    let wired = start().await;
    for query in [
        "?connect=v1&base64=1&encoding=json&message=eyJuIjozfQ",
        "?message=%7B%22n%22%3A3%7D&encoding=json",
        "?message={%22n%22:3}&encoding=json&utm_source=mail&connect=v1",
        "?base64=1&message=eyJuIjozfQ%3D%3D&encoding=json",
        "?compression=identity&encoding=json&message={%22n%22:%223%22}",
    ] {
        let response = get(&wired, query).await;
        assert_eq!(response.value(), (200, json!(3)), "{query}");
        assert_eq!(response.header("vary"), Some("accept-encoding"));
    }
    let mut raw = wired.connect().await;
    let response = raw.ask(post("/wire.v1.Wire/Look", r#"{"n":3}"#)).await;
    assert_eq!(
        (response.value(), response.header("vary")),
        ((200, json!(3)), None)
    );
}

#[tokio::test]
async fn a_get_needs_a_message_and_an_encoding() {
    let wired = start().await;
    let response = get(&wired, "?connect=v1&encoding=json").await;
    assert_eq!(response.error(), (400, "invalid_argument".to_owned()));
    for query in [
        "",
        "?",
        "?message={}",
        "?message={}&encoding=proto",
        "?message={}&encoding=JSON",
        "?encoding",
    ] {
        let response = get(&wired, query).await;
        assert_eq!(response.status, 415, "{query}");
        assert!(
            is_one_line(&response, "`encoding` must be `json`"),
            "{response:?}"
        );
        assert_eq!(response.header("accept-post"), Some("application/json"));
    }
    assert_eq!(wired.runs(), 0);
}

#[tokio::test]
async fn a_damaged_get_is_rejected() {
    let wired = start().await;
    for query in [
        "?encoding=json&base64=1&message=***",
        "?encoding=json&base64=1&message=eyJuIjoz",
        "?encoding=json&message=%7",
        "?encoding=json&message=%zz",
        "?encoding=json&message=%ff%fe",
        "?encoding=json&message={%22n%22:%ff}",
        "?encoding=json&message={%22n%22:3}&message={%22n%22:4}",
        "?encoding=json&message=",
    ] {
        let response = get(&wired, query).await;
        assert_eq!(
            response.error(),
            (400, "invalid_argument".to_owned()),
            "{query}"
        );
    }
    let response = get(&wired, "?encoding=json&message={%22n%22:3}&compression=br").await;
    assert_eq!(
        (response.error(), response.header("accept-encoding")),
        ((501, "unimplemented".to_owned()), Some("gzip"))
    );
    assert_eq!(wired.runs(), 0);
}

#[tokio::test]
async fn a_get_with_a_body_is_refused() {
    let wired = start().await;
    let mut raw = wired.connect().await;
    let target = "/wire.v1.Wire/Look?encoding=json&message={%22n%22:3}";
    assert_eq!(
        raw.ask(request("GET", target, &[], b"{\"n\":4}"))
            .await
            .status,
        415
    );
    let chunked = [("Transfer-Encoding", "chunked")];
    let mut chunks = request("GET", target, &chunked, b"");
    chunks.extend_from_slice(b"1\r\nx\r\n0\r\n\r\n");
    assert_eq!(raw.ask(chunks).await.status, 415);
    assert_eq!(wired.runs(), 0);
    // The next request on the connection is read correctly.
    assert_eq!(raw.ask(request("GET", target, &[], b"")).await.status, 200);
}

#[tokio::test]
async fn another_protocol_version_is_rejected() {
    let wired = start().await;
    let mut raw = wired.connect().await;
    let version = |value| ("Connect-Protocol-Version", value);
    let bad: [&[(&str, &str)]; 4] = [
        &[version("2")],
        &[version("")],
        &[version("v1")],
        &[version("1"), version("1")],
    ];
    for lines in bad {
        let response = raw
            .ask(post_with("/wire.v1.Wire/Next", lines, r#"{"n":3}"#))
            .await;
        assert_eq!(
            response.error(),
            (400, "invalid_argument".to_owned()),
            "{lines:?}"
        );
    }
    let response = raw
        .ask(post_with(
            "/wire.v1.Wire/Next",
            &[version("1")],
            r#"{"n":3}"#,
        ))
        .await;
    assert_eq!(response.status, 200);
    let response = get(&wired, "?connect=v2&encoding=json&message={%22n%22:3}").await;
    assert_eq!(response.error(), (400, "invalid_argument".to_owned()));
    assert_eq!(wired.runs(), 1);
}

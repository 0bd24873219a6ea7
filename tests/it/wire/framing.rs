use rpc_tests::raw::{Raw, post, post_with, request};
use serde_json::json;

use super::start;

const NEXT: &str = "/wire.v1.Wire/Next";

/// Bytes at the position of a second request.
const SMUGGLED: &str = "POST /wire.v1.Wire/Next HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n{\"n\":3}";

/// Builds a request with these lines, and `rest` after its head.
fn lines(lines: &str, rest: &str) -> String {
    format!(
        "POST {NEXT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{lines}\r\n\r\n{rest}"
    )
}

async fn is_bad_and_closed(mut raw: Raw, request: impl AsRef<[u8]>) {
    let shown = request.as_ref().escape_ascii().to_string();
    raw.send(request).await.unwrap();
    let reply = raw.response().await;
    assert_eq!(reply.status, 400, "{shown}");
    let rest = raw.closed().await;
    assert!(rest.is_empty(), "{shown}: {}", rest.escape_ascii());
}

#[tokio::test]
async fn an_invalid_or_repeated_content_length() {
    let wired = start().await;
    for length in [
        "Content-Length: -1",
        "Content-Length: +7",
        "Content-Length: 7, 8",
        "Content-Length: 7\r\nContent-Length: 8",
        "Content-Length: 0x7",
        "Content-Length: 7 7",
        "Content-Length:",
    ] {
        let request = lines(length, &format!("{{\"n\":3}}{SMUGGLED}"));
        is_bad_and_closed(wired.connect().await, request).await;
    }
    assert_eq!(wired.runs(), 0);
    let twice = lines("Content-Length: 7\r\nContent-Length: 7", r#"{"n":3}"#);
    assert_eq!(
        wired.connect().await.ask(twice).await.status,
        200,
        "the same length twice is not ambiguous"
    );
}

#[tokio::test]
async fn length_and_chunks_together_are_refused() {
    let wired = start().await;
    let chunks = "7\r\n{\"n\":3}\r\n0\r\n\r\n";
    for order in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "content-length: 22\r\nX-A: b\r\nTRANSFER-ENCODING: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: x",
    ] {
        let both = lines(order, &format!("{chunks}{SMUGGLED}"));
        let mut raw = wired.connect().await;
        raw.send(&both).await.unwrap();
        refused_for_two_lengths(&mut raw).await;
        // As the second request on a connection.
        let mut raw = wired.connect().await;
        assert_eq!(raw.ask(SMUGGLED).await.status, 200);
        raw.send(&both).await.unwrap();
        refused_for_two_lengths(&mut raw).await;
        // Without waiting for the first response.
        let mut raw = wired.connect().await;
        raw.send(format!("{SMUGGLED}{both}")).await.unwrap();
        assert_eq!(raw.response().await.status, 200);
        refused_for_two_lengths(&mut raw).await;
        // In two pieces, cut within the name of a header.
        let mut raw = wired.connect().await;
        let at = both.to_lowercase().find("transfer-enc").unwrap() + 5;
        raw.send(&both[..at]).await.unwrap();
        let mut other = wired.connect().await;
        assert_eq!(other.ask(SMUGGLED).await.status, 200);
        raw.send(&both[at..]).await.unwrap();
        refused_for_two_lengths(&mut raw).await;
    }
    assert_eq!(wired.runs(), 3 * 4);
    let text = format!("40;content-length: 1\r\n{:<64}\r\n0\r\n\r\n", "{\"n\":3}");
    let request = lines("Transfer-Encoding: chunked", &text);
    assert_eq!(wired.connect().await.ask(request).await.status, 200);
}

#[tokio::test]
async fn probe_two_lengths_while_a_call_runs() {
    let wired = start().await;
    let both = lines(
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "7\r\n{\"n\":3}\r\n0\r\n\r\n",
    );
    let mut raw = wired.connect().await;
    raw.send("POST /wire.v1.Wire/Hang HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnect-Timeout-Ms: 1500\r\nContent-Length: 2\r\n\r\n{}").await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(400)).await;
    raw.send(&both).await.unwrap();
    println!("{:?}", raw.response().await);
    println!("{:?}", raw.response().await);
}

async fn refused_for_two_lengths(raw: &mut Raw) {
    let reply = raw.response().await;
    assert_eq!(reply.error(), (400, "invalid_argument".to_owned()));
    assert!(reply.message().contains("both"), "{reply:?}");
    let rest = raw.closed().await;
    assert!(rest.is_empty(), "{}", rest.escape_ascii());
}

#[tokio::test]
async fn a_plain_route_refuses_two_lengths() {
    use rpc_runtime::axum::{Router, routing::any};

    let routes = Router::new().route("/echo", any(async |text: String| text));
    let server = rpc_runtime::Server::new("plain").http(routes);
    let running = rpc_tests::Running::start(server).await;
    for verb in ["POST", "PUT", "GET"] {
        let mut raw = Raw::connect(running.address()).await;
        raw.send(format!(
            "{verb} /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n\
             5\r\nhello\r\n0\r\n\r\n"
        ))
        .await
        .unwrap();
        refused_for_two_lengths(&mut raw).await;
    }
}

#[tokio::test]
async fn invalid_http_is_told_in_words() {
    let wired = start().await;
    for (bytes, text) in [
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", "not valid HTTP/1.1"),
        ("GET / HTTP/9.9\r\nHost: a\r\n\r\n", "not valid HTTP/1.1"),
        ("hello\r\n\r\n", "not valid HTTP/1.1"),
        ("\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\r\n\r\n", "without TLS"),
    ] {
        let mut raw = wired.connect().await;
        raw.send(bytes).await.unwrap();
        let reply = raw.response().await;
        assert_eq!(reply.error(), (400, "invalid_argument".to_owned()));
        assert!(reply.message().contains(text), "{bytes:?}: {reply:?}");
        raw.closed().await;
        // After a request on the same connection.
        let mut raw = wired.connect().await;
        assert_eq!(raw.ask(SMUGGLED).await.status, 200);
        raw.send(bytes).await.unwrap();
        assert_eq!(raw.response().await.error().0, 400, "{bytes:?}");
        raw.closed().await;
    }
}

#[tokio::test]
async fn chunked_is_the_last_encoding() {
    let wired = start().await;
    for encoding in [
        "chunked, identity",
        "identity",
        "xchunked",
        "chunked, chunked, gzip",
        "",
    ] {
        let request = lines(
            &format!("Transfer-Encoding: {encoding}"),
            &format!("0\r\n\r\n{SMUGGLED}"),
        );
        is_bad_and_closed(wired.connect().await, request).await;
    }
    let old = lines("Transfer-Encoding: chunked", "0\r\n\r\n").replace("HTTP/1.1", "HTTP/1.0");
    is_bad_and_closed(wired.connect().await, old).await;
    assert_eq!(wired.runs(), 0);
}

#[tokio::test]
async fn a_body_has_exactly_one_transfer_coding() {
    let wired = start().await;
    for (version, lines) in [
        ("1.1", "Transfer-Encoding: gzip, chunked"),
        ("1.1", "Transfer-Encoding: identity, chunked"),
        ("1.1", "Transfer-Encoding: chunked, chunked"),
        ("1.1", "Transfer-Encoding: , chunked"),
        (
            "1.1",
            "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
        ),
        (
            "1.1",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        ),
        ("1.0", "Transfer-Encoding: chunked"),
        ("1.0", "Transfer-Encoding: gzip, chunked"),
    ] {
        let mut raw = wired.connect().await;
        let chunks = format!("7\r\n{{\"n\":3}}\r\n0\r\n\r\n{SMUGGLED}");
        let request =
            self::lines(lines, &chunks).replacen("HTTP/1.1", &format!("HTTP/{version}"), 1);
        raw.send(request).await.unwrap();
        let reply = raw.response().await;
        assert!(matches!(reply.status, 400 | 501), "{lines}: {reply:?}");
        let is_repeated = reply.status == 501 && lines.contains("\r\n");
        assert_eq!(
            reply.message().contains("several"),
            is_repeated,
            "{reply:?}"
        );
        let rest = raw.closed().await;
        assert!(rest.is_empty(), "{lines}: {}", rest.escape_ascii());
    }
    assert_eq!(wired.runs(), 0);
    for coding in ["chunked", "CHUNKED", "chunked "] {
        let chunks = "7\r\n{\"n\":3}\r\n0\r\n\r\n";
        let request = lines(&format!("Transfer-Encoding: {coding}"), chunks);
        assert_eq!(
            wired.connect().await.ask(request).await.status,
            200,
            "{coding}"
        );
    }
}

#[tokio::test]
async fn chunks_that_are_damaged_end_the_connection() {
    let wired = start().await;
    for chunks in [
        "x\r\n",
        "-1\r\n",
        "7\r\n{\"n\":3}x\r\n",
        "fffffffffffffffff\r\n",
        "7;a=\"b\nc\r\n",
    ] {
        let mut raw = wired.connect().await;
        raw.send(lines(
            "Transfer-Encoding: chunked",
            &format!("{chunks}{SMUGGLED}"),
        ))
        .await
        .unwrap();
        let reply = raw.response().await;
        assert_eq!(
            reply.error(),
            (400, "invalid_argument".to_owned()),
            "{chunks:?}"
        );
        assert_eq!(reply.header("connection"), Some("close"));
        raw.closed().await;
    }
    assert_eq!(wired.runs(), 0);
}

#[tokio::test]
async fn bare_line_feeds_are_one_request() {
    // hyper accepts a bare line feed as the end of a line, as RFC 9112 (2.2) allows. The danger is
    // that two readers of one connection see different requests; here there is one reader.
    let wired = start().await;
    let mut raw = wired.connect().await;
    let request = format!(
        "POST {NEXT} HTTP/1.1\nHost: localhost\nContent-Type: application/json\nContent-Length: 7\n\n{{\"n\":3}}"
    );
    assert_eq!(raw.ask(request).await.status, 200);
    assert_eq!(
        raw.ask(post(NEXT, r#"{"n":5}"#)).await.value(),
        (200, json!(6))
    );
    assert_eq!(wired.runs(), 2);
}

#[tokio::test]
async fn a_request_has_one_host() {
    let wired = start().await;
    let with = |host: &str, version: &str| {
        format!(
            "POST {NEXT} HTTP/{version}\r\n{host}Content-Type: application/json\r\nContent-Length: 7\r\n\r\n{{\"n\":3}}"
        )
    };
    let mut raw = wired.connect().await;
    for hosts in [
        "",
        "Host: localhost\r\nHost: b\r\n",
        "Host: localhost\r\nHost: localhost\r\n",
    ] {
        let reply = raw.ask(with(hosts, "1.1")).await;
        assert_eq!(
            reply.error(),
            (400, "invalid_argument".to_owned()),
            "{hosts}"
        );
        assert!(reply.header("x-request-id").is_some());
    }
    assert_eq!(wired.runs(), 0);
    let reply = raw.ask(with("Host: evil.example\r\n", "1.1")).await;
    assert_eq!(reply.error(), (403, "permission_denied".to_owned()));
    assert_eq!(wired.runs(), 0);
    let mut raw = wired.connect().await;
    assert_eq!(
        raw.ask(with("", "1.0")).await.status,
        200,
        "HTTP/1.0 has no Host"
    );
    raw.closed().await;
}

#[tokio::test]
async fn control_characters_in_a_header() {
    let wired = start().await;
    for value in ["a\0b", "a\rb", "a\x01b", "a\x7fb", "a\n b", "a\r\n folded"] {
        let request = lines(
            &format!("X-Value: {value}\r\nContent-Length: 7"),
            &format!("{{\"n\":3}}{SMUGGLED}"),
        );
        is_bad_and_closed(wired.connect().await, request).await;
    }
    for name in ["X Value", "X\0", "", "X-Value ", "(x)"] {
        let request = lines(&format!("{name}: 1\r\nContent-Length: 7"), "{\"n\":3}");
        is_bad_and_closed(wired.connect().await, request).await;
    }
    assert_eq!(wired.runs(), 0);
}

#[tokio::test]
async fn pipelined_requests_get_responses_in_order() {
    let wired = start().await;
    let mut raw = wired.connect().await;
    let three: Vec<u8> = (0..3)
        .flat_map(|n| post(NEXT, format!("{{\"n\":{n}}}")))
        .collect();
    raw.send(three).await.unwrap();
    for n in 1..4 {
        assert_eq!(raw.response().await.value(), (200, json!(n)));
    }
}

#[tokio::test]
async fn a_request_in_single_bytes_is_a_request() {
    let wired = start().await;
    let mut raw = wired.connect().await;
    for byte in post(NEXT, r#"{"n":3}"#) {
        raw.send([byte]).await.unwrap();
    }
    assert_eq!(raw.response().await.value(), (200, json!(4)));
}

#[tokio::test]
async fn the_connection_survives_an_early_response() {
    let wired = start().await;
    let body = vec![b' '; 300_000];
    let json = ("Content-Type", "application/json");
    let early = [
        (
            404,
            request("POST", "/wire.v1.Wire/Missing", &[json], &body),
        ),
        (405, request("PUT", NEXT, &[json], &body)),
        (
            415,
            request("POST", NEXT, &[("Content-Type", "text/plain")], &body),
        ),
        (
            415,
            request(
                "GET",
                "/wire.v1.Wire/Look?encoding=json&message={}",
                &[],
                &body,
            ),
        ),
        (501, post_with(NEXT, &[("Content-Encoding", "br")], &body)),
        (
            400,
            post_with(NEXT, &[("Connect-Timeout-Ms", "soon")], &body),
        ),
        (
            400,
            post_with(NEXT, &[("Connect-Protocol-Version", "2")], &body),
        ),
        (504, post_with(NEXT, &[("Connect-Timeout-Ms", "0")], &body)),
        (400, post_with(NEXT, &[("X-Rpc-Hops", "17")], &body)),
        (400, post(NEXT, &body)),
    ];
    let mut raw = wired.connect().await;
    for (status, request) in early {
        let reply = raw.ask(request).await;
        assert_eq!((reply.status, reply.header("connection")), (status, None));
        assert_eq!(
            raw.ask(post(NEXT, r#"{"n":3}"#)).await.status,
            200,
            "after {status}"
        );
    }
}

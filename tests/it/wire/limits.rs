use std::time::Duration;

use rpc_runtime::{Client, Code, RetryPolicy};
use rpc_tests::http2_frames::frame;
use rpc_tests::raw::{Raw, post, post_with, request};
use rpc_tests::wait::StoppedClock;
use tokio::time::Instant;

use super::{WireClient, start, start_limited};

const NEXT: &str = "/wire.v1.Wire/Next";

fn exhausted(status: u16) -> (u16, String) {
    (status, "resource_exhausted".to_owned())
}

/// Builds the head of a `POST` with a length other than that of the body.
fn head_of(length: usize) -> String {
    format!(
        "POST {NEXT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    )
}

async fn still_works(raw: &mut Raw) {
    assert_eq!(raw.ask(post(NEXT, r#"{"n":3}"#)).await.status, 200);
}

#[tokio::test]
async fn an_oversized_message_leaves_the_connection_open() {
    let wired = start_limited(|limits| limits.message_bytes = 1000).await;
    let mut raw = wired.connect().await;
    for size in [1001, 100_000, 1 << 20] {
        let reply = raw.ask(post(NEXT, vec![b' '; size])).await;
        assert_eq!(
            (reply.error(), reply.header("connection")),
            (exhausted(429), None),
            "{size}"
        );
        still_works(&mut raw).await;
    }
    assert_eq!(wired.runs(), 3);
}

#[tokio::test]
async fn an_oversized_length_is_rejected_without_the_body() {
    let wired = start().await;
    let mut raw = wired.connect().await;
    let reply = raw.ask(head_of(1 << 40)).await;
    assert_eq!(
        (reply.error(), reply.header("connection")),
        (exhausted(429), Some("close"))
    );
    raw.closed().await;
    let length =
        "POST {NEXT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n";
    assert_eq!(
        wired.connect().await.ask(length).await.status,
        400,
        "more than a length can be"
    );
    for length in ["18446744073709551615", "18446744073709551614"] {
        let head = format!("POST {NEXT} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        let reply = wired.connect().await.ask(head).await;
        assert_eq!(reply.error(), exhausted(413), "{length}");
        assert!(reply.message().contains("content length"), "{reply:?}");
    }
}

#[tokio::test]
async fn a_client_that_keeps_writing_reads_its_response() {
    let wired = start().await;
    for request in [head_of(6 << 20).into_bytes(), chunked()] {
        let mut raw = wired.connect().await;
        raw.send(request).await.unwrap();
        for _ in 0..6 {
            raw.send([&b"100000\r\n"[..], &[b' '; 1 << 20], b"\r\n"].concat())
                .await
                .unwrap();
        }
        let reply = raw.response().await;
        assert_eq!(
            (reply.error(), reply.header("connection")),
            (exhausted(429), Some("close"))
        );
        raw.closed().await;
    }
    assert_eq!(wired.runs(), 0);
}

fn chunked() -> Vec<u8> {
    let head = format!(
        "POST {NEXT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    head.into_bytes()
}

#[tokio::test]
async fn chunks_over_the_limit_are_refused() {
    let wired = start_limited(|limits| limits.message_bytes = 10).await;
    let mut raw = wired.connect().await;
    raw.send(chunked()).await.unwrap();
    for _ in 0..100 {
        raw.send("4\r\n    \r\n").await.unwrap();
    }
    let reply = raw.ask("0\r\n\r\n").await;
    assert_eq!(
        (reply.error(), reply.header("connection")),
        (exhausted(429), None)
    );
    still_works(&mut raw).await;
}

#[tokio::test]
async fn bytes_past_the_content_length_are_no_request() {
    let wired = start().await;
    let mut raw = wired.connect().await;
    raw.send(head_of(5) + r#"{"n":3}"#).await.unwrap();
    assert_eq!(
        raw.response().await.error(),
        (400, "invalid_argument".to_owned())
    );
    assert_eq!(raw.response().await.status, 400);
    raw.closed().await;
    assert_eq!(wired.runs(), 0);
}

#[tokio::test]
async fn expect_continue_is_rejected_without_the_body() {
    let wired = start_limited(|limits| limits.message_bytes = 1000).await;
    let mut raw = wired.connect().await;
    let expecting = head_of(2000).replace("Host", "Expect: 100-continue\r\nHost");
    let clock = StoppedClock::start().await;
    let start = Instant::now();
    let reply = raw.ask(expecting).await;
    assert_eq!(
        (reply.error(), reply.header("connection")),
        (exhausted(429), Some("close"))
    );
    assert_eq!(start.elapsed(), Duration::ZERO);
    drop(clock);
    let mut raw = wired.connect().await;
    raw.send(head_of(7).replace("Host", "Expect: 100-continue\r\nHost"))
        .await
        .unwrap();
    assert_eq!(raw.response().await.status, 100);
    assert_eq!(raw.ask(r#"{"n":3}"#).await.status, 200);
}

#[tokio::test]
async fn too_many_headers() {
    let wired = start().await;
    let lines = |count: usize| -> Vec<(String, String)> {
        (0..count)
            .map(|n| (format!("X-{n}"), "1".to_owned()))
            .collect()
    };
    // Host, content type and length are three more headers.
    for (count, status) in [(97, 200), (98, 431), (1000, 431)] {
        let lines = lines(count);
        let lines: Vec<_> = lines
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let mut raw = wired.connect().await;
        raw.send(post_with(NEXT, &lines, r#"{"n":3}"#))
            .await
            .unwrap();
        let reply = raw.response().await;
        assert_eq!(reply.status, status, "{count}");
        if status == 431 {
            assert_eq!(reply.error(), exhausted(431));
            assert!(reply.message().contains("at most 100 headers"), "{reply:?}");
        }
    }
    assert_eq!(wired.runs(), 1);
}

#[tokio::test]
async fn headers_that_are_too_large() {
    let wired = start().await;
    let with = |size: usize| {
        let value = "x".repeat(size);
        post_with(NEXT, &[("X-Large", &value)], r#"{"n":3}"#)
    };
    let mut raw = wired.connect().await;
    assert_eq!(raw.ask(with(30 << 10)).await.status, 200);
    // A head over the limit that is small enough to be read gets a response, and the connection
    // stays open.
    for size in [33 << 10, 70 << 10] {
        let reply = raw.ask(with(size)).await;
        assert_eq!(reply.error(), exhausted(431), "{size}");
        assert!(reply.header("x-request-id").is_some());
    }
    still_works(&mut raw).await;
    let mut raw = wired.connect().await;
    // The server may close before all bytes are written.
    let _ = raw.send(with(500 << 10)).await;
    let reply = raw.response().await;
    assert_eq!(reply.error(), exhausted(431));
    raw.closed().await;
}

#[tokio::test]
async fn paths_that_are_too_long() {
    let wired = start().await;
    let with = |size: usize| {
        request(
            "POST",
            &format!("{NEXT}?{}", "x".repeat(size)),
            &[("Content-Type", "application/json")],
            br#"{"n":3}"#,
        )
    };
    let mut raw = wired.connect().await;
    assert_eq!(raw.ask(with(8000)).await.status, 200);
    for size in [9 << 10, 60 << 10] {
        let reply = raw.ask(with(size)).await;
        assert_eq!(reply.error(), exhausted(414), "{size}");
        assert!(reply.header("x-request-id").is_some());
    }
    still_works(&mut raw).await;
    let mut raw = wired.connect().await;
    assert_eq!(raw.ask(with(70 << 10)).await.error(), exhausted(414));
    raw.closed().await;
}

#[tokio::test]
async fn a_connection_over_the_limit_waits_for_a_free_slot() {
    let wired = start_limited(|limits| limits.connections = 2).await;
    let mut first = wired.connect().await;
    let mut second = wired.connect().await;
    still_works(&mut first).await;
    still_works(&mut second).await;
    let mut third = wired.connect().await;
    third.send(post(NEXT, r#"{"n":3}"#)).await.unwrap();
    // The two open connections are served, the third is not.
    still_works(&mut first).await;
    still_works(&mut second).await;
    assert_eq!(wired.runs(), 4);
    drop(first);
    assert_eq!(third.response().await.status, 200);
    still_works(&mut second).await;
}

/// The other peer needs a different address, and only Linux has all of 127.0.0.0/8.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn one_peer_cannot_use_all_connections() {
    let wired = start_limited(|limits| {
        limits.connections = 6;
        limits.connections_per_peer = 3;
    })
    .await;
    let mut greedy = Vec::new();
    for _ in 0..3 {
        let mut raw = wired.connect().await;
        still_works(&mut raw).await;
        greedy.push(raw);
    }
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(wired.connect().await);
    }
    for raw in &mut silent {
        assert!(raw.closed().await.is_empty());
    }
    // Other peers are served, and so are the open connections of the greedy peer.
    let from = std::net::Ipv4Addr::new(127, 0, 0, 2).into();
    let mut other = Raw::connect_from(from, wired.running.address()).await;
    still_works(&mut other).await;
    for raw in &mut greedy {
        still_works(raw).await;
    }
    // Closed connections free capacity for the same peer.
    drop(greedy);
    let mut tries = 0;
    loop {
        let mut raw = wired.connect().await;
        if raw.send(post(NEXT, r#"{"n":3}"#)).await.is_ok() && raw.try_response().await.is_ok() {
            break;
        }
        tries += 1;
        assert!(tries < 1000, "its connections are gone and still counted");
        tokio::task::yield_now().await;
    }
}

/// The caller of a connection over the limit of its peer knows that nothing was done.
#[tokio::test]
async fn a_refused_connection_has_executed_nothing() {
    let wired = start_limited(|limits| limits.connections_per_peer = 1).await;
    let mut only = wired.connect().await;
    still_works(&mut only).await;
    let large = post(NEXT, vec![b' '; 1 << 20]);
    let get = request("GET", "/wire.v1.Wire/Seen", &[], b"");
    for request in [post(NEXT, r#"{"n":3}"#), large, get] {
        let response = wired.connect().await.ask(request).await;
        assert_eq!(response.status, 503);
        assert_eq!(response.error().1, "unavailable");
        assert_eq!(response.header("x-rpc-outcome"), Some("not-executed"));
        assert_eq!(response.header("connection"), Some("close"));
    }
    let url = wired.running.url();
    let client = || Client::new(&url).unwrap().retry(RetryPolicy::off());
    for client in [client(), client().http2()] {
        let error = WireClient::with_client(client).next(3).await.unwrap_err();
        assert_eq!(error.code(), Code::Unavailable);
        assert!(error.is_not_executed(), "{error}");
        assert!(!error.message().contains("speaks HTTP/1 only"), "{error}");
    }
    // A client of HTTP/2 that sends its request at once.
    let mut raw = wired.connect().await;
    let head = frame(1, 5, 1, &[0x83, 0x86, 0x01, 1, b'a', 0x84]);
    let start = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice();
    raw.send([start, &frame(4, 0, 0, &[]), &head].concat())
        .await
        .unwrap();
    let goaway = [&[0, 0, 0, 0, 0, 0, 0, 11], &b"too_many_connections"[..]].concat();
    let expected = [frame(4, 0, 0, &[]), frame(7, 0, 0, &goaway)].concat();
    assert_eq!(raw.closed().await, expected);
    still_works(&mut only).await;
    assert_eq!(wired.runs(), 2);
}

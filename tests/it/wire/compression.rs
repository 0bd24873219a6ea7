use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use rpc_tests::raw::{Response, post, post_with};
use serde_json::json;

use super::{Wired, start, start_limited};

const NEXT: &str = "/wire.v1.Wire/Next";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn bomb(size: usize) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    for _ in 0..size >> 20 {
        encoder.write_all(&[b' '; 1 << 20]).unwrap();
    }
    encoder.finish().unwrap()
}

async fn ask(wired: &Wired, encoding: &str, body: &[u8]) -> Response {
    wired
        .connect()
        .await
        .ask(post_with(NEXT, &[("Content-Encoding", encoding)], body))
        .await
}

#[tokio::test]
async fn a_packed_message_is_read() {
    let wired = start().await;
    for encoding in ["gzip", "GZIP"] {
        assert_eq!(
            ask(&wired, encoding, &gzip(b"{\"n\":3}")).await.value(),
            (200, json!(4))
        );
    }
    assert_eq!(
        ask(&wired, "identity", b"{\"n\":3}").await.value(),
        (200, json!(4))
    );
}

#[tokio::test]
async fn an_unknown_encoding_is_rejected_with_alternatives() {
    let wired = start().await;
    for encoding in ["foo", "br", "zstd", "gzip, gzip", "x\u{e9}"] {
        let response = ask(&wired, encoding, b"{\"n\":3}").await;
        assert_eq!(
            response.error(),
            (501, "unimplemented".to_owned()),
            "{encoding}"
        );
        assert_eq!(response.header("accept-encoding"), Some("gzip"));
        assert!(
            response.message().contains("gzip, identity"),
            "{response:?}"
        );
    }
    assert_eq!(wired.runs(), 0);
}

#[tokio::test]
async fn invalid_gzip_is_rejected() {
    let wired = start().await;
    let good = gzip(b"{\"n\":3}");
    let junk = [&good[..], b"junk"].concat();
    let twice = [&good[..], &good[..]].concat();
    for (what, body) in [
        ("plain", &b"{\"n\":3}"[..]),
        ("truncated data", &good[..good.len() - 9]),
        ("truncated check sum", &good[..good.len() - 1]),
        ("only a header", &good[..10]),
        ("junk after", &junk),
        ("two members", &twice),
    ] {
        let response = ask(&wired, "gzip", body).await;
        assert_eq!(
            response.error(),
            (400, "invalid_argument".to_owned()),
            "{what}"
        );
    }
    assert_eq!(wired.runs(), 0);
}

#[tokio::test]
async fn a_gzip_bomb_is_stopped_at_the_limit() {
    let wired = start().await;
    for size in [5 << 20, 64 << 20] {
        let bomb = bomb(size);
        assert!(bomb.len() < 400 << 10);
        let response = ask(&wired, "gzip", &bomb).await;
        assert_eq!(
            response.error(),
            (429, "resource_exhausted".to_owned()),
            "{size}"
        );
    }
    // Doubly compressed data is decompressed once, and the result is not JSON.
    let response = ask(&wired, "gzip", &gzip(&bomb(64 << 20))).await;
    assert_eq!(response.error(), (400, "invalid_argument".to_owned()));
    assert_eq!(wired.runs(), 0);
}

#[tokio::test]
async fn the_limit_holds_for_the_unpacked_message() {
    let wired = start_limited(|limits| limits.message_bytes = 1000).await;
    let of_size = |size: usize| format!("{{\"n\":3{}}}", " ".repeat(size - 7));
    assert_eq!(
        ask(&wired, "gzip", &gzip(of_size(1000).as_bytes()))
            .await
            .status,
        200
    );
    let response = ask(&wired, "gzip", &gzip(of_size(1001).as_bytes())).await;
    assert_eq!(response.error(), (429, "resource_exhausted".to_owned()));
}

#[tokio::test]
async fn a_large_response_is_compressed_when_accepted() {
    let wired = start().await;
    let mut raw = wired.connect().await;
    let ask = |size: usize, accepted: &'static str| {
        let lines = [("Accept-Encoding", accepted)];
        post_with(
            "/wire.v1.Wire/Large",
            &lines,
            format!("{{\"size\":{size}}}"),
        )
    };
    let response = raw.ask(ask(5000, "br, gzip")).await;
    assert_eq!(
        (response.status, response.header("content-encoding")),
        (200, Some("gzip"))
    );
    assert!(response.body.len() < 1000);
    let mut json = String::new();
    GzDecoder::new(&response.body[..])
        .read_to_string(&mut json)
        .unwrap();
    assert_eq!(json.len(), 5000 + "{\"result\":\"\"}".len());
    for request in [
        ask(5000, "identity"),
        ask(5000, "gzip;q=0"),
        ask(100, "gzip"),
        post("/wire.v1.Wire/Large", r#"{"size":5000}"#),
    ] {
        let response = raw.ask(request).await;
        assert_eq!(
            (response.status, response.header("content-encoding")),
            (200, None)
        );
        assert!(response.json().is_object());
    }
}

use rpc_runtime::Limits;
use rpc_tests::http2_client::Http2Client;
use rpc_tests::raw::{Raw, post, post_with};
use rpc_tests::wait::until;

use super::{Fixture, PIECES, SIZE, WHOLE, ask, peer, with_text};

/// The share of a peer.
const SHARE: usize = 256 << 10;

fn small(limits: &mut Limits) {
    limits.message_bytes = 64 << 10;
    limits.buffered_bytes = 8 * SHARE;
}

/// Requests that wait for their sender; each keeps its connection open.
enum Waiting {
    Http1 { _open: Vec<Raw> },
    Http2 { _client: Http2Client },
}

/// Sends requests without their end, with a head and the beginning of a body of these sizes.
async fn send_incomplete(
    fixture: &Fixture,
    http2: bool,
    path: &str,
    (count, head, body): (usize, usize, usize),
) -> Waiting {
    let (head, body) = ("h".repeat(head), "b".repeat(body));
    let headers = [("x-large", head.as_str())];
    if http2 {
        let mut client = Http2Client::connect_from(peer(1), fixture.edge, 65_535).await;
        for _ in 0..count {
            client.begin(path, &headers, &body).await.unwrap();
        }
        return Waiting::Http2 { _client: client };
    }
    let mut open = Vec::new();
    let mut request = post_with(path, &headers, format!("{body}rest"));
    request.truncate(request.len() - "rest".len());
    for _ in 0..count {
        let mut raw = Raw::connect_from(peer(1), fixture.edge).await;
        raw.send(&request).await.unwrap();
        open.push(raw);
    }
    Waiting::Http1 { _open: open }
}

#[tokio::test]
async fn incomplete_requests_count_with_their_heads() {
    // Of the size of a body, one that is never counted as a message.
    for (count, head, body) in [(20, 20_000, 4000), (20, 20_000, 1), (60, 10, 10)] {
        for (http2, path) in [(false, SIZE), (true, SIZE), (false, WHOLE), (true, WHOLE)] {
            let fixture = Fixture::start(small).await;
            let waiting = send_incomplete(&fixture, http2, path, (count, head, body)).await;
            let fitting = SHARE / (8192 + head);
            let least = u64::try_from(count - fitting).unwrap();
            until(async || fixture.shed().await >= least).await;
            // Others are served.
            for (from, address) in [(2, fixture.edge), (3, fixture.internal)] {
                let response = ask(peer(from), address, &with_text(SIZE, 5000)).await;
                assert_eq!(response.value(), (200, 5000.into()));
            }
            drop(waiting);
            let request = with_text(SIZE, 50_000);
            until(async || ask(peer(1), fixture.edge, &request).await.status == 200).await;
        }
    }
}

#[tokio::test]
async fn a_request_that_waits_runs_when_it_is_complete() {
    let fixture = Fixture::start(small).await;
    let mut client = Http2Client::connect_from(peer(1), fixture.edge, 65_535).await;
    let head = "h".repeat(30_000);
    let begun = client.begin(WHOLE, &[("x-large", &head)], "begin").await;
    begun.unwrap();
    client.end("end").await.unwrap();
    let mut text = Vec::new();
    while text.is_empty() {
        let frame = client.frame().await.unwrap();
        if frame.kind == rpc_tests::http2_client::DATA {
            text = frame.payload;
        }
    }
    assert_eq!(text, b"8");
}

/// Returns a body in chunks of these bytes.
fn chunked(path: &str, chunk: usize, count: usize) -> Vec<u8> {
    let mut request =
        format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n");
    for _ in 0..count {
        request.push_str(&format!("{chunk:x}\r\n{}\r\n", "x".repeat(chunk)));
    }
    request.push_str("0\r\n\r\n");
    request.into_bytes()
}

#[tokio::test]
async fn a_plain_route_that_keeps_its_body_is_bounded() {
    let fixture = Fixture::start(small).await;
    let large = vec![b'x'; 2 * SHARE];
    for request in [
        post(WHOLE, &large),
        chunked(WHOLE, 4000, 100),
        chunked(WHOLE, 1, 2000),
    ] {
        let response = ask(peer(1), fixture.edge, &request).await;
        assert_eq!(response.error(), (429, "resource_exhausted".to_owned()));
        let message = response.message();
        assert!(message.contains("for the body of the request"), "{message}");
        assert!(message.contains("of this peer"), "{message}");
        assert_eq!(response.header("x-rpc-outcome"), None, "the handler began");
    }
    assert_eq!(fixture.shed().await, 3);
    for request in [post(WHOLE, &large[..100_000]), chunked(WHOLE, 1000, 100)] {
        let response = ask(peer(1), fixture.edge, &request).await;
        let text = String::from_utf8(response.body).unwrap();
        assert_eq!((response.status, text.as_str()), (200, "100000"));
    }
}

#[tokio::test]
async fn a_plain_route_may_take_more_than_there_is_memory() {
    let fixture = Fixture::start(small).await;
    let size = 20 * SHARE;
    for request in [
        post(PIECES, vec![b'x'; size]),
        chunked(PIECES, 1024, size / 1024),
    ] {
        let response = ask(peer(1), fixture.edge, &request).await;
        let text = String::from_utf8(response.body).unwrap();
        assert_eq!((response.status, text), (200, size.to_string()));
    }
}

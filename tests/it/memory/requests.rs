use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use rpc_runtime::Limits;
use rpc_tests::raw::{Raw, Response, post_with};
use rpc_tests::wait::{until, within};
use tokio::sync::mpsc;

use super::{Fixture, HELD, MIB, SIZE, ask, peer, with_text};

/// The size of a text of which two fill the share of a peer.
const LARGE: usize = 900 << 10;

/// Messages of 1 MiB, of which a peer may have two.
fn eight_messages(limits: &mut Limits) {
    limits.message_bytes = MIB;
    limits.buffered_bytes = 8 * MIB;
}

fn assert_refused(response: &Response, whose: &str) {
    assert_eq!(response.error(), (429, "resource_exhausted".to_owned()));
    let message = response.message();
    assert!(message.contains(whose), "{message}");
    assert!(message.contains("`buffered_bytes`"), "{message}");
    assert!(message.contains("not begun"), "{message}");
    let body = String::from_utf8_lossy(&response.body);
    assert!(body.contains("google.rpc.RetryInfo"), "{body}");
}

/// Sends requests on connections of their own, and keeps those open that get no response. Responses
/// go to the channel.
struct Senders {
    responses: mpsc::UnboundedReceiver<Response>,
    sender: mpsc::UnboundedSender<Response>,
    tasks: tokio::task::JoinSet<()>,
}

impl Senders {
    fn new() -> Self {
        let (sender, responses) = mpsc::unbounded_channel();
        Self {
            responses,
            sender,
            tasks: tokio::task::JoinSet::new(),
        }
    }

    async fn send(&mut self, from: u8, address: std::net::SocketAddr, request: Vec<u8>) {
        let mut raw = Raw::connect_from(peer(from), address).await;
        let sender = self.sender.clone();
        self.tasks.spawn(async move {
            let _ = raw.send(request).await;
            if let Ok(response) = raw.try_response().await {
                let _ = sender.send(response);
            }
            // Kept open.
            std::future::pending::<()>().await;
        });
    }

    async fn response(&mut self) -> Response {
        within(self.responses.recv()).await.unwrap()
    }
}

/// Returns a request without the end of its body.
fn incomplete(chunked: bool) -> Vec<u8> {
    let mut request = with_text(SIZE, LARGE);
    request.truncate(request.len() - 2);
    if !chunked {
        return request;
    }
    let head = format!(
        "POST {SIZE} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    let chunk = format!("{LARGE:x}\r\n{}\r\n", "x".repeat(LARGE));
    [head, chunk].concat().into_bytes()
}

#[tokio::test]
async fn incomplete_bodies_of_a_peer_are_bounded() {
    for chunked in [false, true] {
        let fixture = Fixture::start(eight_messages).await;
        let mut senders = Senders::new();
        for _ in 0..10 {
            senders.send(1, fixture.edge, incomplete(chunked)).await;
        }
        for _ in 0..8 {
            assert_refused(&senders.response().await, "of this peer");
        }
        // Others are served, and small calls of this peer.
        for (from, address, size) in [
            (2, fixture.edge, LARGE),
            (3, fixture.internal, LARGE),
            (1, fixture.edge, 1000),
        ] {
            let response = ask(peer(from), address, &with_text(SIZE, size)).await;
            assert_eq!(response.value(), (200, size.into()));
        }
        assert_eq!(fixture.shed().await, 8);
        // The memory of a connection that ends is free again.
        drop(senders);
        let request = with_text(SIZE, LARGE);
        until(async || ask(peer(1), fixture.edge, &request).await.status == 200).await;
    }
}

#[tokio::test]
async fn strangers_leave_a_half_to_trusted_callers() {
    let fixture = Fixture::start(|limits| {
        limits.message_bytes = MIB;
        limits.buffered_bytes = 16 * MIB;
    })
    .await;
    let mut senders = Senders::new();
    for from in 1..=6 {
        for _ in 0..3 {
            senders.send(from, fixture.edge, incomplete(false)).await;
        }
    }
    for _ in 0..10 {
        assert_refused(&senders.response().await, "");
    }
    let request = with_text(SIZE, LARGE);
    let response = ask(peer(9), fixture.edge, &request).await;
    assert_refused(&response, "of untrusted callers");
    for from in 10..14 {
        let response = ask(peer(from), fixture.internal, &request).await;
        assert_eq!(response.value(), (200, LARGE.into()));
    }
}

#[tokio::test]
async fn a_message_is_counted_until_its_call_ends() {
    let text = format!("{{\"text\":\"{}\"}}", "x".repeat(LARGE));
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(text.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    assert!(gzip.len() < 4 << 10);
    let packed = post_with(HELD, &[("content-encoding", "gzip")], gzip);
    // Calls that run, calls that wait for one that runs, and compressed ones by their real size.
    for (running_calls, request) in [
        (100, with_text(HELD, LARGE)),
        (1, with_text(HELD, LARGE)),
        (100, packed),
    ] {
        let fixture = Fixture::start(|limits| {
            eight_messages(limits);
            limits.running_calls = running_calls;
            limits.queue_timeout = limits.default_deadline;
        })
        .await;
        let mut senders = Senders::new();
        for _ in 0..6 {
            senders.send(1, fixture.edge, request.clone()).await;
        }
        for _ in 0..4 {
            assert_refused(&senders.response().await, "of this peer");
        }
        fixture.handlers.go.add_permits(2);
        for _ in 0..2 {
            assert_eq!(senders.response().await.value(), (200, LARGE.into()));
        }
        let response = ask(peer(1), fixture.edge, &with_text(SIZE, LARGE)).await;
        assert_eq!(response.status, 200);
    }
}

#[tokio::test]
async fn a_declared_length_takes_no_memory() {
    let fixture = Fixture::start(eight_messages).await;
    let mut senders = Senders::new();
    let mut head = with_text(SIZE, LARGE);
    head.truncate(head.len() - LARGE);
    for _ in 0..50 {
        senders.send(1, fixture.edge, head.clone()).await;
    }
    for _ in 0..5 {
        let response = ask(peer(1), fixture.edge, &with_text(SIZE, LARGE)).await;
        assert_eq!(response.value(), (200, LARGE.into()));
    }
}

use std::time::Duration;

use rpc_runtime::Limits;
use rpc_tests::http2_client::{DATA, GOAWAY, HEADERS, Http2Client};
use rpc_tests::raw::{Raw, post};
use rpc_tests::wait::{until, within};
use tokio::io::AsyncReadExt as _;
use tokio::time::{interval, timeout};

use super::{Fixture, HELD, MIB, TEXT, ask, peer};

/// The first byte of a header block with the status 200, from the static table.
const OK: u8 = 0x88;
const SECOND: Duration = Duration::from_secs(1);

/// Responses of 1.5 MiB, of which a peer may have one.
fn one_response(limits: &mut Limits) {
    limits.message_bytes = MIB;
    limits.buffered_bytes = 16 * MIB;
    limits.idle_timeout = 2 * SECOND;
    limits.drain_timeout = 2 * SECOND;
}

const LARGE: usize = 3 << 19;

fn text_of(size: usize) -> String {
    format!("{{\"size\":{size}}}")
}

/// Waits for the headers of a response, and returns whether its status is 200.
async fn is_ok(client: &mut Http2Client, stream: u32) -> bool {
    loop {
        let frame = client.frame().await.expect("the connection is open");
        if (frame.kind, frame.stream) == (HEADERS, stream) {
            return frame.payload[0] == OK;
        }
    }
}

/// Waits until the peer's memory is free again, while its other connections stay open.
async fn until_free(fixture: &Fixture) {
    let request = post(TEXT, text_of(LARGE));
    until(async || ask(peer(1), fixture.edge, &request).await.status == 200).await;
}

#[tokio::test]
async fn a_response_that_does_not_fit_is_refused() {
    let fixture = Fixture::start(one_response).await;
    let mut client = Http2Client::connect(fixture.edge, 0).await;
    let stream = client.call(TEXT, &text_of(LARGE)).await.unwrap();
    assert!(is_ok(&mut client, stream).await);
    // On this connection and on others of the peer.
    let stream = client.call(TEXT, &text_of(LARGE)).await.unwrap();
    assert!(!is_ok(&mut client, stream).await);
    let request = post(TEXT, text_of(LARGE));
    let refused = ask(peer(1), fixture.edge, &request).await;
    assert_eq!(refused.error(), (429, "resource_exhausted".to_owned()));
    assert!(refused.message().contains("was executed"));
    assert_eq!(ask(peer(2), fixture.edge, &request).await.status, 200);
    assert_eq!(fixture.shed().await, 2);
}

/// A peer that answers pings, opens no window and has a running call.
#[tokio::test]
async fn a_response_that_is_not_taken_ends_the_connection() {
    // No window, and one that the first byte fills.
    for window in [0, 1] {
        let fixture = Fixture::start(one_response).await;
        let mut client = Http2Client::connect(fixture.edge, window).await;
        client.call(HELD, "{\"text\":\"\"}").await.unwrap();
        let stream = client.call(TEXT, &text_of(LARGE)).await.unwrap();
        assert!(is_ok(&mut client, stream).await);
        let mut has_goaway = false;
        while let Some(frame) = client.frame().await {
            has_goaway |= frame.kind == GOAWAY;
        }
        assert!(has_goaway);
        until_free(&fixture).await;
        assert_eq!(fixture.status().await.connections.untaken, 1);
    }
}

#[tokio::test]
async fn a_small_response_is_not_held_either() {
    let fixture = Fixture::start(one_response).await;
    // It fits into the library's buffer, which does not report what is written of it.
    let mut client = Http2Client::connect(fixture.edge, 1).await;
    client.call(HELD, "{\"text\":\"\"}").await.unwrap();
    for _ in 0..20 {
        let stream = client.call(TEXT, &text_of(1000)).await.unwrap();
        assert!(is_ok(&mut client, stream).await);
    }
    while client.frame().await.is_some() {}
}

#[tokio::test]
async fn a_window_that_opens_by_bytes_ends_the_connection() {
    let fixture = Fixture::start(one_response).await;
    let mut client = Http2Client::connect(fixture.edge, 0).await;
    let stream = client.call(TEXT, &text_of(LARGE)).await.unwrap();
    assert!(is_ok(&mut client, stream).await);
    let mut taken = 0;
    // Progress all the time, and less than a part within the timeout.
    let mut every = interval(Duration::from_millis(20));
    while client.open_window(stream, 1).await.is_ok() {
        every.tick().await;
        match within(client.read()).await {
            Ok(frame) if frame.kind == DATA => taken += frame.payload.len(),
            Ok(_) => {}
            Err(_) => break,
        }
    }
    assert!(0 < taken && taken < LARGE, "{taken}");
    until_free(&fixture).await;
}

#[tokio::test]
async fn a_slow_reader_gets_its_response() {
    const PART: u32 = 16 << 10;
    let fixture = Fixture::start(|limits| {
        one_response(limits);
        limits.idle_timeout = 4 * SECOND;
    })
    .await;
    let size = 10 * usize::try_from(PART).unwrap();
    let mut client = Http2Client::connect(fixture.edge, 0).await;
    client.open_window(0, 16 * PART).await.unwrap();
    let stream = client.call(TEXT, &text_of(size)).await.unwrap();
    assert!(is_ok(&mut client, stream).await);
    let mut taken = 0;
    // Longer than the timeout in total.
    let mut every = interval(Duration::from_millis(600));
    while taken < size {
        every.tick().await;
        client.open_window(stream, PART).await.unwrap();
        let end = taken + usize::try_from(PART).unwrap();
        while taken < end.min(size) {
            let frame = client.frame().await.expect("the connection is open");
            taken += usize::from(frame.kind == DATA) * frame.payload.len();
        }
    }
}

#[tokio::test]
async fn other_calls_of_the_connection_end_before_it() {
    let fixture = Fixture::start(|limits| {
        one_response(limits);
        limits.drain_timeout = 60 * SECOND;
    })
    .await;
    let mut client = Http2Client::connect(fixture.edge, 0).await;
    let held = client.call(HELD, "{\"text\":\"abc\"}").await.unwrap();
    client.open_window(held, 1000).await.unwrap();
    for _ in 0..20 {
        client.call(TEXT, &text_of(50_000)).await.unwrap();
    }
    let mut has_goaway = false;
    while !has_goaway {
        let frame = client.frame().await.expect("the connection is open");
        has_goaway = frame.kind == GOAWAY;
    }
    fixture.handlers.go.add_permits(1);
    let mut data = Vec::new();
    while let Some(frame) = client.frame().await {
        if (frame.kind, frame.stream) == (DATA, held) {
            data.extend(frame.payload);
        }
    }
    assert_eq!(String::from_utf8(data).unwrap(), "{\"result\":3}");
    until_free(&fixture).await;
}

#[tokio::test]
async fn a_reader_of_http1_that_reads_by_bytes_is_closed() {
    let fixture = Fixture::start(|limits| {
        one_response(limits);
        limits.buffered_bytes = 256 * MIB;
    })
    .await;
    // More than the system's buffers take.
    let mut raw = Raw::connect_from(peer(1), fixture.edge).await;
    raw.send(post(TEXT, text_of(30 * MIB))).await.unwrap();
    let request = post(TEXT, text_of(30 * MIB));
    let reading = async {
        let mut every = interval(Duration::from_millis(50));
        let mut byte = [0];
        loop {
            every.tick().await;
            let _ = raw.stream().read(&mut byte).await;
        }
    };
    let free = async {
        let first = ask(peer(1), fixture.edge, &request).await;
        assert_eq!(first.status, 429, "the peer's share is used");
        until(async || ask(peer(1), fixture.edge, &request).await.status == 200).await;
    };
    tokio::select! {
        () = reading => {}
        () = free => {}
    }
    // The rest of the response never arrives.
    let rest = timeout(60 * SECOND, raw.closed()).await.unwrap();
    assert!(rest.len() < 30 * MIB);
}

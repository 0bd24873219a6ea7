use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::RecvStream;
use h2::client::SendRequest;
use rpc_runtime::{Code, Limits, Server};
use rpc_tests::Running;
use rpc_tests::raw::{Raw, post, request};
use rpc_tests::wait::within;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::{Wired, start, start_limited};

const NEXT: &str = "/wire.v1.Wire/Next";
const HANG: &str = "/wire.v1.Wire/Hang";

#[tokio::test]
async fn a_disconnect_cancels_the_call() {
    let mut wired = start().await;
    for half in [false, true] {
        let mut raw = wired.connect().await;
        raw.send(post(HANG, "{}")).await.unwrap();
        assert_eq!(wired.events.recv().await, Some("started"));
        if half {
            // A half-closed connection counts as disconnected: there is no other sign of a dead
            // client.
            raw.half_close().await;
        } else {
            drop(raw);
        }
        assert_eq!(wired.events.recv().await, Some("dropped"));
        assert_eq!(
            wired.observed.recv().await,
            Some((Some("Hang"), Some(Code::Canceled)))
        );
    }
}

#[tokio::test]
async fn a_disconnect_within_a_message_is_observed() {
    let mut wired = start().await;
    let request = post(NEXT, r#"{"n":3}"#);
    let mut raw = wired.connect().await;
    raw.send(&request[..request.len() - 1]).await.unwrap();
    // The response proves that the server is reading the other connection.
    assert_eq!(wired.connect().await.ask(&request).await.status, 200);
    assert_eq!(wired.observed.recv().await, Some((Some("Next"), None)));
    drop(raw);
    let (method, code) = wired.observed.recv().await.unwrap();
    assert_eq!(method, Some("Next"));
    assert!(
        matches!(code, Some(Code::Canceled | Code::InvalidArgument)),
        "{code:?}"
    );
    assert_eq!(wired.runs(), 1);
}

#[tokio::test]
async fn a_panic_is_one_error_response() {
    let mut wired = start().await;
    let mut raw = wired.connect().await;
    for _ in 0..3 {
        let response = raw.ask(post("/wire.v1.Wire/Panics", "{}")).await;
        assert_eq!(response.error(), (500, "internal".to_owned()));
        assert!(
            !format!("{response:?} {}", response.json()).contains("canary"),
            "{response:?}"
        );
        assert_eq!(
            wired.observed.recv().await,
            Some((Some("Panics"), Some(Code::Internal)))
        );
        assert_eq!(
            raw.ask(post(NEXT, r#"{"n":3}"#)).await.status,
            200,
            "on the same connection"
        );
        assert_eq!(wired.observed.recv().await, Some((Some("Next"), None)));
    }
}

#[tokio::test]
async fn a_stopping_server_finishes_running_calls() {
    let mut wired = start().await;
    let mut running = wired.connect().await;
    running
        .send(post("/wire.v1.Wire/Hang", "{}"))
        .await
        .unwrap();
    let mut idle = wired.connect().await;
    assert_eq!(idle.ask(post(NEXT, r#"{"n":3}"#)).await.status, 200);
    let mut silent = wired.connect().await;
    assert_eq!(wired.events.recv().await, Some("started"));
    let address = wired.running.address();
    let stopping = tokio::spawn(wired.running.stop());
    // Idle connections are closed at once.
    idle.closed().await;
    silent.closed().await;
    assert!(
        TcpStream::connect(address).await.is_err(),
        "no new connections"
    );
    assert!(!stopping.is_finished(), "a call is running");
    drop(running);
    stopping.await.unwrap();
}

#[tokio::test]
async fn a_stopping_server_waits_for_the_drain_timeout() {
    let mut wired = start_limited(|limits| limits.drain_timeout = Duration::from_millis(200)).await;
    let mut hanging = wired.connect().await;
    hanging.send(post(HANG, "{}")).await.unwrap();
    let mut half = wired.connect().await;
    half.send(&post(NEXT, r#"{"n":3}"#)[..50]).await.unwrap();
    assert_eq!(wired.events.recv().await, Some("started"));
    let start = Instant::now();
    within(wired.running.stop()).await;
    let elapsed = start.elapsed();
    assert!(elapsed >= Duration::from_millis(200), "{elapsed:?}");
    assert_eq!(wired.events.recv().await, Some("dropped"));
    hanging.closed().await;
    half.closed().await;
}

/// Starts a server whose timers are all too long for a test.
async fn start_patient() -> Wired {
    let long = Duration::from_secs(3600);
    start_limited(|limits| {
        limits.header_timeout = long;
        limits.idle_timeout = long;
        limits.body_timeout = long;
        limits.default_deadline = long;
        limits.deadline_cap = long;
        limits.drain_timeout = long;
    })
    .await
}

#[tokio::test]
async fn a_stop_does_not_wait_for_incomplete_requests() {
    let mut wired = start_patient().await;
    let next = post(NEXT, r#"{"n":3}"#);
    let mut half_body = wired.connect().await;
    half_body.send(&next[..next.len() - 2]).await.unwrap();
    let mut half_head = wired.connect().await;
    half_head.send(&next[..20]).await.unwrap();
    let mut second_head = wired.connect().await;
    assert_eq!(second_head.ask(&next).await.status, 200);
    second_head.send(&next[..20]).await.unwrap();
    // The preface and empty settings of HTTP/2, and then nothing.
    let mut mute = wired.connect().await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    mute.send(preface).await.unwrap();
    // A response that its peer does not read.
    let mut unread = wired.connect().await;
    let large = post("/wire.v1.Wire/Large", format!(r#"{{"size":{}}}"#, 32 << 20));
    unread.send(large).await.unwrap();
    let mut running = wired.connect().await;
    running.send(post(HANG, "{}")).await.unwrap();
    assert_eq!(wired.events.recv().await, Some("started"));
    // The server has read the bytes above before it responds to this.
    let mut idle = wired.connect().await;
    assert_eq!(idle.ask(&next).await.status, 200);
    let start = Instant::now();
    let stopping = tokio::spawn(wired.running.stop());
    idle.closed().await;

    let response = half_body.response().await;
    assert!(
        start.elapsed() >= Duration::from_secs(2),
        "time to complete it"
    );
    assert_eq!(response.error(), (503, "unavailable".to_owned()));
    assert!(response.message().contains("not begun"), "{response:?}");
    assert_eq!(response.header("connection"), Some("close"));
    half_body.closed().await;
    half_head.closed().await;
    second_head.closed().await;
    mute.closed().await;
    assert!(!stopping.is_finished(), "a call is running");
    drop(running);
    within(stopping).await.unwrap();
    drop(unread);
}

#[tokio::test]
async fn a_request_is_completed_while_the_server_stops() {
    let wired = start_patient().await;
    let next = post(NEXT, r#"{"n":3}"#);
    let mut half = wired.connect().await;
    half.send(&next[..next.len() - 2]).await.unwrap();
    let mut idle = wired.connect().await;
    assert_eq!(idle.ask(&next).await.status, 200);
    let stopping = tokio::spawn(wired.running.stop());
    idle.closed().await;
    half.send(&next[next.len() - 2..]).await.unwrap();
    assert_eq!(half.response().await.value(), (200, 4.into()));
    within(stopping).await.unwrap();
}

#[tokio::test]
async fn a_slow_body_of_a_plain_route_ends_at_the_stop() {
    use rpc_runtime::axum::{Router, routing::post as route};

    let mut limits = Limits::default();
    limits.drain_timeout = Duration::from_secs(3600);
    limits.default_deadline = Duration::from_secs(3600);
    let routes = Router::new().route("/upload", route(async |text: String| text));
    let server = Server::new("wire").limits(limits).http(routes);
    let running = Running::start(server).await;
    let mut half = Raw::connect(running.address()).await;
    let upload = request(
        "POST",
        "/upload",
        &[("content-type", "text/plain")],
        b"hello",
    );
    half.send(&upload[..upload.len() - 2]).await.unwrap();
    let mut idle = Raw::connect(running.address()).await;
    assert_eq!(idle.ask(&upload).await.body, b"hello");
    let stopping = tokio::spawn(running.stop());
    idle.closed().await;
    assert_eq!(half.response().await.status, 400);
    within(stopping).await.unwrap();
}

/// Sends a request over HTTP/2 whose response body the peer never takes.
async fn untaken(running: &Running, request: http::Request<()>, body: &'static [u8]) -> Untaken {
    let stream = TcpStream::connect(running.address()).await.unwrap();
    let (client, connection) = h2::client::Builder::new()
        .initial_window_size(0)
        .handshake::<_, Bytes>(stream)
        .await
        .unwrap();
    // Acknowledges pings and settings.
    let driver = tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    let (response, mut sending) = client.send_request(request, body.is_empty()).unwrap();
    if !body.is_empty() {
        sending.send_data(Bytes::from_static(body), true).unwrap();
    }
    let response = within(response).await.unwrap();
    Untaken {
        driver,
        _open: (client, response.into_body()),
    }
}

/// An HTTP/2 connection with a response that waits for its peer.
struct Untaken {
    driver: JoinHandle<Result<(), h2::Error>>,
    _open: (SendRequest<Bytes>, RecvStream),
}

#[tokio::test]
async fn a_stop_does_not_wait_for_untaken_responses() {
    let mut wired = start_patient().await;
    let get = |path: &str| http::Request::get(format!("http://a{path}"));
    let next = http::Request::post(format!("http://a{NEXT}"));
    let next = next.header("content-type", "application/json").body(());
    let mut open = Vec::new();
    for (request, body) in [
        (get("/healthz").body(()), &b""[..]),
        (get("/nowhere").body(()), b""),
        (next, br#"{"n":3}"#),
    ] {
        open.push(untaken(&wired.running, request.unwrap(), body).await);
    }
    let mut running = wired.connect().await;
    running.send(post(HANG, "{}")).await.unwrap();
    assert_eq!(wired.events.recv().await, Some("started"));
    let stopping = tokio::spawn(wired.running.stop());
    for untaken in open {
        // The server closes the connection.
        drop(within(untaken.driver).await.unwrap());
    }
    assert!(!stopping.is_finished(), "a call is running");
    drop(running);
    within(stopping).await.unwrap();
}

#[tokio::test]
async fn an_untaken_stream_of_a_route_ends_at_the_stop() {
    use rpc_runtime::axum::{Router, body::Body, routing::get as route};

    let mut limits = Limits::default();
    limits.drain_timeout = Duration::from_secs(3600);
    limits.idle_timeout = Duration::from_secs(3600);
    let ticks = || futures_util::stream::repeat(Ok::<_, std::convert::Infallible>("tick"));
    let routes = Router::new().route("/ticks", route(async move || Body::from_stream(ticks())));
    let server = Server::new("wire").limits(limits).http(routes);
    let running = Running::start(server).await;
    let request = http::Request::get("http://a/ticks").body(()).unwrap();
    let untaken = untaken(&running, request, b"").await;
    let stopping = tokio::spawn(running.stop());
    drop(within(untaken.driver).await.unwrap());
    within(stopping).await.unwrap();
}

/// Returns the HEADERS frame of `GET /healthz`, which also ends its stream.
fn probe_frame(stream: u32) -> Vec<u8> {
    // GET, http, and the literal values of `:path` and `:authority`.
    let mut block = vec![0x82, 0x86, 0x04, 8];
    block.extend_from_slice(b"/healthz");
    block.extend_from_slice(&[0x01, 1, b'a']);
    let mut frame = vec![0, 0, block.len().try_into().unwrap(), 1, 0x05];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(&block);
    frame
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_peer_that_goes_on() {
    let wired = start_patient().await;
    let mut peer = TcpStream::connect(wired.running.address()).await.unwrap();
    // Acknowledges neither the settings nor the ping that comes with the first GOAWAY.
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    peer.write_all(preface).await.unwrap();
    peer.write_all(&probe_frame(1)).await.unwrap();
    let mut received = Vec::new();
    while !received.windows(6).any(|bytes| bytes == b"alive\n") {
        assert_ne!(within(peer.read_buf(&mut received)).await.unwrap(), 0);
    }
    let stopping = tokio::spawn(wired.running.stop());
    let mut pace = tokio::time::interval(Duration::from_millis(50));
    let mut stream = 1;
    loop {
        tokio::select! {
            _ = pace.tick() => {
                stream += 2;
                // Fails when the server has closed the connection.
                if peer.write_all(&probe_frame(stream)).await.is_err() {
                    break;
                }
            }
            read = peer.read_buf(&mut received) => match read {
                Ok(1..) => {}
                Ok(0) | Err(_) => break,
            }
        }
    }
    let text = String::from_utf8_lossy(&received);
    assert!(text.contains("this connection should have ended"), "{text}");
    within(stopping).await.unwrap();
}

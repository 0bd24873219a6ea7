use std::time::{Duration, Instant};

use rpc_runtime::{Code, Limits, Server};
use rpc_tests::Running;
use rpc_tests::raw::{Raw, post, request};
use rpc_tests::wait::within;

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
        tokio::net::TcpStream::connect(address).await.is_err(),
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

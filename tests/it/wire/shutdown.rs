use std::time::{Duration, Instant};

use rpc_runtime::Code;
use rpc_tests::raw::post;
use rpc_tests::wait::within;

use super::{start, start_limited};

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

use rpc_runtime::prelude::*;
use rpc_tests::raw::{Raw, request};
use rpc_tests::wait::until;

use super::Fixture;

#[tokio::test]
async fn a_stream_keeps_its_place_until_its_end() {
    let mut fixture = Fixture::narrow(0).await;
    let mut stream = fixture.running_request("/stream").await;
    // The head is there, and observed.
    assert_eq!(fixture.code().await, None);
    assert_eq!(fixture.ask("GET", "/quick", &[]).await.status, 503);
    fixture.go.add_permits(1);
    let text = String::from_utf8(stream.closed().await).unwrap();
    assert!(text.ends_with("\r\n3\r\nend\r\n0\r\n\r\n"), "{text}");
    until(async || fixture.ask("GET", "/quick", &[]).await.status == 200).await;
    // A caller that leaves gives it up as well.
    drop(fixture.running_request("/stream").await);
    until(async || fixture.ask("GET", "/quick", &[]).await.status == 200).await;
}

#[tokio::test]
async fn a_caller_that_leaves_frees_its_place() {
    let mut fixture = Fixture::narrow(1).await;
    let held = fixture.running_request("/hang").await;
    let mut waiting = fixture.raw().await;
    waiting
        .send(request("GET", "/quick", &[], b""))
        .await
        .unwrap();
    until(async || fixture.counts().await.in_flight == 2).await;
    drop(waiting);
    assert_eq!(fixture.code().await, Some(Code::Canceled), "in the queue");
    drop(held);
    assert_eq!(fixture.code().await, Some(Code::Canceled), "in the handler");
    until(async || fixture.ask("GET", "/quick", &[]).await.status == 200).await;
}

#[tokio::test]
async fn a_stop_waits_for_plain_requests_and_streams() {
    for path in ["/hang", "/stream"] {
        let mut fixture = Fixture::narrow(0).await;
        let mut raw = fixture.running_request(path).await;
        let address = fixture.running.address();
        let stop = tokio::spawn(fixture.running.stop());
        // The listener is closed, and the request goes on.
        until(async || tokio::net::TcpStream::connect(address).await.is_err()).await;
        assert!(!stop.is_finished());
        fixture.go.add_permits(1);
        assert_eq!(raw.response().await.status, 200, "{path}");
        stop.await.unwrap();
    }
}

/// Sends a request whose body is not complete.
async fn half_sent(fixture: &Fixture, left: usize) -> Raw {
    let mut raw = fixture.raw().await;
    let whole = request("POST", "/reads", &[], b"whole");
    raw.send(&whole[..whole.len() - left]).await.unwrap();
    raw
}

#[tokio::test]
async fn a_slow_body_keeps_no_place() {
    let fixture = Fixture::narrow(4).await;
    let mut slow = [half_sent(&fixture, 1).await, half_sent(&fixture, 5).await];
    until(async || fixture.counts().await.in_flight == 2).await;
    until(async || fixture.ask("GET", "/quick", &[]).await.status == 200).await;
    // With its rest it gets a place again.
    for (raw, rest) in slow.iter_mut().zip(["e", "whole"]) {
        let response = raw.ask(rest).await;
        assert_eq!(
            (response.status, response.body.as_slice()),
            (200, &b"whole"[..])
        );
    }
}

#[tokio::test]
async fn a_slow_body_may_find_no_place() {
    let mut fixture = Fixture::narrow(0).await;
    let mut slow = half_sent(&fixture, 1).await;
    until(async || fixture.counts().await.in_flight == 1).await;
    // Other requests take the place as soon as it is given up.
    until(async || fixture.ask("GET", "/quick", &[]).await.status == 200).await;
    let mut held = fixture.running_request("/hang").await;
    let response = slow.ask("e").await;
    assert_eq!(response.error(), (503, "unavailable".to_owned()));
    let message = response.message();
    assert!(message.contains("too slowly"), "{message}");
    assert_eq!(response.header("x-rpc-outcome"), None, "the handler began");
    fixture.go.add_permits(1);
    assert_eq!(held.response().await.status, 200);
}

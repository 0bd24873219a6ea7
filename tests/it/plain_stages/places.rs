use rpc_runtime::prelude::*;
use rpc_tests::raw::request;
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

use rpc_tests::raw::{Raw, request};
use rpc_tests::wait::{until, within};

use super::Fixture;

/// Sends a request whose body is not complete.
async fn half_sent(fixture: &Fixture, left: usize) -> Raw {
    half_sent_to("/reads", fixture, left).await
}

async fn half_sent_to(path: &str, fixture: &Fixture, left: usize) -> Raw {
    let mut raw = fixture.raw().await;
    let whole = request("POST", path, &[], b"whole");
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

/// Sends requests whose handlers have given up their place, and lets them go on without a body.
async fn without_bodies(fixture: &Fixture, count: usize) -> Vec<Raw> {
    let mut slow = Vec::new();
    for _ in 0..count {
        slow.push(half_sent_to("/leaves", fixture, 5).await);
        until(async || fixture.ask("GET", "/quick", &[]).await.status == 200).await;
    }
    slow
}

#[tokio::test]
async fn a_handler_goes_on_with_a_place_only() {
    let mut fixture = Fixture::narrow(4).await;
    let before = fixture.runs();
    let slow = without_bodies(&fixture, 4).await;
    let quick = fixture.runs() - before;
    fixture.leave.add_permits(4);
    for n in 1..=4 {
        within(fixture.begun.recv()).await.unwrap();
        // The others would run by now.
        for _ in 0..5 {
            fixture.counts().await;
        }
        assert_eq!(fixture.runs() - before - quick, n);
        fixture.go.add_permits(1);
    }
    for mut raw in slow {
        assert_eq!(raw.response().await.status, 200);
    }
}

#[tokio::test]
async fn a_handler_without_its_body_may_find_no_place() {
    let mut fixture = Fixture::narrow(0).await;
    let mut slow = without_bodies(&fixture, 1).await;
    let mut held = fixture.running_request("/hang").await;
    let runs = fixture.runs();
    fixture.leave.add_permits(1);
    let response = slow[0].response().await;
    assert_eq!(response.error(), (503, "unavailable".to_owned()));
    assert_eq!(response.header("x-rpc-outcome"), None, "the handler began");
    assert_eq!(fixture.runs(), runs);
    fixture.go.add_permits(1);
    assert_eq!(held.response().await.status, 200);
}

#[tokio::test]
async fn a_handler_with_its_place_keeps_it() {
    let mut fixture = Fixture::narrow(0).await;
    fixture.leave.add_permits(1);
    // It drops its body at once, or at its end.
    for left in [5, 0] {
        let mut raw = half_sent_to("/leaves", &fixture, left).await;
        within(fixture.begun.recv()).await.unwrap();
        assert_eq!(fixture.ask("GET", "/quick", &[]).await.status, 503);
        fixture.go.add_permits(1);
        assert_eq!(raw.response().await.status, 200);
    }
}

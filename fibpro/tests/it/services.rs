//! Pricing and the compute worker, called directly as other services call them.

use std::time::Duration;

use fibpro::api::compute_worker::{BUYER_HEADER, ComputeWorkerClient, ComputeWorkerServer};
use fibpro::service::compute_worker::Worker;
use futures_util::future::join_all;
use futures_util::poll;
use rpc_runtime::prelude::*;
use rpc_tests::Running;
use rpc_tests::raw::{Raw, post, request};
use serde_json::json;

use crate::system::System;

#[tokio::test]
async fn a05_a_number_is_decimal_text_on_the_wire() {
    let system = System::start(0).await;
    let mut worker = Raw::connect(system.internal[2]).await;
    let path = "/fibpro.v1.ComputeWorker/ComputeFib";
    let response = worker.ask(post(path, r#"{"n":94}"#)).await;
    assert_eq!(response.value(), (200, json!("19740274219868223167")));
    // A 64-bit argument may come as decimal text.
    let response = worker.ask(post(path, r#"{"n":"186"}"#)).await;
    assert_eq!(
        response.value(),
        (200, json!("332825110087067562321196029789634457848"))
    );
}

#[tokio::test]
async fn e03_c06_a_wrong_call_gets_a_clear_error() {
    let system = System::start(0).await;
    let mut worker = Raw::connect(system.internal[2]).await;
    let path = "/fibpro.v1.ComputeWorker/ComputeFib";
    for body in [
        r#"{"m":1}"#,
        r#"{"n":-1}"#,
        r#"{"n":4.5}"#,
        r#"{"n":18446744073709551616}"#,
        r#"{"n":1000001}"#,
        r#"{"n":"+5"}"#,
        "",
    ] {
        let response = worker.ask(post(path, body)).await;
        assert_eq!(
            response.error(),
            (400, "invalid_argument".to_owned()),
            "{body}"
        );
        if body == r#"{"n":4.5}"# {
            let message = response.json()["message"].to_string();
            let shown = include_str!("../../TUTORIAL.md");
            assert!(shown.contains(&message), "the tutorial has no {message}");
        }
    }
    // f01: only methods of the trait can be called.
    for method in ["Nope", "compute_fib", "computeFib", "New", "__init__"] {
        let path = format!("/fibpro.v1.ComputeWorker/{method}");
        let response = worker.ask(post(&path, r#"{"n":1}"#)).await;
        assert_eq!(
            response.error(),
            (404, "unimplemented".to_owned()),
            "{method}"
        );
    }
}

#[tokio::test]
async fn d05_a_method_with_a_cost_refuses_get() {
    let system = System::start(4).await;
    let mut pricing = Raw::connect(system.internal[1]).await;
    let message =
        "message=%7B%22username%22:%22username%22,%22n%22:1,%22key%22:%22k%22%7D&encoding=json";
    for method in ["Pay", "Settle", "Refund"] {
        let path = format!("/fibpro.v1.Pricing/{method}?connect=v1&{message}");
        assert_eq!(
            pricing.ask(request("GET", &path, &[], b"")).await.status,
            405,
            "{method}"
        );
    }
    assert_eq!(system.bank.credit(), 4);
    let path = "/fibpro.v1.Pricing/Price?connect=v1&encoding=json&message=%7B%22n%22:1000%7D";
    assert_eq!(
        pricing.ask(request("GET", path, &[], b"")).await.value(),
        (200, json!(4))
    );
}

#[tokio::test]
async fn a_price_is_asked_for_without_buying() {
    let system = System::start(0).await;
    let mut pricing = Raw::connect(system.internal[1]).await;
    for (n, price) in [
        ("0", 1),
        ("999", 3),
        ("1000", 4),
        ("18446744073709551615", 20),
    ] {
        let response = pricing
            .ask(post("/fibpro.v1.Pricing/Price", format!(r#"{{"n":{n}}}"#)))
            .await;
        assert_eq!(response.value(), (200, json!(price)), "{n}");
    }
}

/// A number whose computation takes long, and is stopped long before its end.
const LONG: u64 = 4_000_000;

#[tokio::test]
async fn a_busy_worker_still_reports_its_health() {
    let worker = Worker::new().cores(1).largest_n(LONG);
    let running =
        Running::start(Server::new("compute_worker").add(ComputeWorkerServer::new(worker))).await;
    let client = ComputeWorkerClient::connect(&running.url()).unwrap();
    let long = tokio::spawn(client.compute_fib(LONG).into_future());
    // One of the two calls holds the core; the other one waits until its deadline at most.
    let short = Duration::from_millis(30);
    let waiting = client.compute_fib(LONG).timeout(short).await.unwrap_err();
    assert_eq!(waiting.code(), Code::DeadlineExceeded);
    client.ping().await.unwrap();
    long.abort();
    // f10: the caller has disconnected, so the core is free again.
    assert_eq!(client.compute_fib(10).await.unwrap(), "55");
}

/// Returns the call of a user.
fn compute(worker: &ComputeWorkerClient, n: u64, buyer: &str) -> Call<String> {
    let call = worker.compute_fib(n);
    call.header_bin(BUYER_HEADER, buyer.as_bytes())
}

#[tokio::test]
async fn large_numbers_of_one_user_do_not_delay_others() {
    let worker = ComputeWorkerClient::local(Worker::new().cores(1).largest_n(LONG));
    let mut large: Vec<_> = (0..6)
        .map(|_| Box::pin(compute(&worker, LONG, "ada").into_future()))
        .collect();
    for number in &mut large {
        assert!(poll!(number).is_pending());
    }
    // A short number waits for none of them.
    assert_eq!(compute(&worker, 10, "bob").await.unwrap(), "55");
    assert_eq!(worker.compute_fib(10).await.unwrap(), "55");
    // Nor do many short ones of that user keep others waiting.
    let short = join_all((0..100).map(|_| compute(&worker, 10, "ada")));
    assert!(short.await.into_iter().all(|number| number.is_ok()));
    let mut first = large.swap_remove(0);
    assert!(poll!(&mut first).is_pending());
    for number in &mut large {
        assert!(poll!(number).is_pending());
    }
    // A long one of another user has the next turn.
    let other = compute(&worker, 200_000, "bob");
    tokio::select! {
        biased;
        _ = join_all(large) => panic!("they were first"),
        number = other => assert_eq!(number.unwrap().len(), 41_798),
        _ = async { first.await.unwrap(); std::future::pending::<()>().await } => {}
    }
}

#[tokio::test]
async fn the_numbers_that_wait_for_a_user_are_bounded() {
    let worker = ComputeWorkerClient::local(Worker::new().cores(1).largest_n(LONG));
    let mut waiting: Vec<_> = (0..129)
        .map(|_| Box::pin(compute(&worker, LONG, "ada").into_future()))
        .collect();
    for number in &mut waiting {
        assert!(poll!(number).is_pending());
    }
    let error = compute(&worker, LONG, "ada").no_retry().await.unwrap_err();
    assert_eq!(error.code(), Code::ResourceExhausted);
    assert!(error.is_not_executed() && error.as_error().retry_after().is_some());
    let mut other = Box::pin(compute(&worker, LONG, "bob").into_future());
    assert!(poll!(&mut other).is_pending());
}

#[tokio::test]
async fn f10_a_number_stops_at_its_deadline() {
    let client = ComputeWorkerClient::local(Worker::new().cores(1).largest_n(LONG));
    let late = client
        .compute_fib(LONG)
        .timeout(Duration::from_millis(20))
        .await;
    assert_eq!(late.unwrap_err().code(), Code::DeadlineExceeded);
    assert_eq!(client.compute_fib(10).await.unwrap(), "55");
}

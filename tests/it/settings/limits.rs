//! The limits of a server.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rpc_runtime::prelude::*;
use rpc_runtime::{Client, Limits};
use rpc_tests::Running;
use rpc_tests::raw::{Raw, post, post_with};
use rpc_tests::wait::within;
use tokio::sync::Semaphore;

use super::Extreme::{self, Largest, One, Zero};
use super::{NEXT, WorkClient, WorkServer, Worker, fields, server};

type SetLimit = (&'static str, fn(&mut Limits, Extreme));

const LIMITS: [SetLimit; 21] = [
    ("message_bytes", |limits, value| {
        limits.message_bytes = value.number();
    }),
    ("buffered_bytes", |limits, value| {
        limits.buffered_bytes = value.number();
    }),
    ("header_bytes", |limits, value| {
        limits.header_bytes = value.number();
    }),
    ("header_count", |limits, value| {
        limits.header_count = value.number();
    }),
    ("path_bytes", |limits, value| {
        limits.path_bytes = value.number();
    }),
    ("first_byte_timeout", |limits, value| {
        limits.first_byte_timeout = value.time();
    }),
    ("header_timeout", |limits, value| {
        limits.header_timeout = value.time();
    }),
    ("idle_timeout", |limits, value| {
        limits.idle_timeout = value.time();
    }),
    ("body_timeout", |limits, value| {
        limits.body_timeout = value.time();
    }),
    ("connections", |limits, value| {
        limits.connections = value.number();
    }),
    ("connections_per_peer", |limits, value| {
        limits.connections_per_peer = value.number();
    }),
    ("running_calls", |limits, value| {
        limits.running_calls = value.number();
    }),
    ("queued_calls", |limits, value| {
        limits.queued_calls = value.number();
    }),
    ("queue_timeout", |limits, value| {
        limits.queue_timeout = value.time();
    }),
    ("wrong_credentials_per_peer", |limits, value| {
        limits.wrong_credentials_per_peer = value.number();
    }),
    ("default_deadline", |limits, value| {
        limits.default_deadline = value.time();
    }),
    ("deadline_cap", |limits, value| {
        limits.deadline_cap = value.time();
    }),
    ("stream_idle_timeout", |limits, value| {
        limits.stream_idle_timeout = value.time();
    }),
    ("stream_drain_timeout", |limits, value| {
        limits.stream_drain_timeout = value.time();
    }),
    ("lame_duck", |limits, value| {
        limits.lame_duck = value.time();
    }),
    ("drain_timeout", |limits, value| {
        limits.drain_timeout = value.time();
    }),
];

/// The fields of which 0 and 1 are refused, except 1 where it is in the list.
const REFUSED_AT_0: [&str; 16] = [
    "message_bytes",
    "buffered_bytes",
    "header_bytes",
    "header_count",
    "path_bytes",
    "first_byte_timeout",
    "header_timeout",
    "idle_timeout",
    "body_timeout",
    "connections",
    "connections_per_peer",
    "running_calls",
    "wrong_credentials_per_peer",
    "default_deadline",
    "deadline_cap",
    "stream_idle_timeout",
];
const SERVES_AT_1: [&str; 4] = [
    "connections",
    "connections_per_peer",
    "running_calls",
    "wrong_credentials_per_peer",
];

#[test]
fn every_field_of_the_limits_is_tested() {
    let tested: BTreeSet<_> = LIMITS.iter().map(|limit| limit.0.to_owned()).collect();
    assert_eq!(fields(&format!("{:?}", Limits::default())), tested);
}

#[tokio::test]
async fn limits_are_refused_by_name_or_serve() {
    for (field, set) in LIMITS {
        for value in [Zero, One, Largest] {
            let refused = match value {
                Zero => REFUSED_AT_0.contains(&field),
                One => REFUSED_AT_0.contains(&field) && !SERVES_AT_1.contains(&field),
                Largest => false,
            };
            let mut limits = Limits::default();
            set(&mut limits, value);
            let bound = server().limits(limits).listen("127.0.0.1:0").bind().await;
            let bound = match bound {
                Err(error) => {
                    assert!(refused, "{field} {value:?}: {error}");
                    assert_eq!(error.code(), Code::InvalidArgument, "{error}");
                    let name = format!("`Limits::{field}` is ");
                    assert!(error.message().starts_with(&name), "{error}");
                    continue;
                }
                Ok(bound) => bound,
            };
            assert!(!refused, "{field} {value:?} must be refused");
            let address = bound.addresses()[0];
            let serving = tokio::spawn(bound.serve(std::future::pending()));
            let mut raw = Raw::connect(address).await;
            let response = raw.ask(post(NEXT, r#"{"n":1}"#)).await;
            assert_eq!(response.value(), (200, 2.into()), "{field} {value:?}");
            // A second request on the connection, which was idle meanwhile.
            let response = raw.ask(post(NEXT, r#"{"n":2}"#)).await;
            assert_eq!(response.value(), (200, 3.into()), "{field} {value:?}");
            drop(raw);
            if field != "connections_per_peer" || value != One {
                let client = Client::new(&format!("http://{address}")).unwrap().http2();
                let client = WorkClient::with_client(client);
                assert_eq!(
                    within(client.next(1)).await.unwrap(),
                    2,
                    "{field} {value:?}"
                );
            }
            serving.abort();
        }
    }
}

#[tokio::test]
async fn the_smallest_limits_serve_the_smallest_call() {
    let mut limits = Limits::default();
    limits.message_bytes = 2;
    limits.header_count = 3;
    limits.header_bytes = 64;
    // The longest path of the server itself.
    limits.path_bytes = 1;
    let empty = Server::new("empty").limits(limits.clone()).into_router();
    let error = empty.unwrap_err();
    let least = error.message().rsplit_once(' ').map(|(_, least)| least);
    limits.path_bytes = least.unwrap().parse().unwrap();
    assert!(limits.path_bytes >= "/rpc.v1.Status/Get".len());
    let running = Running::start(Server::new("empty").limits(limits.clone())).await;
    let mut raw = Raw::connect(running.address()).await;
    let request = b"POST /rpc.v1.Status/Get HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
    assert_eq!(raw.ask(request).await.status, 200);
    // The longest path of the server counts.
    limits.path_bytes -= 1;
    let error = server().limits(limits).into_router().unwrap_err();
    assert!(error.message().contains("`Limits::path_bytes`"), "{error}");
}

#[tokio::test]
async fn every_way_to_start_checks_the_limits() {
    let mut limits = Limits::default();
    limits.running_calls = 0;
    let error = server().limits(limits.clone()).into_router().unwrap_err();
    assert!(
        error.message().contains("`Limits::running_calls`"),
        "{error}"
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let served = server().limits(limits).serve(listener, async {}).await;
    let error = served.unwrap_err();
    assert!(
        error.message().contains("`Limits::running_calls`"),
        "{error}"
    );
}

#[tokio::test]
async fn many_headers_are_served_without_a_limit() {
    let mut limits = Limits::default();
    limits.header_count = usize::MAX;
    limits.header_bytes = usize::MAX;
    let running = Running::start(server().limits(limits)).await;
    let names: Vec<_> = (0..2000).map(|n| format!("x-{n}")).collect();
    let lines: Vec<_> = names.iter().map(|name| (name.as_str(), "1")).collect();
    let request = post_with(NEXT, &lines, r#"{"n":1}"#);
    let mut raw = Raw::connect(running.address()).await;
    assert_eq!(raw.ask(request).await.value(), (200, 2.into()));
    // More than a header map can hold is a response and not a panic.
    let names: Vec<_> = (0..40_000).map(|n| format!("x-{n}")).collect();
    let lines: Vec<_> = names.iter().map(|name| (name.as_str(), "1")).collect();
    let request = post_with(NEXT, &lines, "{}");
    // The server responds before it has read the whole head.
    let _ = raw.send(request).await;
    let response = raw.try_response().await;
    assert!(response.is_ok_and(|response| response.status == 431));
}

#[tokio::test]
async fn a_call_waits_under_the_longest_queue_timeout() {
    let go = Arc::new(Semaphore::new(0));
    let mut limits = Limits::default();
    limits.running_calls = 1;
    limits.queued_calls = usize::MAX;
    limits.queue_timeout = Duration::MAX;
    limits.default_deadline = Duration::MAX;
    limits.deadline_cap = Duration::MAX;
    let work = WorkServer::new(Worker(Arc::clone(&go)));
    let running = Running::start(Server::new("work").add(work).limits(limits)).await;
    let client = WorkClient::connect(&running.url()).unwrap();
    let calls: Vec<_> = (0..3)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.held().timeout(Duration::MAX).await })
        })
        .collect();
    go.add_permits(1);
    for call in calls {
        assert_eq!(within(call).await.unwrap().unwrap(), 1);
    }
}

use std::time::{Duration, Instant};

use rpc_runtime::Code;
use rpc_tests::raw::{post, post_with};
use rpc_tests::wait::StoppedClock;
use tokio::time::MissedTickBehavior;

use super::{Wired, start, start_limited};

const NEXT: &str = "/wire.v1.Wire/Next";
const SHORT: Duration = Duration::from_millis(200);

/// Starts a server whose timers, except those that the test shortens, take longer than any wait of
/// a test.
async fn start_with_long_timers(change: impl FnOnce(&mut rpc_runtime::Limits)) -> Wired {
    start_limited(|limits| {
        let long = Duration::from_secs(300);
        limits.first_byte_timeout = long;
        limits.header_timeout = long;
        limits.idle_timeout = long;
        limits.body_timeout = long;
        limits.default_deadline = long;
        change(limits);
    })
    .await
}

fn not_early(elapsed: Duration) {
    assert!(elapsed > SHORT / 2, "{elapsed:?}");
}

fn timeout(value: &str) -> Vec<u8> {
    post_with(NEXT, &[("Connect-Timeout-Ms", value)], r#"{"n":3}"#)
}

#[tokio::test]
async fn a_timeout_is_one_to_ten_digits() {
    let wired = start().await;
    let mut raw = wired.connect().await;
    for value in [
        "abc",
        "-5",
        "+5000",
        "1.5",
        "12345678901",
        "５０００",
        "",
        "1e3",
        "0x10",
        "1 000",
        "1,2",
    ] {
        let reply = raw.ask(timeout(value)).await;
        assert_eq!(
            reply.error(),
            (400, "invalid_argument".to_owned()),
            "{value}"
        );
        assert!(reply.message().contains("connect-timeout-ms"));
    }
    let twice = [
        ("Connect-Timeout-Ms", "5000"),
        ("Connect-Timeout-Ms", "5000"),
    ];
    let reply = raw.ask(post_with(NEXT, &twice, r#"{"n":3}"#)).await;
    assert_eq!(reply.error(), (400, "invalid_argument".to_owned()));
    assert_eq!(wired.runs(), 0);
    assert_eq!(raw.ask(timeout("50000")).await.status, 200);
    assert_eq!(raw.ask(timeout("0000050000")).await.status, 200);
}

#[tokio::test]
async fn a_call_without_time_left_is_not_run() {
    let mut wired = start().await;
    let mut raw = wired.connect().await;
    for value in ["0", "0000000000"] {
        let reply = raw.ask(timeout(value)).await;
        assert_eq!(reply.error(), (504, "deadline_exceeded".to_owned()));
        assert_eq!(
            wired.observed.recv().await,
            Some((Some("Next"), Some(Code::DeadlineExceeded)))
        );
    }
    assert_eq!(wired.runs(), 0);
}

#[tokio::test]
async fn a_long_timeout_is_capped_by_the_server() {
    let wired = start().await;
    let mut raw = wired.connect().await;
    let seen = |value| post_with("/wire.v1.Wire/Seen", &[("Connect-Timeout-Ms", value)], "{}");
    let default = post("/wire.v1.Wire/Seen", "{}");
    for (request, at_most) in [
        (seen("9999999999"), 300_000),
        (seen("20000"), 20_000),
        (default, 30_000),
    ] {
        let start = Instant::now();
        let reply = raw.ask(request).await;
        let left = reply.json()["result"]["milliseconds_left"]
            .as_u64()
            .unwrap();
        // The rest of the time has passed; 2 ms allow for rounding.
        assert!(left <= at_most, "{left}");
        assert!(
            start.elapsed().as_millis() + 2 >= u128::from(at_most - left),
            "{left}"
        );
    }
}

#[tokio::test]
async fn a_handler_is_dropped_at_its_deadline() {
    let mut wired = start().await;
    let mut raw = wired.connect().await;
    let start = Instant::now();
    let reply = raw
        .ask(post_with(
            "/wire.v1.Wire/Hang",
            &[("Connect-Timeout-Ms", "2000")],
            "{}",
        ))
        .await;
    not_early(start.elapsed());
    assert_eq!(reply.error(), (504, "deadline_exceeded".to_owned()));
    assert_eq!(wired.events.recv().await, Some("started"));
    assert_eq!(wired.events.recv().await, Some("dropped"));
    assert_eq!(
        raw.ask(post(NEXT, r#"{"n":3}"#)).await.status,
        200,
        "the connection stays open"
    );
}

#[tokio::test]
async fn a_deadline_that_passes_within_the_message() {
    let mut wired = start_with_long_timers(|_| ()).await;
    let mut raw = wired.connect().await;
    let start = Instant::now();
    let request = timeout("200");
    let reply = raw.ask(&request[..request.len() - 1]).await;
    not_early(start.elapsed());
    assert_eq!(
        (reply.error(), reply.header("connection")),
        ((504, "deadline_exceeded".to_owned()), Some("close"))
    );
    let text = "did not arrive within the timeout of the caller";
    assert!(reply.message().contains(text), "{reply:?}");
    raw.closed().await;
    assert_eq!(
        wired.observed.recv().await,
        Some((Some("Next"), Some(Code::DeadlineExceeded)))
    );
    assert_eq!(wired.runs(), 0);
}

#[tokio::test]
async fn a_connection_without_a_first_byte_is_closed() {
    let wired = start_with_long_timers(|limits| limits.first_byte_timeout = SHORT).await;
    for sent in ["", "P", "PR", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r"] {
        let start = Instant::now();
        let mut raw = wired.connect().await;
        raw.send(sent).await.unwrap();
        let arrived = raw.closed().await;
        not_early(start.elapsed());
        assert!(arrived.is_empty(), "{sent}: {}", arrived.escape_ascii());
    }
}

#[tokio::test]
async fn a_connection_with_only_a_preface_is_closed() {
    let wired = start_with_long_timers(|limits| limits.idle_timeout = SHORT).await;
    // The preface, and the beginning of the required frame.
    for rest in ["", "\0\0"] {
        let start = Instant::now();
        let mut raw = wired.connect().await;
        raw.send(format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{rest}"))
            .await
            .unwrap();
        raw.closed().await;
        not_early(start.elapsed());
    }
}

#[tokio::test]
async fn an_unfinished_head_times_out() {
    let wired = start_with_long_timers(|limits| limits.header_timeout = SHORT).await;
    let request = post(NEXT, r#"{"n":3}"#);
    // On a new connection, and after another request.
    for requests_before in [0, 1] {
        let mut raw = wired.connect().await;
        for _ in 0..requests_before {
            assert_eq!(raw.ask(&request).await.status, 200);
        }
        let start = Instant::now();
        raw.send(&request[..30]).await.unwrap();
        let arrived = raw.closed().await;
        not_early(start.elapsed());
        assert!(arrived.is_empty());
    }
}

#[tokio::test]
async fn a_dripping_head_times_out() {
    let wired = start_with_long_timers(|limits| limits.header_timeout = SHORT).await;
    let mut raw = wired.connect().await;
    let start = Instant::now();
    let mut pace = tokio::time::interval(SHORT / 10);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for byte in post(NEXT, r#"{"n":3}"#) {
        pace.tick().await;
        if raw.send([byte]).await.is_err() {
            break;
        }
    }
    raw.closed().await;
    not_early(start.elapsed());
    assert_eq!(wired.runs(), 0);
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let wired = start_with_long_timers(|limits| limits.idle_timeout = SHORT).await;
    // No request comes too late.
    let clock = StoppedClock::start().await;
    let mut raw = wired.connect().await;
    for _ in 0..3 {
        assert_eq!(raw.ask(post(NEXT, r#"{"n":3}"#)).await.status, 200);
    }
    let start = Instant::now();
    drop(clock);
    let arrived = raw.closed().await;
    not_early(start.elapsed());
    assert!(arrived.is_empty());
}

#[tokio::test]
async fn a_dripping_body_times_out() {
    let mut wired = start_with_long_timers(|limits| limits.body_timeout = SHORT).await;
    for drips in [false, true] {
        let mut raw = wired.connect().await;
        let request = post(NEXT, format!("{{\"n\":3}}{}", " ".repeat(1000)));
        let start = Instant::now();
        raw.send(&request[..request.len() - 1000]).await.unwrap();
        let mut pace = tokio::time::interval(SHORT / 10);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let reply = if drips {
            let dripping = async {
                let (mut reader, mut writer) = raw.stream().split();
                tokio::select! {
                    _ = reader.readable() => {}
                    () = async { loop {
                        pace.tick().await;
                        tokio::io::AsyncWriteExt::write_all(&mut writer, b" ").await.unwrap();
                    } } => {}
                }
                let _ = &mut reader;
            };
            dripping.await;
            raw.response().await
        } else {
            raw.response().await
        };
        not_early(start.elapsed());
        assert_eq!(
            (reply.error(), reply.header("connection")),
            ((504, "deadline_exceeded".to_owned()), Some("close"))
        );
        raw.closed().await;
        assert_eq!(
            wired.observed.recv().await,
            Some((Some("Next"), Some(Code::DeadlineExceeded)))
        );
    }
    assert_eq!(wired.runs(), 0);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_disconnected() {
    // One connection at a time: the second is served when the first is closed.
    let wired = start_with_long_timers(|limits| {
        limits.idle_timeout = SHORT;
        limits.connections = 1;
    })
    .await;
    let start = Instant::now();
    let mut deaf = wired.connect().await;
    // More than the buffers of the two sockets can hold.
    deaf.send(post("/wire.v1.Wire/Large", r#"{"size":50000000}"#))
        .await
        .unwrap();
    let mut next = wired.connect().await;
    assert_eq!(next.ask(post(NEXT, r#"{"n":3}"#)).await.status, 200);
    not_early(start.elapsed());
}

#[tokio::test]
async fn a_response_may_take_longer_than_the_idle_timeout() {
    let mut wired = start_with_long_timers(|limits| limits.idle_timeout = SHORT).await;
    let clock = StoppedClock::start().await;
    let mut raw = wired.connect().await;
    raw.send(post_with(
        "/wire.v1.Wire/Hang",
        &[("Connect-Timeout-Ms", "600")],
        "{}",
    ))
    .await
    .unwrap();
    assert_eq!(wired.events.recv().await, Some("started"));
    drop(clock);
    assert_eq!(
        raw.response().await.error(),
        (504, "deadline_exceeded".to_owned())
    );
}

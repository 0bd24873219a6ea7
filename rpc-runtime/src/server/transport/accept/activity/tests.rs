use std::future::poll_fn;

use super::*;
use crate::server::memory::MessageMemory;

fn unknown_peer() -> Arc<PeerMemory> {
    MessageMemory::new(&Limits::default()).unknown_peers()
}

const SECOND: Duration = Duration::from_secs(1);

fn activity(protocol: Protocol) -> Arc<Activity> {
    let limits = Limits {
        header_timeout: 2 * SECOND,
        idle_timeout: 10 * SECOND,
        ..Limits::default()
    };
    Arc::new(Activity::new(&limits, protocol, unknown_peer()))
}

/// Waits for the timer and returns the elapsed time, rounded to seconds: timers have a
/// resolution of 1 ms.
async fn elapsed(timer: &mut ConnectionTimer) -> Duration {
    let start = Instant::now();
    poll_fn(|cx| timer.poll(cx)).await;
    Duration::from_secs((start.elapsed() + SECOND / 2).as_secs())
}

async fn is_quiet(timer: &mut ConnectionTimer, time: Duration) {
    tokio::time::timeout(time, elapsed(timer))
        .await
        .unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_slow_head_reaches_the_header_timeout() {
    let activity = activity(Protocol::Http1);
    let mut timer = ConnectionTimer::new(activity.clone());
    is_quiet(&mut timer, SECOND).await;
    activity.received(b"x");
    assert_eq!(elapsed(&mut timer).await, SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_running_call_has_no_idle_timeout() {
    let activity = activity(Protocol::Http1);
    let mut timer = ConnectionTimer::new(activity.clone());
    let call = activity.call(None);
    is_quiet(&mut timer, 100 * SECOND).await;
    drop(call);
    is_quiet(&mut timer, 9 * SECOND).await;
    activity.received(b"x");
    assert_eq!(
        elapsed(&mut timer).await,
        2 * SECOND,
        "the next head has its own timeout"
    );
}

#[tokio::test(start_paused = true)]
async fn half_a_head_during_a_call_has_the_header_timeout() {
    for (before, during) in [("", "GET"), ("G", ""), ("G", "ET")] {
        let activity = activity(Protocol::Http1);
        let mut timer = ConnectionTimer::new(activity.clone());
        let head = format!("GET / HTTP/1.1\r\n\r\n{before}");
        activity.received(head.as_bytes());
        let call = activity.call(Some(0));
        activity.received(during.as_bytes());
        is_quiet(&mut timer, 100 * SECOND).await;
        drop(call);
        is_quiet(&mut timer, SECOND).await;
        // Further bytes do not prolong it.
        activity.received(b" /");
        assert_eq!(elapsed(&mut timer).await, SECOND, "{before} {during}");
    }
}

#[tokio::test(start_paused = true)]
async fn http2_frames_do_not_start_a_head() {
    let activity = activity(Protocol::Http2);
    let mut timer = ConnectionTimer::new(activity.clone());
    is_quiet(&mut timer, 9 * SECOND).await;
    activity.received(b"x");
    assert_eq!(elapsed(&mut timer).await, SECOND);
}

#[tokio::test(start_paused = true)]
async fn the_longest_timeouts_never_elapse() {
    let limits = Limits {
        header_timeout: Duration::MAX,
        idle_timeout: Duration::MAX,
        ..Limits::default()
    };
    let activity = Arc::new(Activity::new(&limits, Protocol::Http1, unknown_peer()));
    let mut timer = ConnectionTimer::new(activity.clone());
    is_quiet(&mut timer, 100_000 * SECOND).await;
    drop(activity.call(None));
    is_quiet(&mut timer, 100_000 * SECOND).await;
    activity.write_blocked();
    is_quiet(&mut timer, 100_000 * SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn a_stopping_server_waits_for_calls_only() {
    // Half a head, an idle HTTP/2 connection, and a peer that reads nothing.
    for (protocol, blocked) in [
        (Protocol::Http1, false),
        (Protocol::Http2, false),
        (Protocol::Http1, true),
    ] {
        let activity = Arc::new(Activity::new(&Limits::default(), protocol, unknown_peer()));
        let mut timer = ConnectionTimer::new(activity.clone());
        let call = blocked.then(|| activity.call(None));
        is_quiet(&mut timer, SECOND).await;
        if blocked {
            activity.write_blocked();
        }
        activity.stopping();
        assert_eq!(elapsed(&mut timer).await, 3 * SECOND, "{protocol:?}");
        drop(call);
    }
    let activity = activity(Protocol::Http2);
    let mut timer = ConnectionTimer::new(activity.clone());
    let call = activity.call(None);
    activity.stopping();
    is_quiet(&mut timer, 100 * SECOND).await;
    drop(call);
    is_quiet(&mut timer, SECOND).await;
    assert_eq!(elapsed(&mut timer).await, SECOND, "the rest of the 1.5 s");
}

#[tokio::test(start_paused = true)]
async fn a_response_that_no_peer_takes_ends_the_stop() {
    let activity = activity(Protocol::Http2);
    let mut timer = ConnectionTimer::new(activity.clone());
    let mut stuck = activity.call(None);
    stuck.sending();
    let running = activity.call(None);
    activity.stopping();
    is_quiet(&mut timer, 9 * SECOND).await;
    drop(running);
    assert_eq!(elapsed(&mut timer).await, SECOND, "of the idle timeout");
    stuck.sending();
    assert_eq!(elapsed(&mut timer).await, 3 * SECOND);
    // A body that its application has not produced yet is no fault of the peer.
    stuck.producing();
    is_quiet(&mut timer, 100 * SECOND).await;
    stuck.sending();
    is_quiet(&mut timer, 2 * SECOND).await;
    // A part was taken.
    stuck.sending();
    assert_eq!(elapsed(&mut timer).await, 3 * SECOND);
    drop(stuck);
}

#[tokio::test(start_paused = true)]
async fn a_response_that_no_peer_takes_is_idle() {
    let activity = activity(Protocol::Http2);
    let mut timer = ConnectionTimer::new(activity.clone());
    let mut stuck = activity.call(None);
    is_quiet(&mut timer, 100 * SECOND).await;
    stuck.sending();
    assert_eq!(elapsed(&mut timer).await, 10 * SECOND);
    drop(stuck);
}

#[tokio::test(start_paused = true)]
async fn a_response_that_waits_is_not_hidden_by_other_calls() {
    let activity = activity(Protocol::Http2);
    let mut timer = ConnectionTimer::new(activity.clone());
    let _running = activity.call(None);
    let mut stuck = activity.call(None);
    stuck.sending();
    for _ in 0..9 {
        // Other responses are taken meanwhile.
        let mut other = activity.call(None);
        other.sending();
        is_quiet(&mut timer, SECOND).await;
    }
    assert_eq!(elapsed(&mut timer).await, SECOND);
    assert!(activity.has_unread_response());
    assert_eq!(activity.other_calls(), 1);
    stuck.sending();
    is_quiet(&mut timer, 9 * SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn the_last_part_waits_until_it_is_written() {
    let activity = activity(Protocol::Http2);
    let mut timer = ConnectionTimer::new(activity.clone());
    let mut call = activity.call(None);
    let last = call.sending_last(Bytes::from_static(b"{}"));
    let rest = last.slice(1..);
    drop((call, last));
    is_quiet(&mut timer, 9 * SECOND).await;
    assert_eq!(activity.other_calls(), 0);
    assert!(activity.has_unread_response());
    assert_eq!(elapsed(&mut timer).await, SECOND);
    drop(rest);
    assert!(!activity.has_unread_response());
    is_quiet(&mut timer, 9 * SECOND).await;
    assert_eq!(elapsed(&mut timer).await, SECOND, "the connection is idle");
    // The parts of a call may end in the other order.
    let mut call = activity.call(None);
    drop(call.sending_last(Bytes::from_static(b"{}")));
    assert!(activity.has_unread_response(), "its body is not dropped");
    drop(call);
    assert!(!activity.has_unread_response());
    assert_eq!(activity.state().calls, 0);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_moves_too_slowly_is_blocked() {
    let activity = activity(Protocol::Http1);
    let mut timer = ConnectionTimer::new(activity.clone());
    let _call = activity.call(None);
    activity.write_blocked();
    for _ in 0..9 {
        is_quiet(&mut timer, SECOND).await;
        activity.wrote(PART / 10, 1 << 20);
        activity.write_blocked();
    }
    assert_eq!(elapsed(&mut timer).await, SECOND, "less than a part");
    activity.wrote(PART / 5, 1 << 20);
    activity.write_blocked();
    is_quiet(&mut timer, 9 * SECOND).await;
    // The end of a response may be smaller than a part.
    activity.wrote(10, 10);
    is_quiet(&mut timer, 100 * SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn late_calls_do_not_prolong_the_stop() {
    let activity = activity(Protocol::Http2);
    let mut timer = ConnectionTimer::new(activity.clone());
    activity.stopping();
    let running = activity.call(None);
    assert!(!running.is_late());
    is_quiet(&mut timer, 3 * SECOND).await;
    drop(running);
    for _ in 0..10 {
        let mut late = activity.call(None);
        assert!(late.is_late());
        late.sending();
        is_quiet(&mut timer, SECOND / 10).await;
    }
    assert_eq!(elapsed(&mut timer).await, SECOND, "the rest of the 1.5 s");
}

#[tokio::test(start_paused = true)]
async fn only_a_peer_that_reads_nothing_is_closed() {
    let activity = activity(Protocol::Http1);
    let mut timer = ConnectionTimer::new(activity.clone());
    drop(activity.call(None));
    for _ in 0..5 {
        activity.write_blocked();
        is_quiet(&mut timer, 9 * SECOND).await;
        activity.wrote(1, 1);
    }
    activity.write_blocked();
    let call = activity.call(None);
    assert_eq!(elapsed(&mut timer).await, 10 * SECOND);
    drop(call);
}

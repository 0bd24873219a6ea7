//! Deadlines, disconnected callers, detached work, a server that stops.

use std::fmt::Debug;

use rpc_tests::wait::{until, within};
use tokio::net::TcpStream;

use super::*;

/// Makes a call expire while its handler runs. On a slow machine the deadline may pass before the
/// handler starts, so the timeout grows until it does not.
pub(super) async fn expires<T: Debug + Send + 'static>(
    test: &mut Test,
    call: impl Fn(&WorkClient) -> Call<T>,
) {
    for timeout in [40, 400, 4000, 8000].map(Duration::from_millis) {
        let error = call(&test.client).timeout(timeout).await.unwrap_err();
        assert_eq!(error.code(), Code::DeadlineExceeded);
        if test.events.try_recv() == Ok("started") {
            return;
        }
    }
    panic!("the handler does not start");
}

#[tokio::test]
async fn a_handler_is_dropped_at_its_deadline() {
    on_each_transport(async |mut test| {
        expires(&mut test, WorkClient::hang).await;
        assert_eq!(test.events.recv().await, Some("dropped"));
    })
    .await;
}

#[tokio::test]
async fn a_disconnect_drops_the_handler() {
    on_each_transport(async |mut test| {
        let call = tokio::spawn({
            let call = test.client.hang();
            async move { call.await.map_err(|error| error.code()) }
        });
        assert_eq!(test.events.recv().await, Some("started"));
        call.abort();
        assert_eq!(test.events.recv().await, Some("dropped"));
        assert_eq!(test.observed.recv().await.unwrap().1, Some(Code::Canceled));
    })
    .await;
}

#[tokio::test]
async fn a_method_caps_its_own_time() {
    on_each_transport(async |mut test| {
        // On a slow machine the time may pass before the handler starts.
        loop {
            let call = test.client.capped().timeout(Duration::from_secs(20));
            assert_eq!(call.await.unwrap_err().code(), Code::DeadlineExceeded);
            if test.events.try_recv() == Ok("started") {
                break;
            }
        }
        assert_eq!(test.events.recv().await, Some("dropped"));
    })
    .await;
}

#[tokio::test]
async fn the_handler_knows_the_time_that_is_left() {
    on_each_transport(async |test| {
        // The remaining time is the timeout less the time that passed; 2 ms allow for rounding on
        // both sides.
        let has_passed = |start: Instant, milliseconds: u64| {
            start.elapsed() + Duration::from_millis(2) >= Duration::from_millis(milliseconds)
        };
        let start = Instant::now();
        let left = test
            .client
            .time_left()
            .timeout(Duration::from_secs(20))
            .await
            .unwrap()
            .unwrap();
        assert!(left <= 20_000 && has_passed(start, 20_000 - left), "{left}");
        let start = Instant::now();
        let left = test.client.time_left().await.unwrap().unwrap();
        assert!(
            left <= 30_000 && has_passed(start, 30_000 - left),
            "the default is 30 s: {left}"
        );
        let left = test
            .client
            .time_left()
            .timeout(Duration::from_secs(86_400))
            .await
            .unwrap()
            .unwrap();
        assert!(left <= 300_000, "the cap is 5 min: {left}");
        // Longer than an `Instant` can represent, and than the header's ten digits.
        assert!(
            test.client
                .time_left()
                .timeout(Duration::MAX)
                .await
                .unwrap()
                .is_some()
        );
    })
    .await;
}

#[tokio::test]
async fn a_call_without_time_left_is_not_sent() {
    on_each_transport(async |mut test| {
        let error = test
            .client
            .hang()
            .timeout(Duration::ZERO)
            .await
            .unwrap_err();
        assert_eq!(error.code(), Code::DeadlineExceeded);
        assert!(error.hops().is_empty(), "it was not sent: {error:?}");
        let late = Context::default().with_deadline(Instant::now());
        let error = late.enter(|| test.client.hang()).await.unwrap_err();
        assert_eq!(error.code(), Code::DeadlineExceeded);
        assert!(test.events.try_recv().is_err(), "the handler did not run");
    })
    .await;
}

#[tokio::test]
async fn detached_work_outlives_the_timeout_of_its_caller() {
    on_each_transport(async |mut test| {
        expires(&mut test, WorkClient::finish_detached).await;
        let first = test.observed.recv().await.unwrap();
        assert_eq!(first.0, "ended", "the answer is observed");
        test.go_on.add_permits(1);
        assert_eq!(
            test.events.recv().await,
            Some("dropped"),
            "the detached work completed"
        );
        assert_eq!(
            test.observed.recv().await.unwrap(),
            ("detached", None, String::new()),
            "so is the completion"
        );
    })
    .await;
}

#[tokio::test]
async fn awaited_detached_work_returns_its_result() {
    on_each_transport(async |mut test| {
        test.go_on.add_permits(1);
        assert_eq!(test.client.finish_detached().await.unwrap(), 7);
        assert_eq!(
            test.observed.recv().await.unwrap(),
            ("ended", None, String::new())
        );
    })
    .await;
}

#[tokio::test]
async fn a_stopping_server_waits_for_detached_work() {
    let mut test = start(Transport::Http1).await;
    expires(&mut test, WorkClient::finish_detached).await;
    let running = test.running.take().unwrap();
    let address = running.address();
    let stopping = tokio::spawn(running.stop());
    until(async || TcpStream::connect(address).await.is_err()).await;
    assert!(!stopping.is_finished(), "it did not wait");
    test.go_on.add_permits(1);
    within(stopping).await.unwrap();
    assert_eq!(test.events.recv().await, Some("dropped"));
}

#[tokio::test]
async fn a_stopping_server_finishes_the_calls_that_run() {
    let mut test = start(Transport::Http1).await;
    let call = tokio::spawn(test.client.finish_detached().with_response());
    assert_eq!(test.events.recv().await, Some("started"));
    let stopping = tokio::spawn(test.running.take().unwrap().stop());
    test.go_on.add_permits(1);
    assert_eq!(call.await.unwrap().unwrap().value, 7);
    stopping.await.unwrap();
    assert_eq!(
        test.client.ok().await.unwrap_err().code(),
        Code::Unavailable
    );
}

#[tokio::test]
async fn a_server_that_cannot_drain_stops_all_the_same() {
    let (events, mut received) = mpsc::unbounded_channel();
    let works = Works {
        events,
        go_on: Arc::new(tokio::sync::Semaphore::new(0)),
    };
    let mut limits = Limits::default();
    limits.drain_timeout = Duration::from_millis(50);
    let running = Running::start(
        Server::new("work")
            .limits(limits)
            .add(WorkServer::new(works)),
    )
    .await;
    let client = WorkClient::connect(&running.url()).unwrap();
    let call = tokio::spawn(client.hang().with_response());
    assert_eq!(received.recv().await, Some("started"));
    running.stop().await;
    assert_eq!(received.recv().await, Some("dropped"));
    assert_eq!(call.await.unwrap().unwrap_err().code(), Code::Unavailable);
}

//! Deadlines, cancellation, detached work, panics, metadata: what happens to a call on its way, on both roads.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rpc_runtime::observe::{CallEnd, CallStart, Observer, Side};
use rpc_runtime::prelude::*;
use rpc_runtime::{Limits, Metadata};
use rpc_tests::Running;
use tokio::sync::mpsc;

#[rpc_service]
trait Work {
    /// Never ends by itself.
    async fn hang(&self) -> Result<()>;
    /// Never ends by itself, and nobody can stop it but its cap.
    #[rpc(detached, timeout = "60s")]
    async fn hang_detached(&self) -> Result<()>;
    /// Ends when it is told to.
    #[rpc(detached, timeout = "60s")]
    async fn finish_detached(&self) -> Result<u32>;
    #[rpc(timeout = "30ms")]
    async fn capped(&self) -> Result<()>;
    async fn time_left(&self) -> Result<Option<u64>>;
    async fn panics(&self, after_await: bool) -> Result<()>;
    async fn headers(&self, fails: bool) -> Result<String>;
    #[rpc(detached)]
    async fn headers_detached(&self) -> Result<String>;
    async fn mine(&self, mine: Mine) -> Result<Mine>;
    /// Never ends, and panics where it is dropped.
    async fn panics_on_drop(&self) -> Result<()>;
    /// Fails with a source that panics where it is printed.
    async fn panics_on_display(&self) -> Result<()>;
    async fn takes(&self, text: &str) -> Result<u64>;
    async fn ok(&self) -> Result<()>;
}

/// Tells what happens inside the handlers.
struct Works {
    events: mpsc::UnboundedSender<&'static str>,
    go_on: Arc<tokio::sync::Semaphore>,
}

struct OnDrop(mpsc::UnboundedSender<&'static str>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        // The test may be over.
        let _ = self.0.send("dropped");
    }
}

impl Works {
    async fn never(&self) -> Result<()> {
        let _guard = OnDrop(self.events.clone());
        self.events.send("started").unwrap();
        std::future::pending().await
    }
}

impl Work for Works {
    async fn hang(&self) -> Result<()> {
        self.never().await
    }

    async fn hang_detached(&self) -> Result<()> {
        self.never().await
    }

    async fn finish_detached(&self) -> Result<u32> {
        let _guard = OnDrop(self.events.clone());
        self.events.send("started").unwrap();
        self.go_on.acquire().await.unwrap().forget();
        Ok(7)
    }

    async fn capped(&self) -> Result<()> {
        self.never().await
    }

    async fn time_left(&self) -> Result<Option<u64>> {
        Ok(Context::current()
            .remaining()
            .map(|left| u64::try_from(left.as_millis()).unwrap()))
    }

    async fn panics(&self, after_await: bool) -> Result<()> {
        if after_await {
            tokio::task::yield_now().await;
        }
        panic!("the canary sings")
    }

    async fn headers(&self, fails: bool) -> Result<String> {
        let context = Context::current();
        context.response().header("x-leading", "1")?;
        context.response().trailer("x-trailing", "2")?;
        if fails {
            return Err(Error::new(Code::NotFound, "nothing here").with_metadata("x-beside", "3"));
        }
        Ok(context
            .metadata()
            .get_all("x-sent")
            .collect::<Vec<_>>()
            .join(","))
    }

    async fn headers_detached(&self) -> Result<String> {
        self.headers(false).await
    }

    async fn mine(&self, mine: Mine) -> Result<Mine> {
        Ok(mine)
    }

    async fn panics_on_drop(&self) -> Result<()> {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("the canary sings");
            }
        }
        let _bomb = Bomb;
        std::future::pending().await
    }

    async fn panics_on_display(&self) -> Result<()> {
        Err(Error::new(Code::NotFound, "nothing here").with_source(Unprintable))
    }

    async fn takes(&self, text: &str) -> Result<u64> {
        Ok(text.len() as u64)
    }

    async fn ok(&self) -> Result<()> {
        Ok(())
    }
}

#[derive(Debug)]
struct Unprintable;

impl std::fmt::Display for Unprintable {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        panic!("the canary sings")
    }
}

impl std::error::Error for Unprintable {}

/// Prints every error, as a log does.
struct Prints;

impl Observer for Prints {
    fn call_ended(&self, _: &CallStart, end: &CallEnd<'_>) {
        drop(end.error.map(|error| format!("{error:#}")));
    }
}

/// A type whose own code panics where it is told to.
#[derive(Debug)]
enum Mine {
    Fine,
    PanicsOnRead,
    PanicsOnWrite,
}

impl serde::Serialize for Mine {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Written twice: by the client, outside of any call, and by the handler.
        let in_handler = Context::current().server().is_some();
        assert!(
            !(in_handler && matches!(self, Self::PanicsOnWrite)),
            "the canary sings"
        );
        serializer.serialize_str(match self {
            Self::Fine => "fine",
            Self::PanicsOnRead => "read",
            Self::PanicsOnWrite => "write",
        })
    }
}

impl<'de> serde::Deserialize<'de> for Mine {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match <String as serde::Deserialize>::deserialize(deserializer)?.as_str() {
            "read" => panic!("the canary sings"),
            "write" => Ok(Self::PanicsOnWrite),
            _ => Ok(Self::Fine),
        }
    }
}

/// Tells what is observed on a server.
struct Watch(mpsc::UnboundedSender<(&'static str, Option<Code>, String)>);

impl Observer for Watch {
    fn call_ended(&self, call: &CallStart, end: &CallEnd<'_>) {
        assert_eq!(call.side, Side::Server);
        self.tell(call, "ended", end);
    }

    fn detached_ended(&self, call: &CallStart, end: &CallEnd<'_>) {
        self.tell(call, "detached", end);
    }
}

impl Watch {
    fn tell(&self, call: &CallStart, what: &'static str, end: &CallEnd<'_>) {
        let text = end
            .error
            .map(|error| error.message().to_owned())
            .unwrap_or_default();
        let _ = call.method.map(|_| self.0.send((what, end.code(), text)));
    }
}

struct Test {
    client: WorkClient,
    running: Option<Running>,
    events: mpsc::UnboundedReceiver<&'static str>,
    observed: mpsc::UnboundedReceiver<(&'static str, Option<Code>, String)>,
    go_on: Arc<tokio::sync::Semaphore>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Road {
    Local,
    Http1,
    Http2,
}

async fn start(road: Road) -> Test {
    let (events, received) = mpsc::unbounded_channel();
    let (watch, observed) = mpsc::unbounded_channel();
    let go_on = Arc::new(tokio::sync::Semaphore::new(0));
    let works = Works {
        events,
        go_on: Arc::clone(&go_on),
    };
    let server = Server::new("work")
        .observer(Prints)
        .observer(Watch(watch))
        .add(WorkServer::new(works));
    let (client, running) = match road {
        Road::Local => (server.into_local_client().unwrap(), None),
        Road::Http1 | Road::Http2 => {
            let running = Running::start(server).await;
            let client = rpc_runtime::Client::new(&running.url()).unwrap();
            (
                if road == Road::Http2 {
                    client.http2()
                } else {
                    client
                },
                Some(running),
            )
        }
    };
    Test {
        client: WorkClient::with_client(client),
        running,
        events: received,
        observed,
        go_on,
    }
}

async fn on_each_road<F: AsyncFn(Test)>(test: F) {
    for road in [Road::Local, Road::Http1, Road::Http2] {
        let bounded = tokio::time::timeout(Duration::from_secs(20), test(start(road).await));
        bounded.await.unwrap_or_else(|_| panic!("{road:?} hangs"));
    }
}

#[tokio::test]
async fn a_handler_is_dropped_at_its_deadline() {
    on_each_road(async |mut test| {
        let error = test
            .client
            .hang()
            .timeout(Duration::from_millis(40))
            .await
            .unwrap_err();
        assert_eq!(error.code(), Code::DeadlineExceeded);
        assert_eq!(test.events.recv().await, Some("started"));
        assert_eq!(test.events.recv().await, Some("dropped"));
    })
    .await;
}

#[tokio::test]
async fn a_handler_is_dropped_when_its_caller_goes_away() {
    on_each_road(async |mut test| {
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
    on_each_road(async |mut test| {
        let error = test
            .client
            .capped()
            .timeout(Duration::from_secs(20))
            .await
            .unwrap_err();
        assert_eq!(error.code(), Code::DeadlineExceeded);
        assert_eq!(test.events.recv().await, Some("started"));
        assert_eq!(test.events.recv().await, Some("dropped"));
    })
    .await;
}

#[tokio::test]
async fn the_handler_knows_the_time_that_is_left() {
    on_each_road(async |test| {
        let left = test
            .client
            .time_left()
            .timeout(Duration::from_secs(3))
            .await
            .unwrap()
            .unwrap();
        assert!((1..=3000).contains(&left), "{left}");
        let left = test.client.time_left().await.unwrap().unwrap();
        assert!(
            (25_000..=30_000).contains(&left),
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
        // Longer than any clock can say, and longer than the header's ten digits.
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
    on_each_road(async |mut test| {
        let error = test
            .client
            .hang()
            .timeout(Duration::ZERO)
            .await
            .unwrap_err();
        assert_eq!(error.code(), Code::DeadlineExceeded);
        assert!(error.hops().is_empty(), "it never left: {error:?}");
        let late = Context::default().with_deadline(Instant::now());
        let error = late.enter(|| test.client.hang()).await.unwrap_err();
        assert_eq!(error.code(), Code::DeadlineExceeded);
        assert!(test.events.try_recv().is_err(), "the handler did not run");
    })
    .await;
}

#[tokio::test]
async fn detached_work_outlives_the_patience_of_its_caller() {
    on_each_road(async |mut test| {
        let error = test
            .client
            .finish_detached()
            .timeout(Duration::from_millis(40))
            .await
            .unwrap_err();
        assert_eq!(error.code(), Code::DeadlineExceeded);
        assert_eq!(test.events.recv().await, Some("started"));
        let first = test.observed.recv().await.unwrap();
        assert_eq!(first.0, "ended", "the answer is observed");
        test.go_on.add_permits(1);
        assert_eq!(
            test.events.recv().await,
            Some("dropped"),
            "it came to its end"
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
async fn detached_work_that_is_awaited_answers_like_any_other() {
    on_each_road(async |mut test| {
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
    let mut test = start(Road::Http1).await;
    let error = test
        .client
        .finish_detached()
        .timeout(Duration::from_millis(40))
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded);
    assert_eq!(test.events.recv().await, Some("started"));
    let mut stopping = Box::pin(test.running.take().unwrap().stop());
    assert!(
        tokio::time::timeout(Duration::from_millis(50), &mut stopping)
            .await
            .is_err(),
        "it did not wait"
    );
    test.go_on.add_permits(1);
    stopping.await;
    assert_eq!(test.events.recv().await, Some("dropped"));
}

#[tokio::test]
async fn a_stopping_server_finishes_the_calls_that_run() {
    let mut test = start(Road::Http1).await;
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

#[tokio::test]
async fn a_panic_is_internal_and_says_nothing_to_the_caller() {
    on_each_road(async |mut test| {
        for after_await in [false, true] {
            let error = test.client.panics(after_await).await.unwrap_err();
            assert_eq!(
                (error.code(), error.message()),
                (Code::Internal, "internal error")
            );
            assert!(!format!("{error:?}").contains("canary"));
            let (what, code, text) = test.observed.recv().await.unwrap();
            assert_eq!((what, code), ("ended", Some(Code::Internal)));
            assert!(
                text.contains("the canary sings"),
                "the operator reads it: {text}"
            );
            test.client.ok().await.unwrap();
            assert_eq!(test.observed.recv().await.unwrap().1, None);
        }
    })
    .await;
}

#[tokio::test]
async fn a_panic_in_the_code_of_a_message_is_caught_as_well() {
    on_each_road(async |mut test| {
        for mine in [Mine::PanicsOnRead, Mine::PanicsOnWrite] {
            let error = test.client.mine(mine).await.unwrap_err();
            assert_eq!(
                (error.code(), error.message()),
                (Code::Internal, "internal error")
            );
            let text = test.observed.recv().await.unwrap().2;
            assert!(text.contains("the canary sings"), "{text}");
        }
        assert!(matches!(
            test.client.mine(Mine::Fine).await.unwrap(),
            Mine::Fine
        ));
    })
    .await;
}

#[tokio::test]
async fn a_handler_that_panics_where_it_is_dropped_takes_nothing_with_it() {
    on_each_road(async |mut test| {
        // The connection is there, and the time long enough for the call to arrive on a busy machine.
        test.client.ok().await.unwrap();
        assert_eq!(test.observed.recv().await.unwrap().1, None);
        let call = test
            .client
            .panics_on_drop()
            .timeout(Duration::from_millis(500));
        assert_eq!(call.await.unwrap_err().code(), Code::DeadlineExceeded);
        let code = test.observed.recv().await.unwrap().1;
        // Over a network it may be the caller that is seen to go first.
        assert!(
            matches!(code, Some(Code::DeadlineExceeded | Code::Canceled)),
            "{code:?}"
        );
        test.client.ok().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn an_error_that_cannot_be_printed_is_answered_all_the_same() {
    on_each_road(async |mut test| {
        let error = test.client.panics_on_display().await.unwrap_err();
        assert_eq!(
            (error.code(), error.message()),
            (Code::NotFound, "nothing here")
        );
        assert_eq!(
            test.observed.recv().await.unwrap().1,
            Some(Code::NotFound),
            "the other observer is told"
        );
    })
    .await;
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_on_every_road() {
    on_each_road(async |test| {
        assert_eq!(
            test.client.takes(&"x".repeat(1 << 20)).await.unwrap(),
            1 << 20
        );
        let error = test.client.takes(&"x".repeat(5 << 20)).await.unwrap_err();
        assert_eq!(error.code(), Code::ResourceExhausted);
        assert!(error.message().contains("4194304"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn metadata_travels_both_ways() {
    on_each_road(async |test| {
        let reply = test
            .client
            .headers(false)
            .header("x-sent", "a")
            .header("x-sent", "b")
            .with_response()
            .await
            .unwrap();
        assert_eq!(reply.value, "a,b");
        assert_eq!(reply.headers.get("x-leading"), Some("1"));
        assert_eq!(reply.trailers.get("x-trailing"), Some("2"));
        let reply = test
            .client
            .headers_detached()
            .with_response()
            .await
            .unwrap();
        assert_eq!(
            (
                reply.headers.get("x-leading"),
                reply.trailers.get("x-trailing")
            ),
            (Some("1"), Some("2"))
        );
        let error = test.client.headers(true).await.unwrap_err();
        let metadata: &Metadata = error.metadata();
        assert_eq!(metadata.get("x-beside"), Some("3"), "{metadata:?}");
        assert_eq!(
            (metadata.get("x-leading"), metadata.get("x-trailing")),
            (Some("1"), Some("2"))
        );
    })
    .await;
}

#[tokio::test]
async fn a_header_that_cannot_travel_fails_the_call_and_sends_nothing() {
    on_each_road(async |mut test| {
        for (name, value) in [
            ("x-a", "two\r\nlines"),
            ("Upper", "1"),
            ("x-request-id", "1"),
            ("content-length", "0"),
        ] {
            let error = test.client.ok().header(name, value).await.unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument, "{name}");
        }
        assert!(test.observed.try_recv().is_err(), "nothing arrived");
    })
    .await;
}

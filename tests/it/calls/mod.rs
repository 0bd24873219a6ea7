//! Deadlines, cancellation, detached work, panics and metadata of a call, over every transport.

mod deadlines;
mod responses;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rpc_runtime::observe::{CallEnd, CallStart, Observer, Side};
use rpc_runtime::prelude::*;
use rpc_runtime::{Limits, Metadata};
use rpc_tests::Running;
use tokio::sync::mpsc;

#[rpc_service]
trait Work {
    /// Does not return.
    async fn hang(&self) -> Result<()>;
    /// Does not return; detached, so that only the timeout of the method stops it.
    #[rpc(detached, timeout = "60s")]
    async fn hang_detached(&self) -> Result<()>;
    /// Returns when the test releases it.
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
    /// Does not return, and panics when it is dropped.
    async fn panics_on_drop(&self) -> Result<()>;
    /// Fails with a source that panics when it is formatted.
    async fn panics_on_display(&self) -> Result<()>;
    async fn takes(&self, text: &str) -> Result<u64>;
    async fn ok(&self) -> Result<()>;
}

/// Reports events inside the handlers.
struct Works {
    events: mpsc::UnboundedSender<&'static str>,
    go_on: Arc<tokio::sync::Semaphore>,
}

struct OnDrop(mpsc::UnboundedSender<&'static str>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        // The receiver may be gone at the end of a test.
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
        self.events.send("started").unwrap();
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

/// Formats every error, as a log does.
struct Prints;

impl Observer for Prints {
    fn call_ended(&self, _: &CallStart, end: &CallEnd<'_>) {
        drop(end.error.map(|error| format!("{error:#}")));
    }
}

/// A type whose serialization and deserialization panic on demand.
#[derive(Debug)]
enum Mine {
    Fine,
    PanicsOnRead,
    PanicsOnWrite,
}

impl serde::Serialize for Mine {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Called twice: by the client, outside of any call, and by the handler.
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

/// Reports the observations of a server.
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
enum Transport {
    Local,
    Http1,
    Http2,
}

async fn start(transport: Transport) -> Test {
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
    let (client, running) = match transport {
        Transport::Local => (server.into_local_client().unwrap(), None),
        Transport::Http1 | Transport::Http2 => {
            let running = Running::start(server).await;
            let client = rpc_runtime::Client::new(&running.url()).unwrap();
            (
                if transport == Transport::Http2 {
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

async fn on_each_transport<F: AsyncFn(Test)>(test: F) {
    for transport in [Transport::Local, Transport::Http1, Transport::Http2] {
        let bounded = tokio::time::timeout(Duration::from_secs(60), test(start(transport).await));
        bounded
            .await
            .unwrap_or_else(|_| panic!("{transport:?} hangs"));
    }
}

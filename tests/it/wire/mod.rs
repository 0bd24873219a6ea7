//! The wire protocol as untrusted peers see it: bytes over raw sockets, valid and hostile.

/// Content encodings.
mod compression;
/// Framing of requests: lengths, chunks, pipelining, request smuggling.
mod framing;
/// HTTP/2 on the same port.
mod http2;
/// Request IDs, sources and hop counts: which peers are trusted.
mod identity;
/// Limits of sizes and counts.
mod limits;
/// The same calls through a router mounted in an application.
mod mounted;
/// JSON messages, valid and invalid.
mod payload;
/// Paths, verbs, content types, versions.
mod routing;
/// Disconnected callers, panicking handlers, stopping servers.
mod shutdown;
/// Timeouts and slow peers.
mod timing;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rpc_runtime::observe::{CallEnd, CallStart, Observer};
use rpc_runtime::prelude::*;
use rpc_runtime::{Limits, Trust};
use rpc_tests::Running;
use rpc_tests::raw::Raw;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

/// The tested service, one method per kind of input.
#[rpc_service(package = "wire.v1")]
trait Wire {
    async fn next(&self, n: u64) -> Result<u64>;
    #[rpc(no_side_effects)]
    async fn look(&self, n: u64) -> Result<u64>;
    async fn echo(&self, text: &str) -> Result<String>;
    async fn half(&self, x: f64) -> Result<f64>;
    async fn size(&self, data: &[u8]) -> Result<u64>;
    async fn count(&self, items: Vec<Vec<u32>>) -> Result<u64>;
    async fn any(&self, value: serde_json::Value) -> Result<bool>;
    async fn large(&self, size: u64) -> Result<String>;
    #[rpc(no_side_effects)]
    async fn seen(&self) -> Result<HandlerContext>;
    async fn fails(&self, message: &str) -> Result<()>;
    async fn header(&self, name: &str, value: &str) -> Result<()>;
    async fn panics(&self) -> Result<()>;
    async fn hang(&self) -> Result<()>;
}

/// The context as the handler sees it.
#[derive(Debug, Serialize, Deserialize)]
struct HandlerContext {
    request_id: String,
    client_request_id: Option<String>,
    source: Option<String>,
    environment: Option<String>,
    baggage: usize,
    trace: bool,
    trace_link: bool,
    hops: u32,
    attempt: u32,
    milliseconds_left: u64,
    metadata: Vec<(String, String)>,
}

struct Handlers {
    runs: Arc<AtomicUsize>,
    events: mpsc::UnboundedSender<&'static str>,
}

impl Handlers {
    fn runs(&self) {
        self.runs.fetch_add(1, Ordering::SeqCst);
    }
}

struct OnDrop(mpsc::UnboundedSender<&'static str>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        // The receiver may be gone at the end of a test.
        let _ = self.0.send("dropped");
    }
}

impl Wire for Handlers {
    async fn next(&self, n: u64) -> Result<u64> {
        self.runs();
        n.checked_add(1)
            .ok_or_else(|| Error::new(Code::OutOfRange, "there is no next one"))
    }

    async fn look(&self, n: u64) -> Result<u64> {
        self.runs();
        Ok(n)
    }

    async fn echo(&self, text: &str) -> Result<String> {
        self.runs();
        Ok(text.to_owned())
    }

    async fn half(&self, x: f64) -> Result<f64> {
        self.runs();
        Ok(x / 2.0)
    }

    async fn size(&self, data: &[u8]) -> Result<u64> {
        self.runs();
        Ok(data.len() as u64)
    }

    async fn count(&self, items: Vec<Vec<u32>>) -> Result<u64> {
        self.runs();
        Ok(items.len() as u64)
    }

    async fn any(&self, value: serde_json::Value) -> Result<bool> {
        self.runs();
        Ok(!value.is_null())
    }

    async fn large(&self, size: u64) -> Result<String> {
        self.runs();
        Ok("x".repeat(size.try_into().expect("a size of memory")))
    }

    async fn seen(&self) -> Result<HandlerContext> {
        self.runs();
        let context = Context::current();
        Ok(HandlerContext {
            request_id: context.request_id().to_owned(),
            client_request_id: context.client_request_id().map(str::to_owned),
            source: context.source().map(ToString::to_string),
            environment: context.environment().map(str::to_owned),
            baggage: context.baggage().iter().count(),
            trace: context.trace().is_some(),
            trace_link: context.trace_link().is_some(),
            hops: context.hops(),
            attempt: context.attempt(),
            milliseconds_left: context
                .remaining()
                .map_or(0, |left| left.as_millis().try_into().unwrap()),
            metadata: context
                .metadata()
                .iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        })
    }

    async fn fails(&self, message: &str) -> Result<()> {
        self.runs();
        Err(Error::new(Code::NotFound, message.to_owned()))
    }

    async fn header(&self, name: &str, value: &str) -> Result<()> {
        self.runs();
        Context::current()
            .response()
            .header(name.to_owned(), value)?;
        Context::current()
            .response()
            .trailer(name.to_owned(), value)
    }

    async fn panics(&self) -> Result<()> {
        self.runs();
        panic!("the canary sings")
    }

    async fn hang(&self) -> Result<()> {
        self.runs();
        let _guard = OnDrop(self.events.clone());
        self.events.send("started").unwrap();
        std::future::pending().await
    }
}

/// An observation: the wire name of the method, and the code of an error.
type Observed = (Option<&'static str>, Option<Code>);

struct Watch(mpsc::UnboundedSender<Observed>);

impl Observer for Watch {
    fn call_ended(&self, call: &CallStart, end: &CallEnd<'_>) {
        // The receiver may be gone at the end of a test.
        let _ = self
            .0
            .send((call.method.map(|method| method.wire_name), end.code()));
    }
}

/// A server with [`Wire`], and its events.
struct Wired {
    running: Running,
    runs: Arc<AtomicUsize>,
    events: mpsc::UnboundedReceiver<&'static str>,
    observed: mpsc::UnboundedReceiver<Observed>,
}

async fn start() -> Wired {
    start_with(Trust::Internal, |_| ()).await
}

async fn start_limited(change: impl FnOnce(&mut Limits)) -> Wired {
    start_with(Trust::Internal, change).await
}

async fn start_with(trust: Trust, change: impl FnOnce(&mut Limits)) -> Wired {
    let (events, received) = mpsc::unbounded_channel();
    let (watch, observed) = mpsc::unbounded_channel();
    let runs = Arc::new(AtomicUsize::new(0));
    let mut limits = Limits::default();
    change(&mut limits);
    let server = Server::new("wire")
        .limits(limits)
        .trust(trust)
        .observer(Watch(watch))
        .add(WireServer::new(Handlers {
            runs: runs.clone(),
            events,
        }));
    Wired {
        running: Running::start(server).await,
        runs,
        events: received,
        observed,
    }
}

impl Wired {
    async fn connect(&self) -> Raw {
        Raw::connect(self.running.address()).await
    }

    /// Returns the number of handlers that have run.
    fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }
}

//! A service with a method of each kind, and the events that its calls meet.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::stream;
use rpc_runtime::axum::Router;
use rpc_runtime::axum::body::{Body, to_bytes};
use rpc_runtime::axum::extract;
use rpc_runtime::axum::routing::any;
use rpc_runtime::middleware::{Next, Request, Response};
use rpc_runtime::prelude::*;
use rpc_runtime::{Client, RetryPolicy};
use rpc_tests::Running;
use rpc_tests::raw::{Raw, request as raw_request};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Sells things. Each method has the same effect.
#[rpc_service(package = "delivery.v1")]
pub(crate) trait Shop {
    async fn sell(&self, key: &str) -> Result<String>;
    #[rpc(idempotent)]
    async fn set(&self, key: &str) -> Result<String>;
    #[rpc(no_side_effects)]
    async fn look(&self, key: &str) -> Result<String>;
    async fn pay(&self, #[rpc(idempotency_key)] key: &str) -> Result<String>;
}

/// Something that happens to the first attempt of a call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Event {
    /// No server listens.
    NoConnection,
    /// The server sends `GOAWAY` below the stream.
    GoAway,
    /// The server sends `REFUSED_STREAM`.
    RefusedStream,
    /// A layer refuses the call with this code and a retry delay, and says that nothing was done.
    Refused(Code),
    /// A layer fails with this code and a retry delay, and does not call the handler.
    LayerFailed(Code),
    /// A layer fails with the error of a dependency that it cannot reach.
    LayerNotReached,
    /// A layer fails with the error of a dependency whose response is lost.
    LayerLost,
    /// The handler fails, and says that it did nothing.
    HandlerDidNothing,
    /// The handler fails with the error of a dependency that it cannot reach, by `?`.
    DependencyNotReached,
    /// The handler has an effect and fails with this code and a retry delay.
    HandlerFailed(Code),
    /// The handler has an effect, and fails with the error of a dependency whose response is lost.
    DependencyLost,
    /// The handler has an effect, and fails with the error of a dependency that it cannot reach.
    EffectThenNotReached,
    /// The connection breaks within the response.
    ResponseLost,
    /// A gateway forwards the call and responds with a page in place of the server.
    Page(u16),
    /// A gateway responds with a page, which has the headers of a server that refused the call.
    PageWithHeaders,
    /// A gateway responds with a page and does not forward the call.
    PageInstead,
    /// The response is larger than the client accepts.
    TooLarge,
    /// The deadline passes while the handler runs.
    Deadline,
}

impl Event {
    fn is_of_layer(self) -> bool {
        matches!(
            self,
            Self::Refused(_) | Self::LayerFailed(_) | Self::LayerNotReached | Self::LayerLost
        )
    }

    fn is_of_gateway(self) -> bool {
        matches!(
            self,
            Self::ResponseLost
                | Self::Page(_)
                | Self::PageWithHeaders
                | Self::PageInstead
                | Self::TooLarge
        )
    }
}

/// The largest response of the clients of these tests.
pub(crate) const MESSAGE_LIMIT: usize = 10_000;
/// An address at which no server listens.
pub(crate) const DEAD: &str = "http://127.0.0.1:9";

/// The state of all replicas.
pub(crate) struct Shared {
    /// The event that is next.
    event: Mutex<Option<Event>>,
    effects: AtomicUsize,
    /// Lets a handler end that waits for the deadline.
    pub(crate) go: Semaphore,
}

impl Shared {
    pub(crate) fn new(event: Event) -> Arc<Self> {
        Arc::new(Self {
            event: Mutex::new(Some(event)),
            effects: AtomicUsize::new(0),
            go: Semaphore::new(0),
        })
    }

    /// Takes the event if it is one of these.
    pub(crate) fn take(&self, is_mine: impl Fn(Event) -> bool) -> Option<Event> {
        self.event.lock().unwrap().take_if(|event| is_mine(*event))
    }

    pub(crate) fn effects(&self) -> usize {
        self.effects.load(Ordering::SeqCst)
    }
}

/// A replica and the dependencies of its handlers.
pub(crate) struct Replica {
    shared: Arc<Shared>,
    not_reached: ShopClient,
    lost: ShopClient,
}

impl Replica {
    async fn run(&self) -> Result<String> {
        let event = self
            .shared
            .take(|event| !event.is_of_gateway() && !event.is_of_layer());
        match event {
            Some(Event::HandlerDidNothing) => {
                return Err(Error::new(Code::Unavailable, "not now").not_executed());
            }
            Some(Event::DependencyNotReached) => {
                self.not_reached.sell("").no_retry().await?;
            }
            _ => {}
        }
        self.shared.effects.fetch_add(1, Ordering::SeqCst);
        match event {
            Some(Event::HandlerFailed(code)) => {
                return Err(Error::new(code, "not now").with_retry_after(SOON));
            }
            Some(Event::DependencyLost) => {
                self.lost.sell("").no_retry().await?;
            }
            Some(Event::EffectThenNotReached) => {
                // The effect is one at another service.
                let other = ShopClient::local(Self::of(Shared::new(Event::NoConnection), ""));
                other.sell("").await?;
                self.not_reached.sell("").no_retry().await?;
            }
            Some(Event::Deadline) => {
                let _ = self.shared.go.acquire().await;
            }
            _ => {}
        }
        Ok("sold".to_owned())
    }

    fn of(shared: Arc<Shared>, lost: &str) -> Self {
        let client = |url: &str| {
            let client = Client::new(url).unwrap().without_outlier_detection();
            ShopClient::with_client(client)
        };
        Self {
            shared,
            not_reached: client(DEAD),
            lost: client(if lost.is_empty() { DEAD } else { lost }),
        }
    }

    /// Creates a server whose handlers lose the responses of `lost`.
    pub(crate) fn server(shared: &Arc<Shared>, lost: &str) -> Server {
        let replica = Self::of(Arc::clone(shared), lost);
        let (not_reached, lost) = (replica.not_reached.clone(), replica.lost.clone());
        let failing = Arc::clone(shared);
        let refuse = move |request: Request, next: Next| {
            let event = failing.take(Event::is_of_layer);
            let (not_reached, lost) = (not_reached.clone(), lost.clone());
            async move {
                let new = |code| Error::new(code, "from a layer").with_retry_after(SOON);
                let dependency = match event {
                    Some(Event::Refused(code)) => return new(code).not_executed().into(),
                    Some(Event::LayerFailed(code)) => return new(code).into(),
                    Some(Event::LayerNotReached) => not_reached,
                    Some(Event::LayerLost) => lost,
                    _ => return next.run(request).await,
                };
                match dependency.sell("").no_retry().await {
                    Ok(_) => next.run(request).await,
                    Err(error) => Response::from(Error::from(error)),
                }
            }
        };
        Server::new("shop")
            .layer(refuse)
            .add(ShopServer::new(replica))
    }
}

impl Shop for Replica {
    async fn sell(&self, _: &str) -> Result<String> {
        self.run().await
    }

    async fn set(&self, _: &str) -> Result<String> {
        self.run().await
    }

    async fn look(&self, _: &str) -> Result<String> {
        self.run().await
    }

    async fn pay(&self, _: &str) -> Result<String> {
        self.run().await
    }
}

pub(crate) const SOON: Duration = Duration::from_millis(1);

/// Returns the default retry policy without its delays.
pub(crate) fn quick() -> RetryPolicy {
    RetryPolicy::default().backoff(SOON, SOON)
}

/// Starts a server that reads requests and closes the connection. Returns its URL.
pub(crate) async fn losing_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut bytes = Vec::new();
            while !bytes.ends_with(b"}") && matches!(stream.read_buf(&mut bytes).await, Ok(1..)) {}
        }
    });
    url
}

/// Starts a gateway in front of a replica: the events of gateways happen here.
pub(crate) async fn gateway(shared: &Arc<Shared>, replica: &Running) -> Running {
    let (shared, address) = (Arc::clone(shared), replica.address());
    let forward = move |request: extract::Request| {
        let event = shared.take(Event::is_of_gateway);
        async move {
            if event == Some(Event::PageInstead) {
                return page(503);
            }
            let (head, body) = request.into_parts();
            let body = to_bytes(body, MESSAGE_LIMIT).await.unwrap();
            let lines: Vec<_> = head
                .headers
                .iter()
                .filter(|(name, _)| !matches!(name.as_str(), "host" | "content-length"))
                .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
                .collect();
            let verb = head.method.as_str();
            let target = head.uri.path_and_query().unwrap().as_str();
            let mut raw = Raw::connect(address).await;
            let response = raw.ask(raw_request(verb, target, &lines, &body)).await;
            let builder = http::Response::builder().header("content-type", "application/json");
            match event {
                Some(Event::Page(status)) => page(status),
                Some(Event::PageWithHeaders) => {
                    let mut page = page(503);
                    let headers = page.headers_mut();
                    headers.insert("x-rpc-outcome", "not-executed".parse().unwrap());
                    page
                }
                Some(Event::ResponseLost) => {
                    let broken = stream::once(async { Err::<Vec<u8>, _>(io::Error::other("cut")) });
                    builder.body(Body::from_stream(broken)).unwrap()
                }
                Some(Event::TooLarge) => {
                    let large = format!("{{\"result\":\"{}\"}}", "x".repeat(MESSAGE_LIMIT));
                    builder.body(Body::from(large)).unwrap()
                }
                _ => {
                    let mut builder = http::Response::builder().status(response.status);
                    for (name, value) in &response.headers {
                        if !matches!(name.as_str(), "content-length" | "date") {
                            builder = builder.header(name, value);
                        }
                    }
                    builder.body(Body::from(response.body)).unwrap()
                }
            }
        }
    };
    let routes = Router::new().route("/delivery.v1.Shop/{method}", any(forward));
    Running::start(Server::new("gateway").http(routes)).await
}

fn page(status: u16) -> http::Response<Body> {
    http::Response::builder()
        .status(status)
        .header("content-type", "text/html")
        .body(Body::from("<h1>the upstream is away</h1>"))
        .unwrap()
}

//! The stages that a plain HTTP request passes before its handler: those of a call.

/// The places of requests that take long.
mod places;
/// Requests whose bodies arrive slowly.
mod slow_bodies;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use rpc_runtime::axum::Router;
use rpc_runtime::axum::body::{Body, Bytes};
use rpc_runtime::axum::http::StatusCode;
use rpc_runtime::axum::routing::any;
use rpc_runtime::prelude::*;
use rpc_runtime::status::{MethodStatus, StatusClient};
use rpc_runtime::{Callers, IdentityKeys, Limits, Policy, RateLimit, Trust};
use rpc_tests::Running;
use rpc_tests::captured::CapturedWriter;
use rpc_tests::raw::{Raw, Response, request};
use rpc_tests::wait::{StoppedClock, until, within};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};

use super::plain_http::{Observed, ShopClient, ShopServer, Tea, Watch};

/// Longer than any wait of a test.
const LONG: Duration = Duration::from_secs(300);

/// A request of each kind that is not a method: verb and path.
const REQUESTS: [(&str, &str); 6] = [
    ("GET", "/quick"),
    ("HEAD", "/quick"),
    ("POST", "/quick"),
    ("OPTIONS", "/quick"),
    ("GET", "/stream"),
    ("GET", "/unknown"),
];

#[derive(Clone)]
struct Handlers {
    begun: mpsc::UnboundedSender<()>,
    /// The number of handlers that ran.
    runs: Arc<AtomicUsize>,
    go: Arc<Semaphore>,
    /// Released when a handler is to go on without its body.
    leave: Arc<Semaphore>,
}

impl Handlers {
    async fn hang(self) {
        self.runs.fetch_add(1, Ordering::SeqCst);
        // The receiver may be gone at the end of a test.
        let _ = self.begun.send(());
        // The semaphore is never closed.
        let _ = self.go.acquire().await.map(SemaphorePermit::forget);
    }

    fn routes(self) -> Router {
        let (quick, other) = (self.runs.clone(), self.runs.clone());
        let quick = async move || {
            quick.fetch_add(1, Ordering::SeqCst);
            "quick"
        };
        let hang = self.clone();
        let reads = self.clone();
        let reads = async move |body: String| {
            reads.runs.fetch_add(1, Ordering::SeqCst);
            body
        };
        let leaves = self.clone();
        let hang = async move || hang.hang().await;
        let leaves = async move |body: Body| {
            let mut body = body.into_data_stream();
            tokio::select! {
                _ = body.next() => {}
                left = leaves.leave.acquire() => left.unwrap().forget(),
            }
            drop(body);
            leaves.hang().await;
        };
        let stream = async move || {
            let end = futures_util::stream::once(async move {
                self.hang().await;
                Ok::<_, Infallible>(Bytes::from("end"))
            });
            Body::from_stream(end)
        };
        Router::new()
            .route("/quick", any(quick))
            .route("/item/{id}", any(async || "item"))
            .route("/hang", any(hang))
            .route("/reads", any(reads))
            .route("/leaves", any(leaves))
            .route("/stream", any(stream))
            .fallback(async move || {
                other.fetch_add(1, Ordering::SeqCst);
                StatusCode::NOT_FOUND
            })
    }
}

/// A server and the controls of its handlers.
struct Fixture {
    running: Running,
    begun: mpsc::UnboundedReceiver<()>,
    observed: mpsc::UnboundedReceiver<Observed>,
    runs: Arc<AtomicUsize>,
    go: Arc<Semaphore>,
    leave: Arc<Semaphore>,
}

impl Fixture {
    /// Starts a server with a method and plain routes, and further settings.
    async fn start(settings: impl FnOnce(Server) -> Server) -> Self {
        let ((begun, has_begun), (watch, observed)) =
            (mpsc::unbounded_channel(), mpsc::unbounded_channel());
        let (runs, go) = (Arc::default(), Arc::new(Semaphore::new(0)));
        let handlers = Handlers {
            begun,
            runs: Arc::clone(&runs),
            go: Arc::clone(&go),
            leave: Arc::new(Semaphore::new(0)),
        };
        let leave = Arc::clone(&handlers.leave);
        let server = Server::new("app")
            .observer(Watch(watch))
            .add(ShopServer::new(Tea))
            .http(handlers.routes());
        Self {
            running: Running::start(settings(server)).await,
            begun: has_begun,
            observed,
            runs,
            go,
            leave,
        }
    }

    /// Starts a server with one place for running calls.
    async fn narrow(queue: usize) -> Self {
        Self::start(|server| server.limits(narrow(queue))).await
    }

    async fn raw(&self) -> Raw {
        Raw::connect(self.running.address()).await
    }

    async fn ask(&self, verb: &str, path: &str, lines: &[(&str, &str)]) -> Response {
        let lines = [lines, &[("connection", "close")]].concat();
        let mut raw = self.raw().await;
        if verb != "HEAD" {
            return raw.ask(request(verb, path, &lines, b"")).await;
        }
        // The response to HEAD has no body.
        raw.send(request(verb, path, &lines, b"")).await.unwrap();
        let head = String::from_utf8(raw.closed().await).unwrap();
        assert!(head.ends_with("\r\n\r\n"), "{head}");
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap();
        let headers = lines.filter_map(|line| line.split_once(": "));
        Response {
            status: status.parse().unwrap(),
            headers: headers
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            body: Vec::new(),
        }
    }

    /// Sends a request, and waits until its handler runs.
    async fn running_request(&mut self, path: &str) -> Raw {
        let mut raw = self.raw().await;
        let lines = [("connection", "close")];
        raw.send(request("GET", path, &lines, b"")).await.unwrap();
        within(self.begun.recv()).await.expect("the server runs");
        raw
    }

    /// Returns the code of the next plain request that ended; `None` for success.
    async fn code(&mut self) -> Option<Code> {
        loop {
            let (label, code, _) = within(self.observed.recv()).await.unwrap();
            if label.is_some() {
                return code;
            }
        }
    }

    fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }

    /// Checks that requests of every kind fail, and returns the response to the last one.
    async fn fails(&mut self, status: u16, code: Code) -> Response {
        let before = self.runs();
        let mut last = None;
        for (verb, path) in REQUESTS {
            let response = self.ask(verb, path, &[]).await;
            assert_eq!(response.status, status, "{verb} {path}");
            assert!(response.header("x-request-id").is_some(), "{verb} {path}");
            let outcome = response.header("x-rpc-outcome");
            assert_eq!(outcome, Some("not-executed"), "{verb} {path}");
            assert_eq!(self.code().await, Some(code), "{verb} {path}");
            last = Some(response);
        }
        assert_eq!(self.runs(), before, "no handler ran");
        let last = last.unwrap();
        assert_eq!(last.error(), (status, code.as_str().to_owned()));
        last
    }

    /// Returns the counts of plain HTTP.
    async fn counts(&self) -> MethodStatus {
        let status = StatusClient::connect(&self.running.url()).unwrap();
        let mut rows = status.get().await.unwrap().methods.into_iter();
        rows.find(|row| row.name == "http").unwrap()
    }
}

fn narrow(queue: usize) -> Limits {
    let mut limits = Limits::default();
    limits.running_calls = 1;
    limits.queued_calls = queue;
    limits.queue_timeout = LONG;
    limits
}

#[tokio::test]
async fn a_full_server_refuses_plain_requests() {
    let mut fixture = Fixture::narrow(0).await;
    let mut held = fixture.running_request("/hang").await;
    let response = fixture.fails(503, Code::Unavailable).await;
    assert_eq!(response.header("retry-after"), Some("1"));
    assert!(response.message().contains("not begun"), "{response:?}");
    // Methods and plain requests share the places.
    let shop = ShopClient::connect(&fixture.running.url()).unwrap();
    let error = shop.buy().no_retry().await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    // Probes do not need one.
    assert_eq!(fixture.ask("GET", "/readyz", &[]).await.status, 200);
    let counts = fixture.counts().await;
    assert_eq!((counts.shed, counts.requests), (6, 7));
    fixture.go.add_permits(1);
    assert_eq!(held.response().await.status, 200);
    assert_eq!(fixture.ask("GET", "/quick", &[]).await.status, 200);
    assert_eq!(shop.buy().await.unwrap(), 3);
}

#[tokio::test]
async fn a_refused_plain_request_has_one_log_line() {
    let log = CapturedWriter::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .finish();
    // The test, and so its server, has one thread.
    let _guard = tracing::subscriber::set_default(subscriber);
    let mut fixture = Fixture::narrow(0).await;
    let _held = fixture.running_request("/hang").await;
    for verb in ["GET", "OPTIONS"] {
        let response = fixture.ask(verb, "/quick", &[]).await;
        assert_eq!(response.status, 503);
        let method = format!("rpc.method=\"http {verb}\" code=\"unavailable\"");
        let id = response.header("x-request-id").unwrap();
        let text = log.text();
        let lines: Vec<_> = text.lines().filter(|line| line.contains(&method)).collect();
        assert!(matches!(*lines, [line] if line.contains(id)), "{text}");
    }
}

#[tokio::test]
async fn a_refusal_does_not_wait_for_a_body() {
    let mut fixture = Fixture::narrow(0).await;
    let _held = fixture.running_request("/hang").await;
    let mut raw = fixture.raw().await;
    let clock = StoppedClock::start().await;
    let head = "POST /quick HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000\r\n\r\n";
    let response = raw.ask(head).await;
    drop(clock);
    assert_eq!(response.error(), (503, "unavailable".to_owned()));
    assert_eq!(response.header("connection"), Some("close"));
    raw.closed().await;
}

#[tokio::test]
async fn plain_requests_wait_in_the_queue() {
    let mut fixture = Fixture::narrow(1).await;
    let mut held = fixture.running_request("/hang").await;
    let mut waiting = fixture.raw().await;
    waiting
        .send(request("GET", "/quick", &[], b""))
        .await
        .unwrap();
    // The queue is full as soon as the request has arrived, and another one is refused.
    until(async || fixture.counts().await.in_flight == 2).await;
    assert_eq!(fixture.ask("GET", "/quick", &[]).await.status, 503);
    fixture.go.add_permits(1);
    assert_eq!(held.response().await.status, 200);
    assert_eq!(waiting.response().await.status, 200);
    assert_eq!(fixture.runs(), 2);
}

#[tokio::test]
async fn an_expired_deadline_runs_no_plain_handler() {
    let mut fixture = Fixture::narrow(1).await;
    let zero = [("connect-timeout-ms", "0")];
    for (verb, path) in REQUESTS {
        let response = fixture.ask(verb, path, &zero).await;
        assert_eq!(response.status, 504, "{verb} {path}");
        assert_eq!(fixture.code().await, Some(Code::DeadlineExceeded));
    }
    let response = fixture
        .ask("GET", "/quick", &[("connect-timeout-ms", "soon")])
        .await;
    assert_eq!(response.error(), (400, "invalid_argument".to_owned()));
    // In the queue.
    let mut held = fixture.running_request("/hang").await;
    let response = fixture
        .ask("GET", "/quick", &[("connect-timeout-ms", "60")])
        .await;
    assert_eq!(response.error(), (504, "deadline_exceeded".to_owned()));
    assert_eq!(response.header("x-rpc-outcome"), Some("not-executed"));
    assert_eq!(fixture.runs(), 1, "the one that holds the place");
    fixture.go.add_permits(1);
    assert_eq!(held.response().await.status, 200);
    // A caller cannot prolong it.
    let mut limits = Limits::default();
    limits.default_deadline = Duration::from_millis(200);
    let fixture = Fixture::start(|server| server.limits(limits)).await;
    let response = fixture
        .ask("GET", "/hang", &[("connect-timeout-ms", "9999999999")])
        .await;
    assert_eq!(response.error(), (504, "deadline_exceeded".to_owned()));
    assert_eq!(response.header("x-rpc-outcome"), None, "the handler began");
}

#[tokio::test]
async fn a_rate_limit_counts_plain_requests() {
    let mut fixture = Fixture::start(|server| {
        server
            .trust(Trust::Edge)
            .rate_limit(RateLimit::per_minute(2))
            .rate_limit(RateLimit::per_minute(1).method("http /item/{id}"))
    })
    .await;
    // All routes that no limit names share an allowance, unknown paths included.
    assert_eq!(fixture.ask("GET", "/quick", &[]).await.status, 200);
    assert_eq!(fixture.ask("GET", "/unknown", &[]).await.status, 404);
    let codes = [fixture.code().await, fixture.code().await];
    assert_eq!(codes, [None, Some(Code::NotFound)]);
    let response = fixture.fails(429, Code::ResourceExhausted).await;
    let wait: u64 = response.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=30).contains(&wait), "{wait}");
    // A route with its own limit, whatever the path.
    assert_eq!(fixture.ask("GET", "/item/1", &[]).await.status, 200);
    let response = fixture.ask("GET", "/item/2", &[]).await;
    assert_eq!(response.error(), (429, "resource_exhausted".to_owned()));
    let message = response.message();
    assert!(message.contains("http /item/{id}"), "{message}");
    // A method has its own allowance.
    let shop = ShopClient::connect(&fixture.running.url()).unwrap();
    assert_eq!(shop.buy().await.unwrap(), 3);
}

#[tokio::test]
async fn rate_limited_plain_requests_are_counted() {
    let fixture =
        Fixture::start(|server| server.rate_limit(RateLimit::per_minute(1).method("http"))).await;
    for expected in [200, 429, 429] {
        assert_eq!(fixture.ask("GET", "/quick", &[]).await.status, expected);
    }
    let counts = fixture.counts().await;
    assert_eq!((counts.requests, counts.rate_limited), (3, 2));
    // A limit that names plain routes does not count methods.
    let shop = ShopClient::connect(&fixture.running.url()).unwrap();
    for _ in 0..3 {
        assert_eq!(shop.buy().await.unwrap(), 3);
    }
}

#[tokio::test]
async fn a_policy_denies_plain_routes_without_a_rule() {
    let policy = Policy::new().allow("plain.v1.Shop/Buy", Callers::anyone());
    let mut fixture = Fixture::start(|server| server.policy(policy)).await;
    let response = fixture.fails(403, Code::PermissionDenied).await;
    assert_eq!(
        response.message(),
        "an unknown caller may not call http GET: no rule of the server's policy allows that"
    );
    let shop = ShopClient::connect(&fixture.running.url()).unwrap();
    assert_eq!(shop.buy().await.unwrap(), 3);
    assert_eq!(fixture.ask("GET", "/healthz", &[]).await.status, 200);
}

#[tokio::test]
async fn a_policy_names_plain_routes() {
    let policy = Policy::new()
        .allow("http /quick", "collector")
        .allow("http /item/{id}", Callers::anyone())
        .deny("http");
    let fixture = Fixture::start(|server| server.policy(policy)).await;
    let collector = [("x-rpc-source", "collector@prod/1")];
    let other = [("x-rpc-source", "web@prod/1")];
    for (path, lines, status) in [
        ("/quick", &collector, 200),
        ("/quick", &other, 403),
        ("/item/7", &other, 200),
        ("/hang", &collector, 403),
        ("/unknown", &collector, 403),
    ] {
        let response = fixture.ask("GET", path, lines).await;
        assert_eq!(response.status, status, "{path} {lines:?}");
    }
    let response = fixture.ask("GET", "/quick", &other).await;
    assert_eq!(response.message(), "web@prod/1 may not call http /quick");
}

#[tokio::test]
async fn settings_name_plain_routes_that_exist() {
    let server = || {
        let routes = Router::new().route("/metrics", any(async || ""));
        Server::new("app").http(routes)
    };
    for (server, text) in [
        (
            server().policy(Policy::new().allow("http /metric", "a")),
            "`http /metric`",
        ),
        (
            server().policy(Policy::new().allow("http /metrics/", "a")),
            "`http /metrics/`",
        ),
        (
            server().rate_limit(RateLimit::per_second(1).method("http metrics")),
            "`http metrics`",
        ),
        (
            Server::new("app").policy(Policy::new().allow("http", "a")),
            "`http`",
        ),
        (
            server().policy(Policy::new().allow("http", "a").deny("http")),
            "two rules for http",
        ),
        (
            server()
                .rate_limit(RateLimit::per_second(1).method("http /metrics"))
                .rate_limit(RateLimit::per_second(2).method("http /metrics")),
            "two rate limits for http /metrics",
        ),
    ] {
        let error = server.into_local_client().unwrap_err();
        assert_eq!(error.code(), Code::FailedPrecondition, "{text}");
        assert!(error.message().contains(text), "{error}");
    }
}

#[tokio::test]
async fn strangers_are_refused_before_all_limits() {
    let keys = IdentityKeys::parse("k1 pL0m8gk0TzXqYy1oG2v3b4n5m6Q7w8e9r0t1y2u3i4o=").unwrap();
    let mut fixture = Fixture::start(|server| {
        server
            .identity(keys)
            .policy(Policy::new())
            .rate_limit(RateLimit::per_minute(1))
            .limits(narrow(0))
    })
    .await;
    // Not 403, nor 429 for the second one.
    let response = fixture.fails(401, Code::Unauthenticated).await;
    assert!(response.message().contains("signed"), "{response:?}");
}

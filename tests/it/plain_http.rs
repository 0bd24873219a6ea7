//! The application's HTTP routes, with context, deadline, guard and observation of a call.

use std::convert::Infallible;
use std::time::Duration;

use rpc_runtime::axum::Router;
use rpc_runtime::axum::body::{Body, Bytes};
use rpc_runtime::axum::http::StatusCode;
use rpc_runtime::axum::routing::{any, get};
use rpc_runtime::observe::{CallEnd, CallStart, Observer};
use rpc_runtime::prelude::*;
use rpc_runtime::status::StatusClient;
use rpc_runtime::{Limits, Trust};
use rpc_tests::Running;
use rpc_tests::raw::{Raw, Response, request};
use tokio::sync::mpsc;

/// An observation: label, code, request ID.
pub(super) type Observed = (Option<&'static str>, Option<Code>, String);

pub(super) struct Watch(pub(super) mpsc::UnboundedSender<Observed>);

impl Observer for Watch {
    fn call_ended(&self, call: &CallStart, end: &CallEnd<'_>) {
        let id = call.context.request_id().to_owned();
        // The receiver may be gone at the end of a test.
        let _ = self.0.send((call.http, end.code(), id));
    }
}

/// Returns the context as the handler sees it.
async fn seen() -> String {
    let context = Context::current();
    format!(
        "{} {} {} {}",
        context.request_id(),
        context.source().map_or("-", |source| source.server()),
        context.server().map_or("-", |server| server.server()),
        context.remaining().is_some_and(|left| left <= DEADLINE)
    )
}

/// A body that is produced while it is sent.
fn streamed(panics: bool) -> Body {
    Body::from_stream(futures_util::stream::once(async move {
        assert!(!panics, "the canary sings");
        Ok::<_, Infallible>(Bytes::from(Context::current().request_id().to_owned()))
    }))
}

async fn panics() -> StatusCode {
    panic!("the canary sings")
}

fn routes() -> Router {
    Router::new()
        .route("/seen", any(seen))
        .route("/streamed", get(async || streamed(false)))
        .route("/breaks", get(async || streamed(true)))
        .route("/panics", get(panics))
        .route("/hangs", get(std::future::pending::<StatusCode>))
        .route("/nothing-to-say", get(async || StatusCode::NO_CONTENT))
        .route("/busy", get(async || StatusCode::SERVICE_UNAVAILABLE))
}

/// The default timeout, longer than any wait of a test.
const DEADLINE: Duration = Duration::from_secs(25);

async fn start(trust: Trust) -> (Running, mpsc::UnboundedReceiver<Observed>) {
    start_with(trust, DEADLINE).await
}

async fn start_with(
    trust: Trust,
    deadline: Duration,
) -> (Running, mpsc::UnboundedReceiver<Observed>) {
    let (watch, observed) = mpsc::unbounded_channel();
    let mut limits = Limits::default();
    limits.default_deadline = deadline;
    let server = Server::new("app")
        .limits(limits)
        .trust(trust)
        .observer(Watch(watch))
        .http(routes());
    (Running::start(server).await, observed)
}

async fn ask(running: &Running, verb: &str, path: &str) -> Response {
    let lines = [("x-request-id", "r-1"), ("x-rpc-source", "caller@prod/1")];
    let mut raw = Raw::connect(running.address()).await;
    raw.ask(request(verb, path, &lines, b"")).await
}

#[tokio::test]
async fn a_route_has_the_context_of_a_trusted_peer() {
    let (running, mut observed) = start(Trust::Internal).await;
    let response = ask(&running, "GET", "/seen").await;
    assert_eq!(
        (response.status, response.body.as_slice()),
        (200, &b"r-1 caller app true"[..])
    );
    assert_eq!(response.header("x-request-id"), Some("r-1"));
    assert_eq!(
        observed.recv().await.unwrap(),
        (Some("http GET"), None, "r-1".to_owned())
    );
    ask(&running, "BREW", "/seen").await;
    assert_eq!(observed.recv().await.unwrap().0, Some("http OTHER"));

    let (running, mut observed) = start(Trust::Edge).await;
    let response = ask(&running, "GET", "/seen").await;
    let id = response.header("x-request-id").unwrap().to_owned();
    assert_ne!(id, "r-1");
    assert_eq!(response.body, format!("{id} - app true").as_bytes());
    assert_eq!(observed.recv().await.unwrap(), (Some("http GET"), None, id));
}

#[tokio::test]
async fn a_body_is_made_within_the_context_too() {
    let (running, _observed) = start(Trust::Internal).await;
    let mut raw = Raw::connect(running.address()).await;
    let lines = [("x-request-id", "r-2"), ("connection", "close")];
    raw.send(request("GET", "/streamed", &lines, b""))
        .await
        .unwrap();
    let bytes = raw.closed().await;
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.contains("\r\n3\r\nr-2\r\n0\r\n"), "{text}");
}

#[tokio::test]
async fn a_panic_is_one_response_without_its_text() {
    let (running, mut observed) = start(Trust::Internal).await;
    let response = ask(&running, "GET", "/panics").await;
    assert_eq!(response.error(), (500, "internal".to_owned()));
    assert!(!response.message().contains("canary"), "{response:?}");
    let (label, code, _) = observed.recv().await.unwrap();
    assert_eq!((label, code), (Some("http GET"), Some(Code::Internal)));
    // After the head, closing the connection is the only way to report an error.
    let mut raw = Raw::connect(running.address()).await;
    raw.send(request("GET", "/breaks", &[], b"")).await.unwrap();
    let bytes = raw.closed().await;
    assert!(
        !bytes.ends_with(b"\r\n0\r\n\r\n"),
        "{}",
        bytes.escape_ascii()
    );
    assert_eq!(ask(&running, "GET", "/seen").await.status, 200);
}

#[tokio::test]
async fn a_route_has_the_default_deadline() {
    let (running, mut observed) = start_with(Trust::Internal, Duration::from_millis(200)).await;
    let response = ask(&running, "GET", "/hangs").await;
    assert_eq!(response.error(), (504, "deadline_exceeded".to_owned()));
    assert_eq!(
        observed.recv().await.unwrap().1,
        Some(Code::DeadlineExceeded)
    );
}

#[tokio::test]
async fn a_response_without_body_has_no_content_length() {
    let (running, _observed) = start(Trust::Internal).await;
    let response = ask(&running, "GET", "/nothing-to-say").await;
    assert_eq!(response.status, 204);
    assert_eq!(response.header("content-length"), None);
    assert_eq!(response.header("transfer-encoding"), None);
}

#[tokio::test]
async fn responses_of_routes_are_counted_as_http_by_code() {
    let (running, _observed) = start(Trust::Internal).await;
    assert_eq!(ask(&running, "GET", "/seen").await.status, 200);
    assert_eq!(ask(&running, "GET", "/busy").await.status, 503);
    assert_eq!(ask(&running, "GET", "/nothing").await.status, 404);
    let status = StatusClient::connect(&running.url()).unwrap();
    let methods = status.get().await.unwrap().methods;
    let [http] = methods.as_slice() else {
        panic!("{methods:?}")
    };
    assert_eq!((http.name.as_str(), http.requests), ("http", 3));
    let errors: Vec<_> = http
        .errors
        .iter()
        .map(|(code, n)| (code.as_str(), *n))
        .collect();
    assert_eq!(errors, [("not_found", 1), ("unavailable", 1)]);
}

#[rpc_service(package = "plain.v1")]
pub(super) trait Shop {
    async fn buy(&self) -> Result<u32>;
}

pub(super) struct Tea;

impl Shop for Tea {
    async fn buy(&self) -> Result<u32> {
        Ok(3)
    }
}

/// The service as a client of a newer version knows it.
mod newer {
    use rpc_runtime::prelude::*;

    #[rpc_service(package = "plain.v2", name = "Shop")]
    pub(super) trait NewShop {
        async fn sell(&self) -> Result<u32>;
    }
}

async fn text(running: &Running, path: &str) -> (u16, String) {
    let response = ask(running, "GET", path).await;
    (response.status, String::from_utf8(response.body).unwrap())
}

#[tokio::test]
async fn several_routers_are_merged() {
    let page = |path: &str, text: &'static str| Router::new().route(path, get(async move || text));
    let server = Server::new("app")
        .http(page("/one", "one"))
        .add(ShopServer::new(Tea))
        .http(page("/two", "two").fallback(async || "other"))
        .http(Router::new().nest("/three", page("/x", "three")));
    let running = Running::start(server).await;
    for (path, expected) in [
        ("/one", "one"),
        ("/two", "two"),
        ("/three/x", "three"),
        ("/four", "other"),
    ] {
        assert_eq!(text(&running, path).await, (200, expected.to_owned()));
    }
    assert_eq!(
        ShopClient::connect(&running.url())
            .unwrap()
            .buy()
            .await
            .unwrap(),
        3
    );
}

#[tokio::test]
async fn routes_that_cannot_be_reached_end_the_start() {
    let page = |path: &str| Router::new().route(path, get(async || ""));
    let other = || Router::new().fallback(async || "");
    let start = |routers: Vec<Router>| async move {
        let server = Server::new("app")
            .listen("127.0.0.1:0")
            .add(ShopServer::new(Tea));
        routers.into_iter().fold(server, Server::http).bind().await
    };
    for (routers, names) in [
        (vec![page("/one"), page("/one")], "/one"),
        (vec![other(), other()], "fallback"),
        (vec![page("/healthz")], "/healthz"),
        (vec![page("/one"), page("/readyz")], "/readyz"),
        (vec![page("/plain.v1.Shop/Buy")], "/plain.v1.Shop/Buy"),
        (vec![page("/plain.v1.Shop/Ping")], "/plain.v1.Shop/Ping"),
        (vec![page("/rpc.v1.Status/Get")], "/rpc.v1.Status/Get"),
    ] {
        let error = start(routers).await.unwrap_err();
        assert_eq!(error.code(), Code::FailedPrecondition, "{names}");
        assert!(error.message().contains(names), "{error}");
    }
    for routers in [
        vec![page("/one"), page("/two")],
        vec![page("/{*rest}")],
        vec![page("/plain.v1.Shop/Other"), other()],
    ] {
        assert!(start(routers).await.is_ok());
    }
    // A mounted router has neither probes nor built-in methods.
    let mounted = Server::new("app")
        .http(page("/healthz"))
        .http(page("/rpc.v1.Status/Get"));
    assert!(mounted.into_router().is_ok());
    let mounted = Server::new("app")
        .add(ShopServer::new(Tea))
        .http(page("/plain.v1.Shop/Buy"));
    assert!(mounted.into_router().is_err());
}

#[tokio::test]
async fn an_unknown_method_is_typed_beside_plain_routes() {
    for routes in [routes(), routes().fallback(async || "a page for all paths")] {
        let (watch, mut observed) = mpsc::unbounded_channel();
        let server = Server::new("app")
            .observer(Watch(watch))
            .add(ShopServer::new(Tea));
        let running = Running::start(server.http(routes)).await;
        let client = newer::NewShopClient::connect(&running.url()).unwrap();
        let error = client.sell().await.unwrap_err();
        assert_eq!(error.code(), Code::Unimplemented);
        assert_eq!(error.message(), "there is no method at /plain.v2.Shop/Sell");
        let (label, code, _) = observed.recv().await.unwrap();
        assert_eq!((label, code), (None, Some(Code::Unimplemented)));
        for (verb, path) in [
            ("POST", "/plain.v1.Shop/buy"),
            ("GET", "/plain.v1.Shop/Sell?x=1"),
            ("PUT", "/a.B/C"),
        ] {
            let response = ask(&running, verb, path).await;
            assert_eq!(
                response.error(),
                (404, "unimplemented".to_owned()),
                "{path}"
            );
        }
    }
}

#[tokio::test]
async fn a_plain_route_may_look_like_a_method() {
    let routes = Router::new()
        .route("/files.v1/{name}", get(async || "file"))
        .nest_service(
            "/static.v1",
            Router::new().route("/logo", get(async || "logo")),
        );
    let running = Running::start(Server::new("app").http(routes)).await;
    assert_eq!(
        text(&running, "/files.v1/Report").await,
        (200, "file".to_owned())
    );
    assert_eq!(
        text(&running, "/static.v1/logo").await,
        (200, "logo".to_owned())
    );
    // The route decides about its verbs, and a nested service about its paths.
    let refused = ask(&running, "POST", "/files.v1/Report").await;
    assert_eq!(
        (refused.status, refused.header("allow")),
        (405, Some("GET,HEAD"))
    );
    assert_eq!(
        String::from_utf8_lossy(&refused.body),
        "this path cannot be called with POST; use GET, HEAD\n"
    );
    assert_eq!(
        text(&running, "/static.v1/none").await,
        (404, String::new())
    );
}

#[tokio::test]
async fn a_refused_verb_keeps_the_text_of_its_route() {
    let own = async || (StatusCode::METHOD_NOT_ALLOWED, "not today");
    let bare = async || StatusCode::METHOD_NOT_ALLOWED;
    let routes = Router::new()
        .route("/own", get(own))
        .route("/bare", get(bare));
    let running = Running::start(Server::new("app").http(routes)).await;
    assert_eq!(text(&running, "/own").await, (405, "not today".to_owned()));
    let words = "this path cannot be called with GET\n".to_owned();
    assert_eq!(text(&running, "/bare").await, (405, words));
    let mut raw = Raw::connect(running.address()).await;
    raw.send("HEAD /bare HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let head = String::from_utf8(raw.closed().await).unwrap();
    assert!(
        head.starts_with("HTTP/1.1 405 ") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
}

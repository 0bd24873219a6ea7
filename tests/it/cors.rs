//! Web pages of other origins: by hand, and in a real browser.

mod only;

use std::process::{Child, Command, Stdio};

use rpc_runtime::axum::Router;
use rpc_runtime::axum::http::{HeaderName, HeaderValue};
use rpc_runtime::axum::response::Html;
use rpc_runtime::axum::routing::{get, post};
use rpc_runtime::prelude::*;
use rpc_runtime::{Cors, HttpAccess, IdentityKeys, Limits, ListenOptions, Trust};
use rpc_tests::Running;
use rpc_tests::folder::Folder;
use rpc_tests::raw::{Raw, Response, post_with, request};
use rpc_tests::wait::within;
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::mpsc;
use tower_http::set_header::SetResponseHeaderLayer;

#[rpc_service(package = "cors.v1")]
trait Greeter {
    async fn greet(&self, name: &str) -> Result<String>;
}

struct English;

impl Greeter for English {
    async fn greet(&self, name: &str) -> Result<String> {
        if name.is_empty() {
            fail!(Code::InvalidArgument, "the name is empty");
        }
        Ok(format!("Hello {name}"))
    }
}

#[rpc_service(package = "cors.v1")]
trait Waiter {
    async fn wait(&self) -> Result<u32>;
}

/// Reports each call, which then waits to the end of the test.
struct Busy(mpsc::Sender<()>);

impl Waiter for Busy {
    async fn wait(&self) -> Result<u32> {
        self.0.send(()).await.or_error(Code::Internal, "no test")?;
        std::future::pending().await
    }
}

const GREET: &str = "/cors.v1.Greeter/Greet";
const PAGE: &str = "https://shop.example";

fn greeter() -> Server {
    Server::new("greeter").add(GreeterServer::new(English))
}

fn edge() -> Server {
    greeter().trust(Trust::Edge)
}

async fn preflight(running: &Running, path: &str, origin: &str) -> Response {
    let lines = [
        ("origin", origin),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "content-type,x-tenant"),
    ];
    let mut raw = Raw::connect(running.address()).await;
    raw.ask(request("OPTIONS", path, &lines, b"")).await
}

async fn call(running: &Running, origin: &str, message: &str) -> Response {
    let mut raw = Raw::connect(running.address()).await;
    raw.ask(post_with(GREET, &[("origin", origin)], message))
        .await
}

const ALLOW_ORIGIN: &str = "access-control-allow-origin";

#[tokio::test]
async fn a_page_of_the_origin_may_call() {
    let running = Running::start(edge().cors(PAGE)).await;
    let allowed = preflight(&running, GREET, PAGE).await;
    assert_eq!(
        (allowed.status, allowed.header(ALLOW_ORIGIN)),
        (200, Some(PAGE))
    );
    let headers = allowed.header("access-control-allow-headers");
    assert_eq!(headers, Some("content-type,x-tenant"));
    assert!(allowed.header("x-request-id").is_some());
    assert_eq!(allowed.header("access-control-allow-credentials"), None);
    // A response and an error can be read, and that there is no such method.
    let greeting = call(&running, PAGE, r#"{"name":"Ada"}"#).await;
    assert_eq!(
        (greeting.status, greeting.header(ALLOW_ORIGIN)),
        (200, Some(PAGE))
    );
    let exposed = greeting.header("access-control-expose-headers").unwrap();
    assert!(
        exposed.contains("x-request-id") && exposed.contains("retry-after"),
        "{exposed}"
    );
    let error = call(&running, PAGE, r#"{"name":""}"#).await;
    assert_eq!(
        (error.status, error.header(ALLOW_ORIGIN)),
        (400, Some(PAGE))
    );
    let unknown = preflight(&running, "/cors.v1.Greeter/Gret", PAGE).await;
    assert_eq!(unknown.status, 200);
}

#[tokio::test]
async fn a_page_of_another_origin_gets_no_permission() {
    let server = edge().cors([PAGE, "http://localhost:3000"]);
    let running = Running::start(server).await;
    for origin in [
        "https://shop.example.evil.example",
        "http://shop.example",
        "https://shop.example:8443",
        "null",
        "https://evil.example",
    ] {
        let refused = preflight(&running, GREET, origin).await;
        assert_eq!(refused.header(ALLOW_ORIGIN), None, "{origin}");
        let response = call(&running, origin, r#"{"name":"Ada"}"#).await;
        assert_eq!(response.header(ALLOW_ORIGIN), None, "{origin}");
    }
    let second = preflight(&running, GREET, "http://localhost:3000").await;
    assert_eq!(second.header(ALLOW_ORIGIN), Some("http://localhost:3000"));
    // Without the setting there is nothing to read.
    let running = Running::start(edge()).await;
    let refused = preflight(&running, GREET, PAGE).await;
    assert_eq!((refused.status, refused.header(ALLOW_ORIGIN)), (405, None));
}

#[tokio::test]
async fn options_of_cors_are_headers() {
    let cors = Cors::from(PAGE)
        .allow_credentials()
        .expose_header("x-price");
    let layer = SetResponseHeaderLayer::overriding(
        HeaderName::from_static("x-price"),
        HeaderValue::from_static("3"),
    );
    let running = Running::start(edge().cors(cors).http_layer(layer)).await;
    let greeting = call(&running, PAGE, r#"{"name":"Ada"}"#).await;
    assert_eq!(
        greeting.header("access-control-allow-credentials"),
        Some("true")
    );
    assert!(
        greeting
            .header("access-control-expose-headers")
            .unwrap()
            .contains("x-price")
    );
    assert_eq!(greeting.header("x-price"), Some("3"));
    let running = Running::start(edge().cors(Cors::any_origin())).await;
    let anyone = call(&running, "https://a.example", r#"{"name":"Ada"}"#).await;
    assert_eq!(anyone.header(ALLOW_ORIGIN), Some("*"));
}

fn keys() -> IdentityKeys {
    IdentityKeys::parse("k1 pL0m8gk0TzXqYy1oG2v3b4n5m6Q7w8e9r0t1y2u3i4o=").unwrap()
}

#[tokio::test]
async fn a_server_that_refuses_all_pages_does_not_start() {
    let internal = || greeter().cors(PAGE).listen("127.0.0.1:0");
    let error = internal().bind().await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
    assert!(error.message().contains("listen_edge"), "{error}");
    let mounted = greeter().cors(PAGE).trust(Trust::Internal).into_router();
    assert_eq!(mounted.unwrap_err().code(), Code::FailedPrecondition);
    assert!(internal().listen_edge("127.0.0.1:0").bind().await.is_ok());
    assert!(internal().identity(keys()).bind().await.is_ok());
    assert!(greeter().cors(PAGE).into_router().is_ok());
    assert!(greeter().cors(PAGE).into_local_client().is_ok());
    let error = edge().cors("shop.example").into_router().unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
}

/// Returns requests that reach no layer: the status, the request line, and header lines.
fn refused_early() -> Vec<(u16, String, String)> {
    let call = format!("POST {GREET}");
    let many: String = (0..60).map(|n| format!("x-{n}: 1\r\n")).collect();
    let path = |length: usize| format!("POST /{}", "a".repeat(length));
    let length = |length: &str| format!("Host: a\r\ncontent-length: {length}\r\n");
    let host = |lines: &str| format!("Host: a\r\n{lines}");
    vec![
        (431, call.clone(), host(&many)),
        (431, call.clone(), host(&many.repeat(9))),
        (414, path(200), host("")),
        (414, path(60_000), host("")),
        (404, "POST /other".to_owned(), host("")),
        (400, call.clone(), String::new()),
        (400, call.clone(), host("a b: c\r\n")),
        (501, call.clone(), host("transfer-encoding: x, chunked\r\n")),
        (400, call.clone(), length("99999999999999999999")),
        (413, call.clone(), length("18446744073709551615")),
        (429, call, length("2000")),
    ]
}

/// A page may read what is wrong with such a request.
#[tokio::test]
async fn a_page_reads_responses_made_before_the_layers() {
    let mut limits = Limits::default();
    (limits.header_count, limits.path_bytes) = (20, 100);
    limits.message_bytes = 1000;
    let other = "http://localhost:3000";
    let cors = Cors::origins([PAGE, other]).allow_credentials();
    let listener = ListenOptions::edge("127.0.0.1:0").only(["cors.v1.Greeter"]);
    let server = greeter().limits(limits).cors(cors).listen_with(listener);
    let bound = server.bind().await.unwrap();
    let address = bound.addresses()[0].to_string().parse().unwrap();
    let serving = tokio::spawn(bound.serve(std::future::pending()));
    for (status, line, rest) in refused_early() {
        for (origin, is_allowed) in [
            (Some(PAGE), true),
            (Some(other), true),
            (Some("https://evil.example"), false),
            (None, false),
        ] {
            let lines = origin.map_or_else(String::new, |origin| format!("Origin: {origin}\r\n"));
            let mut raw = Raw::connect(address).await;
            // The origin is before what may be too much.
            let head = format!("{line} HTTP/1.1\r\n{lines}{rest}content-type: application/json");
            let response = raw.ask(format!("{head}\r\n\r\n")).await;
            let case = format!("{status} {origin:?}: {response:?}");
            assert_eq!(response.status, status, "{case}");
            let allowed = origin.filter(|_| is_allowed);
            assert_eq!(response.header(ALLOW_ORIGIN), allowed, "{case}");
            let credentials = response.header("access-control-allow-credentials");
            let exposed = response.header("access-control-expose-headers");
            let has_id = exposed.is_some_and(|names| names.contains("x-request-id"));
            // Of no use without the origin.
            if is_allowed {
                assert_eq!((credentials, has_id), (Some("true"), true), "{case}");
            }
            let vary = response.header("vary").unwrap_or_default();
            assert!(vary.to_lowercase().contains("origin"), "{case}");
        }
    }
    serving.abort();
}

#[tokio::test]
async fn a_page_reads_that_the_server_is_full() {
    let mut limits = Limits::default();
    limits.running_calls = 1;
    limits.queued_calls = 0;
    let (begun, mut begins) = mpsc::channel(1);
    let server = edge().add(WaiterServer::new(Busy(begun)));
    let server = server.limits(limits).cors(Cors::any_origin());
    let running = Running::start(server).await;
    let client = WaiterClient::connect(&running.url()).unwrap();
    let waiting = tokio::spawn(async move { client.wait().await });
    begins.recv().await.unwrap();
    let full = call(&running, PAGE, r#"{"name":"Ada"}"#).await;
    assert_eq!((full.status, full.header(ALLOW_ORIGIN)), (503, Some("*")));
    waiting.abort();
}

/// The setting opens nothing at an internal listener, whose callers are other services.
#[tokio::test]
async fn an_internal_listener_goes_on_refusing_pages() {
    let server = greeter()
        .cors(PAGE)
        .listen("127.0.0.1:0")
        .listen_edge("127.0.0.1:0");
    let bound = server.bind().await.unwrap();
    let internal = bound.addresses()[0].to_string().parse().unwrap();
    let serving = tokio::spawn(bound.serve(std::future::pending()));
    let mut raw = Raw::connect(internal).await;
    let lines = [("origin", PAGE)];
    let refused = raw.ask(post_with(GREET, &lines, r#"{"name":"Ada"}"#)).await;
    assert_eq!((refused.status, refused.header(ALLOW_ORIGIN)), (403, None));
    serving.abort();
    // With keys a page has no signature, and plain routes decide by themselves.
    let page = Router::new().route("/page", get(async || "page"));
    let server = greeter().cors(PAGE).identity(keys());
    let running = Running::start(server.http_for(HttpAccess::Public, page)).await;
    assert_eq!(call(&running, PAGE, r#"{"name":"Ada"}"#).await.status, 401);
    let mut raw = Raw::connect(running.address()).await;
    let page = raw.ask(request("GET", "/page", &lines, b"")).await;
    assert_eq!((page.status, page.header(ALLOW_ORIGIN)), (200, Some(PAGE)));
}

/// Calls a method, and reports what the page could read.
const SCRIPT: &str = r#"<!doctype html><title>shop</title><script>
const report = (text) => fetch("/report", { method: "POST", body: text });
fetch("SERVER/cors.v1.Greeter/Greet", {
  method: "POST",
  headers: { "content-type": "application/json", "x-tenant": "blue" },
  body: JSON.stringify({ name: "Ada" }),
}).then(async (response) => {
  const id = response.headers.get("x-request-id") ? "with an ID" : "without an ID";
  await report(`${response.status} ${(await response.json()).result} ${id}`);
}).catch((error) => report(error.name));
</script>"#;

/// A browser, which ends with its processes when it is dropped.
struct Browser(Child);

impl Browser {
    /// Shows a page. `None`, after printing why, where no browser is installed.
    #[allow(clippy::print_stderr, reason = "a test that is skipped says so")]
    fn show(page: &str, profile: &Folder) -> Option<Self> {
        let started = Command::new("chromium")
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--no-proxy-server",
            ])
            .args([
                "--no-first-run",
                "--disable-dev-shm-usage",
                "--disable-background-networking",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(page)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match started {
            Ok(browser) => Some(Self(browser)),
            Err(error) => {
                eprintln!("skipped: no chromium here (apt-get install chromium): {error}");
                None
            }
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_page_in_a_browser_calls_a_method() {
    let pages = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = pages.local_addr().unwrap().port();
    let allowed = format!("http://127.0.0.1:{port}");
    let api = Running::start(edge().cors(allowed.as_str())).await;
    let script = SCRIPT.replace("SERVER", &api.url());
    let (reports, mut reported) = mpsc::unbounded_channel();
    let routes = Router::new()
        .route("/", get(async move || Html(script)))
        .route(
            "/report",
            post(async move |text: String| reports.send(text).is_ok().to_string()),
        );
    let shop = Server::new("pages").trust(Trust::Edge).http(routes);
    let serving = tokio::spawn(shop.serve(pages, std::future::pending()));
    for (origin, expected) in [
        (allowed, "200 Hello Ada with an ID"),
        (format!("http://localhost:{port}"), "TypeError"),
    ] {
        let profile = Folder::new();
        let Some(_browser) = Browser::show(&origin, &profile) else {
            return;
        };
        assert_eq!(within(reported.recv()).await.unwrap(), expected, "{origin}");
    }
    serving.abort();
}

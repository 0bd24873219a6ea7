//! HTTP layers of a server: tower-http's as they are, and the stages of the server around them.

use std::future::{Ready, ready};
use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use flate2::read::GzDecoder;
use rpc_runtime::axum::Router;
use rpc_runtime::axum::body::Body;
use rpc_runtime::axum::http::header::SERVER;
use rpc_runtime::axum::http::{HeaderValue, Request, StatusCode};
use rpc_runtime::axum::middleware::{Next, from_fn};
use rpc_runtime::axum::response::{IntoResponse as _, Response};
use rpc_runtime::axum::routing::{any, get};
use rpc_runtime::prelude::*;
use rpc_runtime::{HttpAccess, HttpService, IdentityKeys, Limits, PeerAddress, Trust};
use rpc_tests::Running;
use rpc_tests::captured::CapturedWriter;
use rpc_tests::raw::{Raw, post, post_with, request};
use rpc_tests::wait::within;
use tokio::sync::{Semaphore, mpsc};
use tower::limit::ConcurrencyLimitLayer;
use tower::util::MapRequestLayer;
use tower::{Service, ServiceExt as _};
use tower_http::auth::AsyncRequireAuthorizationLayer;
use tower_http::compression::CompressionLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::trace::TraceLayer;

use super::plain_http::{Observed, Watch};

#[rpc_service(package = "layered.v1")]
trait Echo {
    async fn echo(&self, text: &str) -> Result<String>;
    async fn long(&self) -> Result<String>;
    async fn user(&self) -> Result<Option<String>>;
}

struct Echoes;

impl Echo for Echoes {
    async fn echo(&self, text: &str) -> Result<String> {
        Ok(text.to_owned())
    }

    async fn long(&self) -> Result<String> {
        Ok("long ".repeat(1_000))
    }

    async fn user(&self) -> Result<Option<String>> {
        let context = Context::current();
        Ok(context.extension::<User>().map(|user| user.0.to_owned()))
    }
}

const ECHO: &str = "/layered.v1.Echo/Echo";

fn echo_server() -> Server {
    let page = get(async || "page ".repeat(1_000));
    let pages = Router::new().route("/page", page);
    Server::new("echo")
        .add(EchoServer::new(Echoes))
        .http_for(HttpAccess::Public, pages)
}

fn edge() -> Server {
    echo_server().trust(Trust::Edge)
}

type Observations = mpsc::UnboundedReceiver<Observed>;

async fn observed(server: Server) -> (Running, Observations) {
    let (watch, observed) = mpsc::unbounded_channel();
    (
        Running::start(server.observer(Watch(watch))).await,
        observed,
    )
}

async fn ended(observed: &mut Observations) -> (Option<&'static str>, Option<Code>) {
    let (http, code, id) = within(observed.recv()).await.unwrap();
    assert_ne!(id, "-");
    (http, code)
}

/// The user that a token is of, which the layer hands to the handler.
struct User(&'static str);

type Authorize = fn(Request<Body>) -> Ready<Result<Request<Body>, Response>>;

/// Refuses requests without the token.
fn bearer() -> AsyncRequireAuthorizationLayer<Authorize> {
    AsyncRequireAuthorizationLayer::new(|mut request| {
        let token = request.headers().get("authorization");
        if token.is_none_or(|token| token != "Bearer sesame") {
            return ready(Err(StatusCode::UNAUTHORIZED.into_response()));
        }
        let context = Context::current().with_extension(User("Ali Baba"));
        request.extensions_mut().insert(context);
        ready(Ok(request))
    })
}

/// Returns the text of a page that a layer has compressed.
async fn compressed_page(running: &Running) -> String {
    // HTTP/1.0, so that the body ends with the connection.
    let page =
        "GET /page HTTP/1.0\r\nauthorization: Bearer sesame\r\naccept-encoding: gzip\r\n\r\n";
    let mut raw = Raw::connect(running.address()).await;
    raw.send(page).await.unwrap();
    let page = raw.closed().await;
    let end = page.windows(4).position(|window| window == b"\r\n\r\n");
    let (head, body) = page.split_at(end.unwrap() + 4);
    let head = String::from_utf8_lossy(head);
    assert!(head.contains("content-encoding: gzip"), "{head}");
    let mut text = String::new();
    GzDecoder::new(body).read_to_string(&mut text).unwrap();
    text
}

#[tokio::test]
async fn layers_of_tower_http_apply_as_they_are() {
    let server = SetResponseHeaderLayer::overriding(SERVER, HeaderValue::from_static("corner"));
    let running = Running::start(
        edge()
            .http_layer(TraceLayer::new_for_http())
            .http_layer(server)
            .http_layer(CompressionLayer::new())
            .http_layer(bearer()),
    )
    .await;
    let mut raw = Raw::connect(running.address()).await;
    // The probes and requests that are refused before stay outside.
    let probe = raw.ask(request("GET", "/healthz", &[], b"")).await;
    assert_eq!((probe.status, probe.header("server")), (200, None));
    let refused = raw.ask(post(ECHO, r#"{"text":"a"}"#)).await;
    assert_eq!(
        (refused.status, refused.header("server")),
        (401, Some("corner"))
    );
    assert!(refused.header("x-request-id").is_some());
    let token = ("authorization", "Bearer sesame");
    assert_eq!(compressed_page(&running).await.len(), 5_000);
    let echoed = raw.ask(post_with(ECHO, &[token], r#"{"text":"a"}"#)).await;
    assert_eq!(echoed.value(), (200, serde_json::json!("a")));
    assert_eq!(echoed.header("server"), Some("corner"));
    // An unknown path passes the layers too, and the client of the framework works through them.
    let unknown = raw
        .ask(post_with("/layered.v1.Echo/Ech", &[token], "{}"))
        .await;
    assert_eq!(
        (unknown.status, unknown.header("server")),
        (404, Some("corner"))
    );
    let client = EchoClient::connect(&running.url()).unwrap();
    let long = client.long().header(token.0, token.1).await.unwrap();
    assert_eq!(long.len(), 5_000);
    let user = client.user().header(token.0, token.1).await.unwrap();
    assert_eq!(user.as_deref(), Some("Ali Baba"));
    assert_eq!(
        client.long().await.unwrap_err().code(),
        Code::Unauthenticated
    );
}

#[tokio::test]
async fn what_a_layer_responds_is_observed_as_http() {
    let log = CapturedWriter::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .finish();
    let _log = tracing::subscriber::set_default(subscriber);
    let (running, mut ends) = observed(edge().http_layer(bearer())).await;
    let mut raw = Raw::connect(running.address()).await;
    let refused = raw.ask(post(ECHO, r#"{"text":"a"}"#)).await;
    assert_eq!(refused.status, 401);
    assert_eq!(
        ended(&mut ends).await,
        (Some("http POST"), Some(Code::Unauthenticated))
    );
    let id = refused.header("x-request-id").unwrap();
    assert!(log.text().contains(id), "{}", log.text());
    // A request that the layer hands on is observed once, by what it is.
    let lines = [("authorization", "Bearer sesame")];
    assert_eq!(
        raw.ask(post_with(ECHO, &lines, r#"{"text":"a"}"#))
            .await
            .status,
        200
    );
    assert_eq!(ended(&mut ends).await, (None, None));
    assert_eq!(
        raw.ask(request("GET", "/page", &lines, b"")).await.status,
        200
    );
    assert_eq!(ended(&mut ends).await, (Some("http GET"), None));
    assert!(ends.try_recv().is_err());
}

#[tokio::test]
async fn layers_run_in_the_order_in_which_they_are_added() {
    let named = |name: &'static str| {
        from_fn(move |request: Request<Body>, next: Next| async move {
            let mut response = next.run(request).await;
            let value = HeaderValue::from_static(name);
            response.headers_mut().append("x-order", value);
            response
        })
    };
    let server = edge().http_layer(named("outer")).http_layer(named("inner"));
    let mut raw = Raw::connect(Running::start(server).await.address()).await;
    let response = raw.ask(post(ECHO, r#"{"text":"a"}"#)).await;
    let names = response
        .headers
        .iter()
        .filter(|header| header.0 == "x-order");
    assert!(
        names.map(|header| &*header.1).eq(["inner", "outer"]),
        "{response:?}"
    );
}

#[tokio::test]
async fn a_layer_sees_the_peer_and_the_context() {
    let seen = from_fn(async |request: Request<Body>, _: Next| {
        let peer = request.extensions().get::<PeerAddress>().is_some();
        format!("{peer} {}", Context::current().request_id())
    });
    let mut raw = Raw::connect(Running::start(edge().http_layer(seen)).await.address()).await;
    let response = raw.ask(post(ECHO, "{}")).await;
    let expected = format!("true {}", response.header("x-request-id").unwrap());
    assert_eq!(String::from_utf8(response.body).unwrap(), expected);
}

#[tokio::test]
async fn the_limits_of_a_server_stand_around_its_layers() {
    let (go, begun) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (gate, has_begun) = (Arc::clone(&go), Arc::clone(&begun));
    let holds = from_fn(move |request: Request<Body>, next: Next| {
        let (gate, has_begun) = (Arc::clone(&gate), Arc::clone(&has_begun));
        async move {
            if request.uri().path() == ECHO {
                has_begun.add_permits(1);
                gate.acquire().await.unwrap().forget();
            }
            next.run(request).await
        }
    });
    let mut limits = Limits::default();
    (limits.running_calls, limits.queued_calls) = (1, 0);
    let server = echo_server().limits(limits).http_layer(holds);
    let (running, mut ends) = observed(server).await;
    let address = running.address();
    let held = tokio::spawn(async move {
        let mut raw = Raw::connect(address).await;
        raw.ask(post(ECHO, r#"{"text":"a"}"#)).await.status
    });
    within(begun.acquire()).await.unwrap().forget();
    let mut raw = Raw::connect(address).await;
    let refused = raw.ask(request("GET", "/page", &[], b"")).await;
    assert_eq!(refused.status, 503);
    assert!(refused.header("retry-after").is_some());
    assert_eq!(
        ended(&mut ends).await,
        (Some("http GET"), Some(Code::Unavailable))
    );
    // Built-in methods and probes pass a full server.
    for response in [
        raw.ask(post("/rpc.v1.Status/Get", "{}")).await,
        raw.ask(request("GET", "/readyz", &[], b"")).await,
    ] {
        assert_eq!(response.status, 200);
    }
    go.add_permits(1);
    assert_eq!(within(held).await.unwrap(), 200);
}

/// A layer whose service may fail, as those of tower may.
fn service_fn_layer<F, Fut>(
    run: F,
) -> impl tower::Layer<
    HttpService,
    Service = impl Service<Request<Body>, Response = Response, Error = tower::BoxError, Future: Send>
              + Clone
              + Send
              + 'static,
> + Send
+ Sync
+ 'static
where
    F: Fn(Request<Body>, HttpService) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Response, tower::BoxError>> + Send + 'static,
{
    tower::layer::layer_fn(move |inner: HttpService| {
        let run = run.clone();
        tower::service_fn(move |request| run(request, inner.clone()))
    })
}

#[tokio::test]
async fn a_layer_that_fails_is_an_error_response() {
    let faulty =
        service_fn_layer(async |request: Request<Body>, inner: HttpService| {
            match request.uri().query() {
                Some("panic") => panic!("the canary sings"),
                Some("hang") => std::future::pending().await,
                Some("error") => Err(tower::BoxError::from("the canary is full")),
                Some("own") => Err(Error::new(Code::ResourceExhausted, "one a day").into()),
                Some("strip") => Ok(inner.oneshot(Request::new(Body::empty())).await?),
                Some("late") => {
                    inner.oneshot(request).await?;
                    std::future::pending().await
                }
                _ => Ok(inner.oneshot(request).await?),
            }
        });
    let named = SetResponseHeaderLayer::overriding(SERVER, HeaderValue::from_static("corner"));
    let server = edge().http_layer(named).http_layer(faulty);
    let (running, mut ends) = observed(server).await;
    for (how, status, code) in [
        ("panic", 500, Code::Internal),
        ("hang", 504, Code::DeadlineExceeded),
        ("error", 503, Code::Unavailable),
        ("own", 429, Code::ResourceExhausted),
        ("strip", 500, Code::Internal),
    ] {
        let mut raw = Raw::connect(running.address()).await;
        let lines = [(
            "connect-timeout-ms",
            if how == "hang" { "50" } else { "60000" },
        )];
        let path = format!("/page?{how}");
        let response = raw.ask(request("GET", &path, &lines, b"")).await;
        assert_eq!(
            (response.status, response.error().1),
            (status, code.to_string()),
            "{how}"
        );
        assert!(!response.message().contains("canary is") && !response.message().contains("sings"));
        assert!(response.header("x-request-id").is_some());
        assert_eq!(
            ended(&mut ends).await,
            (Some("http GET"), Some(code)),
            "{how}"
        );
    }
    // A layer that keeps the response back: the call ended, and then the layer did not.
    let mut raw = Raw::connect(running.address()).await;
    let lines = [("connect-timeout-ms", "1000")];
    let response = raw.ask(request("GET", "/page?late", &lines, b"")).await;
    assert_eq!(response.status, 504);
    assert_eq!(ended(&mut ends).await, (Some("http GET"), None));
    assert_eq!(
        ended(&mut ends).await,
        (Some("http GET"), Some(Code::DeadlineExceeded))
    );
}

#[tokio::test]
async fn a_caller_that_leaves_in_a_layer_is_observed() {
    let begun = Arc::new(Semaphore::new(0));
    let has_begun = Arc::clone(&begun);
    let hangs = from_fn(move |_: Request<Body>, _: Next| {
        let has_begun = Arc::clone(&has_begun);
        async move {
            has_begun.add_permits(1);
            std::future::pending::<Response>().await
        }
    });
    let (running, mut ends) = observed(edge().http_layer(hangs)).await;
    let mut raw = Raw::connect(running.address()).await;
    raw.send(post(ECHO, "{}")).await.unwrap();
    within(begun.acquire()).await.unwrap().forget();
    drop(raw);
    assert_eq!(
        ended(&mut ends).await,
        (Some("http POST"), Some(Code::Canceled))
    );
}

#[tokio::test]
async fn a_layer_that_drops_the_rest_responds_itself() {
    let timeout = tower_http::timeout::TimeoutLayer::with_status_code(
        StatusCode::GATEWAY_TIMEOUT,
        Duration::from_millis(50),
    );
    let slow = Router::new().route("/slow", any(std::future::pending::<()>));
    let server = edge().http(slow).http_layer(timeout);
    let (running, mut ends) = observed(server).await;
    let mut raw = Raw::connect(running.address()).await;
    let response = raw.ask(request("GET", "/slow", &[], b"")).await;
    assert_eq!(response.status, 504);
    assert_eq!(
        ended(&mut ends).await,
        (Some("http GET"), Some(Code::Canceled))
    );
    assert_eq!(
        ended(&mut ends).await,
        (Some("http GET"), Some(Code::DeadlineExceeded))
    );
}

/// Layers of tower that are not of tower-http, and whose errors are no responses.
#[tokio::test]
async fn a_tower_layer_with_errors_of_its_own_is_taken() {
    let server = edge()
        .http_layer(tower::load_shed::LoadShedLayer::new())
        .http_layer(ConcurrencyLimitLayer::new(1));
    let mut raw = Raw::connect(Running::start(server).await.address()).await;
    let response = raw.ask(post(ECHO, r#"{"text":"a"}"#)).await;
    assert_eq!(response.status, 200);
}

fn keys() -> IdentityKeys {
    IdentityKeys::parse("k1 pL0m8gk0TzXqYy1oG2v3b4n5m6Q7w8e9r0t1y2u3i4o=").unwrap()
}

#[tokio::test]
async fn a_layer_that_changes_a_signed_body_is_named() {
    let change = MapRequestLayer::new(|request: Request<Body>| {
        let changed = request.headers().contains_key("x-change");
        request.map(|body| {
            if changed {
                Body::from(r#"{"text":"b"}"#)
            } else {
                body
            }
        })
    });
    let server = echo_server().identity(keys()).http_layer(change);
    let running = Running::start(server).await;
    let client = rpc_runtime::Client::new(&running.url()).unwrap();
    let client = EchoClient::with_client(client.identity(keys()));
    assert_eq!(client.echo("a").await.unwrap(), "a");
    let error = client.echo("a").header("x-change", "1").await.unwrap_err();
    assert_eq!(error.code(), Code::Unauthenticated);
    assert!(error.message().contains("`Server::http_layer`"), "{error}");
    // Without a layer the text does not speak of one; that it was changed is tested elsewhere.
}

/// The caller of a plain route may be unsigned, that of a method may not.
#[tokio::test]
async fn a_layer_cannot_turn_a_plain_request_into_a_call() {
    let reroute = MapRequestLayer::new(|mut request: Request<Body>| {
        if request.uri().path() == "/page" {
            *request.uri_mut() = ECHO.parse().unwrap();
        }
        request
    });
    let server = echo_server().identity(keys()).http_layer(reroute.clone());
    let mut raw = Raw::connect(Running::start(server).await.address()).await;
    let response = raw.ask(post("/page", r#"{"text":"a"}"#)).await;
    assert_eq!(
        response.error(),
        (403, "permission_denied".to_owned()),
        "{response:?}"
    );
    // At an edge there is nothing to circumvent.
    let mut raw = Raw::connect(Running::start(edge().http_layer(reroute)).await.address()).await;
    assert_eq!(raw.ask(post("/page", r#"{"text":"a"}"#)).await.status, 200);
}

#[tokio::test]
async fn a_mounted_router_has_its_layers() {
    let router = echo_server().http_layer(bearer()).into_router().unwrap();
    let ask = async |token: &str| {
        let request = Request::post(ECHO)
            .header("host", "localhost")
            .header("content-type", "application/json")
            .header("authorization", token)
            .body(Body::from(r#"{"text":"a"}"#))
            .unwrap();
        router.clone().oneshot(request).await.unwrap().status()
    };
    assert_eq!(ask("Bearer sesame").await, StatusCode::OK);
    assert_eq!(ask("Bearer open").await, StatusCode::UNAUTHORIZED);
}

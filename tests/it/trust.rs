//! Trust in callers, mounted routers, and configurations that a server rejects at start.

use rpc_runtime::middleware::{Next, Request, Response};
use rpc_runtime::prelude::*;
use rpc_runtime::{HttpAccess, Trust, registry};
use rpc_tests::Running;
use rpc_tests::raw::{Raw, post, request};

#[rpc_service(package = "trust.v1")]
trait WhoAmI {
    /// Returns all context values that a caller could have sent.
    async fn who(&self) -> Result<Vec<String>>;
    async fn fail(&self) -> Result<()>;
}

struct Mirror;

impl WhoAmI for Mirror {
    async fn who(&self) -> Result<Vec<String>> {
        let context = Context::current();
        let text = |text: Option<&str>| text.unwrap_or("-").to_owned();
        Ok(vec![
            context.request_id().to_owned(),
            text(context.client_request_id()),
            context.source().map_or("-".to_owned(), ToString::to_string),
            text(context.environment()),
            text(context.baggage().get("tenant")),
            context.trace().map_or("-".to_owned(), ToString::to_string),
            context
                .trace_link()
                .map_or("-".to_owned(), ToString::to_string),
            context.hops().to_string(),
        ])
    }

    async fn fail(&self) -> Result<()> {
        Err(Error::new(Code::NotFound, "nothing here")
            .with_reason("NOTHING")
            .with_metadata("x-beside", "1"))
    }
}

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn claims() -> Vec<u8> {
    let lines = [
        ("Content-Type", "application/json"),
        ("X-Request-Id", "offered"),
        ("X-Rpc-Source", "gatekeeper@dev/1"),
        ("X-Rpc-Environment", "dev"),
        ("Baggage", "tenant=blue"),
        ("Traceparent", TRACE),
        ("X-Rpc-Hops", "3"),
    ];
    request("POST", "/trust.v1.WhoAmI/Who", &lines, b"{}")
}

#[tokio::test]
async fn an_internal_listener_trusts_local_peers() {
    let running = Running::start(Server::new("mirror").add(WhoAmIServer::new(Mirror))).await;
    let response = Raw::connect(running.address()).await.ask(claims()).await;
    let expected = serde_json::json!([
        "offered",
        "-",
        "gatekeeper@dev/1",
        "dev",
        "blue",
        TRACE,
        "-",
        "3"
    ]);
    assert_eq!(response.value(), (200, expected));
    assert_eq!(response.header("x-request-id"), Some("offered"));
}

#[tokio::test]
async fn an_edge_trusts_no_context() {
    let server = Server::new("mirror")
        .trust(Trust::Edge)
        .add(WhoAmIServer::new(Mirror));
    let running = Running::start(server).await;
    let mut raw = Raw::connect(running.address()).await;
    let response = raw.ask(claims()).await;
    let seen = response.value().1;
    let own = response.header("x-request-id").unwrap().to_owned();
    assert_ne!(own, "offered");
    assert_eq!(
        seen,
        serde_json::json!([own, "offered", "-", "prod", "-", "-", TRACE, "0"])
    );

    let response = raw.ask(post("/trust.v1.WhoAmI/Fail", "{}")).await;
    assert_eq!(response.error(), (404, "not_found".to_owned()));
    assert_eq!(response.header("x-beside"), Some("1"));
    let json = response.json();
    let types: Vec<_> = json["details"]
        .as_array()
        .unwrap()
        .iter()
        .map(|detail| detail["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        types,
        ["google.rpc.ErrorInfo"],
        "code, text and the reason are all that goes out"
    );
}

#[tokio::test]
async fn a_service_is_mounted_in_an_axum_application() {
    let ours = WhoAmIServer::new(Mirror).into_router().unwrap();
    let app = rpc_runtime::axum::Router::new()
        .route(
            "/hello",
            rpc_runtime::axum::routing::get(|| async { "hello" }),
        )
        .merge(ours);
    // Served by a `Server` here; the application would use `axum::serve`.
    let running = Running::start(Server::new("app").http(app)).await;
    let mut raw = Raw::connect(running.address()).await;
    assert_eq!(
        raw.ask(request("GET", "/hello", &[], b"")).await.body,
        b"hello"
    );
    let response = raw.ask(claims()).await;
    assert_eq!(response.status, 200);
    assert_eq!(
        response.value().1[1],
        "offered",
        "a router treats every caller as external"
    );
    let client = WhoAmIClient::connect(&running.url()).unwrap();
    assert_eq!(client.fail().await.unwrap_err().code(), Code::NotFound);
    assert_eq!(client.ping().await.unwrap().service, "trust.v1.WhoAmI");
}

mod one {
    use rpc_runtime::prelude::*;

    #[rpc_service(package = "twice.v1", name = "Same", ping = false)]
    pub(super) trait First {
        async fn ping(&self) -> Result<u32>;
    }
}

#[test]
fn the_registry_lists_linked_services() {
    let service = registry::services()
        .find(|service| service.full_name == "twice.v1.Same")
        .unwrap();
    assert_eq!(
        (service.name, service.endpoint, service.methods.len()),
        ("Same", "first", 1)
    );
    assert!(service.module.ends_with("trust::one"), "{}", service.module);
    let names: Vec<_> = registry::services()
        .map(|service| service.full_name)
        .collect();
    assert!(names.is_sorted(), "{names:?}");
}

#[tokio::test]
async fn a_service_that_is_added_twice_is_refused() {
    let server = Server::new("mirror")
        .add(WhoAmIServer::new(Mirror))
        .add(WhoAmIServer::new(Mirror));
    let error = server.listen("127.0.0.1:0").bind().await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
    assert!(
        error.message().contains("trust.v1.WhoAmI was added twice"),
        "{error}"
    );
}

#[tokio::test]
async fn a_bad_or_used_address_is_rejected_with_advice() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let server = || Server::new("mirror").add(WhoAmIServer::new(Mirror));
    let error = server().listen(address).bind().await.unwrap_err();
    assert!(
        error.message().contains("another process listens there"),
        "{error}"
    );
    let error = server().listen("nonsense").bind().await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument, "{error}");
    let error = server().bind().await.unwrap_err();
    assert!(error.message().contains("call `listen` or"), "{error}");
    let error = Server::new("bad name")
        .listen("127.0.0.1:0")
        .bind()
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument, "{error}");
}

#[tokio::test]
async fn a_client_name_is_the_source_outside_a_server() {
    async fn seen(request: Request, next: Next) -> Response {
        assert_eq!(request.context().source().unwrap().server(), "nightly-job");
        next.run(request).await
    }
    let running = Running::start(Server::new("mirror").add(WhoAmIServer::new(Mirror))).await;
    let client = rpc_runtime::Client::new(&running.url())
        .unwrap()
        .named("nightly-job")
        .unwrap()
        .layer(seen);
    let who = WhoAmIClient::with_client(client).who().await.unwrap();
    assert!(who[2].starts_with("nightly-job@prod/"), "{who:?}");
    assert!(
        rpc_runtime::Client::new("http://a")
            .unwrap()
            .named("two words")
            .is_err()
    );
}

/// Headers of a request, and whether a listener without keys serves it.
const PAGES: [(&[(&str, &str)], bool); 12] = [
    (&[("Host", "rebound.example")], false),
    (
        &[
            ("Host", "rebound.example:80"),
            ("Origin", "http://rebound.example:80"),
        ],
        false,
    ),
    (&[("Host", "127.0.0.1.rebound.example")], false),
    (
        &[("Host", "localhost"), ("Origin", "https://shop.example")],
        false,
    ),
    (
        &[("Host", "localhost"), ("Origin", "http://localhost:3000")],
        false,
    ),
    (&[("Host", "localhost"), ("Origin", "null")], false),
    (
        &[("Host", "localhost"), ("Sec-Fetch-Site", "cross-site")],
        false,
    ),
    (
        &[("Host", "localhost"), ("Sec-Fetch-Site", "same-site")],
        false,
    ),
    (&[("Host", "localhost"), ("Sec-Fetch-Site", "none")], true),
    (
        &[
            ("Host", "localhost"),
            ("Origin", "http://localhost"),
            ("Sec-Fetch-Site", "same-origin"),
        ],
        true,
    ),
    (&[("Host", "[::1]:9003")], true),
    (&[("Host", "shop.test:9003")], true),
];

fn with_headers(target: &str, verb: &str, headers: &[(&str, &str)]) -> String {
    let lines: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    format!(
        "{verb} {target} HTTP/1.1\r\n{lines}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"
    )
}

#[tokio::test]
async fn a_web_page_reaches_no_internal_listener() {
    let page = rpc_runtime::axum::Router::new().route(
        "/page",
        rpc_runtime::axum::routing::any(|| async { "page" }),
    );
    let server = || {
        Server::new("mirror")
            .host("shop.test")
            .http(page.clone())
            .add(WhoAmIServer::new(Mirror))
    };
    let internal = Running::start(server()).await;
    let edge = Running::start(server().trust(Trust::Edge)).await;
    for (headers, served) in PAGES {
        for target in ["/trust.v1.WhoAmI/Who", "/rpc.v1.Status/Get", "/page"] {
            let request = with_headers(target, "POST", headers);
            let response = Raw::connect(internal.address()).await.ask(&request).await;
            assert_eq!(
                response.status == 200,
                served,
                "{target} {headers:?} {response:?}"
            );
            if !served {
                assert_eq!(response.error(), (403, "permission_denied".to_owned()));
            }
        }
        let request = with_headers("/trust.v1.WhoAmI/Who", "POST", headers);
        let response = Raw::connect(edge.address()).await.ask(&request).await;
        assert_eq!(response.status, 200, "an edge is for pages: {headers:?}");
        // Probes come from other hosts, by any name.
        let probe = with_headers("/healthz", "GET", headers);
        assert_eq!(
            Raw::connect(internal.address())
                .await
                .ask(&probe)
                .await
                .status,
            200
        );
    }
}

#[tokio::test]
async fn names_of_the_operator_are_served() {
    #[derive(clap::Parser)]
    struct Arguments {
        #[command(flatten)]
        server: rpc_runtime::ServerOptions,
    }
    let given = [
        "work",
        "--host-name",
        "Shop.Test.,10.1.2.4",
        "--host-name=[fd00::7]",
    ];
    let options = <Arguments as clap::Parser>::parse_from(given).server;
    let server = Server::new("mirror").host("own.test").options(options);
    let running = Running::start(server.add(WhoAmIServer::new(Mirror))).await;
    for (host, served) in [
        ("shop.test", true),
        ("SHOP.TEST:1", true),
        ("10.1.2.4:9003", true),
        ("[fd00::7]:9003", true),
        ("own.test", true),
        ("10.1.2.5", false),
        ("x.shop.test", false),
    ] {
        let request = with_headers("/trust.v1.WhoAmI/Who", "POST", &[("Host", host)]);
        let response = Raw::connect(running.address()).await.ask(&request).await;
        assert_eq!(response.status == 200, served, "{host}");
    }
    for wrong in ["shop.test:80", "*", ""] {
        let server = Server::new("mirror").host(wrong).listen("127.0.0.1:0");
        let error = server.bind().await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
        assert!(error.message().starts_with("`Server::host`: "), "{error}");
    }
}

#[tokio::test]
async fn unsigned_plain_routes_refuse_web_pages_too() {
    let keys = rpc_runtime::IdentityKeys::parse("k1 0123456789abcdef0123456789abcdef").unwrap();
    let page = rpc_runtime::axum::Router::new().route(
        "/page",
        rpc_runtime::axum::routing::any(|| async { "page" }),
    );
    let public = rpc_runtime::axum::Router::new().route(
        "/public",
        rpc_runtime::axum::routing::any(|| async { "public" }),
    );
    let server = Server::new("mirror")
        .identity(keys)
        .http_for(HttpAccess::Internal, page)
        .http_for(HttpAccess::Public, public)
        .add(WhoAmIServer::new(Mirror));
    let running = Running::start(server).await;
    for (target, host, status) in [
        ("/trust.v1.WhoAmI/Who", "localhost", 401),
        ("/trust.v1.WhoAmI/Who", "rebound.example", 401),
        ("/trust.v1.WhoAmI/None", "localhost", 401),
        ("/page", "localhost", 200),
        ("/page", "rebound.example", 401),
        ("/public", "rebound.example", 200),
    ] {
        let request = with_headers(target, "POST", &[("Host", host)]);
        let response = Raw::connect(running.address()).await.ask(request).await;
        assert_eq!(response.status, status, "{target} {host}");
    }
}

#[tokio::test]
async fn a_web_page_learns_no_reason_for_not_ready() {
    let server = Server::new("mirror").ready("store", || async {
        Err(Error::new(Code::Unavailable, "the canary sings"))
    });
    let running = Running::start_unready(server).await;
    for (headers, told) in [
        (&[("Host", "localhost")][..], true),
        (&[("Host", "rebound.example")], false),
        (
            &[("Host", "localhost"), ("Sec-Fetch-Site", "cross-site")],
            false,
        ),
    ] {
        let probe = with_headers("/readyz", "GET", headers);
        let response = Raw::connect(running.address()).await.ask(probe).await;
        assert_eq!(response.status, 503);
        let text = String::from_utf8_lossy(&response.body);
        assert_eq!(text.contains("canary"), told, "{headers:?} {text}");
    }
}

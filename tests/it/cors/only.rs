//! Pages may call some methods and plain routes only, and learn the verbs of a path.

use rpc_runtime::axum::routing::any;
use tower_http::set_header::SetRequestHeaderLayer;

use super::*;

#[rpc_service(package = "cors.v1")]
trait Catalog {
    #[rpc(no_side_effects, get = "/items")]
    async fn list(&self) -> Result<u32>;

    #[rpc(no_side_effects, get = "/items/{id}")]
    async fn find(&self, id: u32) -> Result<u32>;

    #[rpc(post = "/items/{id}")]
    async fn put(&self, id: u32) -> Result<u32>;
}

struct Shelf;

impl Catalog for Shelf {
    async fn list(&self) -> Result<u32> {
        Ok(3)
    }

    async fn find(&self, id: u32) -> Result<u32> {
        Ok(id)
    }

    async fn put(&self, id: u32) -> Result<u32> {
        Ok(id)
    }
}

mod other {
    use super::*;

    #[rpc_service(package = "other.v1")]
    pub(super) trait Greeter {
        async fn greet(&self) -> Result<u32>;
    }

    impl Greeter for Shelf {
        async fn greet(&self) -> Result<u32> {
            Ok(1)
        }
    }
}

const LIST: &str = "/cors.v1.Catalog/List";
const FIND: &str = "/cors.v1.Catalog/Find";
const PUT: &str = "/cors.v1.Catalog/Put";

fn shop() -> Server {
    let routes = Router::new()
        .route("/about", get(async || "about"))
        .route("/files/{name}", get(async || "file").put(async || "kept"))
        .route("/any", any(async || "any"));
    let catalog = CatalogServer::new(Shelf);
    edge().add(catalog).http(routes)
}

/// Asks for a verb, and returns the verbs that a page of the origin may use.
async fn verbs(running: &Running, verb: &str, path: &str) -> Option<String> {
    let lines = [("origin", PAGE), ("access-control-request-method", verb)];
    let mut raw = Raw::connect(running.address()).await;
    let response = raw.ask(request("OPTIONS", path, &lines, b"")).await;
    let allowed = response.header(ALLOW_ORIGIN);
    let verbs = response.header("access-control-allow-methods");
    let case = format!("{verb} {path}: {response:?}");
    assert_eq!(allowed.is_some(), verbs.is_some(), "{case}");
    if allowed.is_none() {
        let names = ["headers", "credentials", "max-age", "expose-headers"];
        let names = names.map(|name| format!("access-control-allow-{name}"));
        assert!(names.iter().all(|n| response.header(n).is_none()), "{case}");
        assert_eq!(response.header("access-control-max-age"), None, "{case}");
        assert_eq!(response.header("access-control-expose-headers"), None);
    }
    verbs.map(str::to_owned)
}

/// All that the server has, by verb and path.
const ALL: [(&str, &str); 9] = [
    ("POST", GREET),
    ("POST", LIST),
    ("POST", FIND),
    ("POST", PUT),
    ("GET", "/items"),
    ("GET", "/items/7"),
    ("POST", "/items/7"),
    ("GET", "/about"),
    ("GET", "/files/x"),
];

#[tokio::test]
async fn pages_may_call_what_is_named() {
    for (names, allowed) in [
        (&["cors.v1.Greeter/Greet"][..], &[0][..]),
        (&[CatalogServer::LIST], &[1, 4]),
        (&[LIST], &[1, 4]),
        (&["Catalog/Find"], &[2, 5]),
        (&["cors.v1.Catalog"], &[1, 2, 3, 4, 5, 6]),
        (&["Greeter", "Catalog/Put"], &[0, 3, 6]),
        (&["/items"], &[4]),
        (&["/items/{id}"], &[5, 6]),
        (&["/about"], &[7]),
        (&["http /about", "/files/{name}"], &[7, 8]),
        (&["http"], &[7, 8]),
    ] {
        let cors = Cors::from(PAGE).only(names.iter().copied());
        let running = Running::start(shop().cors(cors)).await;
        for (index, (verb, path)) in ALL.into_iter().enumerate() {
            let is_allowed = allowed.contains(&index);
            let case = format!("{names:?}: {verb} {path}");
            let verbs = verbs(&running, verb, path).await;
            assert_eq!(verbs.is_some(), is_allowed, "{case}");
            // The same for the call itself, and for its errors.
            let mut raw = Raw::connect(running.address()).await;
            let lines = [("origin", PAGE), ("content-type", "application/json")];
            let response = raw.ask(request(verb, path, &lines, b"")).await;
            let readable = is_allowed.then_some(PAGE);
            assert_eq!(response.header(ALLOW_ORIGIN), readable, "{case}");
        }
        assert_eq!(verbs(&running, "POST", "/cors.v1.Catalog/No").await, None);
        // Other spellings are of the fallback of all plain routes.
        let is_named = names == ["http"];
        for path in ["/cors.v1.Catalog%2FList", "/items/", "/about/"] {
            let verbs = verbs(&running, "GET", path).await;
            assert_eq!(verbs.is_some(), is_named, "{names:?}: {path}");
        }
    }
}

/// The other HTTP layers see what is not named as well.
#[tokio::test]
async fn other_layers_stay_around_all_methods() {
    let layer = SetResponseHeaderLayer::overriding(
        HeaderName::from_static("x-seen"),
        HeaderValue::from_static("1"),
    );
    let asks = SetRequestHeaderLayer::overriding(
        HeaderName::from_static("x-asked"),
        HeaderValue::from_static("1"),
    );
    let cors = Cors::from(PAGE).only(["Catalog"]);
    let server = shop().cors(cors).http_layer(layer).http_layer(asks);
    let running = Running::start(server).await;
    let response = call(&running, PAGE, r#"{"name":"Ada"}"#).await;
    let seen = (response.status, response.header("x-seen"));
    assert_eq!(
        (seen, response.header(ALLOW_ORIGIN)),
        ((200, Some("1")), None)
    );
    assert_eq!(preflight(&running, GREET, PAGE).await.status, 405);
    let other = preflight(&running, LIST, "https://evil.example").await;
    assert_eq!(other.header(ALLOW_ORIGIN), None);
}

#[tokio::test]
async fn the_verbs_of_a_path_are_announced() {
    const ANY: &str = "GET,HEAD,POST,PUT,PATCH,DELETE";
    let running = Running::start(shop().cors(PAGE)).await;
    for (path, expected) in [
        (GREET, "POST"),
        (LIST, "GET,POST"),
        (PUT, "POST"),
        ("/items", "GET"),
        ("/items/7", "GET,POST"),
        ("/about", "GET,HEAD"),
        ("/files/x", "GET,HEAD,PUT"),
        ("/any", ANY),
        ("/unknown", ANY),
    ] {
        let announced = verbs(&running, "GET", path).await;
        assert_eq!(announced.as_deref(), Some(expected), "{path}");
    }
    // Of two methods at one path, the one that is named.
    let cors = Cors::from(PAGE).only(["Catalog/Put"]);
    let running = Running::start(shop().cors(cors)).await;
    let announced = verbs(&running, "POST", "/items/7").await;
    assert_eq!(announced.as_deref(), Some("POST"));
    // A verb that the path does not have is refused by the browser.
    let announced = verbs(&running, "PATCH", "/items/7").await;
    assert_eq!(announced.as_deref(), Some("POST"));
}

/// Also what is responded before the layers tells a page nothing about other paths.
#[tokio::test]
async fn early_responses_go_by_the_names() {
    let mut limits = Limits::default();
    (limits.header_count, limits.path_bytes) = (20, 100);
    let cors = Cors::from(PAGE).only(["Greeter", "/files/{name}"]);
    let running = Running::start(shop().limits(limits).cors(cors)).await;
    let many: String = (0..60).map(|n| format!("x-{n}: 1\r\n")).collect();
    let very_many = many.repeat(9);
    for (path, is_allowed) in [
        (GREET, true),
        ("/files/x", true),
        (LIST, false),
        ("/a", false),
    ] {
        for (status, rest) in [
            (431, many.as_str()),
            (431, &very_many),
            (400, "a b: c\r\n"),
            (501, "transfer-encoding: x, chunked\r\n"),
        ] {
            let mut raw = Raw::connect(running.address()).await;
            let head = format!("POST {path} HTTP/1.1\r\nOrigin: {PAGE}\r\nHost: a\r\n{rest}\r\n");
            let response = raw.ask(head).await;
            let case = format!("{path} {rest:.30}: {response:?}");
            assert_eq!(response.status, status, "{case}");
            let allowed = is_allowed.then_some(PAGE);
            assert_eq!(response.header(ALLOW_ORIGIN), allowed, "{case}");
        }
    }
}

#[tokio::test]
async fn names_that_the_server_does_not_have_fail_the_start() {
    let two = || shop().add(other::GreeterServer::new(Shelf));
    for (names, expected) in [
        (
            &["cors.v1.Catalog/Lst"][..],
            "did you mean cors.v1.Catalog/List?",
        ),
        (
            &["Catalog", "cors.v1.Catalogue"],
            "did you mean cors.v1.Catalog?",
        ),
        (&["Shop"], "unknown service Shop"),
        (&["/item"], "did you mean /items?"),
        (&["/items/{no}"], "unknown path /items/{no}"),
        (&["/items/7"], "unknown path /items/7"),
        (&["http /metrics"], "`http /metrics`"),
        (
            &["Greeter"],
            "cors.v1.Greeter, other.v1.Greeter; write the full one",
        ),
        (&["rpc.v1.Status"], "rpc.v1.Status"),
        (&[], "is empty"),
    ] {
        let cors = Cors::from(PAGE).only(names.iter().copied());
        let error = two().cors(cors).into_router().unwrap_err();
        assert_eq!(error.code(), Code::FailedPrecondition, "{names:?}");
        let text = error.message();
        assert!(
            text.contains("`Cors::only`") && text.contains(expected),
            "{text}"
        );
    }
    // One of the two by its full name, and several calls.
    let cors = Cors::from(PAGE).only(["other.v1.Greeter"]).only(["/about"]);
    assert!(two().cors(cors).into_router().is_ok());
}

//! Methods at HTTP paths: `#[rpc(post = "/greeter/hello")]`, `#[rpc(get = "/users/{id}")]`.

mod texts;

use std::sync::atomic::{AtomicU32, Ordering};

use rpc_runtime::axum::Router;
use rpc_runtime::axum::routing::get;
use rpc_runtime::prelude::*;
use rpc_runtime::{Callers, IdentityKeys, ListenOptions, Policy, RateLimit, Trust};
use rpc_tests::Running;
use rpc_tests::raw::{Raw, Response, post, request};
use serde::{Deserialize, Serialize};
use serde_json::json;

#[derive(Serialize, Deserialize)]
struct Hello {
    name: String,
}

#[derive(Serialize, Deserialize)]
struct Greeting {
    message: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct UserId(u32);

#[derive(Debug, Serialize, Deserialize)]
enum Sort {
    Name,
    Age,
}

/// The arguments as the handler got them.
type Seen = String;

#[rpc_service(package = "paths.v1")]
trait Users {
    #[rpc(message, post = "/greeter/hello")]
    async fn hello(&self, hello: Hello) -> Result<Greeting>;

    #[rpc(no_side_effects, get = "/users/{id}")]
    async fn find(&self, id: UserId) -> Result<Seen>;

    #[rpc(no_side_effects, get = "/users/me")]
    async fn me(&self) -> Result<Seen>;

    #[rpc(no_side_effects, get = "/users")]
    async fn list(
        &self,
        sort: Option<Sort>,
        #[rpc(default)] page_size: u64,
        tag: Vec<String>,
        active: Option<bool>,
        weight: Option<f64>,
        ages: Option<Vec<i8>>,
    ) -> Result<Seen>;

    #[rpc(post = "/users/{id}/names/{key}")]
    async fn rename(&self, id: u64, key: &str, to: &str, strict: bool) -> Result<Seen>;

    #[rpc(post = "/pay")]
    async fn pay(&self, #[rpc(idempotency_key(shared))] key: &str) -> Result<u32>;
}

struct Store;

impl Users for Store {
    async fn hello(&self, hello: Hello) -> Result<Greeting> {
        let message = format!("Hello {}", hello.name);
        Ok(Greeting { message })
    }

    async fn find(&self, id: UserId) -> Result<Seen> {
        if id.0 == 0 {
            fail!(Code::NotFound, "no such user");
        }
        Ok(format!("{id:?}"))
    }

    async fn me(&self) -> Result<Seen> {
        Ok("me".to_owned())
    }

    async fn list(
        &self,
        sort: Option<Sort>,
        page_size: u64,
        tag: Vec<String>,
        active: Option<bool>,
        weight: Option<f64>,
        ages: Option<Vec<i8>>,
    ) -> Result<Seen> {
        Ok(format!(
            "{sort:?} {page_size} {tag:?} {active:?} {weight:?} {ages:?}"
        ))
    }

    async fn rename(&self, id: u64, key: &str, to: &str, strict: bool) -> Result<Seen> {
        Ok(format!("{id} {key} {to} {strict}"))
    }

    async fn pay(&self, _: &str) -> Result<u32> {
        static RUNS: AtomicU32 = AtomicU32::new(0);
        Ok(RUNS.fetch_add(1, Ordering::SeqCst))
    }
}

fn users() -> Server {
    Server::new("users").add(UsersServer::new(Store))
}

async fn get_of(raw: &mut Raw, target: &str) -> Response {
    raw.ask(request("GET", target, &[], b"")).await
}

#[tokio::test]
async fn a_method_is_served_at_its_http_path() {
    let running = Running::start(users()).await;
    let mut raw = Raw::connect(running.address()).await;
    let hello = raw.ask(post("/greeter/hello", r#"{"name":"X"}"#)).await;
    assert_eq!(hello.json(), json!({"message": "Hello X"}));
    for (target, seen) in [
        ("/users/7", "UserId(7)"),
        ("/users/me", "me"),
        ("/users?tag=a", r#"None 0 ["a"] None None None"#),
        (
            "/users?sort=Age&pageSize=42&tag=a%20b&tag=7&active=true&weight=-1.5&ages=1&ages=-2&other=x",
            r#"Some(Age) 42 ["a b", "7"] Some(true) Some(-1.5) Some([1, -2])"#,
        ),
        (
            "/users?page_size=18446744073709551615&tag=",
            r#"None 18446744073709551615 [""] None None None"#,
        ),
        ("/users?&tag=%C3%A4+b&", r#"None 0 ["ä b"] None None None"#),
    ] {
        let response = get_of(&mut raw, target).await;
        assert_eq!(response.value(), (200, json!(seen)), "{target}");
    }
    let rename = "/users/7/names/a%2Fb+c";
    for body in [
        r#"{"to":"Ada","strict":true}"#,
        r#"  { "strict" : true , "to" : "Ada" } "#,
    ] {
        let response = raw.ask(post(rename, body)).await;
        assert_eq!(response.value(), (200, json!("7 a/b+c Ada true")), "{body}");
    }
    // At its own path as before, and for the client of the framework.
    let own = raw.ask(post("/paths.v1.Users/Find", r#"{"id":7}"#)).await;
    assert_eq!(own.status, 200);
    let client = UsersClient::connect(&running.url()).unwrap();
    assert_eq!(client.find(UserId(7)).await.unwrap(), "UserId(7)");
}

#[tokio::test]
async fn bad_captures_and_parameters_name_the_argument() {
    let running = Running::start(users()).await;
    let mut raw = Raw::connect(running.address()).await;
    for (target, part) in [
        ("/users/x", "id"),
        ("/users/-1", "id"),
        ("/users/4294967296", "id"),
        (
            "/users/%FF",
            "`id` has an invalid percent escape, or is not UTF-8",
        ),
        ("/users/7%2", "`id` has an invalid percent escape"),
        ("/users/7?id=8", "`id` is in the path"),
        ("/users?tag=a&sort=Size", "sort"),
        ("/users?tag=a&sort=Name&sort=Age", "`sort` occurs twice"),
        (
            "/users?tag=a&pageSize=1&page_size=2",
            "`page_size` occurs twice",
        ),
        ("/users?tag=a&page_size=+7", "page_size"),
        ("/users?tag=a&page_size=0x7", "page_size"),
        ("/users?tag=a&active=yes", "active"),
        ("/users?tag=a&weight=NaN", "weight"),
        ("/users?tag=a&ages=128", "ages"),
        ("/users?sort=Age", "tag"),
    ] {
        let response = get_of(&mut raw, target).await;
        assert_eq!(
            response.error(),
            (400, "invalid_argument".to_owned()),
            "{target}"
        );
        assert!(
            response.message().contains(part),
            "{target}: {}",
            response.message()
        );
    }
    let rename = "/users/7/names/k";
    for (body, part) in [
        (r#"{"strict":true}"#, "to"),
        (r#"{"to":"Ada","strict":true,"id":8}"#, "id"),
        (r#"{"to":"Ada","strict":"true"}"#, "strict"),
        ("[]", "object"),
        ("", "to"),
        ("{", "incomplete (byte 1)"),
    ] {
        let response = raw.ask(post(rename, body)).await;
        assert_eq!(response.status, 400, "{body}");
        assert!(
            response.message().contains(part),
            "{body}: {}",
            response.message()
        );
    }
}

#[tokio::test]
async fn the_rules_of_requests_are_those_of_the_method() {
    let running = Running::start(users()).await;
    let mut raw = Raw::connect(running.address()).await;
    for (verb, target, allowed) in [
        ("POST", "/users/7", "GET"),
        ("GET", "/greeter/hello", "POST"),
        ("DELETE", "/users/7", "GET"),
    ] {
        let response = raw.ask(request(verb, target, &[], b"")).await;
        assert_eq!(
            (response.status, response.header("allow")),
            (405, Some(allowed)),
            "{verb} {target}"
        );
    }
    for target in [
        "/users/",
        "/users/7/",
        "//users",
        "/Users",
        "/users/7/names",
        "/users/a.B/C",
    ] {
        assert_eq!(get_of(&mut raw, target).await.status, 404, "{target}");
    }
    let missing = get_of(&mut raw, "/users/0").await;
    assert_eq!(missing.error(), (404, "not_found".to_owned()));
    assert!(missing.header("x-request-id").is_some());
    let late = [("connect-timeout-ms", "0")];
    let late = raw.ask(request("GET", "/users/7", &late, b"")).await;
    assert_eq!(late.error().1, "deadline_exceeded");
    let text = [("content-type", "text/plain")];
    let text = raw
        .ask(request("POST", "/greeter/hello", &text, b"x"))
        .await;
    assert_eq!(text.status, 415);
    // A key counts at either path.
    let first = raw.ask(post("/pay", r#"{"key":"k"}"#)).await.value();
    let second = raw
        .ask(post("/paths.v1.Users/Pay", r#"{"key":"k"}"#))
        .await
        .value();
    assert_eq!(first, second);
    assert_eq!(first.0, 200);
}

#[tokio::test]
async fn policy_rates_and_signatures_count_at_the_http_path() {
    let ask = async |server: Server| {
        let running = Running::start(server).await;
        let mut raw = Raw::connect(running.address()).await;
        let first = get_of(&mut raw, "/users/7").await.status;
        (first, get_of(&mut raw, "/users/8").await.status)
    };
    let policy = Policy::new().allow("paths.v1.Users/Find", "billing");
    assert_eq!(ask(users().policy(policy)).await, (403, 403));
    let policy = Policy::new().allow("paths.v1.Users/Find", Callers::anyone());
    assert_eq!(ask(users().policy(policy)).await, (200, 200));
    let limit = RateLimit::per_minute(1).method("paths.v1.Users/Find");
    assert_eq!(ask(users().rate_limit(limit)).await, (200, 429));
    let keys = IdentityKeys::parse("k1 pL0m8gk0TzXqYy1oG2v3b4n5m6Q7w8e9r0t1y2u3i4o=").unwrap();
    assert_eq!(ask(users().identity(keys)).await, (401, 401));
    assert_eq!(ask(users().trust(Trust::Edge)).await, (200, 200));
}

mod twin {
    use rpc_runtime::prelude::*;

    #[rpc_service(package = "paths.v2")]
    pub(super) trait Twin {
        #[rpc(no_side_effects, get = "/users/{name}")]
        async fn find(&self, name: &str) -> Result<String>;
    }

    #[rpc_service(package = "paths.v2")]
    pub(super) trait Other {
        async fn other(&self) -> Result<u32>;
    }

    #[rpc_service(package = "paths.v2")]
    pub(super) trait Greets {
        #[rpc(post = "/users/{name}")]
        async fn greet(&self, name: &str, with: &str) -> Result<String>;
    }

    pub(super) struct Same;

    impl Other for Same {
        async fn other(&self) -> Result<u32> {
            Ok(1)
        }
    }

    impl Greets for Same {
        async fn greet(&self, name: &str, with: &str) -> Result<String> {
            if with.is_empty() {
                fail!(Code::NotFound, "no user {name}");
            }
            Ok(format!("{with}, {name}"))
        }
    }

    impl Twin for Same {
        async fn find(&self, name: &str) -> Result<String> {
            Ok(name.to_owned())
        }
    }
}

#[tokio::test]
async fn two_methods_or_routes_at_one_path_do_not_start() {
    let both = users().add(twin::TwinServer::new(twin::Same));
    let error = both.into_router().unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
    let names = "paths.v1.Users/Find and paths.v2.Twin/Find have the same HTTP path GET";
    assert!(error.message().contains(names), "{error}");
    for path in ["/users/{id}", "/users/{user}", "/greeter/hello"] {
        let routes = Router::new().route(path, get(async || "plain"));
        let error = users().http(routes).into_router().unwrap_err();
        assert_eq!(error.code(), Code::FailedPrecondition);
        assert!(error.message().contains(path), "{error}");
    }
    // A fallback and other paths are free.
    let routes = Router::new()
        .route("/users/{id}/photo", get(async || "photo"))
        .route("/{*rest}", get(async || "rest"))
        .fallback(async || "fallback");
    let running = Running::start(users().http(routes)).await;
    let mut raw = Raw::connect(running.address()).await;
    for (path, text) in [("/users/7/photo", "photo"), ("/other", "rest")] {
        assert_eq!(get_of(&mut raw, path).await.body, text.as_bytes(), "{path}");
    }
    assert_eq!(get_of(&mut raw, "/users/7").await.value().0, 200);
}

#[tokio::test]
async fn the_captures_of_each_verb_have_their_names() {
    // The order of the methods differs from start to start.
    for _ in 0..8 {
        let running = Running::start(users().add(twin::GreetsServer::new(twin::Same))).await;
        let mut raw = Raw::connect(running.address()).await;
        let found = get_of(&mut raw, "/users/7").await;
        assert_eq!(found.value(), (200, json!("UserId(7)")));
        let error = get_of(&mut raw, "/users/7?id=8").await.error();
        assert_eq!(error, (400, "invalid_argument".to_owned()));
        let greeted = raw.ask(post("/users/Ada", r#"{"with":"Hello"}"#)).await;
        assert_eq!(greeted.value(), (200, json!("Hello, Ada")));
    }
}

/// A path is matched for each verb apart: a method for one hides none for another.
#[tokio::test]
async fn a_verb_is_matched_apart_from_the_others() {
    let server = || users().add(twin::GreetsServer::new(twin::Same));
    let running = Running::start(server()).await;
    let mut raw = Raw::connect(running.address()).await;
    let greeted = raw.ask(post("/users/me", r#"{"with":"Hello"}"#)).await;
    assert_eq!(greeted.value(), (200, json!("Hello, me")));
    let me = get_of(&mut raw, "/users/me").await;
    assert_eq!(me.value(), (200, json!("me")));
    for (verb, path, allowed) in [
        ("DELETE", "/users/me", "GET, POST"),
        ("PUT", "/users/7", "GET, POST"),
        ("GET", "/greeter/hello", "POST"),
        ("POST", "/users", "GET"),
        ("GET", "/users/7/names/k", "POST"),
    ] {
        let refused = raw.ask(request(verb, path, &[], b"")).await;
        let allow = refused.header("allow");
        assert_eq!(
            (refused.status, allow),
            (405, Some(allowed)),
            "{verb} {path}"
        );
    }
    // Without the method of the other verb, the path has one verb.
    let running = Running::start(users()).await;
    let mut raw = Raw::connect(running.address()).await;
    let refused = raw.ask(post("/users/me", "{}")).await;
    assert_eq!(
        (refused.status, refused.header("allow")),
        (405, Some("GET"))
    );
}

/// At a listener that shows some services only, the paths of the others are not there.
#[tokio::test]
async fn a_hidden_method_has_no_http_path() {
    for (shown, found, refused) in [("paths.v1.Users", 200, 405), ("paths.v2.Other", 404, 404)] {
        let server = users()
            .add(twin::OtherServer::new(twin::Same))
            .listen_with(ListenOptions::edge("127.0.0.1:0").only([shown]));
        let bound = server.bind().await.unwrap();
        let address = bound.addresses()[0].to_string().parse().unwrap();
        let serving = tokio::spawn(bound.serve(std::future::pending()));
        let mut raw = Raw::connect(address).await;
        assert_eq!(get_of(&mut raw, "/users/7").await.status, found, "{shown}");
        let wrong = raw.ask(request("DELETE", "/users/7", &[], b"")).await;
        assert_eq!(wrong.status, refused, "{shown}");
        serving.abort();
    }
}

#[tokio::test]
async fn a_mounted_router_has_the_http_paths() {
    use rpc_runtime::axum::body::Body;
    use rpc_runtime::axum::http::Request;
    use tower::ServiceExt as _;

    let router = users().into_router().unwrap();
    for (path, status) in [
        ("/users/7", 200),
        ("/users/x", 400),
        ("/users", 400),
        ("/x", 404),
    ] {
        let request = Request::get(path).header("host", "localhost");
        let request = request.body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), status, "{path}");
    }
}

#[test]
fn the_registry_has_the_http_paths() {
    let service = rpc_runtime::registry::services()
        .find(|service| service.full_name == "paths.v1.Users")
        .unwrap();
    let paths: Vec<_> = service
        .methods
        .iter()
        .map(|method| (method.name, method.http_get, method.http_post))
        .collect();
    assert_eq!(paths[0], ("hello", None, Some("/greeter/hello")));
    assert_eq!(paths[1], ("find", Some("/users/{id}"), None));
    assert_eq!(paths[6], ("ping", None, None));
}

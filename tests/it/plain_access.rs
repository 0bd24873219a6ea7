//! The callers that plain HTTP routes serve, at listeners with identity keys.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rpc_runtime::axum::Router;
use rpc_runtime::axum::routing::any;
use rpc_runtime::prelude::*;
use rpc_runtime::{Client, HttpAccess, IdentityKeys, Trust};
use rpc_tests::Running;
use rpc_tests::raw::{Raw, Response, request};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// A service whose client signs requests for a plain route at the path of its method.
#[rpc_service(package = "plain.v1")]
trait Desk {
    async fn ask(&self, text: &str) -> Result<()>;
}

const PATH: &str = "/plain.v1.Desk/Ask";

fn keys() -> IdentityKeys {
    IdentityKeys::parse("k1 pL0m8gk0TzXqYy1oG2v3b4n5m6Q7w8e9r0t1y2u3i4o=").unwrap()
}

/// Returns a signed request for [`PATH`].
async fn signed() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let client = Client::new(&url).unwrap().named("porter").unwrap();
    let desk = DeskClient::with_client(client.identity(keys()));
    let call = tokio::spawn(async move { desk.ask("left").await });
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"}") {
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0);
    }
    stream
        .write_all(b"HTTP/1.1 400 x\r\ncontent-length: 0\r\n\r\n")
        .await
        .unwrap();
    call.await.unwrap().unwrap_err();
    String::from_utf8(bytes).unwrap()
}

/// A server with one route, and the number of requests that it has handled.
async fn server(access: Option<HttpAccess>, trust: Trust) -> (Running, Arc<AtomicU32>) {
    let handled = Arc::new(AtomicU32::new(0));
    let counted = handled.clone();
    // Responds with what a handler knows of its caller.
    let handler = any(move |body: String| async move {
        counted.fetch_add(1, Ordering::SeqCst);
        let context = Context::current();
        let source = context.source().map(ToString::to_string);
        let source = source.unwrap_or_else(|| "stranger".to_owned());
        format!("{source} {} {body}", context.request_id())
    });
    let routes = Router::new().route(PATH, handler);
    let server = Server::new("desk").identity(keys()).trust(trust);
    let server = match access {
        None => server.http(routes),
        Some(access) => server.http_for(access, routes),
    };
    (Running::start(server).await, handled)
}

async fn ask(running: &Running, bytes: impl AsRef<[u8]>) -> Response {
    Raw::connect(running.address()).await.ask(bytes).await
}

/// Returns an unsigned request that claims a context.
fn forged(verb: &str) -> Vec<u8> {
    let lines = [
        ("x-request-id", "forged-1"),
        ("x-rpc-source", "controller@prod/1"),
        ("x-rpc-environment", "dev"),
        ("x-rpc-fault", "*=unavailable"),
        ("baggage", "role=admin"),
    ];
    request(verb, PATH, &lines, b"")
}

fn text(response: &Response) -> String {
    String::from_utf8(response.body.clone()).unwrap()
}

#[tokio::test]
async fn an_unsigned_plain_request_is_refused() {
    let (running, handled) = server(None, Trust::Internal).await;
    for verb in ["GET", "POST", "DELETE", "OPTIONS"] {
        let response = ask(&running, forged(verb)).await;
        assert_eq!(response.status, 401, "{verb}");
        assert_ne!(response.header("x-request-id"), Some("forged-1"), "{verb}");
    }
    let response = ask(&running, forged("GET")).await;
    let message = response.message();
    assert!(message.contains("signed requests only"), "{message}");
    // A signature that is not valid is not the same as none.
    let wrong = signed().await.replace("left", "back");
    assert_eq!(ask(&running, wrong).await.status, 401);
    let wrong = signed()
        .await
        .replace("x-rpc-identity: v1.k1.", "x-rpc-identity: v1.k2.");
    assert_eq!(ask(&running, wrong).await.status, 401);
    assert_eq!(handled.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_signed_plain_request_is_trusted() {
    for access in [HttpAccess::Signed, HttpAccess::Internal, HttpAccess::Public] {
        let (running, handled) = server(Some(access), Trust::Internal).await;
        let request = signed().await;
        let response = ask(&running, &request).await;
        let seen = text(&response);
        assert!(seen.starts_with("porter@prod/"), "{access:?} {seen}");
        assert!(seen.ends_with(r#" {"text":"left"}"#), "{access:?} {seen}");
        // Once, and only as it was signed.
        assert_eq!(ask(&running, &request).await.status, 401, "{access:?}");
        let changed = signed().await.replace("left", "back");
        assert_eq!(ask(&running, changed).await.status, 401, "{access:?}");
        let moved = signed().await.replace(PATH, &format!("{PATH}?a=1"));
        assert_eq!(ask(&running, moved).await.status, 401, "{access:?}");
        assert_eq!(handled.load(Ordering::SeqCst), 1, "{access:?}");
    }
}

#[tokio::test]
async fn a_stranger_s_context_is_not_trusted() {
    for access in [HttpAccess::Public, HttpAccess::Internal] {
        let (running, _) = server(Some(access), Trust::Internal).await;
        let response = ask(&running, forged("GET")).await;
        assert_eq!(response.status, 200, "{access:?}");
        let seen = text(&response);
        assert!(seen.starts_with("stranger "), "{access:?} {seen}");
        assert!(!seen.contains("forged-1"), "{access:?} {seen}");
        let id = response.header("x-request-id").unwrap();
        assert!(seen.contains(id), "{access:?} {seen}");
    }
}

#[tokio::test]
async fn routes_of_the_edge_are_at_the_edge_only() {
    let (inside, handled) = server(Some(HttpAccess::Edge), Trust::Internal).await;
    assert_eq!(ask(&inside, forged("GET")).await.status, 401);
    let response = ask(&inside, signed().await).await;
    assert_eq!(response.error(), (404, "unimplemented".to_owned()));
    assert_eq!(handled.load(Ordering::SeqCst), 0);
    let (outside, _) = server(Some(HttpAccess::Edge), Trust::Edge).await;
    let response = ask(&outside, forged("GET")).await;
    assert!(text(&response).starts_with("stranger "), "{response:?}");
    // An edge looks at no signature.
    let response = ask(&outside, signed().await).await;
    assert!(text(&response).starts_with("stranger "), "{response:?}");
}

#[tokio::test]
async fn internal_routes_are_not_at_the_edge() {
    let (edge, handled) = server(Some(HttpAccess::Internal), Trust::Edge).await;
    for bytes in [forged("GET"), signed().await.into_bytes()] {
        let response = ask(&edge, bytes).await;
        assert_eq!(response.error(), (404, "unimplemented".to_owned()));
    }
    assert_eq!(handled.load(Ordering::SeqCst), 0);
    for access in [HttpAccess::Signed, HttpAccess::Public] {
        let (edge, _) = server(Some(access), Trust::Edge).await;
        assert_eq!(ask(&edge, forged("GET")).await.status, 200, "{access:?}");
    }
}

#[tokio::test]
async fn a_signed_body_is_bounded() {
    let routes = Router::new().route(PATH, any(async |body: String| body));
    let mut limits = rpc_runtime::Limits::default();
    limits.message_bytes = 10;
    let server = Server::new("desk")
        .identity(keys())
        .limits(limits)
        .http(routes);
    let running = Running::start(server).await;
    let response = ask(&running, signed().await).await;
    assert_eq!(response.error(), (429, "resource_exhausted".to_owned()));
}

#[tokio::test]
async fn services_at_a_listener_with_keys_are_no_users() {
    use rpc_runtime::Principal;
    use rpc_runtime::authentication::BearerAuth;

    let users = || {
        BearerAuth::new(|token| async move {
            Ok((token.expose() == "t-ada").then(|| Principal::new("ada")))
        })
    };
    let shown = || {
        any(async || {
            Context::current()
                .principal()
                .map_or("-".to_owned(), |user| user.subject().to_owned())
        })
    };
    for (trust, access, line, expected) in [
        (Trust::Internal, HttpAccess::Internal, None, Ok("-")),
        (Trust::Internal, HttpAccess::Public, None, Ok("-")),
        // An authenticator is for an edge, so nothing is read of these.
        (
            Trust::Internal,
            HttpAccess::Public,
            Some("Bearer t-ada"),
            Ok("-"),
        ),
        (
            Trust::Internal,
            HttpAccess::Internal,
            Some("Bearer x"),
            Ok("-"),
        ),
        (
            Trust::Internal,
            HttpAccess::Signed,
            Some("Bearer t-ada"),
            Err(401),
        ),
        (Trust::Edge, HttpAccess::Public, None, Err(401)),
        (
            Trust::Edge,
            HttpAccess::Public,
            Some("Bearer t-ada"),
            Ok("ada"),
        ),
        (Trust::Edge, HttpAccess::Edge, Some("Bearer x"), Err(401)),
    ] {
        let server = Server::new("desk").identity(keys()).trust(trust);
        let server = server.http_for(access, Router::new().route(PATH, shown()));
        let running = Running::start(server.authenticate(users())).await;
        let lines: Vec<_> = line
            .map(|line| ("authorization", line))
            .into_iter()
            .collect();
        let response = ask(&running, request("GET", PATH, &lines, b"")).await;
        let case = format!("{trust:?} {access:?} {line:?}");
        match expected {
            Ok(user) => assert_eq!(response.body, user.as_bytes(), "{case}"),
            Err(status) => assert_eq!(response.status, status, "{case}"),
        }
    }
}

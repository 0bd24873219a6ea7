use rpc_runtime::axum::body::{Body, to_bytes};
use rpc_runtime::{Client, Code, IdentityKeys, Server, Trust};
use rpc_tests::Running;
use tower::ServiceExt as _;

use super::{Handlers, WireClient, WireServer};

fn handlers() -> Handlers {
    let (events, _) = tokio::sync::mpsc::unbounded_channel();
    Handlers {
        runs: std::sync::Arc::default(),
        events,
    }
}

/// A router takes signed calls for the hosts that it has been told.
#[tokio::test]
async fn a_router_takes_signed_calls_for_its_hosts() {
    let keys = || IdentityKeys::parse("k1 pL0m8gk0TzXqYy1oG2v3b4n5m6Q7w8e9r0t1y2u3i4o=").unwrap();
    for (hosts, by_address, by_name) in [
        (&[][..], true, true),
        (&["till.test"], false, false),
        (&["till.test", "127.0.0.1"], true, false),
        (&["LOCALHOST."], false, true),
        (&["::ffff:127.0.0.1", "localhost"], true, true),
    ] {
        let router = Server::new("wire").trust(Trust::Internal).identity(keys());
        let named = hosts.iter().fold(router, |router, host| router.host(*host));
        let router = named
            .add(WireServer::new(handlers()))
            .into_router()
            .unwrap();
        let app = Running::start(Server::new("app").http(router)).await;
        let port = app.address().port();
        for (url, is_taken) in [
            (app.url(), by_address),
            (format!("http://localhost:{port}"), by_name),
        ] {
            for client in [
                Client::new(&url).unwrap(),
                Client::new(&url).unwrap().http2(),
            ] {
                let client = WireClient::with_client(client.identity(keys()));
                let reply = client.next(3).await.map_err(|error| error.code());
                let expected = if is_taken {
                    Ok(4)
                } else {
                    Err(Code::Unauthenticated)
                };
                assert_eq!(reply, expected, "{hosts:?} {url}");
            }
        }
    }
}

/// Calls through a router mounted in an application that has a separate server.
async fn ask(trust: Trust, path: &str, lines: &[(&str, &str)]) -> (u16, String, String) {
    let plain = rpc_runtime::axum::Router::new()
        .route("/plain", rpc_runtime::axum::routing::get(async || "plain"));
    let router = Server::new("wire")
        .trust(trust)
        .http(plain)
        .add(WireServer::new(handlers()))
        .into_router()
        .unwrap();
    let verb = if path == "/plain" { "GET" } else { "POST" };
    let mut request = http::Request::builder()
        .method(verb)
        .uri(path)
        .header("host", "a")
        .header("content-type", "application/json");
    for (name, value) in lines {
        request = request.header(*name, *value);
    }
    let response = router
        .oneshot(request.body(Body::from(r#"{"n":3}"#)).unwrap())
        .await
        .unwrap();
    let status = response.status().as_u16();
    let id = response
        .headers()
        .get("x-request-id")
        .map_or("", |id| id.to_str().unwrap())
        .to_owned();
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, id, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn a_router_responds_like_a_server() {
    let offered = [("x-request-id", "r-1")];
    let (status, id, body) = ask(Trust::Internal, "/wire.v1.Wire/Next", &offered).await;
    assert_eq!(
        (status, id.as_str(), body.as_str()),
        (200, "r-1", r#"{"result":4}"#)
    );
    let (status, id, _) = ask(Trust::Edge, "/wire.v1.Wire/Next", &offered).await;
    assert_eq!(
        (status, id.len()),
        (200, 16),
        "the application does not identify callers"
    );
    let (status, _, body) = ask(
        Trust::Edge,
        "/wire.v1.Wire/Next",
        &[("connect-timeout-ms", "0")],
    )
    .await;
    assert_eq!(status, 504, "{body}");
    let (status, _, body) = ask(Trust::Edge, "/plain", &[]).await;
    assert_eq!((status, body.as_str()), (200, "plain"));
}

use rpc_runtime::axum::body::{Body, to_bytes};
use rpc_runtime::{Server, Trust};
use tower::ServiceExt as _;

use super::{Handlers, WireServer};

/// Calls through a router mounted in an application that has a separate server.
async fn ask(trust: Trust, path: &str, lines: &[(&str, &str)]) -> (u16, String, String) {
    let (events, _) = tokio::sync::mpsc::unbounded_channel();
    let handlers = Handlers {
        runs: std::sync::Arc::default(),
        events,
    };
    let plain = rpc_runtime::axum::Router::new()
        .route("/plain", rpc_runtime::axum::routing::get(async || "plain"));
    let router = Server::new("wire")
        .trust(trust)
        .http(plain)
        .add(WireServer::new(handlers))
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

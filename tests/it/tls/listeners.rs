//! The part of a server that one listener shows, and listeners of other kinds than TCP sockets.

use rpc_runtime::axum::Router;
use rpc_runtime::axum::routing::get;
use rpc_runtime::prelude::*;
use rpc_runtime::{ListenOptions, Trust};
use rpc_tests::folder::Folder;
use rpc_tests::raw::{Raw, request};
use tokio::sync::mpsc;

use super::kit::{Mirror, PATH, WhoServer, client, edge, exchange, post, serve, text, who};

#[rpc_service(package = "shop.v1")]
trait Stock {
    async fn count(&self) -> Result<u32>;
    async fn reset(&self) -> Result<()>;
}

struct Shelf;

impl Stock for Shelf {
    async fn count(&self) -> Result<u32> {
        Ok(7)
    }

    async fn reset(&self) -> Result<()> {
        Ok(())
    }
}

fn server(only: &[&str]) -> Server {
    let routes = Router::new()
        .route("/metrics", get(async || "calls 7"))
        .route("/users/{id}", get(async || "ada"));
    who(edge().only(only.iter().copied()))
        .add(StockServer::new(Shelf))
        .http_for(rpc_runtime::HttpAccess::Public, routes)
}

#[tokio::test]
async fn an_edge_shows_what_it_names() {
    let paths = [
        PATH,
        "/shop.v1.Who/Ping",
        "/shop.v1.Stock/Count",
        "/shop.v1.Stock/Reset",
    ];
    let routes = ["/metrics", "/users/1", "/other"];
    for (only, shown) in [
        (&["shop.v1.Who"][..], &[PATH, "/shop.v1.Who/Ping"][..]),
        (
            &["shop.v1.Stock/Count", "http /metrics"],
            &["/shop.v1.Stock/Count", "/metrics"],
        ),
        (&["http /users/{id}"], &["/users/1"]),
        (&["http"], &["/metrics", "/users/1"]),
    ] {
        let running = serve(server(only)).await;
        let mut raw = Raw::connect(running.address).await;
        for path in paths {
            let status = raw.ask(post(path, "")).await.status;
            assert_eq!(
                status == 200,
                shown.contains(&path),
                "{only:?} {path} {status}"
            );
            assert!(matches!(status, 200 | 404), "{only:?} {path} {status}");
        }
        for path in routes {
            let status = raw.ask(request("GET", path, &[], b"")).await.status;
            assert_eq!(
                status == 200,
                shown.contains(&path),
                "{only:?} {path} {status}"
            );
            assert!(matches!(status, 200 | 404), "{only:?} {path} {status}");
        }
        assert_eq!(
            raw.ask(request("GET", "/healthz", &[], b"")).await.status,
            200
        );
    }
}

#[tokio::test]
async fn another_listener_shows_everything() {
    let server = server(&["shop.v1.Who"]).listen("127.0.0.1:0");
    let bound = server.bind().await.unwrap();
    let address = bound.addresses()[1];
    let serving = tokio::spawn(bound.serve(std::future::pending()));
    let mut raw = Raw::connect(address).await;
    assert_eq!(raw.ask(post("/shop.v1.Stock/Count", "")).await.status, 200);
    serving.abort();
}

#[tokio::test]
async fn unknown_names_fail_at_the_start() {
    for (only, problem) in [
        (&["shop.v1.Whom"][..], "did you mean shop.v1.Who?"),
        (&["Stock"], "names the unknown service Stock"),
        (&["shop.v1.Stock/Coun"], "did you mean shop.v1.Stock/Count?"),
        (
            &["http /metric"],
            "plain HTTP routes that the server does not have",
        ),
        (&["metrics"], "names the unknown service metrics"),
        (&[""], "names the unknown service"),
        (&[], "is empty"),
    ] {
        let error = server(only).bind().await.unwrap_err();
        assert_eq!(error.code(), Code::FailedPrecondition, "{error}");
        assert!(error.message().contains(problem), "{only:?}: {error}");
    }
}

#[tokio::test]
async fn connections_in_memory_are_served() {
    let (connections, listener) = mpsc::channel(1);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = Server::new("who").add(WhoServer::new(Mirror));
    let serving = tokio::spawn(server.serve(listener, async {
        let _ = stopped.await;
    }));
    for _ in 0..2 {
        let (mut near, far) = tokio::io::duplex(64 << 10);
        connections.send(far).await.unwrap();
        // Trusted, because the peer is in this process.
        let response = exchange(&mut near, "x-rpc-source: shop@prod/1\r\n").await;
        let response = response.unwrap();
        assert!(response.contains(r#"{"result":"- - shop"}"#), "{response}");
    }
    drop(stop);
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_edge_in_memory_trusts_no_peer() {
    let (connections, listener) = mpsc::channel(1);
    let server = Server::new("who")
        .add(WhoServer::new(Mirror))
        .trust(Trust::Edge);
    let serving = tokio::spawn(server.serve(listener, std::future::pending()));
    let (mut near, far) = tokio::io::duplex(64 << 10);
    connections.send(far).await.unwrap();
    let response = exchange(&mut near, "x-rpc-source: shop@prod/1\r\n")
        .await
        .unwrap();
    assert!(response.contains(r#"{"result":"- - -"}"#), "{response}");
    serving.abort();
}

#[cfg(unix)]
#[tokio::test]
async fn a_unix_listener_of_the_program_is_served() {
    let folder = Folder::new();
    let path = folder.path().join("who.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let server = Server::new("who").add(WhoServer::new(Mirror));
    let serving = tokio::spawn(server.serve(listener, std::future::pending()));
    let called = client(&format!("unix:{}", path.display())).am_i().await;
    assert_eq!(called.unwrap().split(' ').next(), Some("-"));
    serving.abort();
}

#[tokio::test]
async fn options_of_a_listener_keep_its_trust() {
    let internal = serve(who(
        ListenOptions::internal("127.0.0.1:0").only(["shop.v1.Who"])
    ))
    .await;
    let mut raw = Raw::connect(internal.address).await;
    let response = raw.ask(post(PATH, "x-rpc-source: shop@prod/1\r\n")).await;
    assert!(
        text(&response).contains("127.0.0.1 - shop"),
        "{}",
        text(&response)
    );
}

//! The middleware stack on both sides: order, short circuits, guards, tower layers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rpc_runtime::middleware::{BoxFuture, Layer, Next, Request, Response, TowerLayer};
use rpc_runtime::prelude::*;
use rpc_tests::Running;

#[rpc_service]
trait Echo {
    async fn echo(&self, text: &str) -> Result<String>;
}

struct Echoes;

impl Echo for Echoes {
    async fn echo(&self, text: &str) -> Result<String> {
        let token = Context::current()
            .metadata()
            .get("x-token")
            .unwrap_or("no token")
            .to_owned();
        Ok(format!("{text} {token}"))
    }
}

/// Records its name before and after the call.
#[derive(Clone)]
struct Named(&'static str, Arc<Mutex<Vec<String>>>);

impl Layer for Named {
    fn call(&self, request: Request, next: Next) -> BoxFuture<Response> {
        let Self(name, log) = self.clone();
        Box::pin(async move {
            log.lock().unwrap().push(format!("{name} in"));
            let response = next.run(request).await;
            log.lock().unwrap().push(format!("{name} out"));
            response
        })
    }
}

async fn token(mut request: Request, next: Next) -> Response {
    if let Err(invalid) = request.metadata_mut().append("x-token", "secret") {
        return Error::new(Code::Internal, invalid.to_string()).into();
    }
    next.run(request).await
}

async fn closed(request: Request, _: Next) -> Response {
    Error::new(
        Code::Unavailable,
        format!("{} is closed", request.method().short_name()),
    )
    .into()
}

#[tokio::test]
async fn layers_run_in_the_order_in_which_they_are_added() {
    let log = Arc::new(Mutex::new(Vec::new()));
    let named = |name| Named(name, Arc::clone(&log));
    let server = Server::new("echo")
        .layer(named("c"))
        .layer(named("d"))
        .add(EchoServer::new(Echoes));
    let client = server
        .into_local_client()
        .unwrap()
        .layer(named("a"))
        .layer(named("b"));
    EchoClient::with_client(client).echo("x").await.unwrap();
    let expected = [
        "a in", "b in", "c in", "d in", "d out", "c out", "b out", "a out",
    ];
    assert_eq!(*log.lock().unwrap(), expected);
}

#[tokio::test]
async fn a_client_layer_adds_metadata() {
    let running = Running::start(Server::new("echo").add(EchoServer::new(Echoes))).await;
    let client = rpc_runtime::Client::new(&running.url())
        .unwrap()
        .layer(token);
    assert_eq!(
        EchoClient::with_client(client).echo("x").await.unwrap(),
        "x secret"
    );
}

#[tokio::test]
async fn an_error_from_a_layer_is_a_remote_error() {
    let running = Running::start(
        Server::new("echo")
            .layer(closed)
            .add(EchoServer::new(Echoes)),
    )
    .await;
    let error = EchoClient::connect(&running.url())
        .unwrap()
        .echo("x")
        .await
        .unwrap_err();
    assert_eq!(
        (error.code(), error.message()),
        (Code::Unavailable, "Echo.Echo is closed")
    );
    assert_eq!(error.hops().len(), 1);
}

#[tokio::test]
async fn a_guard_is_held_until_the_response_is_sent() {
    struct Guard(Arc<AtomicUsize>);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let dropped = Arc::new(AtomicUsize::new(0));
    let layer_dropped = Arc::clone(&dropped);
    let holds = move |request: Request, next: Next| -> BoxFuture<Response> {
        let dropped = Arc::clone(&layer_dropped);
        Box::pin(async move {
            let mut response = next.run(request).await;
            if let Some(body) = response.body_mut() {
                body.hold(Guard(Arc::clone(&dropped)));
            }
            assert_eq!(dropped.load(Ordering::SeqCst), 0);
            response
        })
    };
    let running = Running::start(
        Server::new("echo")
            .layer(holds)
            .add(EchoServer::new(Echoes)),
    )
    .await;
    EchoClient::connect(&running.url())
        .unwrap()
        .echo("x")
        .await
        .unwrap();
    running.stop().await;
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_tower_layer_works_on_either_side() {
    let limit = || TowerLayer::new(tower::limit::ConcurrencyLimitLayer::new(1));
    let server = Server::new("echo")
        .layer(limit())
        .add(EchoServer::new(Echoes));
    let client = EchoClient::with_client(server.into_local_client().unwrap().layer(limit()));
    let (a, b) = tokio::join!(client.echo("a"), client.echo("b"));
    assert_eq!(
        (a.unwrap(), b.unwrap()),
        ("a no token".to_owned(), "b no token".to_owned())
    );
}

use std::time::{Duration, Instant};

use rpc_runtime::prelude::*;
use rpc_runtime::testing::{Faults, NetworkFault, Proxy};
use rpc_runtime::{Client, RetryPolicy};
use rpc_tests::Running;
use rpc_tests::raw::{Raw, post};

#[rpc_service(package = "kit.v1")]
trait Echo {
    async fn echo(&self, text: &str) -> Result<String>;
}

struct Echoes;

impl Echo for Echoes {
    async fn echo(&self, text: &str) -> Result<String> {
        Ok(text.to_owned())
    }
}

async fn start() -> (Running, Proxy) {
    let running = Running::start(Server::new("echo").add(EchoServer::new(Echoes))).await;
    let proxy = Proxy::start(running.address()).await.unwrap();
    (running, proxy)
}

fn request() -> Vec<u8> {
    post("/kit.v1.Echo/Echo", r#"{"text":"hello"}"#)
}

#[tokio::test]
async fn without_trouble_bytes_pass() {
    let (_running, proxy) = start().await;
    let mut raw = Raw::connect(proxy.address()).await;
    for _ in 0..3 {
        assert_eq!(raw.ask(request()).await.status, 200);
    }
    assert_eq!(proxy.connections(), 1);
}

#[tokio::test]
async fn a_delay_and_a_throttle_lose_nothing() {
    let (_running, proxy) = start().await;
    let mut raw = Raw::connect(proxy.address()).await;
    let mut timed = async |fault| {
        proxy.set(fault);
        let start = Instant::now();
        assert_eq!(raw.ask(request()).await.body, br#"{"result":"hello"}"#);
        start.elapsed()
    };
    let delay = Duration::from_millis(100);
    assert!(timed(NetworkFault::Delay(delay)).await >= delay);
    let every = Duration::from_millis(10);
    // At least a hundred bytes of head and body.
    assert!(timed(NetworkFault::Throttle { bytes: 10, every }).await >= every * 10);
    timed(NetworkFault::None).await;
}

#[tokio::test]
async fn a_cut_resets_after_a_number_of_bytes() {
    let (_running, proxy) = start().await;
    proxy.set(NetworkFault::CutResponses { after: 17 });
    let mut raw = Raw::connect(proxy.address()).await;
    raw.send(request()).await.unwrap();
    let ended = raw.try_response().await.unwrap_err();
    // A reset may overtake data that was sent before it.
    assert!(ended.arrived.len() <= 17, "{ended:?}");
    proxy.set(NetworkFault::None);
    let mut raw = Raw::connect(proxy.address()).await;
    assert_eq!(raw.ask(request()).await.status, 200);
}

#[tokio::test]
async fn a_cut_request_never_arrives_as_a_whole() {
    let (_running, proxy) = start().await;
    proxy.set(NetworkFault::CutRequests { after: 20 });
    let mut raw = Raw::connect(proxy.address()).await;
    raw.send(request()).await.unwrap();
    assert!(raw.closed().await.is_empty());
    // The byte limit counts for the connection, not for one request.
    proxy.set(NetworkFault::CutRequests {
        after: request().len(),
    });
    let mut raw = Raw::connect(proxy.address()).await;
    assert_eq!(raw.ask(request()).await.status, 200);
    raw.send(request()).await.unwrap();
    assert!(raw.closed().await.is_empty());
}

#[tokio::test]
async fn a_black_hole_releases_its_data_when_it_closes() {
    let (running, proxy) = start().await;
    let mut first = Raw::connect(proxy.address()).await;
    assert_eq!(first.ask(request()).await.status, 200);
    proxy.set(NetworkFault::BlackHole);
    let mut second = Raw::connect(proxy.address()).await;
    first.send(request()).await.unwrap();
    second.send(request()).await.unwrap();
    // Meanwhile the server itself responds.
    let direct = async {
        let mut direct = Raw::connect(running.address()).await;
        for _ in 0..20 {
            assert_eq!(direct.ask(request()).await.status, 200);
        }
    };
    tokio::select! {
        biased;
        _ = second.response() => panic!("a black hole forwards data"),
        () = direct => {}
    }
    proxy.set(NetworkFault::None);
    assert_eq!(first.response().await.status, 200);
    assert_eq!(second.response().await.status, 200);
}

#[tokio::test]
async fn a_refusing_proxy_closes_and_accepts_no_connection() {
    let (_running, mut proxy) = start().await;
    let mut raw = Raw::connect(proxy.address()).await;
    assert_eq!(raw.ask(request()).await.status, 200);
    proxy.refuse().await;
    raw.closed().await;
    let refused = tokio::net::TcpStream::connect(proxy.address()).await;
    assert!(refused.is_err());
    proxy.accept().await.unwrap();
    let mut raw = Raw::connect(proxy.address()).await;
    assert_eq!(raw.ask(request()).await.status, 200);
    let address = proxy.address();
    drop(proxy);
    raw.closed().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_layer_of_faults_needs_no_network() {
    let server = Server::new("echo").add(EchoServer::new(Echoes));
    let client = server
        .into_local_client()
        .unwrap()
        .retry(RetryPolicy::off());
    let faulty = |faults| EchoClient::with_client(Client::attempt_layer(client.clone(), faults));
    let error = faulty(Faults::seeded(1).error(1.0, Code::Aborted))
        .echo("x")
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::Aborted);
    let error = faulty(Faults::seeded(1).refuse(1.0)).echo("x").await;
    assert_eq!(error.unwrap_err().code(), Code::Unavailable);
    let error = faulty(Faults::seeded(1).drop_response(1.0)).echo("x").await;
    assert!(
        error
            .unwrap_err()
            .message()
            .contains("may have been executed")
    );
    let start = Instant::now();
    let slow = faulty(Faults::seeded(1).delay(1.0, Duration::from_millis(50)));
    for _ in 0..10 {
        slow.echo("x").await.unwrap();
    }
    assert!(
        start.elapsed() >= Duration::from_millis(50),
        "ten draws up to 50 ms"
    );
}

//! `Client::builder`.

use std::time::Duration;

use rpc_runtime::discovery::DynamicAddresses;
use rpc_runtime::middleware::{Next, Request};
use rpc_runtime::prelude::*;
use rpc_runtime::{Client, RetryPolicy};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

#[rpc_service(package = "builder.v1")]
trait Echo {
    /// Returns the name of the caller and the timeout in seconds.
    async fn caller(&self) -> Result<(String, u64)>;
}

struct Caller;

impl Echo for Caller {
    async fn caller(&self) -> Result<(String, u64)> {
        let context = Context::current();
        let name = context.source().map(|source| source.server().to_owned());
        let timeout = context.caller_timeout().unwrap_or_default();
        Ok((name.unwrap_or_default(), timeout.as_secs()))
    }
}

async fn echo() -> rpc_tests::Running {
    rpc_tests::Running::start(Server::new("echo").add(EchoServer::new(Caller))).await
}

async fn call(client: Client) -> Result<(String, u64)> {
    Ok(EchoClient::with_client(client).caller().await?)
}

#[tokio::test]
async fn a_builder_has_the_options_of_a_client() {
    let (first, second) = (echo().await, echo().await);
    let (layers, mut seen) = mpsc::unbounded_channel();
    let build = |builder: rpc_runtime::ClientBuilder| {
        let layers = layers.clone();
        builder
            .named("job")
            .timeout(Duration::from_secs(7))
            .retry(RetryPolicy::default())
            .message_limit(1 << 20)
            .layer(move |request: Request, next: Next| {
                let layers = layers.clone();
                async move {
                    let _ = layers.send(request.method().wire_name);
                    next.run(request).await
                }
            })
            .build()
    };
    let one = Client::builder().url(first.url());
    let two = Client::builder().url(first.url()).url(second.url()).http2();
    let list = DynamicAddresses::new("echo", [second.url()]);
    let found = Client::builder().discover(list);
    for builder in [one, two, found] {
        let called = call(build(builder).unwrap()).await.unwrap();
        assert_eq!(called.0, "job");
        // The time that has passed is taken off.
        assert!((6..=7).contains(&called.1), "{called:?}");
        assert_eq!(seen.recv().await, Some("Caller"));
    }
}

#[test]
fn contradictions_are_errors_of_build() {
    let list = || DynamicAddresses::new("echo", ["http://127.0.0.1:1"]);
    let url = "http://127.0.0.1:1";
    for (builder, text) in [
        (Client::builder(), "a client needs `url` or `discover`"),
        (
            Client::builder().url("nowhere"),
            "invalid server URL `nowhere`",
        ),
        (
            Client::builder().url(url).url("http://"),
            "invalid server URL",
        ),
        (
            Client::builder().url(url).discover(list()),
            "exclude each other",
        ),
        (
            Client::builder().discover(list()).discover(list()),
            "given twice",
        ),
        (Client::builder().url(url).named("a b"), "invalid source"),
        (
            Client::builder().url(url).proxy("proxy:3128"),
            "expected `http://HOST:PORT`",
        ),
        (
            Client::builder().url(url).proxy("http://"),
            "invalid proxy URL",
        ),
    ] {
        let error = builder.build().unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
        assert!(error.message().contains(text), "{error}");
    }
    let secret = Client::builder().url(url).proxy("ftp://ada:secret@proxy");
    let error = secret.build().unwrap_err();
    assert!(!error.message().contains("secret"), "{error}");
}

/// A proxy that passes requests on and tells their first lines.
async fn proxy() -> (String, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, lines) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.windows(4).any(|part| part == b"\r\n\r\n") {
                client.read_buf(&mut head).await.unwrap();
            }
            let text = String::from_utf8(head.clone()).unwrap();
            let line = text.lines().next().unwrap().to_owned();
            let (_, rest) = line.split_once("http://").unwrap();
            let (address, _) = rest.split_once('/').unwrap();
            let mut server = TcpStream::connect(address).await.unwrap();
            // A request in the form for proxies is one that each server understands.
            server.write_all(&head).await.unwrap();
            let _ = sender.send(line);
            tokio::spawn(async move {
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (url, lines)
}

#[tokio::test]
async fn a_client_goes_through_a_proxy() {
    let echo = echo().await;
    let (proxy, mut lines) = proxy().await;
    let client = Client::builder().url(echo.url()).proxy(proxy).named("job");
    let called = call(client.build().unwrap()).await.unwrap();
    // The host of a proxy is not this one, so the name is not sent.
    assert_eq!(called.0, "");
    let line = lines.recv().await.unwrap();
    let expected = format!("POST {}/builder.v1.Echo/Caller HTTP/1.1", echo.url());
    assert_eq!(line, expected);
    // A proxy that is not there is no reason to go without it.
    let client = Client::builder()
        .url(echo.url())
        .proxy("http://127.0.0.1:1");
    let error = call(client.build().unwrap()).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
}

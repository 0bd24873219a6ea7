use std::collections::BTreeMap;

use rpc_runtime::prelude::*;
use rpc_runtime::testing::Proxy;
use rpc_runtime::{Client, IdentityKeys, Source, Trust};
use rpc_tests::Running;
use rpc_tests::raw::{Raw, post_with};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

#[rpc_service(package = "external.v1")]
trait Rates {
    #[rpc(idempotent)]
    async fn rate(&self, of: &str) -> Result<Vec<String>>;
}

/// Asks the next server, or returns what it was sent.
struct Desk(Option<RatesClient>);

impl Rates for Desk {
    async fn rate(&self, of: &str) -> Result<Vec<String>> {
        let context = Context::current();
        if let Some(next) = &self.0 {
            return Ok(next.rate(of).header("x-tenant", "blue").await?);
        }
        Ok(vec![
            context.request_id().to_owned(),
            context.source().map_or("-", Source::as_str).to_owned(),
            context.environment().unwrap_or("-").to_owned(),
            context.baggage().to_string(),
            context.hops().to_string(),
            context.trace().is_some().to_string(),
            context.metadata().get("x-tenant").unwrap_or("-").to_owned(),
        ])
    }
}

const PATH: &str = "/external.v1.Rates/Rate";
const MESSAGE: &str = r#"{"of":"tea"}"#;

/// All that a caller inside can send.
const CONTEXT: [(&str, &str); 8] = [
    ("X-Request-Id", "r-1"),
    (
        "Traceparent",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ),
    ("Tracestate", "a=b"),
    ("Baggage", "token=secret"),
    ("X-Rpc-Source", "gatekeeper@dev/1"),
    ("X-Rpc-Environment", "dev"),
    ("X-Rpc-Hops", "3"),
    ("X-Rpc-Fault", "other.method=drop"),
];

fn keys() -> IdentityKeys {
    IdentityKeys::parse("k1 pL0m8gk0TzXqYy1oG2v3b4n5m6Q7w8e9r0t1y2u3i4o=").unwrap()
}

/// Returns the headers of the second attempt of a handler's call with this client.
async fn sent(prepare: impl FnOnce(Client) -> Client) -> BTreeMap<String, String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let next = RatesClient::with_client(prepare(Client::new(&url).unwrap()));
    let desk = Server::new("desk")
        .environment("dev")
        .add(RatesServer::new(Desk(Some(next))));
    let running = Running::start(desk).await;
    let mut raw = Raw::connect(running.address()).await;
    raw.send(post_with(PATH, &CONTEXT, MESSAGE)).await.unwrap();
    respond(&listener, "503 x").await;
    let head = respond(&listener, "404 x").await;
    assert_ne!(raw.response().await.status, 200);
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    lines
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

async fn respond(listener: &TcpListener, status: &str) -> String {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut bytes = Vec::new();
    while !bytes.ends_with(MESSAGE.as_bytes()) {
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0);
    }
    let text = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    stream.write_all(text.as_bytes()).await.unwrap();
    String::from_utf8(bytes).unwrap()
}

/// Sets the options of a client.
type Prepare = fn(Client) -> Client;

/// The headers that every client of the protocol sends, and those of the call.
const OF_THE_CALL: [&str; 7] = [
    "connect-protocol-version",
    "connect-timeout-ms",
    "content-length",
    "content-type",
    "host",
    "user-agent",
    "x-tenant",
];

#[tokio::test]
async fn an_external_client_sends_nothing_of_ours() {
    let named = |client: Client| client.named("nightly-job").unwrap();
    let all: [(Prepare, &[&str]); 5] = [
        (Client::external, &[]),
        (|client| client.identity(keys()).external(), &[]),
        (|client| client.external().identity(keys()), &[]),
        (
            |client| client.external().send_request_id(),
            &["x-request-id"],
        ),
        (
            |client| client.send_trace().external(),
            &["traceparent", "tracestate"],
        ),
    ];
    for (number, (prepare, asked_for)) in all.into_iter().enumerate() {
        let headers = sent(|client| prepare(named(client))).await;
        let mut expected = [&OF_THE_CALL, asked_for].concat();
        expected.sort_unstable();
        assert_eq!(headers.keys().collect::<Vec<_>>(), expected, "{number}");
        if let Some(id) = headers.get("x-request-id") {
            assert_eq!(id, "r-1");
        }
    }
}

#[tokio::test]
async fn a_client_of_this_host_sends_the_context() {
    for prepare in [|client| client, Client::internal] {
        let headers = sent(prepare).await;
        for name in [
            "x-rpc-source",
            "x-rpc-hops",
            "x-rpc-accept",
            "x-rpc-attempt",
            "x-request-id",
        ] {
            assert!(headers.contains_key(name), "{name} {headers:?}");
        }
        assert_eq!(headers["baggage"], "token=secret");
        assert!(!headers.contains_key("x-rpc-identity"), "no keys");
    }
    let headers = sent(|client| client.identity(keys())).await;
    assert!(headers.contains_key("x-rpc-identity"), "{headers:?}");
}

/// A server learns only what an external client was asked to send, over every transport.
#[tokio::test]
async fn every_transport_keeps_the_context_back() {
    let far = Running::start(Server::new("far").add(RatesServer::new(Desk(None)))).await;
    let proxy = Proxy::start(far.address()).await.unwrap();
    let client = |url: &str| Client::new(url).unwrap();
    let local = Server::new("far").add(RatesServer::new(Desk(None)));
    for next in [
        client(&far.url()),
        client(&far.url()).http2(),
        client(&proxy.url()),
        local.into_local_client().unwrap(),
    ] {
        for (next, asks) in [
            (next.clone().external(), false),
            (next.external().send_request_id().send_trace(), true),
        ] {
            let desk = Desk(Some(RatesClient::with_client(next)));
            let desk = Running::start(Server::new("desk").add(RatesServer::new(desk))).await;
            let mut raw = Raw::connect(desk.address()).await;
            let context: Vec<_> = CONTEXT
                .into_iter()
                .filter(|it| it.0 != "X-Rpc-Fault")
                .collect();
            let response = raw.ask(post_with(PATH, &context, MESSAGE)).await;
            let seen: Vec<String> = serde_json::from_value(response.value().1).unwrap();
            let rest = ["-", "prod", "", "0", &asks.to_string(), "blue"];
            assert_eq!(seen[1..], rest, "{asks}");
            assert_eq!(seen[0] == "r-1", asks);
        }
    }
}

#[tokio::test]
async fn a_signature_is_for_one_host() {
    let server = |trust| {
        let server = Server::new("desk")
            .identity(keys())
            .host("desk.test")
            .trust(trust);
        server.add(RatesServer::new(Desk(None)))
    };
    // A server of another system, on another address of this host.
    let listener = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let client = RatesClient::with_client(Client::new(&url).unwrap().identity(keys()));
    let call = tokio::spawn(async move { client.rate("tea").no_retry().await });
    let captured = respond(&listener, "503 x").await;
    call.await.unwrap().unwrap_err();

    let running = Running::start(server(Trust::Internal)).await;
    let ask = async |request: String| {
        let response = Raw::connect(running.address()).await.ask(request).await;
        assert_eq!(response.error(), (401, "unauthenticated".to_owned()));
        response.message()
    };
    let text = ask(captured.clone()).await;
    assert!(text.contains("signed for the host `127.0.0.2`"), "{text}");
    let host = listener.local_addr().unwrap().to_string();
    for other in ["127.0.0.1", "127.0.0.1:9001", "localhost", "desk.test"] {
        let text = ask(captured.replace(&host, other)).await;
        assert!(text.contains("invalid signature"), "{other}: {text}");
    }
    // Its own names, whatever the port: a proxy may listen on another one.
    let proxy = Proxy::start(running.address()).await.unwrap();
    let port = running.address().port();
    for url in [
        running.url(),
        proxy.url(),
        format!("http://localhost:{port}"),
    ] {
        for client in [
            Client::new(&url).unwrap(),
            Client::new(&url).unwrap().http2(),
        ] {
            let client = RatesClient::with_client(client.identity(keys()));
            client.rate("tea").await.unwrap();
        }
    }
}

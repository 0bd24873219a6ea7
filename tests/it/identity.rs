//! Signed calls: which callers are accepted, the fields that a signature covers, and automatic
//! signing.

/// The parts of a request that a signature covers, and replays.
mod covered;
/// Requests that start in a task or a handler of a server.
mod jobs;

use std::sync::{Arc, Mutex};

use rpc_runtime::middleware::{Next, Request};
use rpc_runtime::prelude::*;
use rpc_runtime::{Client, IdentityKeys, Trust};
use rpc_tests::Running;
use rpc_tests::raw::{Raw, post, request};
use rpc_tests::wait::StoppedClock;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

#[rpc_service(package = "identity.v1")]
trait Vault {
    /// Returns the caller and the chain of services as the context reports them.
    async fn open(&self, door: &str) -> Result<Vec<String>>;
    #[rpc(no_side_effects)]
    async fn look(&self) -> Result<u32>;
}

#[rpc_service(package = "identity.v1")]
trait Porter {
    async fn fetch(&self, door: &str) -> Result<Vec<String>>;
}

struct Steel;

impl Vault for Steel {
    async fn open(&self, door: &str) -> Result<Vec<String>> {
        let context = Context::current();
        let source = context.source().map_or("-".to_owned(), ToString::to_string);
        Ok(vec![
            door.to_owned(),
            source,
            context.request_id().to_owned(),
        ])
    }

    async fn look(&self) -> Result<u32> {
        Ok(7)
    }
}

struct Carrier(VaultClient);

impl Porter for Carrier {
    async fn fetch(&self, door: &str) -> Result<Vec<String>> {
        Ok(self.0.open(door).await?)
    }
}

const SECRET: &str = "pL0m8gk0TzXqYy1oG2v3b4n5m6Q7w8e9r0t1y2u3i4o=";

fn keys() -> IdentityKeys {
    IdentityKeys::parse(&format!("k1 {SECRET}")).unwrap()
}

fn vault() -> Server {
    Server::new("vault")
        .add(VaultServer::new(Steel))
        .identity(keys())
}

fn client(running: &Running) -> Client {
    Client::new(&running.url()).unwrap()
}

/// Returns the bytes of one signed call as sent on the wire.
async fn captured() -> String {
    captured_with(|call| call).await
}

/// Returns the bytes of one signed call with changes that the caller makes before it is sent.
async fn captured_with(
    change: impl FnOnce(Call<Vec<String>>) -> Call<Vec<String>> + Send + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let client = Client::new(&url)
        .unwrap()
        .named("porter")
        .unwrap()
        .identity(keys());
    let vault = VaultClient::with_client(client);
    let call = tokio::spawn(async move { change(vault.open("left")).await });
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"}") {
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0);
    }
    stream
        .write_all(b"HTTP/1.1 503 x\r\ncontent-length: 0\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(call.await.unwrap().unwrap_err().code(), Code::Unavailable);
    String::from_utf8(bytes).unwrap()
}

fn unauthenticated() -> (u16, String) {
    (401, "unauthenticated".to_owned())
}

#[tokio::test]
async fn a_server_with_keys_accepts_signed_calls_only() {
    let running = Running::start(vault()).await;
    let signed = client(&running).identity(keys()).named("porter").unwrap();
    let response = VaultClient::with_client(signed.clone())
        .open("left")
        .await
        .unwrap();
    assert!(response[1].starts_with("porter@prod/"), "{response:?}");
    let response = VaultClient::with_client(signed.http2())
        .open("right")
        .await
        .unwrap();
    assert_eq!(response[0], "right");
    assert_eq!(
        VaultClient::with_client(client(&running).identity(keys()))
            .ping()
            .await
            .unwrap()
            .service,
        "identity.v1.Vault"
    );

    let error = VaultClient::with_client(client(&running))
        .open("left")
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::Unauthenticated);
    assert!(error.message().contains("Client::identity"), "{error}");
    assert!(
        error.hops().is_empty(),
        "an untrusted peer does not see the chain"
    );

    let mut raw = Raw::connect(running.address()).await;
    for path in [
        "/identity.v1.Vault/Open",
        "/identity.v1.Vault/Ping",
        "/nothing",
    ] {
        let response = raw.ask(post(path, r#"{"door":"left"}"#)).await;
        assert_eq!(response.error(), unauthenticated(), "{path}");
        assert!(response.header("x-request-id").is_some());
    }
    // All other context of an unsigned request is ignored as well.
    let lines = [
        ("Content-Type", "application/json"),
        ("X-Request-Id", "offered"),
    ];
    let response = raw
        .ask(request("POST", "/identity.v1.Vault/Open", &lines, b"{}"))
        .await;
    assert_ne!(response.header("x-request-id"), Some("offered"));
}

#[tokio::test]
async fn other_secrets_and_keys_are_unauthenticated() {
    let running = Running::start(vault()).await;
    for (text, problem) in [
        ("k1 0123456789abcdef0123456789abcdef", "another secret"),
        (
            "k2 0123456789abcdef0123456789abcdef",
            "unknown identity key `k2`",
        ),
    ] {
        let keys = IdentityKeys::parse(text).unwrap();
        let call = VaultClient::with_client(client(&running).identity(keys))
            .open("left")
            .await;
        let error = call.unwrap_err();
        assert_eq!(error.code(), Code::Unauthenticated);
        assert!(error.message().contains(problem), "{error}");
    }
    // During key rotation the client signs with the new key, and the server knows both.
    let both = format!("k1 {SECRET}\nk2 0123456789abcdef0123456789abcdef");
    let server = vault().identity(IdentityKeys::parse(&both).unwrap());
    let rotating = Running::start(server).await;
    let new = IdentityKeys::parse("k2 0123456789abcdef0123456789abcdef").unwrap();
    for keys in [new, keys()] {
        let vault = VaultClient::with_client(client(&rotating).identity(keys));
        assert_eq!(vault.look().await.unwrap(), 7);
    }
}

#[tokio::test]
async fn an_unsigned_body_is_not_read() {
    let running = Running::start(vault()).await;
    let mut raw = Raw::connect(running.address()).await;
    // The response arrives before the body was sent.
    let head = "POST /identity.v1.Vault/Open HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                Expect: 100-continue\r\nContent-Length: 4000000\r\n\r\n";
    let response = raw.ask(head).await;
    assert_eq!(response.error(), unauthenticated());
    assert_eq!(response.header("connection"), Some("close"));
    // Nor what arrives without waiting for a response, of either framing.
    let clock = StoppedClock::start().await;
    for framing in [
        "Content-Length: 1000000",
        "Content-Length: 70000",
        "Transfer-Encoding: chunked",
    ] {
        let mut raw = Raw::connect(running.address()).await;
        let head = format!(
            "POST /identity.v1.Vault/Open HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n"
        );
        let response = raw.ask(head).await;
        assert_eq!(response.error(), unauthenticated(), "{framing}");
        assert_eq!(response.header("connection"), Some("close"), "{framing}");
    }
    // A short body that does not come costs the connection as well.
    let mut raw = Raw::connect(running.address()).await;
    let head =
        "POST /identity.v1.Vault/Open HTTP/1.1\r\nHost: localhost\r\nContent-Length: 7\r\n\r\n";
    assert_eq!(raw.ask(head).await.error(), unauthenticated());
    drop(clock);
    raw.closed().await;
    // A signed request is subject to the body limit as well.
    let mut limits = rpc_runtime::Limits::default();
    limits.message_bytes = 1000;
    let small = Running::start(vault().limits(limits)).await;
    let vault = VaultClient::with_client(client(&small).identity(keys()));
    assert_eq!(vault.open(&"x".repeat(900)).await.unwrap()[0].len(), 900);
    let error = vault.open(&"x".repeat(1000)).await.unwrap_err();
    assert_eq!(error.code(), Code::ResourceExhausted);
}

#[tokio::test]
async fn an_edge_looks_at_no_signature() {
    let running = Running::start(vault().trust(Trust::Edge)).await;
    let call = captured().await;
    let mut raw = Raw::connect(running.address()).await;
    for _ in 0..2 {
        let (status, seen) = raw.ask(&call).await.value();
        assert_eq!(
            (status, &seen[1]),
            (200, &"-".into()),
            "a claimed source is not trusted"
        );
        assert!(
            !call.contains(seen[2].as_str().unwrap()),
            "nor is a claimed id"
        );
    }
    let forged = call.replace("x-rpc-identity: v1", "x-rpc-identity: v9");
    assert_eq!(raw.ask(forged).await.status, 200);
}

#[tokio::test]
async fn calls_of_handlers_are_signed() {
    let vault = Running::start(vault()).await;
    let inside = VaultClient::connect(&vault.url()).unwrap();
    let server = Server::new("porter").add(PorterServer::new(Carrier(inside.clone())));
    let porter = Running::start(server.identity(keys())).await;
    let call = PorterClient::with_client(client(&porter).identity(keys())).fetch("left");
    let seen = call.with_response().await.unwrap();
    assert_eq!(seen.value[1], format!("porter@prod/{}", porter.address()));
    assert_eq!(
        seen.value[2],
        seen.request_id.as_str(),
        "one request all the way"
    );

    // The same handler in a server without keys is refused. That is an error of the porter, not of
    // its caller.
    let server = Server::new("porter").add(PorterServer::new(Carrier(inside.clone())));
    let forgetful = Running::start(server).await;
    let error = PorterClient::connect(&forgetful.url())
        .unwrap()
        .fetch("left")
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::Internal, "{error:#}");

    // Calls in process are not signed; calls that leave the process are.
    let server = Server::new("porter").add(PorterServer::new(Carrier(inside)));
    let local = PorterClient::with_client(server.identity(keys()).into_local_client().unwrap());
    assert!(local.fetch("left").await.unwrap()[1].starts_with("porter@prod/"));
}

#[tokio::test]
async fn built_in_routes_need_a_signature_and_probes_do_not() {
    let running = Running::start(vault()).await;
    let status = |client| rpc_runtime::status::StatusClient::with_client(client).get();
    let signed = status(client(&running).identity(keys())).await.unwrap();
    assert_eq!(signed.server, "vault");
    let error = status(client(&running)).await.unwrap_err();
    assert_eq!(error.code(), Code::Unauthenticated);
    let mut raw = Raw::connect(running.address()).await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(
            raw.ask(request("GET", path, &[], b"")).await.status,
            200,
            "{path}"
        );
    }
}

#[tokio::test]
async fn an_invalid_key_file_fails_the_start() {
    use rpc_runtime::ServerOptions;
    let mut options = ServerOptions::default();
    options.identity_key_file = Some("/nowhere/keys".into());
    let server = Server::new("vault")
        .add(VaultServer::new(Steel))
        .options(options);
    let error = server.listen("127.0.0.1:0").bind().await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
    assert!(
        error
            .message()
            .contains("failed to read the identity key file /nowhere/keys"),
        "{error}"
    );
}

#[tokio::test]
async fn keys_of_a_client_come_before_those_of_the_server() {
    let other = IdentityKeys::parse("k9 0123456789abcdef0123456789abcdef").unwrap();
    let vault = Running::start(vault().identity(other.clone())).await;
    let inside = VaultClient::with_client(client(&vault).identity(other));
    let server = Server::new("porter").add(PorterServer::new(Carrier(inside)));
    let porter = PorterClient::with_client(server.identity(keys()).into_local_client().unwrap());
    assert_eq!(porter.fetch("left").await.unwrap()[0], "left");
}

#[tokio::test]
async fn untrusted_context_stops_at_the_edge() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&heard);
    let spy = move |request: Request, next: Next| {
        let log = Arc::clone(&log);
        async move {
            let context = request.context();
            let facts = (
                context.source().map(ToString::to_string),
                context.environment().map(str::to_owned),
                context.baggage().is_empty(),
                context.hops(),
                request
                    .metadata()
                    .iter()
                    .any(|(name, _)| name.starts_with("x-rpc-")),
            );
            log.lock().unwrap().push(facts);
            next.run(request).await
        }
    };
    let vault = Running::start(vault().layer(spy)).await;
    // No call may be redirected to this listener.
    let trap = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let there = trap.local_addr().unwrap().to_string();
    let inside = VaultClient::connect(&vault.url()).unwrap();
    let server = Server::new("porter").add(PorterServer::new(Carrier(inside)));
    let edge = Running::start(server.identity(keys()).trust(Trust::Edge)).await;
    let lines = [
        ("Content-Type", "application/json"),
        ("X-Rpc-Override", &*format!("vault=http://{there}")),
        ("X-Rpc-Source", "operator@prod/1"),
        ("X-Rpc-Environment", "dev"),
        ("X-Rpc-Hops", "9"),
        ("X-Rpc-Debug", "1"),
        ("Baggage", "role=admin"),
    ];
    let call = request(
        "POST",
        "/identity.v1.Porter/Fetch",
        &lines,
        br#"{"door":"left"}"#,
    );
    assert_eq!(
        Raw::connect(edge.address()).await.ask(call).await.status,
        200
    );
    let source = format!("porter@prod/{}", edge.address());
    let expected = (Some(source), Some("prod".to_owned()), true, 1, false);
    assert_eq!(*heard.lock().unwrap(), [expected]);
    let accepted = tokio::time::timeout(std::time::Duration::ZERO, trap.accept()).await;
    assert!(accepted.is_err(), "a call was redirected");
}

#[tokio::test]
async fn plain_routes_are_signed_unless_they_are_public() {
    let route = || {
        let hello = rpc_runtime::axum::routing::get(|| async { "hello" });
        rpc_runtime::axum::Router::new().route("/hello", hello)
    };
    let signed = Running::start(vault().http(route())).await;
    let get = request("GET", "/hello", &[], b"");
    let response = Raw::connect(signed.address()).await.ask(&get).await;
    assert_eq!(response.error(), unauthenticated());
    let public = vault().http_for(rpc_runtime::HttpAccess::Public, route());
    let public = Running::start(public).await;
    let mut raw = Raw::connect(public.address()).await;
    assert_eq!(raw.ask(&get).await.body, b"hello");
    // The service of the same server is as closed as without a plain route.
    let response = raw
        .ask(post("/identity.v1.Vault/Open", r#"{"door":"left"}"#))
        .await;
    assert_eq!(response.error(), unauthenticated());
}

use std::fmt::Write as _;

use rpc_runtime::prelude::*;
use rpc_runtime::{Client, IdentityKeys};
use rpc_tests::Running;
use rpc_tests::raw::{Raw, post_with};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::expect;

#[rpc_service(package = "pinned.v1")]
trait Head {
    #[rpc(idempotent)]
    async fn put(&self, n: u32) -> Result<u32>;
    #[rpc(no_side_effects)]
    async fn look(&self, n: u32) -> Result<u32>;
}

struct Relay(Option<HeadClient>);

impl Relay {
    async fn respond(&self, n: u32) -> Result<u32> {
        let response = Context::current();
        let response = response.response();
        response.header("x-tenant", "blue").unwrap();
        response.trailer("x-cost", "3").unwrap();
        Ok(n)
    }
}

impl Head for Relay {
    async fn put(&self, n: u32) -> Result<u32> {
        match &self.0 {
            Some(next) => Ok(next.put(n).header("x-tenant", "blue").await?),
            None => self.respond(n).await,
        }
    }

    async fn look(&self, n: u32) -> Result<u32> {
        match &self.0 {
            Some(next) => Ok(next.look(n).await?),
            None => self.respond(n).await,
        }
    }
}

const CONTEXT: [(&str, &str); 10] = [
    ("X-Request-Id", "r-1"),
    (
        "Traceparent",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ),
    ("Tracestate", "a=b"),
    ("Baggage", "tenant=blue"),
    ("X-Rpc-Source", "gatekeeper@dev/1"),
    ("X-Rpc-Environment", "dev"),
    ("X-Rpc-Hops", "3"),
    ("X-Rpc-Attempt", "2"),
    ("X-Rpc-Fault", "pricing.pay=drop"),
    ("Connect-Timeout-Ms", "20000"),
];

/// Fails the first attempt of a call, and returns the head of the second.
async fn second_attempt(method: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let keys = IdentityKeys::parse("k1 pL0m8gk0TzXqYy1oG2v3b4n5m6Q7w8e9r0t1y2u3i4o=").unwrap();
    let next = Client::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let next = HeadClient::with_client(next.identity(keys));
    let server = Server::new("relay")
        .environment("dev")
        .instance("a1")
        .add(HeadServer::new(Relay(Some(next))));
    let running = Running::start(server).await;
    let mut raw = Raw::connect(running.address()).await;
    let message = r#"{"n":3}"#;
    let request = post_with(&format!("/pinned.v1.Head/{method}"), &CONTEXT, message);
    raw.send(request).await.unwrap();
    read(&listener, "503 x").await;
    let sent = read(&listener, "404 x").await;
    assert_ne!(raw.response().await.status, 200);
    sent
}

/// Reads one request and responds to it.
async fn read(listener: &TcpListener, status: &str) -> String {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut bytes = Vec::new();
    let end = loop {
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0);
        if let Some(end) = bytes.windows(4).position(|end| end == b"\r\n\r\n") {
            break end;
        }
    };
    let text = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    stream.write_all(text.as_bytes()).await.unwrap();
    String::from_utf8(bytes[..end].to_vec()).unwrap()
}

fn masked(head: &str) -> String {
    let mut shown = String::new();
    let mut lines: Vec<_> = head.lines().collect();
    lines[1..].sort_unstable();
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap_or((line, ""));
        let value = match name {
            "host" | "connect-timeout-ms" | "content-length" | "user-agent" => "…".to_owned(),
            "traceparent" => format!("{}…{}", &value[..36], &value[52..]),
            "x-rpc-identity" => {
                let parts = value.split('.').map(|part| part.len().to_string());
                format!(
                    "{} parts of {}",
                    &value[..5],
                    parts.collect::<Vec<_>>().join(" ")
                )
            }
            _ => value.to_owned(),
        };
        writeln!(shown, "{name}: {value}").unwrap();
    }
    shown + "\n"
}

#[tokio::test]
async fn headers_of_a_call() {
    let put = masked(&second_attempt("Put").await);
    let look = masked(&second_attempt("Look").await);
    expect("headers_of_a_call.txt", &(put + &look));
}

#[tokio::test]
async fn headers_of_a_response() {
    let server = Server::new("head")
        .instance("a1")
        .add(HeadServer::new(Relay(None)));
    let running = Running::start(server).await;
    let mut raw = Raw::connect(running.address()).await;
    let request = post_with("/pinned.v1.Head/Put", &CONTEXT, r#"{"n":3}"#);
    let response = raw.ask(request).await;
    let mut shown = format!("{}\n", response.status);
    for (name, value) in &response.headers {
        let value = if name == "date" { "…" } else { value };
        writeln!(shown, "{name}: {value}").unwrap();
    }
    shown += &String::from_utf8(response.body).unwrap();
    expect("headers_of_an_answer.txt", &shown);
}

//! Raw servers that are broken or malicious, and proxies that respond in their place.

/// Connections that end, are silent, or take long to open.
mod connections;

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use rpc_runtime::prelude::*;
use rpc_runtime::{Client, RetryPolicy};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

#[rpc_service(package = "hostile.v1")]
trait Victim {
    async fn add(&self) -> Result<u32>;
    #[rpc(idempotent)]
    async fn put(&self) -> Result<u32>;
}

/// Maximum time that a hostile response may occupy a call.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A server that runs `act` on each connection and counts connections and requests.
pub(crate) struct Hostile {
    pub(crate) url: String,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
}

/// A connection of a client.
pub(crate) struct Peer {
    stream: TcpStream,
    /// The number of the connection, from 0.
    number: usize,
    requests: Arc<AtomicUsize>,
}

impl Peer {
    /// Reads one request; returns `false` if the client has closed instead.
    pub(crate) async fn request(&mut self) -> bool {
        let mut bytes = Vec::new();
        // The only request body of these methods.
        while !bytes.ends_with(b"\r\n\r\n{}") {
            if !matches!(self.stream.read_buf(&mut bytes).await, Ok(1..)) {
                return false;
            }
        }
        self.requests.fetch_add(1, Ordering::SeqCst);
        true
    }

    /// Writes all bytes; returns `false` if the client closes first.
    async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).await.is_ok()
    }

    /// Waits until the client closes.
    async fn wait(&mut self) {
        while matches!(self.stream.read(&mut [0; 1024]).await, Ok(1..)) {}
    }
}

impl Hostile {
    /// Starts a server that responds to each request with these bytes.
    pub(crate) async fn responding(response: &'static str) -> Self {
        Self::start(move |mut peer| async move {
            while peer.request().await && peer.send(response).await {}
        })
        .await
    }

    pub(crate) async fn start<F, Fut>(act: F) -> Self
    where
        F: Fn(Peer) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let hostile = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            connections: Arc::default(),
            requests: Arc::default(),
        };
        let (connections, requests) = (hostile.connections.clone(), hostile.requests.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = connections.fetch_add(1, Ordering::SeqCst);
                let requests = requests.clone();
                tokio::spawn(act(Peer {
                    stream,
                    number,
                    requests,
                }));
            }
        });
        hostile
    }

    /// Responds to every request with a body of this letter that does not end.
    async fn endless(status: &'static str, headers: &'static str, letter: &'static str) -> Self {
        Self::start(move |mut peer| async move {
            peer.request().await;
            let head = format!("HTTP/1.1 {status}\r\n{headers}transfer-encoding: chunked\r\n\r\n");
            let mut going = peer.send(head).await;
            let chunk = format!("10000\r\n{}\r\n", letter.repeat(0x10000));
            while going {
                going = peer.send(&chunk).await;
            }
        })
        .await
    }

    /// Sends these bytes in response to every request, and closes where specified.
    pub(crate) async fn answering(bytes: impl Into<Vec<u8>>, close: bool) -> Self {
        let bytes = Arc::new(bytes.into());
        Self::start(move |mut peer| {
            let bytes = bytes.clone();
            async move { while peer.request().await && peer.send(&*bytes).await && !close {} }
        })
        .await
    }

    fn client(&self) -> VictimClient {
        let client = Client::new(&self.url).unwrap();
        let quick = Duration::from_millis(1);
        VictimClient::with_client(client.retry(RetryPolicy::default().backoff(quick, quick)))
    }

    async fn error(&self) -> Remote<Error> {
        let call = self.client().add().timeout(TIMEOUT);
        call.await.unwrap_err()
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

pub(crate) fn http(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = format!(
        "HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

pub(crate) const JSON: &str = "content-type: application/json\r\n";
pub(crate) const HTML: &str = "content-type: text/html\r\n";

fn fine(value: u32) -> Vec<u8> {
    http("200 OK", JSON, format!("{{\"result\":{value}}}"))
}

#[tokio::test]
async fn a_foreign_response_has_a_code_and_is_described() {
    let page = format!("<h1>Bad Gateway</h1>{}", "x".repeat(1 << 20));
    for (response, code, says) in [
        (
            http("200 OK", HTML, "<h1>Welcome</h1>"),
            Code::Unknown,
            "<h1>Welcome</h1>",
        ),
        (
            http("502 Bad Gateway", HTML, &page),
            Code::Unavailable,
            "<h1>Bad Gateway</h1>",
        ),
        (http("503 x", "", ""), Code::Unavailable, "503"),
        (
            http("404 Not Found", HTML, "nginx"),
            Code::Unimplemented,
            "nginx",
        ),
        (
            http("404 Not Found", JSON, "{\"error\":\"not found\"}"),
            Code::Unimplemented,
            "HTTP 404 Not Found (application/json): {\"error\":\"not found\"}",
        ),
        (
            http("400 Bad Request", JSON, "{}"),
            Code::Internal,
            "HTTP 400 Bad Request (application/json): {}",
        ),
        (
            http("429 Too Many Requests", JSON, "\"slow down\""),
            Code::Unavailable,
            "(application/json): \"slow down\"",
        ),
        (http("200 OK", "", ""), Code::Unknown, "without a body"),
        (http("200 OK", JSON, ""), Code::Internal, ""),
        (http("200 OK", JSON, "{}"), Code::Internal, "result"),
        (
            http("200 OK", JSON, "{\"result\":\"no number\"}"),
            Code::Internal,
            "result",
        ),
        (
            http("302 Found", "location: http://127.0.0.1:1/\r\n", ""),
            Code::Unknown,
            "302",
        ),
        (
            http("500 x", JSON, "{\"code\":null,\"message\":\"m\"}"),
            Code::Unknown,
            "m",
        ),
        (
            http("503 x", JSON, "{\"code\":\"tired\",\"message\":\"m\"}"),
            Code::Unavailable,
            "m",
        ),
        (http("429 x", JSON, "[1]"), Code::Unavailable, "[1]"),
        // The code in the body takes precedence over the status, which a proxy may have set.
        (
            http("500 x", JSON, "{\"code\":\"not_found\",\"message\":\"m\"}"),
            Code::NotFound,
            "m",
        ),
        (
            http("200 OK", JSON, "{\"code\":\"not_found\"}"),
            Code::Internal,
            "result",
        ),
    ] {
        let shown = String::from_utf8_lossy(&response[..response.len().min(80)]).into_owned();
        let hostile = Hostile::answering(response, false).await;
        let error = hostile.error().await;
        assert_eq!(error.code(), code, "{shown}: {error:#}");
        assert!(error.message().contains(says), "{shown}: {error:#}");
        assert!(error.message().len() <= 1100, "{}", error.message().len());
        assert_eq!(hostile.requests(), 1, "{shown}");
    }
}

#[tokio::test]
async fn an_endless_response_ends_at_the_limit() {
    let hostile = Hostile::endless("200 OK", JSON, " ").await;
    assert_eq!(hostile.error().await.code(), Code::ResourceExhausted);
    // Also an error whose body does not end.
    let head = format!("HTTP/1.1 500 x\r\n{JSON}content-length: 99999999999\r\n\r\n");
    let hostile = Hostile::answering(head, false).await;
    let error = hostile.error().await;
    assert_eq!(error.code(), Code::Unknown, "{error:#}");
    assert!(error.message().starts_with("HTTP 500"), "{error:#}");
    let hostile = Hostile::endless("502 x", HTML, "z").await;
    let error = hostile.error().await;
    assert_eq!(error.code(), Code::Unavailable, "{error:#}");
    assert!(error.message().contains("(text/html): zzz"), "{error:#}");
}

#[tokio::test]
async fn the_limit_of_messages_hides_no_status() {
    let page = |length| format!("<h1>tired</h1>{}", "x".repeat(length));
    let typed = format!(
        "{{\"code\":\"unavailable\",\"message\":\"tired {}\"}}",
        "x".repeat(200)
    );
    let until_closed = format!("HTTP/1.1 503 x\r\n{HTML}\r\n{}", page(5_000_000));
    for (response, text) in [
        (http("503 x", HTML, page(300)), "HTTP 503"),
        (http("502 x", HTML, page(5_000_000)), "HTTP 502"),
        (until_closed.into_bytes(), "HTTP 503"),
        (http("503 x", JSON, typed), "tired xxx"),
    ] {
        let refusing = Hostile::answering(response.clone(), true).await;
        let call = refusing.client().add().message_limit(100).timeout(TIMEOUT);
        let error = call.await.unwrap_err();
        assert_eq!(error.code(), Code::Unavailable, "{text}: {error:#}");
        assert!(error.message().starts_with(text), "{text}: {error:#}");
        assert!(error.message().contains("tired"), "{text}: {error:#}");
        // So it is retried.
        let recovering = Hostile::start(move |mut peer| {
            let response = response.clone();
            async move {
                peer.request().await;
                let fine = fine(7);
                peer.send(if peer.number == 0 { response } else { fine })
                    .await;
            }
        })
        .await;
        let call = recovering
            .client()
            .put()
            .message_limit(100)
            .timeout(TIMEOUT);
        assert_eq!(call.await.unwrap(), 7, "{text}");
    }
    let login = Hostile::answering(http("200 OK", HTML, page(300)), false).await;
    let error = login.client().add().message_limit(100).await.unwrap_err();
    assert_eq!(error.code(), Code::Unknown, "{error:#}");
    assert!(error.message().contains("<h1>tired"), "{error:#}");
}

#[tokio::test]
async fn other_transfer_codings_are_refused() {
    let body = "d\r\n{\"result\":1}\n\r\n0\r\n\r\n";
    let chunked = |codings: &str| format!("HTTP/1.1 200 OK\r\n{JSON}{codings}\r\n{body}");
    let plain = Hostile::answering(chunked("Transfer-Encoding: Chunked\r\n"), false).await;
    assert_eq!(plain.client().add().await.unwrap(), 1);
    for codings in [
        "transfer-encoding: gzip, chunked\r\n",
        "transfer-encoding: chunked, chunked\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: identity, chunked\r\n",
    ] {
        let hostile = Hostile::answering(chunked(codings), false).await;
        let error = hostile.error().await;
        assert_eq!(error.code(), Code::Internal, "{codings}: {error:#}");
        assert!(
            error.message().contains("did not respond with valid HTTP"),
            "{error:#}"
        );
        assert_eq!(hostile.requests(), 1, "{codings}");
    }
}

#[tokio::test]
async fn an_invalid_message_is_described() {
    for (message, problem) in [
        ("{}", ": `result` is missing"),
        ("{\"result\":\"x\"}", " at result: "),
        ("[]", ": "),
    ] {
        let hostile = Hostile::answering(http("200 OK", JSON, message), false).await;
        let error = hostile.error().await;
        let begin = format!("invalid response message of /hostile.v1.Victim/Add{problem}");
        assert!(error.message().starts_with(&begin), "{message}: {error:#}");
    }
}

#[tokio::test]
async fn a_server_with_another_version_of_http_is_named() {
    // The settings with which an HTTP/2 server begins.
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let frames = [&settings[..], b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x01"].concat();
    let hostile = Hostile::answering(frames, true).await;
    let error = hostile.error().await;
    assert_eq!(error.code(), Code::Internal, "{error:#}");
    assert!(error.message().contains("use `Client::http2`"), "{error:#}");
}

#[tokio::test]
async fn a_dripping_response_ends_at_the_deadline() {
    for head in [
        "",
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9999\r\n\r\n",
    ] {
        let hostile = Hostile::start(move |mut peer| async move {
            peer.request().await;
            let mut going = peer.send(head).await;
            let rest = b"HTTP/1.1 200 OK\r\nx-slow: ";
            let mut next = rest.iter().copied().chain(std::iter::repeat(b'x'));
            while going {
                going = peer.send([next.next().unwrap_or(b'x')]).await;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        let call = hostile.client().add().timeout(Duration::from_millis(300));
        let error = call.await.unwrap_err();
        assert_eq!(error.code(), Code::DeadlineExceeded, "{error:#}");
    }
}

#[tokio::test]
async fn a_gzip_bomb_is_stopped_at_the_limit() {
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    for _ in 0..64 {
        bomb.write_all(&vec![b' '; 1 << 20]).unwrap();
    }
    let bomb = bomb.finish().unwrap();
    let gzip = format!("{JSON}content-encoding: gzip\r\n");
    let hostile = Hostile::answering(http("200 OK", &gzip, &bomb), false).await;
    assert_eq!(hostile.error().await.code(), Code::ResourceExhausted);
    let hostile = Hostile::answering(http("200 OK", &gzip, "no gzip"), false).await;
    assert_eq!(hostile.error().await.code(), Code::Internal);
    let other = format!("{JSON}content-encoding: br\r\n");
    let hostile = Hostile::answering(http("200 OK", &other, "x"), false).await;
    assert_eq!(hostile.error().await.code(), Code::Internal);
}

#[tokio::test]
async fn an_endless_response_head_is_rejected() {
    let many = "x-a: b\r\n".repeat(100_000);
    let hostile = Hostile::answering(http("200 OK", &many, "{}"), true).await;
    let error = hostile.error().await;
    assert_eq!(error.code(), Code::ResourceExhausted, "{error:#}");
    let long = format!("x-a: {}\r\n", "b".repeat(4 << 20));
    let hostile = Hostile::answering(http("200 OK", &long, "{}"), true).await;
    let error = hostile.error().await;
    assert_eq!(error.code(), Code::ResourceExhausted, "{error:#}");
}

#[tokio::test]
async fn a_response_that_is_not_http_is_reported() {
    let bad_chunk = format!("HTTP/1.1 200 OK\r\n{JSON}transfer-encoding: chunked\r\n\r\nzz\r\n");
    let huge_chunk = bad_chunk.replace("zz", &"f".repeat(20));
    let two_lengths =
        format!("HTTP/1.1 200 OK\r\n{JSON}content-length: 2\r\ncontent-length: 3\r\n\r\n{{}}");
    let ssh = "SSH-2.0-OpenSSH_9.7\r\n".to_owned();
    for response in [ssh, bad_chunk, huge_chunk, two_lengths] {
        let hostile = Hostile::answering(response.clone(), false).await;
        let error = hostile.error().await;
        assert_eq!(error.code(), Code::Internal, "{response:?}: {error:#}");
        assert!(
            error.message().contains("did not respond with valid HTTP"),
            "{error:#}"
        );
        assert_eq!(hostile.requests(), 1);
    }
}

#[tokio::test]
async fn a_wrong_content_length_is_an_error() {
    // Too long and then closed: indistinguishable from a truncated body.
    let long = format!("HTTP/1.1 200 OK\r\n{JSON}content-length: 99\r\n\r\n{{\"result\":1}}");
    let hostile = Hostile::answering(long, true).await;
    let error = hostile.error().await;
    assert_eq!(error.code(), Code::Unavailable, "{error:#}");
    assert!(
        error.message().contains("may have been executed"),
        "{error:#}"
    );
    assert_eq!(hostile.requests(), 1);
    let short = format!("HTTP/1.1 200 OK\r\n{JSON}content-length: 5\r\n\r\n{{\"result\":1}}");
    let hostile = Hostile::answering(short, false).await;
    assert_eq!(hostile.error().await.code(), Code::Internal);
}

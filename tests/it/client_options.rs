use std::io::Read as _;
use std::sync::{Arc, Mutex};

use flate2::read::GzDecoder;
use rpc_runtime::prelude::*;
use rpc_runtime::{Client, Compression, IdentityKeys, Limits};
use rpc_tests::Running;
use rpc_tests::wait::within;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// Texts of any size.
#[rpc_service(package = "options.v1")]
trait Texts {
    /// Returns the text.
    #[rpc(no_side_effects)]
    async fn echo(&self, text: &str) -> Result<String>;
    /// Returns a text of this length.
    async fn make(&self, length: usize) -> Result<String>;
    /// Fails with a detail of this length.
    async fn fail(&self, length: usize) -> Result<()>;
    /// Responds with this many headers.
    async fn headers(&self, count: usize) -> Result<()>;
}

struct Printer;

impl Texts for Printer {
    async fn echo(&self, text: &str) -> Result<String> {
        Ok(text.to_owned())
    }

    async fn make(&self, length: usize) -> Result<String> {
        Ok("x".repeat(length))
    }

    async fn fail(&self, length: usize) -> Result<()> {
        let detail = rpc_runtime::error::Detail::new("options.v1.Detail", vec![0; length]);
        Err(Error::new(Code::NotFound, "no").with_detail(detail))
    }

    async fn headers(&self, count: usize) -> Result<()> {
        let context = Context::current();
        for n in 0..count {
            context.response().header(format!("x-{n}"), "1").unwrap();
        }
        Ok(())
    }
}

/// A client over HTTP/1, one over HTTP/2, and one in process.
async fn each_transport(limits: Limits) -> (Running, [(&'static str, Client); 3]) {
    let server = || {
        Server::new("texts")
            .limits(limits.clone())
            .add(TextsServer::new(Printer))
    };
    let running = Running::start(server()).await;
    let client = Client::new(&running.url()).unwrap();
    let local = server().into_local_client().unwrap();
    let clients = [
        ("HTTP/1", client.clone()),
        ("HTTP/2", client.http2()),
        ("in process", local),
    ];
    (running, clients)
}

/// Head and body of a request.
type Recorded = (String, Vec<u8>);

/// A server that records each request and responds with a text.
struct Recorder {
    url: String,
    requests: Arc<Mutex<Vec<Recorded>>>,
}

impl Recorder {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let recorder = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            requests: Arc::default(),
        };
        let requests = Arc::clone(&recorder.requests);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut bytes = Vec::new();
                let end = loop {
                    stream.read_buf(&mut bytes).await.unwrap();
                    if let Some(end) = bytes.windows(4).position(|part| part == b"\r\n\r\n") {
                        break end + 4;
                    }
                };
                let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
                let length = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: "));
                let length = length.map_or(0, |length| length.parse::<usize>().unwrap());
                while bytes.len() < end + length {
                    stream.read_buf(&mut bytes).await.unwrap();
                }
                requests.lock().unwrap().push((head, bytes[end..].to_vec()));
                let response = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
                    connection: close\r\ncontent-length: 13\r\n\r\n{\"result\":\"\"}";
                stream.write_all(response.as_bytes()).await.unwrap();
            }
        });
        recorder
    }

    fn last(&self) -> Recorded {
        self.requests.lock().unwrap().last().unwrap().clone()
    }
}

#[tokio::test]
async fn options_of_client_and_call_change_the_request() {
    let recorder = Recorder::start().await;
    let plain = Client::new(&recorder.url).unwrap();
    let gzip = plain.clone().compression(Compression::gzip());
    let get = plain.clone().use_get(true);
    let texts = |client: &Client| TextsClient::with_client(client.clone());
    let long = "long ".repeat(500);
    // Default: as before.
    texts(&plain).echo(&long).await.unwrap();
    let (head, body) = recorder.last();
    assert!(
        head.starts_with("POST /options.v1.Texts/Echo HTTP/1.1\r\n"),
        "{head}"
    );
    assert!(!head.contains("encoding"), "{head}");
    assert_eq!(body, format!("{{\"text\":\"{long}\"}}").as_bytes());
    // Compression by the client, and by the call.
    for call in [
        texts(&gzip).echo(&long),
        texts(&plain).echo(&long).compression(Compression::gzip()),
        texts(&plain)
            .echo(&long)
            .compression(Compression::gzip().min_size(0)),
    ] {
        call.await.unwrap();
        let (head, body) = recorder.last();
        assert!(head.contains("\r\ncontent-encoding: gzip\r\n"), "{head}");
        assert!(head.contains("\r\naccept-encoding: gzip\r\n"), "{head}");
        let mut read = String::new();
        GzDecoder::new(&body[..]).read_to_string(&mut read).unwrap();
        assert_eq!(read, format!("{{\"text\":\"{long}\"}}"));
    }
    // A short message is not compressed, and a call switches compression off.
    texts(&gzip).echo("short").await.unwrap();
    let (head, _) = recorder.last();
    assert!(!head.contains("content-encoding"), "{head}");
    assert!(head.contains("\r\naccept-encoding: gzip\r\n"), "{head}");
    texts(&gzip)
        .echo(&long)
        .compression(Compression::off())
        .await
        .unwrap();
    assert!(!recorder.last().0.contains("encoding"));
    // GET by the client, and by the call.
    for call in [
        texts(&get).echo("a b&c=%"),
        texts(&plain).echo("a b&c=%").use_get(true),
    ] {
        call.await.unwrap();
        let (head, body) = recorder.last();
        let line = "GET /options.v1.Texts/Echo?connect=v1&encoding=json&message=\
            %7B%22text%22%3A%22a%20b%26c%3D%25%22%7D HTTP/1.1\r\n";
        assert!(head.starts_with(line), "{head}");
        assert!(!head.contains("content-"), "{head}");
        assert!(head.contains("\r\nconnect-timeout-ms: "), "{head}");
        assert!(body.is_empty());
    }
    texts(&get).echo("x").use_get(false).await.unwrap();
    assert!(recorder.last().0.starts_with("POST "));
    // Not for a method with side effects, nor for a message that is too long for a URL.
    texts(&get).make(1).await.unwrap();
    assert!(recorder.last().0.starts_with("POST "));
    texts(&get).echo(&long.repeat(10)).await.unwrap();
    assert!(recorder.last().0.starts_with("POST "));
}

#[tokio::test]
async fn compressed_and_signed_gets_are_served() {
    let keys =
        IdentityKeys::parse("k1 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
    let keys = keys.unwrap();
    let server = Server::new("texts").add(TextsServer::new(Printer));
    let running = Running::start(server.identity(keys.clone())).await;
    let client = Client::new(&running.url()).unwrap().identity(keys);
    for client in [client.clone(), client.http2()] {
        for compression in [Compression::off(), Compression::gzip().min_size(0)] {
            for use_get in [false, true] {
                let client = client.clone().compression(compression).use_get(use_get);
                let texts = TextsClient::with_client(client);
                for text in ["", "a+b c/d?e&f", "\u{e9}\u{1f600}", &"long ".repeat(2000)] {
                    assert_eq!(texts.echo(text).await.unwrap(), text);
                }
            }
        }
    }
}

#[tokio::test]
async fn a_response_may_fill_the_limit_and_no_more() {
    let (_running, clients) = each_transport(Limits::default()).await;
    for (transport, client) in clients {
        let texts = TextsClient::with_client(client.clone());
        let code =
            async |call: Call<String>| within(call).await.map_err(|error| error.code()).err();
        // `{"result":"…"}`
        let frame = 13;
        assert_eq!(
            code(texts.make((4 << 20) - frame)).await,
            None,
            "{transport}"
        );
        let error = within(texts.make((4 << 20) - frame + 1)).await.unwrap_err();
        assert_eq!(error.code(), Code::ResourceExhausted, "{transport}");
        let text = "exceeds the client's limit of 4194304 bytes";
        assert!(error.message().contains(text), "{transport}: {error}");
        // By the client, larger and smaller; by the call.
        let large = TextsClient::with_client(client.clone().message_limit(8 << 20));
        assert_eq!(code(large.make(5 << 20)).await, None, "{transport}");
        let small = TextsClient::with_client(client.message_limit(100));
        assert_eq!(code(small.make(100 - frame)).await, None, "{transport}");
        let refused = Some(Code::ResourceExhausted);
        assert_eq!(code(small.make(101 - frame)).await, refused, "{transport}");
        let call = small.make(1000).message_limit(2000);
        assert_eq!(code(call).await, None, "{transport}");
        let call = texts.make(0).message_limit(0);
        assert_eq!(code(call).await, refused, "{transport}");
        let call = texts.make(1000).message_limit(usize::MAX);
        assert_eq!(code(call).await, None, "{transport}");
        // Compressed: the limit is that of the message.
        let gzip = small.make(1 << 20).compression(Compression::gzip());
        assert_eq!(code(gzip).await, refused, "{transport}");
    }
}

#[tokio::test]
async fn errors_do_not_have_the_limit_of_messages() {
    let (_running, clients) = each_transport(Limits::default()).await;
    for (transport, client) in clients {
        let texts = TextsClient::with_client(client.message_limit(10_000));
        for length in [1000, 20_000, 1 << 20] {
            let error = within(texts.fail(length)).await.unwrap_err();
            assert_eq!(error.code(), Code::NotFound, "{transport}: {error}");
            assert_eq!(error.details()[0].value.len(), length, "{transport}");
        }
    }
}

#[tokio::test]
async fn headers_have_limits_on_every_transport() {
    let (_running, clients) = each_transport(Limits::default()).await;
    for (transport, client) in clients {
        let texts = TextsClient::with_client(client);
        within(texts.headers(50)).await.unwrap();
        let error = within(texts.headers(150)).await.unwrap_err();
        assert_eq!(
            error.code(),
            Code::ResourceExhausted,
            "{transport}: {error}"
        );
        let mut few = texts.echo("x");
        for n in 0..50 {
            few = few.header(format!("x-{n}"), "1");
        }
        assert_eq!(within(few).await.unwrap(), "x", "{transport}");
        let large = texts.echo("x").header("x-large", "x".repeat(40 << 10));
        let error = within(large).await.unwrap_err();
        assert_ne!(error.code(), Code::Internal, "{transport}: {error}");
        assert_eq!(within(texts.echo("y")).await.unwrap(), "y", "{transport}");
    }
}

#[tokio::test]
async fn the_limits_of_a_server_hold_in_process() {
    let mut limits = Limits::default();
    limits.message_bytes = 100;
    limits.header_count = 10;
    let server = Server::new("texts")
        .limits(limits)
        .add(TextsServer::new(Printer));
    let texts = TextsClient::with_client(server.into_local_client().unwrap());
    assert_eq!(texts.echo("x").await.unwrap(), "x");
    let error = texts.echo(&"x".repeat(100)).await.unwrap_err();
    let text = "message exceeds the server's limit of 100 bytes";
    assert_eq!(
        (error.code(), error.message()),
        (Code::ResourceExhausted, text)
    );
    let mut call = texts.echo("x");
    for n in 0..10 {
        call = call.header(format!("x-{n}"), "1");
    }
    let error = call.await.unwrap_err();
    assert_eq!(error.code(), Code::ResourceExhausted);
    assert!(
        error
            .message()
            .starts_with("headers exceed the server's limits"),
        "{error}"
    );
}

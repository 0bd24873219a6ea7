use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use h2::server::{self, SendResponse};
use rpc_runtime::{Client, IdentityKeys, RetryPolicy};
use rpc_tests::folder::Folder;
use rpc_tests::wait::{until, within};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::mpsc;

use crate::http2_client::CounterClient;

/// The timeout of a call, in milliseconds.
const TIMEOUT: u64 = 40_000;

/// The time for which a server lets a call wait. A handshake may take longer.
const WAIT: Duration = Duration::from_millis(1_100);

fn client(url: &str) -> CounterClient {
    let keys = "k1 pL0m8gk0TzXqYy1oG2v3b4n5m6Q7w8e9r0t1y2u3i4o=";
    let client = Client::new(url).unwrap().http2().retry(RetryPolicy::off());
    CounterClient::with_client(client.identity(IdentityKeys::parse(keys).unwrap()))
}

/// A request, with the time that it leaves to the server and the time of its signature, in
/// milliseconds.
struct Received {
    left: u64,
    signed: u64,
    respond: SendResponse<Bytes>,
}

impl Received {
    fn new(request: &http::Request<h2::RecvStream>, respond: SendResponse<Bytes>) -> Self {
        let header = |name| request.headers()[name].to_str().unwrap();
        let time = header("x-rpc-identity").split('.').nth(2).unwrap();
        Self {
            left: header("connect-timeout-ms").parse().unwrap(),
            signed: time.parse().unwrap(),
            respond,
        }
    }

    fn respond(mut self) {
        let response = http::Response::builder()
            .header("content-type", "application/json")
            .body(())
            .unwrap();
        let mut body = self.respond.send_response(response, false).unwrap();
        body.send_data(Bytes::from_static(b"{\"result\":7}"), true)
            .unwrap();
    }
}

/// A connection over TCP or a Unix socket.
trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// Serves a connection on which one stream is allowed.
fn serve(io: impl Io + 'static, requests: mpsc::UnboundedSender<Received>) {
    tokio::spawn(async move {
        let mut builder = server::Builder::new();
        let handshake = builder.max_concurrent_streams(1).handshake(io);
        let mut connection = handshake.await.unwrap();
        while let Some(Ok((request, respond))) = connection.accept().await {
            // The test has ended.
            let _ = requests.send(Received::new(&request, respond));
        }
    });
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap()
}

/// The moment from which the server lets a call wait.
struct Waiting(Instant);

/// The time for which a call has waited, and the time when the wait has ended, in milliseconds.
struct Waited {
    time: u64,
    ended: u64,
}

impl Waiting {
    async fn end(self) -> Waited {
        until(async || self.0.elapsed() >= WAIT).await;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Waited {
            time: milliseconds(self.0.elapsed()),
            ended: milliseconds(now),
        }
    }
}

impl Waited {
    /// Fails if a request was written before the end of the wait.
    fn expect(&self, received: &Received, case: &str) {
        let left = received.left;
        assert!(left <= TIMEOUT - self.time, "{case}: {left} ms are left");
        assert!(received.signed >= self.ended, "{case}: the signature");
    }
}

fn add(client: &CounterClient) -> tokio::task::JoinHandle<rpc_runtime::Result<u32>> {
    let timeout = Duration::from_millis(TIMEOUT);
    let call = client.add().timeout(timeout);
    tokio::spawn(async move { Ok(call.await?) })
}

#[tokio::test]
async fn a_request_is_written_after_the_handshake() {
    let folder = Folder::new();
    let path = folder.file("s");
    let (tcp, unix) = (
        TcpListener::bind("127.0.0.1:0").await.unwrap(),
        UnixListener::bind(&path).unwrap(),
    );
    let urls = [
        format!("http://{}", tcp.local_addr().unwrap()),
        format!("unix:{}", path.display()),
    ];
    for (number, url) in urls.into_iter().enumerate() {
        let (sender, mut requests) = mpsc::unbounded_channel();
        let call = add(&client(&url));
        let io: Box<dyn Io> = match number {
            0 => Box::new(within(tcp.accept()).await.unwrap().0),
            _ => Box::new(within(unix.accept()).await.unwrap().0),
        };
        let waited = Waiting(Instant::now()).end().await;
        serve(io, sender);
        let received = within(requests.recv()).await.unwrap();
        waited.expect(&received, &url);
        received.respond();
        assert_eq!(within(call).await.unwrap().unwrap(), 7);
    }
}

#[tokio::test]
async fn a_request_is_written_when_a_stream_is_free() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let client = client(&url);
    let (sender, mut requests) = mpsc::unbounded_channel();
    let first = add(&client);
    serve(within(listener.accept()).await.unwrap().0, sender);
    let mut running = within(requests.recv()).await.unwrap();
    let mut calls = vec![first];
    let mut connections = Vec::new();
    for number in 0..3 {
        calls.push(add(&client));
        if number == 0 {
            // It wants another connection, so that it waits for a stream.
            connections.push(within(listener.accept()).await.unwrap());
        }
        let waited = Waiting(Instant::now()).end().await;
        running.respond();
        running = within(requests.recv()).await.unwrap();
        waited.expect(&running, &number.to_string());
    }
    running.respond();
    for call in calls {
        assert_eq!(within(call).await.unwrap().unwrap(), 7);
    }
}

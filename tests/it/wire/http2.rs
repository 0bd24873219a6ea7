use std::future::poll_fn;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, RecvStream};
use http::{Request, Response};
use rpc_runtime::axum::Router;
use rpc_runtime::axum::routing::get;
use rpc_runtime::{Code, IdentityKeys, Server, Trust};
use rpc_tests::Running;
use rpc_tests::http2_frames::frame;
use rpc_tests::wait::{StoppedClock, within};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{Wired, start, start_limited, start_with};

const NEXT: &str = "/wire.v1.Wire/Next";

const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;
const END_HEADERS: u8 = 4;

struct Connection {
    client: SendRequest<Bytes>,
    /// The task that drives the connection.
    driver: JoinHandle<Result<(), h2::Error>>,
}

async fn connect(wired: &Wired) -> Connection {
    connect_to(wired.running.address()).await
}

async fn connect_to(address: SocketAddr) -> Connection {
    let stream = TcpStream::connect(address).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    Connection {
        client,
        driver: tokio::spawn(connection),
    }
}

/// Starts a server with a route that is no method.
async fn start_plain() -> Running {
    let routes = Router::new().route("/hello", get(async || "hello"));
    Running::start(Server::new("plain").http(routes)).await
}

fn request(verb: &str, path: &str, lines: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder()
        .method(verb)
        .uri(format!("http://localhost{path}"));
    for (name, value) in lines {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

/// Sends a request with its body, and reads the response.
async fn ask(
    connection: &mut Connection,
    request: Request<()>,
    body: &'static [u8],
) -> (Response<()>, Vec<u8>) {
    let mut client = connection.client.clone().ready().await.unwrap();
    let (response, mut stream) = client.send_request(request, body.is_empty()).unwrap();
    if !body.is_empty() {
        // The server may have responded and reset the stream before this.
        let _ = stream.send_data(Bytes::from_static(body), true);
    }
    read(response.await.unwrap()).await
}

async fn read(response: Response<RecvStream>) -> (Response<()>, Vec<u8>) {
    let (parts, mut stream) = response.into_parts();
    let mut body = Vec::new();
    while let Some(data) = stream.data().await {
        let data = data.unwrap();
        stream.flow_control().release_capacity(data.len()).unwrap();
        body.extend_from_slice(&data);
    }
    assert!(
        stream.trailers().await.unwrap().is_none(),
        "the protocol has no HTTP trailers"
    );
    (Response::from_parts(parts, ()), body)
}

fn code(body: &[u8]) -> String {
    let json: serde_json::Value = serde_json::from_slice(body).unwrap();
    json["code"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_same_port_speaks_http2() {
    let wired = start().await;
    let mut connection = connect(&wired).await;
    let (response, body) = ask(&mut connection, request("POST", NEXT, &JSON), b"{\"n\":3}").await;
    assert_eq!(
        (response.status().as_u16(), &body[..]),
        (200, &b"{\"result\":4}"[..])
    );
    assert_eq!(response.headers()["x-request-id"].len(), 16);
    // HTTP/1 on the same port.
    let response = wired
        .connect()
        .await
        .ask(rpc_tests::raw::post(NEXT, r#"{"n":3}"#))
        .await;
    assert_eq!(response.status, 200);
}

#[tokio::test]
async fn calls_of_one_connection_run_side_by_side() {
    let mut wired = start().await;
    let mut connection = connect(&wired).await;
    let mut client = connection.client.clone().ready().await.unwrap();
    let (hanging, mut stream) = client
        .send_request(request("POST", "/wire.v1.Wire/Hang", &JSON), false)
        .unwrap();
    stream.send_data(Bytes::from_static(b"{}"), true).unwrap();
    assert_eq!(wired.events.recv().await, Some("started"));
    for _ in 0..3 {
        let (response, _) = ask(&mut connection, request("POST", NEXT, &JSON), b"{\"n\":3}").await;
        assert_eq!(response.status(), 200);
        assert_eq!(wired.observed.recv().await, Some((Some("Next"), None)));
    }
    // A reset stream cancels its call only.
    stream.send_reset(Reason::CANCEL);
    assert_eq!(wired.events.recv().await, Some("dropped"));
    assert_eq!(
        wired.observed.recv().await,
        Some((Some("Hang"), Some(Code::Canceled)))
    );
    drop(hanging);
    let (response, _) = ask(&mut connection, request("POST", NEXT, &JSON), b"{\"n\":3}").await;
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn a_broken_connection_cancels_its_calls() {
    let mut wired = start().await;
    let connection = connect(&wired).await;
    let mut client = connection.client.clone().ready().await.unwrap();
    let (_hanging, mut stream) = client
        .send_request(request("POST", "/wire.v1.Wire/Hang", &JSON), false)
        .unwrap();
    stream.send_data(Bytes::from_static(b"{}"), true).unwrap();
    assert_eq!(wired.events.recv().await, Some("started"));
    connection.driver.abort();
    assert_eq!(wired.events.recv().await, Some("dropped"));
    assert_eq!(
        wired.observed.recv().await,
        Some((Some("Hang"), Some(Code::Canceled)))
    );
}

#[tokio::test]
async fn rejections_do_not_wait_for_the_body() {
    let wired = start_limited(|limits| limits.message_bytes = 1000).await;
    let connection = connect(&wired).await;
    for (status, request) in [
        (404, request("POST", "/x", &JSON)),
        (405, request("PUT", NEXT, &JSON)),
        (415, request("POST", NEXT, &[])),
        (
            501,
            request("POST", NEXT, &[JSON[0], ("content-encoding", "br")]),
        ),
        (
            400,
            request("POST", NEXT, &[JSON[0], ("connect-timeout-ms", "soon")]),
        ),
        (
            504,
            request("POST", NEXT, &[JSON[0], ("connect-timeout-ms", "0")]),
        ),
        (
            429,
            request("POST", NEXT, &[JSON[0], ("content-length", "1001")]),
        ),
        (
            414,
            request("POST", &format!("/{}", "x".repeat(9000)), &JSON),
        ),
        (
            431,
            request("POST", NEXT, &[JSON[0], ("x-large", &"x".repeat(33 << 10))]),
        ),
        (
            400,
            request("POST", NEXT, &[JSON[0], ("host", "a"), ("host", "b")]),
        ),
    ] {
        let mut client = connection.client.clone().ready().await.unwrap();
        // The body never comes, and the response waits for no timer.
        let _clock = StoppedClock::start().await;
        let start = Instant::now();
        let (response, _open) = client.send_request(request, false).unwrap();
        let (response, body) = read(response.await.unwrap()).await;
        assert_eq!(
            response.status(),
            status,
            "{}",
            String::from_utf8_lossy(&body)
        );
        assert_eq!(start.elapsed(), Duration::ZERO, "{status}");
        assert_eq!(response.headers()["x-request-id"].len(), 16);
        assert!(!response.headers().contains_key("connection"));
    }
    assert_eq!(wired.runs(), 0);
}

#[tokio::test]
async fn the_rest_of_a_body_is_read_after_an_early_response() {
    let wired = start_limited(|limits| limits.message_bytes = 1000).await;
    let plain = start_plain().await;
    for (address, status, request) in [
        (wired.running.address(), 404, request("POST", "/x", &JSON)),
        (wired.running.address(), 405, request("PUT", NEXT, &JSON)),
        (wired.running.address(), 415, request("POST", NEXT, &[])),
        (wired.running.address(), 429, request("POST", NEXT, &JSON)),
        (plain.address(), 405, request("PUT", "/hello", &[])),
        (plain.address(), 404, request("PUT", "/nowhere", &[])),
    ] {
        let Connection { client, driver } = connect_to(address).await;
        let mut client = client.ready().await.unwrap();
        let (response, mut sending) = client.send_request(request, false).unwrap();
        // 1.5 KiB above the limit of messages, and then much more than a window of the stream.
        let part = Bytes::from(vec![b' '; 2500]);
        sending.send_data(part.clone(), false).unwrap();
        let (response, body) = read(within(response).await.unwrap()).await;
        assert_eq!(response.status(), status);
        // axum sends its 404 without a body.
        assert!(!body.is_empty() || status == 404, "{status}");
        for rest in (0..200).rev() {
            let mut left = part.clone();
            while !left.is_empty() {
                sending.reserve_capacity(left.len());
                let capacity = within(poll_fn(|cx| sending.poll_capacity(cx))).await;
                let capacity = capacity.expect("the stream is not reset").unwrap();
                let is_last = rest == 0 && capacity >= left.len();
                let piece = left.split_to(capacity.min(left.len()));
                sending.send_data(piece, is_last).unwrap();
            }
        }
        drop((sending, client));
        // The connection ends without an error of the stream.
        within(driver).await.unwrap().unwrap();
    }
    assert_eq!(wired.runs(), 0);
}

#[tokio::test]
async fn errors_have_their_status_and_code() {
    let wired = start().await;
    let mut connection = connect(&wired).await;
    for (status, expected, path, body) in [
        (
            404,
            "not_found",
            "/wire.v1.Wire/Fails",
            &br#"{"message":"x"}"#[..],
        ),
        (500, "internal", "/wire.v1.Wire/Panics", b"{}"),
        (400, "invalid_argument", NEXT, b"{"),
        (400, "invalid_argument", NEXT, b""),
    ] {
        let (response, body) = ask(&mut connection, request("POST", path, &JSON), body).await;
        assert_eq!(
            (response.status().as_u16(), code(&body)),
            (status, expected.to_owned())
        );
    }
}

#[tokio::test]
async fn rapid_resets_end_the_connection() {
    let wired = start().await;
    let connection = connect(&wired).await;
    let mut client = connection.client;
    // CVE-2023-44487: each request is canceled before the server has handled it.
    for _ in 0..10_000 {
        let Ok(mut ready) = client.ready().await else {
            break;
        };
        let Ok((_, mut stream)) =
            ready.send_request(request("POST", "/wire.v1.Wire/Hang", &JSON), false)
        else {
            break;
        };
        stream.send_reset(Reason::CANCEL);
        client = ready;
    }
    let error = within(connection.driver).await.unwrap().unwrap_err();
    assert_too_many(&error);
    still_serves(&wired).await;
}

/// Checks that a connection ended because of too many resets.
fn assert_too_many(error: &h2::Error) {
    // A client that keeps writing may see the socket's reset before the GOAWAY frame.
    assert!(
        error.reason() == Some(Reason::ENHANCE_YOUR_CALM) || error.is_io(),
        "{error}"
    );
}

/// Checks that other connections are served.
async fn still_serves(wired: &Wired) {
    let mut connection = connect(wired).await;
    let (response, _) = ask(&mut connection, request("POST", NEXT, &JSON), b"{\"n\":3}").await;
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn strangers_keep_the_strict_limit_of_resets() {
    let wired = start_with(Trust::Edge, |_| ()).await;
    let keys = IdentityKeys::parse("k1 0123456789abcdef0123456789abcdef").unwrap();
    let keyed = Running::start(Server::new("keyed").identity(keys)).await;
    for address in [wired.running.address(), keyed.address()] {
        let Connection { mut client, driver } = connect_to(address).await;
        let mut ended = false;
        // Batches of fewer requests than a trusted peer may cancel together.
        for _ in 0..20 {
            for _ in 0..60 {
                let Ok(mut ready) = client.clone().ready().await else {
                    ended = true;
                    break;
                };
                let request = request("POST", "/wire.v1.Wire/Hang", &JSON);
                match ready.send_request(request, false) {
                    Ok((_, mut stream)) => stream.send_reset(Reason::CANCEL),
                    Err(_) => ended = true,
                }
                client = ready;
            }
            if ended {
                break;
            }
            // The batch is handled before the next one.
            tokio::task::yield_now().await;
        }
        drop(client);
        let error = within(driver).await.unwrap().unwrap_err();
        assert_too_many(&error);
    }
}

/// A peer makes the server reset streams (CVE-2025-8671).
#[tokio::test]
async fn provoked_resets_end_the_connection() {
    for trust in [Trust::Internal, Trust::Edge] {
        let wired = start_with(trust, |_| ()).await;
        let mut stream = TcpStream::connect(wired.running.address()).await.unwrap();
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend(frame(SETTINGS, 0, 0, &[]));
        for id in (1..1000).step_by(2) {
            // `POST`, `http`, `:authority: a`, `:path: /`.
            let head = [0x83, 0x86, 0x01, 1, b'a', 0x84];
            bytes.extend(frame(HEADERS, END_HEADERS, id, &head));
            // A window that is too large is an error of the stream.
            let increment = [0x7f, 0xff, 0xff, 0xff];
            bytes.extend(frame(WINDOW_UPDATE, 0, id, &increment));
        }
        let (mut reading, mut writing) = stream.split();
        let sending = async {
            // The server may close before it has read everything.
            let _ = writing.write_all(&bytes).await;
            std::future::pending::<()>().await;
        };
        let mut received = Vec::new();
        let receiving = async {
            let _ = reading.read_to_end(&mut received).await;
        };
        within(async {
            tokio::select! { () = sending => {}, () = receiving => {} }
        })
        .await;
        let text = String::from_utf8_lossy(&received);
        assert!(text.contains("too_many_internal_resets"), "{trust:?}");
        still_serves(&wired).await;
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let wired = start_limited(|limits| limits.idle_timeout = Duration::from_millis(200)).await;
    let clock = StoppedClock::start().await;
    let mut connection = connect(&wired).await;
    let (response, _) = ask(&mut connection, request("POST", NEXT, &JSON), b"{\"n\":3}").await;
    assert_eq!(response.status(), 200);
    drop(clock);
    // GOAWAY specifies which calls were not processed.
    within(connection.driver).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stopping_server_sends_goaway_and_finishes_calls() {
    let mut wired = start().await;
    let connection = connect(&wired).await;
    let mut client = connection.client.clone().ready().await.unwrap();
    let lines = [JSON[0], ("connect-timeout-ms", "2000")];
    let (response, mut stream) = client
        .send_request(request("POST", "/wire.v1.Wire/Hang", &lines), false)
        .unwrap();
    stream.send_data(Bytes::from_static(b"{}"), true).unwrap();
    assert_eq!(wired.events.recv().await, Some("started"));
    let stopping = tokio::spawn(wired.running.stop());
    let (response, body) = read(response.await.unwrap()).await;
    assert_eq!(
        (response.status().as_u16(), code(&body)),
        (504, "deadline_exceeded".to_owned())
    );
    drop((client, connection.client));
    stopping.await.unwrap();
    connection.driver.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_get_may_end_with_empty_frames() {
    let wired = start().await;
    let mut connection = connect(&wired).await;
    let target = "/wire.v1.Wire/Look?encoding=json&message=%7B%22n%22:3%7D";
    for (frames, status) in [
        (&[""][..], 200),
        (&["", ""], 200),
        (&["x"], 415),
        (&["", "x"], 415),
    ] {
        let mut client = connection.client.clone().ready().await.unwrap();
        let (response, mut stream) = client
            .send_request(request("GET", target, &[]), false)
            .unwrap();
        for (index, frame) in frames.iter().enumerate() {
            let last = index + 1 == frames.len();
            stream
                .send_data(Bytes::from_static(frame.as_bytes()), last)
                .unwrap();
        }
        let (response, body) = read(response.await.unwrap()).await;
        assert_eq!(response.status(), status, "{frames:?}");
        assert!(!body.is_empty());
    }
    assert_eq!(wired.runs(), 2);
    // The connection is still usable.
    let (response, _) = ask(&mut connection, request("GET", target, &[]), b"").await;
    assert_eq!(response.status(), 200);
    connection.driver.abort();
}

#[tokio::test]
async fn a_response_to_head_has_no_body() {
    let wired = start().await;
    let plain = start_plain().await;
    for address in [wired.running.address(), plain.address()] {
        let mut connection = connect_to(address).await;
        for path in ["/healthz", "/readyz", NEXT, "/nowhere", "/hello"] {
            let get = ask(&mut connection, request("GET", path, &[]), b"").await;
            let (head, body) = ask(&mut connection, request("HEAD", path, &[]), b"").await;
            assert_eq!(head.status(), get.0.status(), "{path}");
            assert_eq!(body, b"", "{path}");
            let length = head.headers()["content-length"].to_str().unwrap();
            if path != NEXT {
                assert_eq!(length, get.1.len().to_string(), "{path}");
            }
        }
    }
}

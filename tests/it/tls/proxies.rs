//! The address of a client behind proxies: by headers, and by the PROXY protocol.

use rpc_runtime::axum::Router;
use rpc_runtime::axum::routing::get;
use rpc_runtime::{Code, ListenOptions, PeerAddress, Server};
use rpc_tests::captured::CapturedWriter;
use rpc_tests::raw::{Raw, request};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::kit::{Authority, Files, PATH, TlsClient, edge, exchange, post, serve, text, who};

fn behind_proxies(listener: ListenOptions) -> Server {
    who(listener).trusted_proxies(["127.0.0.0/8", "10.0.0.0/8"])
}

#[tokio::test]
async fn a_trusted_proxy_states_the_address() {
    let running = serve(behind_proxies(edge())).await;
    let ten = (1..=10)
        .map(|n| format!("10.0.0.{n}"))
        .collect::<Vec<_>>()
        .join(", ");
    let mut raw = Raw::connect(running.address).await;
    for (headers, address) in [
        ("x-forwarded-for: 203.0.113.7\r\n".to_owned(), "203.0.113.7"),
        (
            format!("x-forwarded-for: 1.1.1.1, 203.0.113.7, {ten}\r\n"),
            "203.0.113.7",
        ),
        (
            "forwarded: for=\"[2001:db8::7]:80\";proto=https\r\n".to_owned(),
            "2001:db8::7",
        ),
        (
            "x-forwarded-for: 203.0.113.7, nonsense\r\n".to_owned(),
            "127.0.0.1",
        ),
        (
            "x-forwarded-for: 203.0.113.7\r\nforwarded: for=1.1.1.1\r\n".to_owned(),
            "127.0.0.1",
        ),
        (String::new(), "127.0.0.1"),
    ] {
        let response = raw.ask(post(PATH, &headers)).await;
        let text = text(&response);
        assert!(
            text.contains(&format!("\"{address} - -\"")),
            "{headers}: {text}"
        );
    }
}

#[tokio::test]
async fn headers_of_others_do_not_count() {
    let forged = "x-forwarded-for: 203.0.113.7\r\nforwarded: for=203.0.113.7\r\n";
    for server in [who(edge()), who(edge()).trusted_proxies(["10.0.0.1"])] {
        let running = serve(server).await;
        let response = Raw::connect(running.address)
            .await
            .ask(post(PATH, forged))
            .await;
        assert!(
            text(&response).contains("\"127.0.0.1 - -\""),
            "{}",
            text(&response)
        );
    }
    let error = who(edge()).trusted_proxies(["proxy.test"]).bind().await;
    assert_eq!(error.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_client_of_a_local_proxy_is_not_local() {
    let internal = ListenOptions::internal("127.0.0.1:0");
    let running = serve(behind_proxies(internal)).await;
    let mut raw = Raw::connect(running.address).await;
    assert_eq!(raw.ask(post(PATH, "")).await.status, 200);
    for headers in [
        "x-forwarded-for: 203.0.113.7\r\n",
        // A client adds the header that the proxy does not write, so that the two disagree.
        "x-forwarded-for: 203.0.113.7\r\nforwarded: for=1.1.1.1\r\n",
        "forwarded: for=unknown\r\n",
        "forwarded: for=_hidden\r\n",
        "x-forwarded-for: unknown\r\n",
        "x-forwarded-for: \r\n",
        "x-forwarded-for: 127.0.0.1\r\n",
    ] {
        let response = raw.ask(post(PATH, headers)).await;
        assert_eq!(response.status, 403, "{headers}");
    }
}

#[tokio::test]
async fn plain_routes_and_log_lines_have_the_address() {
    let log = CapturedWriter::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let handler = get(async |head: rpc_runtime::axum::extract::Request| {
        let address = head.extensions().get::<PeerAddress>().copied();
        address
            .map(|PeerAddress(address)| address.to_string())
            .unwrap_or_default()
    });
    let server = behind_proxies(edge()).http(Router::new().route("/address", handler));
    let running = serve(server).await;
    let mut raw = Raw::connect(running.address).await;
    let header = "x-forwarded-for: 203.0.113.7:4711\r\n";
    let response = raw
        .ask(request(
            "GET",
            "/address",
            &[("x-forwarded-for", "203.0.113.7:4711")],
            b"",
        ))
        .await;
    assert_eq!(text(&response), "203.0.113.7:4711");
    raw.ask(post(PATH, header)).await;
    for name in ["http GET", "shop.v1.Who/AmI"] {
        let text = log.text();
        let line = text.lines().find(|line| line.contains(name)).unwrap();
        assert!(line.contains("peer=203.0.113.7"), "{line}");
    }
}

#[tokio::test]
async fn the_proxy_protocol_states_the_address() {
    let running = serve(who(edge().proxy_protocol())).await;
    let mut v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    v2.extend([203, 0, 113, 7, 127, 0, 0, 1, 1, 1, 0, 80]);
    for (header, address) in [
        (
            b"PROXY TCP4 203.0.113.7 127.0.0.1 257 80\r\n".to_vec(),
            "203.0.113.7",
        ),
        (
            b"PROXY TCP6 2001:db8::7 ::1 257 80\r\n".to_vec(),
            "2001:db8::7",
        ),
        (v2, "203.0.113.7"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
    ] {
        // In one write with the request, and in two.
        for split in [false, true] {
            let mut stream = TcpStream::connect(running.address).await.unwrap();
            stream.write_all(&header[..5]).await.unwrap();
            if split {
                stream.flush().await.unwrap();
                tokio::task::yield_now().await;
            }
            stream.write_all(&header[5..]).await.unwrap();
            let response = exchange(&mut stream, "").await.unwrap();
            assert!(
                response.contains(&format!("\"{address} - -\"")),
                "{response}"
            );
        }
    }
}

#[tokio::test]
async fn a_connection_without_the_header_is_closed() {
    let running = serve(who(edge().proxy_protocol())).await;
    let refusing = serve(who(edge().proxy_protocol()).trusted_proxies(["10.0.0.1"])).await;
    let valid = "PROXY TCP4 203.0.113.7 127.0.0.1 257 80\r\n";
    for (address, bytes) in [
        (running.address, post(PATH, "")),
        (
            running.address,
            format!("PROXY TCP4 203.0.113.7\r\n{}", post(PATH, "")),
        ),
        (refusing.address, format!("{valid}{}", post(PATH, ""))),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let mut response = Vec::new();
        let read = rpc_tests::wait::within(stream.read_to_end(&mut response)).await;
        assert!(
            matches!(read, Ok(0) | Err(_)),
            "{}",
            response.escape_ascii()
        );
    }
}

#[tokio::test]
async fn the_proxy_protocol_precedes_tls() {
    let authority = Authority::new("ours");
    let files = Files::new(&authority.issue("who.test"));
    let running = serve(who(edge().proxy_protocol().tls(files.config()))).await;
    let mut tcp = TcpStream::connect(running.address).await.unwrap();
    tcp.write_all(b"PROXY TCP4 203.0.113.7 127.0.0.1 257 443\r\n")
        .await
        .unwrap();
    let mut stream = TlsClient::new(&authority).handshake(tcp).await.unwrap();
    let response = exchange(&mut stream, "").await.unwrap();
    assert!(response.contains("\"203.0.113.7 - -\""), "{response}");
}

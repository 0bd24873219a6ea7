//! The time that a server has for the TLS handshake, and a proxy for its response to `CONNECT`.

use std::net::SocketAddr;
use std::time::Duration;

use rpc_runtime::prelude::*;
use rpc_runtime::{Client, ClientBuilder, RetryPolicy};
use rpc_tests::wait::{StoppedClock, within};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::yield_now;
use tokio::time::advance;

use super::kit::{Authority, Files, WhoClient};
use super::kit_servers::{trusting, tunnel_proxy};

/// A peer that reads something, writes the start of a response and says no more.
struct Hesitant {
    address: SocketAddr,
    /// Has an entry for each connection, once the start is written.
    begun: UnboundedReceiver<()>,
}

async fn hesitant(start: &'static [u8]) -> Hesitant {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (written, begun) = unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let written = written.clone();
            tokio::spawn(async move {
                stream.read_buf(&mut Vec::new()).await?;
                stream.write_all(start).await?;
                let _ = written.send(());
                stream.read_to_end(&mut Vec::new()).await
            });
        }
    });
    Hesitant { address, begun }
}

/// Makes a call with a deadline far away, and lets 5 s pass once the peer hesitates. Returns the
/// error.
async fn error_after_5_seconds(builder: ClientBuilder, peer: &mut Hesitant) -> Error {
    let authority = Authority::new("ours");
    let files = Files::new(&authority.issue("who.test"));
    let builder = builder.tls(trusting(&files, &authority));
    let client = builder.retry(RetryPolicy::off()).build().unwrap();
    let clock = StoppedClock::start().await;
    let call = WhoClient::with_client(client)
        .am_i()
        .timeout(Duration::from_secs(600));
    let call = tokio::spawn(call.into_future());
    peer.begun.recv().await.unwrap();
    pass(Duration::from_millis(4990)).await;
    assert!(!call.is_finished(), "the limit is shorter");
    pass(Duration::from_millis(20)).await;
    drop(clock);
    let error = Error::from(within(call).await.unwrap().unwrap_err());
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    assert!(error.is_not_executed(), "{error}");
    error
}

/// Advances the clock, and runs what is due.
async fn pass(time: Duration) {
    advance(time).await;
    for _ in 0..50 {
        yield_now().await;
    }
}

#[tokio::test]
async fn a_tls_handshake_has_5_seconds() {
    // Nothing, the start of a record, and a record that is not complete.
    for start in [&b""[..], b"\x16\x03", b"\x16\x03\x03\x00\x7a\x02\x00"] {
        let mut server = hesitant(start).await;
        let url = format!("https://{}", server.address);
        let error = error_after_5_seconds(Client::builder().url(&url), &mut server).await;
        let text = format!(
            "cannot connect to {url}: the server did not respond to the TLS handshake within 5s"
        );
        assert!(error.message().contains(&text), "{start:?}: {error}");
    }
}

#[tokio::test]
async fn a_proxy_has_5_seconds_for_connect() {
    for start in [&b""[..], b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nvia: x\r\n"] {
        for url in ["https://who.test", "http://who.test"] {
            let mut proxy = hesitant(start).await;
            let through = format!("http://ada:canary@{}", proxy.address);
            let builder = Client::builder().url(url).proxy(&through).http2();
            let error = error_after_5_seconds(builder, &mut proxy).await;
            let text = format!(
                "the proxy http://{} did not respond to CONNECT within 5s",
                proxy.address
            );
            assert!(error.message().contains(&text), "{start:?}: {error}");
            assert!(!format!("{error:?}").contains("canary"), "{error:?}");
        }
    }
}

#[tokio::test]
async fn a_handshake_in_a_tunnel_has_5_seconds() {
    let mut server = hesitant(b"\x16\x03").await;
    let proxy = tunnel_proxy(server.address, "HTTP/1.1 200 OK\r\n\r\n").await;
    let builder = Client::builder().url("https://who.test").proxy(&proxy.url);
    let error = error_after_5_seconds(builder, &mut server).await;
    let text = "the server did not respond to the TLS handshake within 5s";
    assert!(error.message().contains(text), "{error}");
}

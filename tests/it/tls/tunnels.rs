//! Clients that reach their servers through an HTTP proxy.

use std::time::Duration;

use rpc_runtime::prelude::*;
use rpc_runtime::{Client, ClientBuilder};
use rpc_tests::wait::within;

use super::kit::{Authority, WhoClient, edge, serve, who};
use super::kit_servers::{secure_edge, trusting, tunnel_proxy};

const OPEN: &str = "HTTP/1.1 200 Connection established\r\nvia: test\r\n\r\n";

fn client(builder: ClientBuilder) -> WhoClient {
    WhoClient::with_client(builder.build().unwrap())
}

#[tokio::test]
async fn a_proxy_opens_a_tunnel_to_a_tls_server() {
    let authority = Authority::new("ours");
    let (server, files) = secure_edge(&authority).await;
    let mut proxy = tunnel_proxy(server.address, OPEN).await;
    let through = proxy.url.replace("http://", "http://ada:love%20lace@");
    let builder = Client::builder().url("https://who.test").proxy(through);
    let called = client(builder.tls(trusting(&files, &authority)))
        .am_i()
        .await;
    assert_eq!(called.unwrap(), "127.0.0.1 - -");
    let head = proxy.heads.recv().await.unwrap();
    // `ada:love lace` in Base64. The proxy resolves the name.
    assert_eq!(
        head,
        "CONNECT who.test:443 HTTP/1.1\r\nhost: who.test:443\r\n\
         proxy-authorization: Basic YWRhOmxvdmUgbGFjZQ==\r\n\r\n"
    );
}

#[tokio::test]
async fn http_2_without_tls_goes_through_a_tunnel() {
    // Its settings may come right after the response of the proxy.
    let server = serve(who(edge())).await;
    let mut proxy = tunnel_proxy(server.address, OPEN).await;
    let builder = Client::builder()
        .url("http://who.test:81")
        .proxy(&proxy.url)
        .http2();
    let client = client(builder);
    for _ in 0..3 {
        assert_eq!(client.am_i().await.unwrap(), "127.0.0.1 - -");
    }
    let head = proxy.heads.recv().await.unwrap();
    assert!(
        head.starts_with("CONNECT who.test:81 HTTP/1.1\r\n"),
        "{head}"
    );
    assert!(proxy.heads.try_recv().is_err(), "one connection is enough");
}

#[tokio::test]
async fn forwarded_requests_have_the_credentials() {
    let server = serve(who(edge())).await;
    let mut proxy = tunnel_proxy(
        server.address,
        "HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n",
    )
    .await;
    let through = proxy.url.replace("http://", "http://ada:lovelace@");
    let builder = Client::builder()
        .url(&server.url)
        .proxy(through)
        .named("gatekeeper");
    client(builder).am_i().await.unwrap_err();
    let head = proxy.heads.recv().await.unwrap();
    let line = format!("POST {}/shop.v1.Who/AmI HTTP/1.1\r\n", server.url);
    assert!(head.starts_with(&line), "{head}");
    assert!(
        head.contains("\r\nproxy-authorization: Basic YWRhOmxvdmVsYWNl\r\n"),
        "{head}"
    );
    // The proxy reads the request, and its host is not this one.
    assert!(!head.contains("x-rpc-source"), "{head}");
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named() {
    let authority = Authority::new("ours");
    let (server, files) = secure_edge(&authority).await;
    let long: &'static str = format!("HTTP/1.1 200 OK\r\nx: {}", "x".repeat(10_000)).leak();
    for (response, user, text) in [
        (
            "HTTP/1.1 403 Forbidden\r\n\r\n",
            "",
            "refused the tunnel to who.test:443: 403 Forbidden",
        ),
        (
            "HTTP/1.1 502 Bad\u{1b}[31m\r\n\r\n",
            "",
            "refused the tunnel to who.test:443: 502 Bad\\u{1b}[31m",
        ),
        (
            "HTTP/1.1 407 No\r\n\r\n",
            "",
            "requires credentials; use `http://USER:PASSWORD@HOST:PORT` as its URL",
        ),
        (
            "HTTP/1.1 407 No\r\n\r\n",
            "ada:canary@",
            "refused the credentials in its URL",
        ),
        (
            "SSH-2.0-OpenSSH\r\n\r\n",
            "",
            "did not respond with valid HTTP; check its URL",
        ),
        ("HTTP/1.1 200 OK\r\n", "", "the connection to the proxy"),
        (long, "", "its response to CONNECT is too large"),
    ] {
        let proxy = tunnel_proxy(server.address, response).await;
        let through = proxy.url.replace("http://", &format!("http://{user}"));
        let builder = Client::builder().url("https://who.test").proxy(through);
        let error = client(builder.tls(trusting(&files, &authority)))
            .am_i()
            .await
            .unwrap_err();
        assert_eq!(error.code(), Code::Unavailable, "{error}");
        assert!(error.is_not_executed(), "{error}");
        assert!(
            error
                .message()
                .contains("cannot connect to https://who.test: "),
            "{error}"
        );
        assert!(error.message().contains(text), "{error}");
        assert!(error.message().contains(&proxy.url), "{error}");
        assert!(!format!("{error:?}").contains("canary"), "{error:?}");
    }
}

#[tokio::test]
async fn a_silent_proxy_ends_at_the_deadline() {
    let authority = Authority::new("ours");
    let (server, files) = secure_edge(&authority).await;
    let proxy = tunnel_proxy(server.address, "").await;
    let builder = Client::builder().url("https://who.test").proxy(&proxy.url);
    let client = client(builder.tls(trusting(&files, &authority)));
    let called = within(client.am_i().timeout(Duration::from_secs(1))).await;
    assert_eq!(called.unwrap_err().code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_named() {
    let authority = Authority::new("ours");
    let (server, files) = secure_edge(&authority).await;
    let builder = Client::builder()
        .url(&server.url)
        .proxy("http://127.0.0.1:1");
    let error = client(builder.tls(trusting(&files, &authority)))
        .am_i()
        .await
        .unwrap_err();
    assert!(
        error
            .message()
            .contains("the proxy http://127.0.0.1:1 cannot be reached: "),
        "{error}"
    );
    assert!(error.is_not_executed(), "{error}");
}

#[cfg(unix)]
#[test]
fn a_proxy_reaches_no_socket_of_this_host() {
    let builder = Client::builder()
        .url("unix:/run/who.sock")
        .proxy("http://127.0.0.1:1");
    let error = builder.build().unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(error.message().contains("`unix:`"), "{error}");
}

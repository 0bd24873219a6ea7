//! Clients of `https` URLs: the version of HTTP, the certificate of the server, and what an error
//! of a handshake says.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rpc_runtime::prelude::*;
use rpc_runtime::testing::{NetworkFault, Proxy};
use rpc_runtime::{Client, ClientTlsConfig, RetryPolicy};
use rpc_tests::wait::within;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::kit::{Authority, Files, WhoClient, edge, serve, who};
use super::kit_servers::{raw_server, secure, secure_edge, trusting};

#[tokio::test]
async fn calls_over_tls_share_one_connection() {
    let authority = Authority::new("ours");
    let (server, files) = secure_edge(&authority).await;
    let proxy = Proxy::start(server.address).await.unwrap();
    let url = proxy.url().replace("http:", "https:");
    let client = secure(&url, trusting(&files, &authority));
    assert_eq!(client.am_i().await.unwrap(), "127.0.0.1 - -");
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.am_i().await })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap(), "127.0.0.1 - -");
    }
    assert_eq!(proxy.connections(), 1);
}

#[tokio::test]
async fn the_server_chooses_the_version_of_http() {
    let authority = Authority::new("ours");
    let pair = authority.issue("who.test");
    let files = Files::new(&pair);
    let both = &["h2", "http/1.1"][..];
    for (alpn, version) in [
        (both, "HTTP/2"),
        (&["http/1.1"], "HTTP/1.1"),
        (&[], "HTTP/1.1"),
    ] {
        let mut server = raw_server(&pair, &[alpn], None).await;
        let client = secure(&server.url, trusting(&files, &authority));
        assert_eq!(within(client.am_i()).await.unwrap(), version, "{alpn:?}");
        let request = within(server.requests.recv()).await.unwrap();
        let address = server.address;
        if version == "HTTP/2" {
            assert_eq!(
                request,
                format!("HTTP/2.0 https://{address}/shop.v1.Who/AmI")
            );
        } else {
            assert!(
                request.starts_with("POST /shop.v1.Who/AmI HTTP/1.1\r\n"),
                "{request}"
            );
            assert!(
                request.contains(&format!("host: {address}\r\n")),
                "{request}"
            );
        }
    }
}

#[tokio::test]
async fn a_client_may_offer_http_1_only() {
    let authority = Authority::new("ours");
    let pair = authority.issue("who.test");
    let files = Files::new(&pair);
    let tls = || trusting(&files, &authority).http1();
    let both = &["h2", "http/1.1"][..];
    for alpn in [both, &["http/1.1"], &[]] {
        let server = raw_server(&pair, &[alpn], None).await;
        let called = within(secure(&server.url, tls()).am_i()).await;
        assert_eq!(called.unwrap(), "HTTP/1.1", "{alpn:?}");
    }
    // It shares no connection with a client that prefers HTTP/2.
    let mut server = raw_server(&pair, &[both], None).await;
    for (tls, version) in [
        (trusting(&files, &authority), "HTTP/2"),
        (tls(), "HTTP/1.1"),
    ] {
        let called = within(secure(&server.url, tls).am_i()).await;
        assert_eq!(called.unwrap(), version);
        server.requests.recv().await.unwrap();
    }
    let server = raw_server(&pair, &[&["h2"]], None).await;
    let error = secure(&server.url, tls()).am_i().await.unwrap_err();
    let error = Error::from(error);
    assert!(error.is_not_executed(), "{error}");
    let text = "does not offer HTTP/1.1 over TLS (ALPN); do not use `ClientTlsConfig::http1`";
    assert!(error.message().contains(text), "{error}");
    // Ours offers both.
    let (server, files) = secure_edge(&authority).await;
    let client = secure(&server.url, trusting(&files, &authority).http1());
    assert_eq!(client.am_i().await.unwrap(), "127.0.0.1 - -");
}

#[tokio::test]
async fn the_version_of_a_server_may_change() {
    let authority = Authority::new("ours");
    let pair = authority.issue("who.test");
    let (one, two, both) = (&["http/1.1"][..], &["h2"][..], &["http/1.1", "h2"][..]);
    let mut server = raw_server(&pair, &[one, two, both, two, one], None).await;
    let files = Files::new(&pair);
    let client = secure(&server.url, trusting(&files, &authority));
    for version in ["HTTP/1.1", "HTTP/2", "HTTP/1.1", "HTTP/2", "HTTP/1.1"] {
        assert_eq!(within(client.am_i()).await.unwrap(), version);
    }
    // No request was sent twice.
    for _ in 0..5 {
        server.requests.recv().await.unwrap();
    }
    assert!(server.requests.try_recv().is_err());
}

/// Calls a server with this certificate. Returns the error.
async fn refused(pair: &super::kit::Pair, tls: ClientTlsConfig) -> Error {
    let files = Files::new(pair);
    let server = serve(who(edge().tls(files.config()))).await;
    let error = secure(&server.url, tls).am_i().await.unwrap_err();
    let error = Error::from(error);
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    assert!(error.is_not_executed(), "{error}");
    assert!(
        error
            .message()
            .starts_with(&format!("cannot connect to {}: ", server.url)),
        "{error}"
    );
    error
}

#[tokio::test]
async fn errors_of_certificates_say_what_is_wrong() {
    let (ours, foreign) = (Authority::new("ours"), Authority::new("foreign"));
    let same_name = Authority::new("ours");
    let files = Files::new(&ours.issue("x"));
    let tls = || trusting(&files, &ours);
    for (pair, tls, text) in [
        (
            ours.issue_until("who.test", 2020),
            tls(),
            "the certificate of the server expired at 2020-01-01T00:00:00Z",
        ),
        (
            foreign.issue("who.test"),
            tls(),
            "is not issued by an authority that this client trusts; add the authority with `ClientTlsConfig::root_certificates`",
        ),
        (
            same_name.issue("who.test"),
            tls(),
            "is not issued by an authority that this client trusts",
        ),
        (
            ours.issue("who.test"),
            tls().server_name("other.test"),
            "the certificate of the server is for `who.test`, `127.0.0.1` and not for `other.test`; use a name of the certificate in the URL, or `ClientTlsConfig::server_name`",
        ),
        (
            ours.issue("who.test"),
            tls().server_name("127.0.0.2"),
            "and not for `127.0.0.2`",
        ),
        (
            ours.own(),
            tls(),
            "is that of an authority; issue one with `basicConstraints=CA:FALSE`",
        ),
    ] {
        let error = refused(&pair, tls).await;
        assert!(error.message().contains(text), "{error}");
    }
}

#[tokio::test]
async fn authorities_of_the_system_are_the_default() {
    let authority = Authority::new("ours");
    let (server, _files) = secure_edge(&authority).await;
    let error = match Client::new(&server.url) {
        Ok(client) => WhoClient::with_client(client)
            .am_i()
            .await
            .unwrap_err()
            .into(),
        // A system without any.
        Err(error) => error,
    };
    let texts = [
        "is not issued by an authority that this client trusts",
        "no root certificates were found",
    ];
    assert!(
        texts.iter().any(|text| error.message().contains(text)),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_may_have_another_name_than_its_url() {
    let authority = Authority::new("ours");
    let (server, files) = secure_edge(&authority).await;
    let client = secure(
        &server.url,
        trusting(&files, &authority).server_name("who.test"),
    );
    assert_eq!(client.am_i().await.unwrap(), "127.0.0.1 - -");
    let invalid = trusting(&files, &authority).server_name("who test");
    let error = Client::builder()
        .url(&server.url)
        .tls(invalid)
        .build()
        .unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(
        error.message().contains("invalid server name `who test`"),
        "{error}"
    );
}

/// Starts a server that responds in plain HTTP to whatever it gets. Returns its URL.
async fn plain_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.read_buf(&mut Vec::new()).await?;
            let response = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(response).await?;
            stream.read_to_end(&mut Vec::new()).await?;
        }
        Ok::<_, std::io::Error>(())
    });
    url
}

#[tokio::test]
async fn the_wrong_scheme_is_named() {
    let authority = Authority::new("ours");
    let (tls, files) = secure_edge(&authority).await;
    let plain = serve(who(edge())).await;
    let https = |url: &str| {
        secure(
            &url.replace("http:", "https:"),
            trusting(&files, &authority),
        )
    };
    let http = |http2: bool| {
        let client = Client::new(&tls.url.replace("https:", "http:")).unwrap();
        WhoClient::with_client(if http2 { client.http2() } else { client })
    };
    let error = https(&plain.url).am_i().await.unwrap_err();
    assert!(error.message().contains("serve TLS"), "{error}");
    // A server that responds in plain HTTP to anything.
    let raw = plain_server().await;
    let error = https(&raw).am_i().await.unwrap_err();
    assert!(
        error.message().contains(
            "the server does not serve TLS; if it serves plain HTTP, use a URL with `http://`"
        ),
        "{error}"
    );
    // Ours tells it in HTTP.
    let error = http(false).am_i().await.unwrap_err();
    assert!(error.message().contains("https://"), "{error}");
    let error = http(true).am_i().await.unwrap_err();
    assert!(
        error.message().contains("tls_required") || error.message().contains("https://"),
        "{error}"
    );
    // Others send an alert.
    let pair = authority.issue("who.test");
    for http2 in [false, true] {
        let server = raw_server(&pair, &[&["h2"]], None).await;
        let client = Client::new(&server.url.replace("https:", "http:")).unwrap();
        let client = if http2 { client.http2() } else { client };
        let error = within(WhoClient::with_client(client).am_i())
            .await
            .unwrap_err();
        assert!(
            error.message().contains("use a URL with `https://`"),
            "{error}"
        );
    }
}

#[rpc_service(package = "tls.v1")]
trait Till {
    async fn pay(&self, #[rpc(idempotency_key(shared))] key: &str) -> Result<u32>;
}

struct Counter(Arc<AtomicU32>);

impl Till for Counter {
    async fn pay(&self, _: &str) -> Result<u32> {
        Ok(self.0.fetch_add(1, Ordering::SeqCst) + 1)
    }
}

#[tokio::test]
async fn a_keyed_call_survives_a_broken_handshake() {
    let authority = Authority::new("ours");
    let files = Files::new(&authority.issue("till.test"));
    let paid = Arc::new(AtomicU32::new(0));
    let till = Server::new("till").add(TillServer::new(Counter(paid.clone())));
    let server = serve(till.listen_with(edge().tls(files.config()))).await;
    // Before the first byte of the server, within its first flight, and within its certificate.
    for (number, after) in [(1, 0), (2, 3), (3, 150), (4, 600)] {
        let dying = Proxy::start(server.address).await.unwrap();
        dying.set(NetworkFault::CutResponses { after });
        let client = Client::builder()
            .url(dying.url().replace("http:", "https:"))
            .tls(trusting(&files, &authority));
        let only = client.retry(RetryPolicy::off()).build().unwrap();
        let error = TillClient::with_client(only).pay("a").await.unwrap_err();
        assert!(error.is_not_executed(), "{after}: {error}");
        assert_eq!(error.code(), Code::Unavailable, "{after}: {error}");
        // With another server the call succeeds, and runs once.
        let mut addresses = vec![dying.url().replace("http:", "https:")];
        addresses.push(server.url.clone());
        let client = addresses
            .iter()
            .fold(Client::builder(), rpc_runtime::ClientBuilder::url);
        let client = client.tls(trusting(&files, &authority)).build().unwrap();
        let key = format!("key {number}");
        let count = within(TillClient::with_client(client).pay(&key)).await;
        assert_eq!(count.unwrap(), number, "{after}");
    }
    assert_eq!(paid.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn the_deadline_covers_the_handshake() {
    let authority = Authority::new("ours");
    let (server, files) = secure_edge(&authority).await;
    let silent = Proxy::start(server.address).await.unwrap();
    silent.set(NetworkFault::BlackHole);
    let url = silent.url().replace("http:", "https:");
    let client = secure(&url, trusting(&files, &authority));
    let called = within(client.am_i().timeout(Duration::from_secs(1))).await;
    assert_eq!(called.unwrap_err().code(), Code::DeadlineExceeded);
    // It is only for this call.
    silent.set(NetworkFault::None);
    assert_eq!(within(client.am_i()).await.unwrap(), "127.0.0.1 - -");
}

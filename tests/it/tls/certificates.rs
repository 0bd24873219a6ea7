//! TLS listeners: versions, bad peers, files that change, and files that are wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use rpc_runtime::{Code, Limits, Server, ServerTlsConfig};
use rpc_tests::captured::capture_log;
use rpc_tests::raw::Raw;
use rpc_tests::wait::{until, within};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::kit::{Authority, Files, PATH, TlsClient, edge, exchange, post, serve, text, who};

#[tokio::test]
async fn a_tls_listener_negotiates_the_version_of_http() {
    let authority = Authority::new("ours");
    let files = Files::new(&authority.issue("who.test"));
    let server = serve(who(edge().tls(files.config()))).await;
    assert!(
        server.url.starts_with("https://127.0.0.1:"),
        "{}",
        server.url
    );
    for version in ["h2", "http/1.1"] {
        let client = TlsClient::new(&authority).alpn(version);
        let stream = client.connect(server.address).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(version.as_bytes()));
    }
    let response = TlsClient::new(&authority).call(server.address, "").await;
    let response = response.unwrap();
    assert!(
        response.contains(r#"{"result":"127.0.0.1 - -"}"#),
        "{response}"
    );
    // Others than these are refused in the handshake.
    let other = TlsClient::new(&authority).alpn("spdy/3");
    let error = other.connect(server.address).await.unwrap_err();
    assert!(
        error.to_string().contains("NoApplicationProtocol"),
        "{error}"
    );
}

#[tokio::test]
async fn http_2_is_served_over_tls() {
    let authority = Authority::new("ours");
    let files = Files::new(&authority.issue("who.test"));
    // For all listeners.
    let server = who(edge()).tls(files.config());
    let server = serve(server).await;
    let client = TlsClient::new(&authority).alpn("h2");
    let stream = client.connect(server.address).await.unwrap();
    let (requests, connection) = h2::client::handshake(stream).await.unwrap();
    let driving = tokio::spawn(connection);
    let request = http::Request::post(format!("https://127.0.0.1{PATH}"))
        .header("content-type", "application/json")
        .body(())
        .unwrap();
    let mut requests = requests.ready().await.unwrap();
    let (response, mut body) = requests.send_request(request, false).unwrap();
    body.send_data(bytes::Bytes::from_static(b"{}"), true)
        .unwrap();
    let response = within(response).await.unwrap();
    assert_eq!(response.status(), 200);
    driving.abort();
}

#[tokio::test]
async fn plain_http_at_a_tls_listener_is_told_so() {
    let authority = Authority::new("ours");
    let files = Files::new(&authority.issue("who.test"));
    let server = serve(who(edge().tls(files.config()))).await;
    for request in [
        post(PATH, ""),
        "GET / HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(),
    ] {
        let response = Raw::connect(server.address).await.ask(request).await;
        assert_eq!(response.status, 400);
        assert!(
            text(&response).contains("use a URL with `https://`"),
            "{}",
            text(&response)
        );
    }
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .unwrap();
    let mut response = Vec::new();
    within(stream.read_to_end(&mut response)).await.unwrap();
    assert!(
        response.ends_with(b"tls_required"),
        "{}",
        response.escape_ascii()
    );
    // Other bytes get no response.
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"\0\0\0\0").await.unwrap();
    let read = within(stream.read(&mut [0; 10])).await;
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
}

#[tokio::test]
async fn an_incomplete_handshake_holds_no_connection() {
    let authority = Authority::new("ours");
    let files = Files::new(&authority.issue("who.test"));
    let mut limits = Limits::default();
    limits.connections = 1;
    limits.first_byte_timeout = Duration::from_secs(1);
    let server = serve(who(edge().tls(files.config())).limits(limits)).await;
    // Silent, and with the start of a handshake.
    for start in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01"] {
        let mut stalled = TcpStream::connect(server.address).await.unwrap();
        stalled.write_all(start).await.unwrap();
        // The only place is free when the deadline has passed.
        let response = TlsClient::new(&authority).call(server.address, "").await;
        assert!(response.unwrap().starts_with("HTTP/1.1 200"));
        let read = within(stalled.read(&mut [0; 10])).await;
        assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    }
    // A handshake that is complete, and no request.
    let mut stalled = TlsClient::new(&authority)
        .connect(server.address)
        .await
        .unwrap();
    let response = TlsClient::new(&authority).call(server.address, "").await;
    assert!(response.unwrap().starts_with("HTTP/1.1 200"));
    let read = within(stalled.read(&mut [0; 10])).await;
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_certificates_are_used_without_a_lost_call() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let files = Files::new(&old.issue("who.test"));
    let server = serve(who(edge().tls(files.config()))).await;
    let address = server.address;
    let mut kept = TlsClient::new(&old).connect(address).await.unwrap();
    let (done, calls) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU32::new(0)),
    );
    let load: Vec<_> = (0..4)
        .map(|_| {
            let (done, calls) = (done.clone(), calls.clone());
            let clients = [TlsClient::new(&old), TlsClient::new(&new)];
            tokio::spawn(async move {
                while !done.load(Ordering::SeqCst) {
                    // Each call is served with one certificate or the other.
                    let mut failures = Vec::new();
                    for client in &clients {
                        match client.call(address, "").await {
                            Ok(response) => {
                                assert!(response.starts_with("HTTP/1.1 200"), "{response}");
                            }
                            Err(error) => failures.push(error.to_string()),
                        }
                    }
                    assert!(failures.len() < 2, "{failures:?}");
                    assert!(
                        failures.iter().all(|text| text.contains("UnknownIssuer")),
                        "{failures:?}"
                    );
                    calls.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    until(async || calls.load(Ordering::SeqCst) > 4).await;
    files.replace(&new.issue("who.test"));
    let client = TlsClient::new(&new);
    until(async || client.connect(address).await.is_ok()).await;
    let before = calls.load(Ordering::SeqCst);
    until(async || calls.load(Ordering::SeqCst) > before + 8).await;
    done.store(true, Ordering::SeqCst);
    for task in load {
        task.await.unwrap();
    }
    // A connection that was open before is served to its end.
    let response = exchange(&mut kept, "").await.unwrap();
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
}

#[tokio::test]
async fn a_broken_new_pair_keeps_the_old_one() {
    let (log, _guard) = capture_log();
    let authority = Authority::new("ours");
    let (first, other) = (authority.issue("who.test"), authority.issue("who.test"));
    let expired = authority.issue_until("who.test", 2020);
    let files = Files::new(&first);
    let server = serve(who(edge().tls(files.config()))).await;
    let client = TlsClient::new(&authority);
    let mut seen = 0;
    for (certificate, key, problem) in [
        ("garbage", first.key.as_str(), "it has no certificate"),
        (
            &first.certificate,
            &other.key,
            "it is not that of the private key",
        ),
        (&first.certificate, "", "it has no private key"),
        (&expired.certificate, &expired.key, "expired at 2020-01-01"),
    ] {
        files.write("tls.crt", certificate);
        files.write("tls.key", key);
        until(async || log.text().matches("the old one stays in use").count() > seen).await;
        seen = log.text().matches("the old one stays in use").count();
        let text = log.text();
        let line = text
            .lines()
            .rfind(|line| line.contains("the old one stays in use"))
            .unwrap();
        assert!(line.contains(problem) && line.contains("tls.crt"), "{line}");
        assert!(client.call(server.address, "").await.is_ok(), "{problem}");
    }
    files.replace(&other);
    until(async || log.text().contains("the TLS certificate was reloaded")).await;
    assert!(client.call(server.address, "").await.is_ok());
    let secret = first.key.lines().nth(1).unwrap();
    assert!(!log.text().contains(secret));
}

#[tokio::test]
async fn errors_of_tls_files_name_file_and_problem() {
    let authority = Authority::new("ours");
    let (pair, other) = (authority.issue("who.test"), authority.issue("who.test"));
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let broken = pair.key.replace("-----END", "*\n-----END");
    let two_keys = format!("{}{}", pair.key, other.key);
    for (certificate, key, file, problem) in [
        (
            "",
            pair.key.as_str(),
            "tls.crt",
            "it has no certificate; expected PEM",
        ),
        (
            &pair.key,
            &pair.certificate,
            "tls.crt",
            "the two files may be swapped",
        ),
        (
            &pair.certificate,
            &pair.certificate,
            "tls.key",
            "the two files may be swapped",
        ),
        (
            &pair.certificate,
            "",
            "tls.key",
            "it has no private key; expected PEM",
        ),
        (&pair.certificate, encrypted, "tls.key", "is encrypted"),
        (&pair.certificate, &broken, "tls.key", "not valid PEM"),
        (
            &pair.certificate,
            &two_keys,
            "tls.key",
            "several private keys",
        ),
        (
            &pair.certificate,
            &other.key,
            "tls.crt",
            "it is not that of the private key in",
        ),
    ] {
        let files = Files::new(&pair);
        files.write("tls.crt", certificate);
        files.write("tls.key", key);
        let error = who(edge().tls(files.config())).bind().await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{error}");
        assert!(
            error.message().contains(file) && error.message().contains(problem),
            "{error}"
        );
    }
    let files = Files::new(&pair);
    let missing = ServerTlsConfig::new(files.path("tls.crt"), files.path("gone.key"));
    let error = who(edge()).tls(missing).bind().await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
    assert!(
        error.message().contains("failed to read the key file")
            && error.message().contains("gone.key"),
        "{error}"
    );
    let no_authority = files
        .config()
        .require_client_certificates(files.write("ca.crt", "x"));
    let error = Server::new("who")
        .listen_with(edge().tls(no_authority))
        .bind()
        .await;
    assert!(error.unwrap_err().message().contains("ca.crt"));
}

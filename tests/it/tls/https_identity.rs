//! Certificates of clients of `https` URLs: mutual TLS, files that change, and separate pools.

use rpc_runtime::prelude::*;
use rpc_runtime::testing::Proxy;
use rpc_runtime::{Client, ClientTlsConfig, ListenOptions};
use rpc_tests::captured::capture_log;
use rpc_tests::wait::{until, within};

use super::kit::{Authority, Files, Pair, Serving, edge, serve, who};
use super::kit_servers::{Load, raw_server, secure, trusting, tunnel_proxy};

/// A configuration with a client certificate in its own files.
fn with_certificate(files: &Files, authority: &Authority, pair: &Pair) -> ClientTlsConfig {
    let certificate = files.write("client.crt", &pair.certificate);
    let key = files.write("client.key", &pair.key);
    trusting(files, authority).client_certificate(certificate, key)
}

/// A server that asks for certificates of an authority.
async fn asking(listener: ListenOptions, authority: &Authority) -> (Serving, Files) {
    let files = Files::new(&authority.issue("who.test"));
    let ca = files.write("ca.crt", authority.pem());
    let tls = files.config().accept_client_certificates(ca);
    (serve(who(listener.tls(tls))).await, files)
}

#[tokio::test]
async fn a_client_certificate_is_trusted_like_keys() {
    let authority = Authority::new("ours");
    let internal = ListenOptions::internal("127.0.0.1:0");
    let (server, files) = asking(internal, &authority).await;
    let pair = authority.issue("gatekeeper.shop.test");
    let client = secure(&server.url, with_certificate(&files, &authority, &pair));
    assert_eq!(
        client.am_i().await.unwrap(),
        "127.0.0.1 gatekeeper.shop.test gatekeeper"
    );
    // The source must be that of the certificate.
    let other = authority.issue("pricing");
    let others = Files::new(&other);
    let client = secure(&server.url, with_certificate(&others, &authority, &other));
    let error = client.am_i().await.unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied, "{error}");
    // Without one, the call is that of a stranger.
    let client = secure(&server.url, trusting(&files, &authority));
    let error = client.am_i().await.unwrap_err();
    assert_eq!(error.code(), Code::Unauthenticated, "{error}");
}

#[tokio::test]
async fn the_context_goes_where_a_certificate_does() {
    let authority = Authority::new("ours");
    let pair = authority.issue("who.test");
    let files = Files::new(&pair);
    let mut server = raw_server(&pair, &[&["http/1.1"]], None).await;
    let proxy = tunnel_proxy(server.address, "HTTP/1.1 200 OK\r\n\r\n").await;
    let plain = || trusting(&files, &authority);
    let own = || with_certificate(&files, &authority, &authority.issue("gatekeeper"));
    for (tls, external, is_sent) in [
        (plain(), false, false),
        (own(), false, true),
        (own(), true, false),
    ] {
        // Not on this host, by its name.
        let client = Client::builder()
            .url("https://who.test:4430")
            .proxy(&proxy.url)
            .tls(tls);
        let client = client.named("gatekeeper");
        let client = if external { client.external() } else { client };
        let client = super::kit::WhoClient::with_client(client.build().unwrap());
        within(client.am_i()).await.unwrap();
        let request = within(server.requests.recv()).await.unwrap();
        assert!(request.contains("host: who.test:4430\r\n"), "{request}");
        assert_eq!(
            request.contains("x-rpc-source: gatekeeper@"),
            is_sent,
            "{request}"
        );
    }
}

#[tokio::test]
async fn a_refused_client_certificate_is_named() {
    let (authority, foreign) = (Authority::new("ours"), Authority::new("foreign"));
    let server_pair = authority.issue("who.test");
    let files = Files::new(&server_pair);
    let ca = files.write("ca.crt", authority.pem());
    let required = files.config().require_client_certificates(ca);
    let ours = serve(who(edge().tls(required))).await;
    for alpn in [&["h2"][..], &["http/1.1"]] {
        let raw = raw_server(&server_pair, &[alpn], Some(&authority)).await;
        for url in [&raw.url, &ours.url] {
            for (pair, text) in [
                (
                    None,
                    "the server requires a client certificate; set `ClientTlsConfig::client_certificate`",
                ),
                (
                    Some(foreign.issue("gatekeeper")),
                    "the server refused the client certificate (UnknownCA)",
                ),
                (
                    Some(authority.issue_until("gatekeeper", 2020)),
                    "the server refused the client certificate (CertificateExpired)",
                ),
            ] {
                let own = Files::new(&server_pair);
                let tls = match &pair {
                    None => trusting(&own, &authority),
                    Some(pair) => with_certificate(&own, &authority, pair),
                };
                let error = within(secure(url, tls).am_i()).await.unwrap_err();
                assert_eq!(error.code(), Code::Unavailable, "{error}");
                assert!(error.is_not_executed(), "{error}");
                assert!(error.message().contains(text), "{alpn:?} {url}: {error}");
            }
        }
    }
}

#[tokio::test]
async fn clients_with_other_settings_share_no_connection() {
    let authority = Authority::new("ours");
    let (server, files) = asking(edge(), &authority).await;
    let proxy = Proxy::start(server.address).await.unwrap();
    let url = proxy.url().replace("http:", "https:");
    let [one, two] = ["one.test", "two.test"].map(|name| {
        let pair = authority.issue(name);
        let own = Files::new(&pair);
        let tls = with_certificate(&own, &authority, &pair);
        (secure(&url, tls.clone()), secure(&url, tls), own)
    });
    let anonymous = secure(&url, trusting(&files, &authority));
    for _ in 0..2 {
        assert_eq!(anonymous.am_i().await.unwrap(), "127.0.0.1 - -");
        for (clients, name) in [(&one, "one.test"), (&two, "two.test")] {
            for client in [&clients.0, &clients.1] {
                let expected = format!("127.0.0.1 {name} -");
                assert_eq!(client.am_i().await.unwrap(), expected);
            }
        }
    }
    // Equal ones do.
    assert_eq!(proxy.connections(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_client_certificate_loses_no_call() {
    let authority = Authority::new("ours");
    let (server, _files) = asking(edge(), &authority).await;
    let own = Files::new(&authority.issue("x"));
    let tls = with_certificate(&own, &authority, &authority.issue("one.test"));
    let client = secure(&server.url, tls);
    let load = Load::start(&client, |name| {
        name.contains("one.test") || name.contains("two.test")
    });
    load.go_on().await;
    let _again = with_certificate(&own, &authority, &authority.issue("two.test"));
    until(async || client.am_i().await.unwrap().contains("two.test")).await;
    load.go_on().await;
    load.stop().await;
}

#[tokio::test]
async fn unusable_new_files_keep_the_old_ones() {
    let (log, _guard) = capture_log();
    let authority = Authority::new("ours");
    let (server, _files) = asking(edge(), &authority).await;
    let first = authority.issue("one.test");
    let own = Files::new(&first);
    let client = secure(&server.url, with_certificate(&own, &authority, &first));
    let expired = authority.issue_until("one.test", 2020);
    let mut seen = 0;
    for (certificate, key, problem) in [
        ("garbage", first.key.as_str(), "it has no certificate"),
        (
            &first.certificate,
            &expired.key,
            "it is not that of the private key",
        ),
        (&expired.certificate, &expired.key, "expired at 2020-01-01"),
    ] {
        own.write("client.crt", certificate);
        own.write("client.key", key);
        until(async || {
            assert_eq!(client.am_i().await.unwrap(), "127.0.0.1 one.test -");
            log.text().matches("the old ones stay in use").count() > seen
        })
        .await;
        seen = log.text().matches("the old ones stay in use").count();
        assert!(log.text().contains(problem), "{problem}: {}", log.text());
    }
    let _again = with_certificate(&own, &authority, &authority.issue("two.test"));
    until(async || client.am_i().await.unwrap().contains("two.test")).await;
    assert!(
        log.text()
            .contains("the TLS files of a client were reloaded")
    );
    assert!(!log.text().contains(first.key.lines().nth(1).unwrap()));
}

#[tokio::test]
async fn errors_of_client_files_name_file_and_problem() {
    let authority = Authority::new("ours");
    let (pair, other) = (authority.issue("a"), authority.issue("b"));
    let files = Files::new(&pair);
    let roots = || trusting(&files, &authority);
    let both = |one, other| roots().client_certificate(files.path(one), files.path(other));
    files.write("other.key", &other.key);
    files.write("empty.crt", "");
    for (tls, code, file, problem) in [
        (
            both("tls.crt", "gone.key"),
            Code::FailedPrecondition,
            "gone.key",
            "failed to read the key file",
        ),
        (
            both("tls.key", "tls.crt"),
            Code::InvalidArgument,
            "tls.key",
            "may be swapped",
        ),
        (
            both("tls.crt", "other.key"),
            Code::InvalidArgument,
            "tls.crt",
            "not that of the private key in",
        ),
        (
            ClientTlsConfig::new().root_certificates(files.path("empty.crt")),
            Code::InvalidArgument,
            "empty.crt",
            "it has no certificate",
        ),
    ] {
        // Before the first call, and for addresses that are not known yet.
        let error = Client::builder()
            .url("http://127.0.0.1:1")
            .tls(tls)
            .build()
            .unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(
            error.message().contains(file) && error.message().contains(problem),
            "{error}"
        );
    }
}

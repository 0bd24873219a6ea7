//! Client certificates: verification, the peer in the context, and trust between services.

use rpc_runtime::ListenOptions;
use rpc_tests::captured::capture_log;
use rpc_tests::wait::until;

use super::kit::{Authority, Files, TlsClient, edge, serve, who};

/// The header of a source.
fn source(name: &str) -> String {
    format!("x-rpc-source: {name}@prod/1\r\n")
}

#[tokio::test]
async fn a_required_certificate_is_verified() {
    let (log, _guard) = capture_log();
    let (authority, foreign) = (Authority::new("ours"), Authority::new("foreign"));
    let files = Files::new(&authority.issue("who.test"));
    let ca = files.write("ca.crt", authority.pem());
    let tls = files.config().require_client_certificates(ca);
    let server = serve(who(edge().tls(tls))).await;
    let client = || TlsClient::new(&authority);
    let verified = client().certificate(&authority.issue("gatekeeper.shop.test"));
    let response = verified.call(server.address, "").await.unwrap();
    // An edge does not trust the peer, and tells the handler who it is.
    assert!(
        response.contains("127.0.0.1 gatekeeper.shop.test -"),
        "{response}"
    );
    for (refused, alert) in [
        (client(), "CertificateRequired"),
        (
            client().certificate(&foreign.issue("gatekeeper")),
            "UnknownCA",
        ),
        (
            client().certificate(&authority.issue_until("gatekeeper", 2020)),
            "CertificateExpired",
        ),
    ] {
        let error = refused.call(server.address, "").await.unwrap_err();
        assert!(error.to_string().contains(alert), "{alert}: {error}");
    }
    until(async || {
        log.text()
            .contains("a TLS handshake failed because of a certificate")
    })
    .await;
}

#[tokio::test]
async fn an_optional_certificate_may_be_missing() {
    let (authority, foreign) = (Authority::new("ours"), Authority::new("foreign"));
    let files = Files::new(&authority.issue("who.test"));
    let ca = files.write("ca.crt", authority.pem());
    let tls = files.config().accept_client_certificates(ca);
    let server = serve(who(edge().tls(tls))).await;
    let client = || TlsClient::new(&authority);
    let response = client().call(server.address, "").await.unwrap();
    assert!(response.contains("127.0.0.1 - -"), "{response}");
    let named = client().certificate(&authority.issue("gatekeeper"));
    let response = named.call(server.address, "").await.unwrap();
    assert!(response.contains("127.0.0.1 gatekeeper -"), "{response}");
    let refused = client().certificate(&foreign.issue("gatekeeper"));
    assert!(refused.call(server.address, "").await.is_err());
}

#[tokio::test]
async fn an_internal_listener_trusts_verified_peers() {
    let authority = Authority::new("ours");
    let files = Files::new(&authority.issue("who.test"));
    let ca = files.write("ca.crt", authority.pem());
    let tls = files.config().accept_client_certificates(ca);
    let server = serve(who(ListenOptions::internal("127.0.0.1:0").tls(tls))).await;
    let client = || TlsClient::new(&authority);
    let call = async |client: TlsClient, headers: &str| {
        client.call(server.address, headers).await.unwrap()
    };
    let gatekeeper = || client().certificate(&authority.issue("gatekeeper.shop.test"));
    let response = call(gatekeeper(), &source("gatekeeper")).await;
    assert!(
        response.contains("gatekeeper.shop.test gatekeeper"),
        "{response}"
    );
    let response = call(gatekeeper(), "").await;
    assert!(response.contains("gatekeeper.shop.test -"), "{response}");
    // A certificate states one name.
    for other in ["pricing", "shop", "gatekeeper2"] {
        let response = call(gatekeeper(), &source(other)).await;
        assert!(response.contains("permission_denied"), "{response}");
        assert!(
            response.contains("the client certificate is that of `gatekeeper.shop.test`"),
            "{response}"
        );
    }
    // This host is no reason for trust where certificates are verified.
    let response = call(client(), &source("gatekeeper")).await;
    assert!(response.contains("unauthenticated"), "{response}");
    assert!(
        response.contains("only callers with a client certificate"),
        "{response}"
    );
    // A browser with a certificate, on a page of another site.
    let response = call(gatekeeper(), "origin: https://evil.test\r\n").await;
    assert!(response.contains("permission_denied"), "{response}");
}

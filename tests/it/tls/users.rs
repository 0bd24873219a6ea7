//! Client certificates as users, and users between services with certificates.

use rcgen::string::Ia5String;
use rcgen::{CertificateParams, SanType};
use rpc_runtime::authentication::{Authenticator, BearerAuth, CertificateAuth};
use rpc_runtime::prelude::*;
use rpc_runtime::{ListenOptions, Principal};

use super::kit::{Authority, Files, TlsClient, edge, serve, who};
use crate::call_lines::Lines;

/// Returns the names of a certificate.
fn names(names: &[SanType]) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.subject_alt_names = names.to_vec();
    params
}

fn ia5(text: &str) -> Ia5String {
    text.try_into().unwrap()
}

fn email(text: &str) -> SanType {
    SanType::Rfc822Name(ia5(text))
}

fn uri(text: &str) -> SanType {
    SanType::URI(ia5(text))
}

/// Returns a server that asks for certificates of this authority at a listener.
fn asking(authority: &Authority, listener: ListenOptions) -> (Server, Files) {
    let files = Files::new(&authority.issue("who.test"));
    let ca = files.write("ca.crt", authority.pem());
    let tls = files.config().accept_client_certificates(ca);
    (who(listener.tls(tls)), files)
}

/// Returns the status and the user of a call.
async fn user(client: &TlsClient, address: std::net::SocketAddr, headers: &str) -> (u16, String) {
    let response = client.call(address, headers).await.unwrap();
    let status = response.split(' ').nth(1).unwrap().parse().unwrap();
    let user = response.split_once(", user ").map_or("", |(_, user)| user);
    (status, user.split('"').next().unwrap().to_owned())
}

fn tokens() -> impl Authenticator {
    BearerAuth::new(|token| async move {
        Ok((token.expose() == "t-bob").then(|| Principal::new("bob")))
    })
}

#[tokio::test]
async fn the_name_of_a_certificate_is_the_user() {
    let authority = Authority::new("ours");
    let (by_email, _files) = asking(&authority, edge());
    let by_email = serve(by_email.authenticate(CertificateAuth::by_email())).await;
    let (by_uri, _files) = asking(&authority, edge());
    let by_uri = serve(by_uri.authenticate(CertificateAuth::by_uri())).await;
    let (by_name, _files) = asking(&authority, edge());
    let by_name = serve(by_name.authenticate(CertificateAuth::by_common_name())).await;
    let (zoe, bob) = ("zoe@shop.test", "bob@shop.test");
    let device = "urn:shop:device:7";
    for (server, params, expected) in [
        (&by_email, names(&[email(zoe), uri(device)]), Some(zoe)),
        (&by_email, names(&[email(zoe), email(bob)]), None),
        (&by_email, names(&[uri(device)]), None),
        (&by_uri, names(&[email(zoe), uri(device)]), Some(device)),
        (&by_uri, names(&[email(zoe)]), None),
        (&by_uri, names(&[uri(device), uri("urn:shop:8")]), None),
        (&by_name, names(&[email(zoe)]), Some("zoe")),
    ] {
        let pair = authority.issue_params("zoe", params);
        let client = TlsClient::new(&authority).certificate(&pair);
        let expected = match expected {
            Some(user) => (200, user.to_owned()),
            None => (401, String::new()),
        };
        assert_eq!(user(&client, server.address, "").await, expected);
    }
    // Without a certificate there are no credentials.
    let none = TlsClient::new(&authority);
    assert_eq!(user(&none, by_email.address, "").await.0, 401);
}

#[tokio::test]
async fn a_certificate_or_a_token_names_the_user() {
    let authority = Authority::new("ours");
    let mapped = CertificateAuth::new(|certificate| match certificate.dns_names() {
        [name] if name == "till.shop.test" => Some(Principal::new("till").with_role("device")),
        _ => None,
    });
    let (server, _files) = asking(&authority, edge());
    let server = serve(server.authenticate(mapped).authenticate(tokens())).await;
    let client = || TlsClient::new(&authority);
    let named = |name: &str| {
        client().certificate(&authority.issue_params(name, names(&[SanType::DnsName(ia5(name))])))
    };
    let lines = Lines::start();
    let bob = "authorization: Bearer t-bob\r\n";
    for (client, headers, expected) in [
        (client(), bob, (200, "bob")),
        (client(), "", (401, "")),
        (client(), "authorization: Bearer t-eve\r\n", (401, "")),
        (named("till.shop.test"), "", (200, "till")),
        (named("till.shop.test"), bob, (200, "till")),
        (named("eve.shop.test"), "", (401, "")),
        (named("eve.shop.test"), bob, (401, "")),
        // The user that a caller states itself.
        (
            named("till.shop.test"),
            "x-rpc-principal: sub=root\r\n",
            (200, "till"),
        ),
    ] {
        let (status, name) = expected;
        let seen = user(&client, server.address, headers).await;
        assert_eq!(seen, (status, name.to_owned()), "{headers}");
    }
    let reasons = lines.reasons.lock().unwrap().clone();
    let reason = "the client certificate names no user of this server: the certificate is that of eve.shop.test";
    assert!(
        reasons.iter().any(|logged| logged.contains(reason)),
        "{reasons:?}"
    );
}

#[tokio::test]
async fn the_certificate_of_a_proxy_is_no_user() {
    let authority = Authority::new("ours");
    let (server, _files) = asking(&authority, edge());
    let server = server
        .authenticate(CertificateAuth::by_common_name())
        .authenticate(tokens())
        .trusted_proxies(["127.0.0.1"]);
    let server = serve(server).await;
    let proxy = TlsClient::new(&authority).certificate(&authority.issue("proxy"));
    for (headers, expected) in [
        ("", (200, "proxy")),
        ("x-forwarded-for: 203.0.113.7\r\n", (401, "")),
        ("x-forwarded-for: nonsense\r\n", (401, "")),
        (
            "x-forwarded-for: 203.0.113.7\r\nforwarded: for=1.1.1.1\r\n",
            (401, ""),
        ),
        ("forwarded: for=127.0.0.1\r\n", (401, "")),
        (
            "x-forwarded-for: 203.0.113.7\r\nauthorization: Bearer t-bob\r\n",
            (200, "bob"),
        ),
    ] {
        let (status, name) = expected;
        let seen = user(&proxy, server.address, headers).await;
        assert_eq!(seen, (status, name.to_owned()), "{headers}");
    }
}

#[tokio::test]
async fn services_with_certificates_pass_the_user_on() {
    let authority = Authority::new("ours");
    let (server, _files) = asking(&authority, ListenOptions::internal("127.0.0.1:0"));
    // At an internal listener no authenticator runs.
    let server = serve(server.authenticate(CertificateAuth::by_common_name())).await;
    let client = || TlsClient::new(&authority);
    let gatekeeper = client().certificate(&authority.issue("gatekeeper"));
    let source = "x-rpc-source: gatekeeper@prod/1\r\n";
    let zoe = "x-rpc-principal: sub=zoe\r\n";
    let both = format!("{source}{zoe}");
    let foreign = format!("x-rpc-source: pricing@prod/1\r\n{zoe}");
    for (client, headers, expected) in [
        (&gatekeeper, &*both, (200, "zoe")),
        (&gatekeeper, source, (200, "")),
        (&gatekeeper, &foreign, (403, "")),
        (&client(), &both, (401, "")),
    ] {
        let (status, name) = expected;
        let seen = user(client, server.address, headers).await;
        assert_eq!(seen, (status, name.to_owned()), "{headers}");
    }
}

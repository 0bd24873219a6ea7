//! Addresses that an operator gives to a program whose listeners have settings.

use rpc_runtime::{Code, ListenOptions, ServerOptions, TlsListeners};
use rpc_tests::raw::Raw;

use super::kit::{Authority, Files, PATH, Serving, TlsClient, edge, post, serve, text, who};

/// The options of an operator who gives addresses.
fn given(internal: &[&str], edge: &[&str]) -> ServerOptions {
    let texts = |all: &[&str]| all.iter().map(ToString::to_string).collect();
    let mut options = ServerOptions::default();
    options.listen = texts(internal);
    options.listen_edge = texts(edge);
    options
}

const FREE: &str = "127.0.0.1:0";

async fn plain_status(server: &Serving, path: &str) -> u16 {
    let mut raw = Raw::connect(server.address).await;
    raw.ask(post(path, "")).await.status
}

#[tokio::test]
async fn an_edge_address_keeps_tls_and_what_is_shown() {
    let authority = Authority::new("ours");
    let files = Files::new(&authority.issue("who.test"));
    let public = || {
        let hidden = ListenOptions::edge("127.0.0.1:1").tls(files.config());
        hidden.only(["shop.v1.Who/Ping"])
    };
    let client = TlsClient::new(&authority);
    let edge_only = given(&[], &[FREE]);
    for server in [
        who(public()).options(edge_only.clone()),
        // An internal listener has other settings.
        who(public())
            .listen("127.0.0.1:2")
            .options(edge_only.clone()),
        // The first of two listeners with equal settings.
        who(public()).listen_with(public()).options(edge_only),
    ] {
        let server = serve(server).await;
        assert!(server.url.starts_with("https://"), "{}", server.url);
        assert_eq!(plain_status(&server, PATH).await, 400);
        let response = client.call(server.address, "").await.unwrap();
        assert!(response.starts_with("HTTP/1.1 404 "), "{response}");
    }
}

#[tokio::test]
async fn an_address_keeps_the_demand_of_certificates() {
    let authority = Authority::new("ours");
    let files = Files::new(&authority.issue("who.test"));
    let services = files.write("ca.crt", authority.pem());
    let demanding = || files.config().require_client_certificates(&services);
    let inside = ListenOptions::internal("127.0.0.1:1").tls(demanding());
    let mut new_pair = given(&[FREE], &[]);
    new_pair.tls_cert = Some(files.path("tls.crt"));
    new_pair.tls_key = Some(files.path("tls.key"));
    for server in [
        who(inside.clone()).options(given(&[FREE], &[])),
        who(inside).options(given(&[], &[FREE])),
        // The certificate is the operator's, the demand still the program's.
        who(edge()).tls(demanding()).options(new_pair),
    ] {
        let server = serve(server).await;
        let client = TlsClient::new(&authority);
        assert!(client.call(server.address, "").await.is_err());
        let client = client.certificate(&authority.issue("gatekeeper"));
        let response = client.call(server.address, "x-rpc-source: gatekeeper@prod/1\r\n");
        let response = response.await.unwrap();
        assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    }
}

#[tokio::test]
async fn an_address_keeps_the_proxy_protocol() {
    let behind = edge().proxy_protocol();
    let server = serve(who(behind).options(given(&[], &[FREE]))).await;
    let mut raw = Raw::connect(server.address).await;
    let head = "PROXY TCP4 192.0.2.7 127.0.0.1 4711 80\r\n";
    let response = raw.ask(format!("{head}{}", post(PATH, ""))).await;
    assert!(text(&response).contains("192.0.2.7"), "{}", text(&response));
}

#[tokio::test]
async fn an_address_of_several_listeners_ends_the_start() {
    let shown = ListenOptions::edge("127.0.0.1:1").only(["shop.v1.Who/Ping"]);
    let server = || who(shown.clone()).listen_edge("127.0.0.1:2");
    let error = server().options(given(&[], &[FREE])).bind().await;
    let error = error.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    for part in [
        "--listen-edge (RPC_LISTEN_EDGE): ",
        "127.0.0.1:1, 127.0.0.1:2",
    ] {
        assert!(error.message().contains(part), "{error}");
    }
}

#[tokio::test]
async fn a_certificate_may_be_for_one_kind_of_listener() {
    let authority = Authority::new("ours");
    let files = Files::new(&authority.issue("who.test"));
    let urls = |listeners: TlsListeners| {
        let mut options = given(&[FREE], &[FREE]);
        options.tls_cert = Some(files.path("tls.crt"));
        options.tls_key = Some(files.path("tls.key"));
        options.tls_listeners = Some(listeners);
        let server = who(edge()).options(options);
        async { server.bind().await.unwrap().urls() }
    };
    for (listeners, expected) in [
        (TlsListeners::All, ["https", "https"]),
        (TlsListeners::Edge, ["http", "https"]),
        (TlsListeners::Internal, ["https", "http"]),
    ] {
        let urls = urls(listeners).await;
        let schemes = urls.iter().filter_map(|url| url.split_once(':'));
        let schemes: Vec<_> = schemes.map(|(scheme, _)| scheme).collect();
        assert_eq!(schemes, expected, "{listeners:?}");
    }
    let mut options = given(&[FREE], &[]);
    options.tls_listeners = Some(TlsListeners::Edge);
    let error = who(edge()).options(options).bind().await.unwrap_err();
    let text = "--tls-listeners (RPC_TLS_LISTENERS): --tls-cert is missing";
    assert!(error.message().starts_with(text), "{error}");
}

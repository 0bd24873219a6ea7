//! Wrong credentials of callers whose address is not known, or is known by other means.

use std::net::SocketAddr;

use rpc_runtime::axum::body::Body;
use rpc_runtime::axum::http::Request;
use rpc_runtime::{Client, Limits, PeerAddress, axum};
use tower::ServiceExt as _;

use super::*;

/// Returns the desk, which takes two wrong credentials in a minute of each sender.
fn guarded(vault: &Running) -> Server {
    let mut limits = Limits::default();
    limits.wrong_credentials_per_peer = 2;
    desk_with_users(vault).limits(limits)
}

/// Returns the header of HTTP Basic for a user and a password.
fn basic(user: &str, password: &str) -> String {
    use base64::Engine as _;
    let pair = format!("{user}:{password}");
    let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
    format!("Basic {encoded}")
}

/// The steps of a guesser and of users at one place: credentials, and the status of each call.
fn steps() -> Vec<(String, u16)> {
    vec![
        (basic("bob", "1"), 401),
        (basic("BOB", "2"), 401),
        (basic("bob", "3"), 429),
        (basic(" Bob", "p"), 429),
        (basic("bob", "p"), 429),
        // Others are not locked out.
        (basic("ann", "p"), 200),
        ("Bearer t-bob".to_owned(), 200),
        ("Bearer t-foreign".to_owned(), 401),
        ("Bearer t-foreign".to_owned(), 401),
        ("Bearer t-foreign".to_owned(), 429),
        ("Bearer t-alice".to_owned(), 200),
        ("Basic ?".to_owned(), 401),
        ("Basic ?".to_owned(), 401),
        ("Basic ?".to_owned(), 429),
        (basic("ann", "p"), 200),
    ]
}

#[cfg(unix)]
#[tokio::test]
async fn guesses_on_a_unix_socket_are_bounded() {
    let vault = vault().await;
    let folder = rpc_tests::folder::Folder::new();
    let url = format!("unix:{}", folder.file("desk.sock").display());
    let bound = guarded(&vault).listen_edge(&*url).bind().await.unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(bound.serve(async {
        let _ = stopped.await;
    }));
    let client = DeskClient::with_client(Client::new(&url).unwrap());
    for (authorization, status) in steps() {
        let answer = client.who().header("authorization", authorization.clone());
        let error = answer.await.err();
        let code = error.as_ref().map(Remote::code);
        let expected = match status {
            401 => Some(Code::Unauthenticated),
            429 => Some(Code::ResourceExhausted),
            _ => None,
        };
        assert_eq!(code, expected, "{authorization} {error:?}");
    }
    drop(stop);
    serving.await.unwrap();
}

/// Calls a mounted router as the application at `peer` would.
async fn ask(router: &axum::Router, peer: Option<&str>, lines: &[(&str, &str)]) -> (u16, String) {
    let mut request = Request::post("/users.v1.Desk/Who")
        .header("host", "localhost")
        .header("content-type", "application/json");
    for (name, value) in lines {
        request = request.header(*name, *value);
    }
    let mut request = request.body(Body::from("{}")).unwrap();
    if let Some(peer) = peer {
        let address: SocketAddr = peer.parse().unwrap();
        request.extensions_mut().insert(PeerAddress(address));
    }
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), 10_000).await;
    (status, String::from_utf8(body.unwrap().to_vec()).unwrap())
}

#[tokio::test]
async fn guesses_in_a_mounted_router_are_bounded() {
    let vault = vault().await;
    let router = guarded(&vault).into_router().unwrap();
    for (authorization, status) in steps() {
        let lines = [("authorization", &*authorization)];
        let (seen, body) = ask(&router, None, &lines).await;
        assert_eq!(seen, status, "{authorization} {body}");
        if status == 429 {
            let text = "too many wrong credentials came for this user";
            assert!(body.contains(text) && body.contains("RetryInfo"), "{body}");
        }
    }
}

#[tokio::test]
async fn an_application_states_the_peer_of_a_request() {
    let vault = vault().await;
    let server = guarded(&vault).trusted_proxies(["10.0.0.0/8"]);
    let router = server.into_router().unwrap();
    let (guesser, other) = ("203.0.113.7:1", "203.0.113.8:1");
    for token in ["Bearer t-x", "Bearer t-y"] {
        let lines = [("authorization", token)];
        assert_eq!(ask(&router, Some(guesser), &lines).await.0, 401);
    }
    let bob = ("authorization", "Bearer t-bob");
    for (peer, client, status) in [
        (Some(guesser), None, 429),
        (Some("203.0.113.7:2"), None, 429),
        (Some(other), None, 200),
        (None, None, 200),
        // The client of a trusted proxy, and a header that no such proxy has written.
        (Some("10.0.0.1:1"), Some("203.0.113.7"), 429),
        (Some("10.0.0.1:1"), Some("203.0.113.9"), 200),
        (Some(guesser), Some("203.0.113.9"), 429),
        (Some(other), Some("203.0.113.7"), 200),
    ] {
        let forwarded = ("x-forwarded-for", client.unwrap_or_default());
        let lines = [bob, forwarded];
        let lines = &lines[..if client.is_some() { 2 } else { 1 }];
        let (seen, body) = ask(&router, peer, lines).await;
        assert_eq!(seen, status, "{peer:?} {client:?} {body}");
    }
}

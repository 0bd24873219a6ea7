use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use rpc_runtime::axum::Router;
use rpc_runtime::axum::body::Body;
use rpc_runtime::axum::http::{HeaderMap, HeaderValue, StatusCode};
use rpc_runtime::axum::response::{IntoResponse, Response};
use rpc_runtime::axum::routing::get;
use rpc_runtime::prelude::*;
use rpc_runtime::{Client, RetryPolicy, Trust};
use rpc_tests::Running;
use rpc_tests::raw::{Raw, post, request};
use tokio::net::{TcpListener, TcpStream};

use super::far_end::{Far, MARK, VaultServer, all_faults, start_pages};
use super::relay::{Relay, Seen, WAYS, Way, client, with_sources};

const METHODS: [&str; 5] = ["Open", "OpenTyped", "OpenOwn", "OpenKeyed", "OpenDetached"];

/// Services in a chain, the first of them an edge.
struct Chain {
    edge: Running,
    seen: Seen,
    _running: Vec<Running>,
}

impl Chain {
    /// Starts an edge, a service between it and the far end unless there is none, and the far end.
    async fn start(edge: Way, middle: Option<Way>) -> Self {
        let far = Server::new("far").add(VaultServer::new(Far));
        let far = Running::start(far).await;
        let pages = start_pages().await;
        let absent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let absent = format!("http://{}", absent.local_addr().unwrap());
        let seen = Seen::default();
        let relay = |way, next, is_edge| Relay {
            way,
            next,
            is_edge,
            seen: Arc::clone(&seen),
        };
        let next = |way| {
            let next = [("page", &pages), ("absent", &absent), ("", &far.url())];
            next.map(|(word, url)| (word, client(url, way))).to_vec()
        };
        let (next, middle) = match middle {
            None => (next(edge), None),
            Some(middle) => {
                let middle = relay(middle, next(middle), false).server();
                let middle = Running::start(middle).await;
                (vec![("", client(&middle.url(), edge))], Some(middle))
            }
        };
        let relay = relay(edge, next, true);
        let server = relay.clone().server().http(plain_routes(relay));
        Self {
            edge: Running::start(server.trust(Trust::Edge)).await,
            seen,
            _running: middle.into_iter().chain([far]).collect(),
        }
    }

    /// Calls a method over HTTP/1.1 and HTTP/2. Returns all that arrives.
    async fn call(&self, method: &str, fault: &str) -> [Vec<u8>; 2] {
        let path = format!("/hidden.v1.Vault/{method}");
        let key = if method == "OpenKeyed" { "k-1" } else { "" };
        let mut message = serde_json::json!({ "fault": fault });
        if !key.is_empty() {
            message["key"] = format!("{key} {fault}").into();
        }
        let message = message.to_string();
        let mut raw = Raw::connect(self.edge.address()).await;
        let response = raw.ask(post(&path, &message)).await;
        let mut first = format!("{} {:?}\n", response.status, response.headers).into_bytes();
        first.extend(response.body);
        [first, self.call_http2(&path, message).await]
    }

    async fn call_http2(&self, path: &str, message: String) -> Vec<u8> {
        let stream = TcpStream::connect(self.edge.address()).await.unwrap();
        let (client, connection) = h2::client::handshake(stream).await.unwrap();
        let driver = tokio::spawn(connection);
        let request = Request::post(format!("http://localhost{path}"))
            .header("content-type", "application/json")
            .body(())
            .unwrap();
        let mut client = client.ready().await.unwrap();
        let (response, mut stream) = client.send_request(request, false).unwrap();
        stream.send_data(Bytes::from(message), true).unwrap();
        let (head, mut body) = response.await.unwrap().into_parts();
        let mut all = format!("{} {:?}\n", head.status.as_u16(), head.headers).into_bytes();
        while let Some(data) = body.data().await {
            let data = data.unwrap();
            body.flow_control().release_capacity(data.len()).unwrap();
            all.extend_from_slice(&data);
        }
        driver.abort();
        all
    }
}

/// Routes of the edge that write the errors of its calls into bodies and headers.
fn plain_routes(relay: Relay) -> Router {
    let respond = async move |fault: String, is_stream: bool| -> Response {
        let Err(error) = relay.next(&fault).open(&fault).await else {
            return StatusCode::OK.into_response();
        };
        let text = format!("failed: {error} ({}) {}", with_sources(&error), *error);
        let mut headers = HeaderMap::new();
        headers.insert("x-error", HeaderValue::from_str(&text).unwrap());
        let body = if is_stream {
            let frames = [Ok("begun; ".to_owned()), std::io::Result::Ok(text)];
            Body::from_stream(futures_util::stream::iter(frames))
        } else {
            Body::from(text)
        };
        (StatusCode::BAD_GATEWAY, headers, body).into_response()
    };
    let whole = respond.clone();
    Router::new()
        .route(
            "/whole/{fault}",
            get(
                move |path: rpc_runtime::axum::extract::Path<String>| async move {
                    whole(path.0, false).await
                },
            ),
        )
        .route(
            "/stream/{fault}",
            get(
                move |path: rpc_runtime::axum::extract::Path<String>| async move {
                    respond(path.0, true).await
                },
            ),
        )
        .route(
            "/panic",
            get(|| async { panic!("canary-panic") as &'static str }),
        )
}

/// Returns the parts of the mark that are the same in base64 whatever precedes and follows it.
fn base64_marks() -> Vec<String> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    (0..3)
        .map(|offset| {
            // Whole groups of three bytes within the mark, which is then at each of the offsets.
            let inner = &MARK.as_bytes()[offset..offset + 3];
            let bits = inner
                .iter()
                .fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
            let digits = [18, 12, 6, 0].map(|shift| char::from(DIGITS[(bits >> shift) & 63]));
            digits.iter().collect()
        })
        .collect()
}

/// The mark, an address, names and a hop of services, and codes that are not about the caller.
const SECRETS: [&str; 8] = [
    MARK,
    "127.0.0.1",
    "middle",
    "far@",
    "hopchain",
    "relay.rs",
    "unauthenticated",
    "permission_denied",
];

/// Fails if a response has a mark, an address or a name of the services behind the edge.
pub(super) fn check(response: &[u8], case: &str) {
    let text = String::from_utf8_lossy(response);
    let lower = text.to_ascii_lowercase();
    for secret in SECRETS {
        assert!(!lower.contains(secret), "{case}: `{secret}` in {text}");
    }
    for mark in base64_marks() {
        assert!(!text.contains(&mark), "{case}: `{mark}` in {text}");
    }
}

#[test]
fn the_mark_is_found_in_base64() {
    let marks = base64_marks();
    for (text, encoded) in [
        ("canary", "Y2FuYXJ5"),
        ("xcanary", "eGNhbmFyeQ"),
        ("xxcanary-1", "eHhjYW5hcnktMQ"),
    ] {
        let found = marks.iter().any(|mark| encoded.contains(mark));
        assert!(found, "{text} {encoded} {marks:?}");
    }
}

/// Runs all faults on one pair of ways. Returns those whose mark a service has seen.
async fn run(edge: Way, middle: Option<Way>) -> BTreeSet<String> {
    let chain = Chain::start(edge, middle).await;
    for fault in all_faults() {
        // Of the others, one way of the handler is enough: the end of their calls is the same.
        let is_other = |way| way == Way::IntoInner;
        let is_short = !is_other(edge) && !middle.is_some_and(is_other);
        for method in METHODS.into_iter().take(if is_short { 3 } else { 5 }) {
            for response in chain.call(method, &fault).await {
                let case = format!("{edge:?} {middle:?} {method} {fault}");
                assert!(!response.starts_with(b"200"), "{case}");
                check(&response, &case);
            }
        }
    }
    let seen = chain.seen.lock().unwrap();
    seen.clone()
}

#[tokio::test]
async fn no_error_of_a_dependency_passes_an_edge() {
    let all: BTreeSet<String> = all_faults().iter().map(ToString::to_string).collect();
    for way in WAYS {
        let mut seen = run(way, Some(Way::QuestionMark)).await;
        seen.extend(run(way, None).await);
        seen.extend(run(Way::QuestionMark, Some(way)).await);
        // The text of a panic does not leave its process. Responses that cannot be read are not
        // described by their content.
        let without_mark = ["panic", "page 8", "page 9", "page 10", "page 15"];
        let missing = all.difference(&seen);
        let missing = missing.filter(|fault| !without_mark.contains(&fault.as_str()));
        let missing: Vec<_> = missing.collect();
        assert!(missing.is_empty(), "{way:?} {missing:?}");
    }
}

#[tokio::test]
async fn plain_routes_of_an_edge_disclose_nothing() {
    for middle in [None, Some(Way::QuestionMark), Some(Way::Trait)] {
        let chain = Chain::start(Way::QuestionMark, middle).await;
        for fault in all_faults() {
            for route in ["whole", "stream"] {
                let path = format!("/{route}/{}", fault.replace(' ', "%20"));
                let mut raw = Raw::connect(chain.edge.address()).await;
                raw.send(request("GET", &path, &[("Connection", "close")], b""))
                    .await
                    .unwrap();
                let received = raw.closed().await;
                assert!(received.starts_with(b"HTTP/1.1 502"), "{path}");
                check(&received, &path);
            }
        }
        let mut raw = Raw::connect(chain.edge.address()).await;
        let response = raw.ask(request("GET", "/panic", &[], b"")).await;
        assert_eq!(response.error(), (500, "internal".to_owned()));
        check(&response.body, "a panic");
    }
}

/// An edge tells the code of such an error, where it is kept, and a text for the code.
#[tokio::test]
async fn an_edge_describes_errors_behind_it_by_code() {
    let chain = Chain::start(Way::QuestionMark, Some(Way::QuestionMark)).await;
    let unavailable = "a service behind this one is unavailable";
    let late = "a service behind this one did not respond in time";
    let limit = "a call to a service behind this one exceeded a limit";
    let canceled = "a call to a service behind this one was canceled";
    let hidden = "internal error";
    for (code, text, fault) in [
        ("unavailable", unavailable, "rich unavailable"),
        ("unavailable", unavailable, "absent"),
        ("unavailable", unavailable, "page 1"),
        ("unavailable", unavailable, "page 4"),
        ("deadline_exceeded", late, "headers deadline_exceeded"),
        ("resource_exhausted", limit, "rich resource_exhausted"),
        ("canceled", canceled, "headers canceled"),
        ("internal", hidden, "rich unauthenticated"),
        ("internal", hidden, "rich not_found"),
        ("internal", hidden, "page 0"),
        ("internal", hidden, "page 8"),
        ("internal", hidden, "panic"),
    ] {
        let path = "/hidden.v1.Vault/Open";
        let message = serde_json::json!({ "fault": fault }).to_string();
        let mut raw = Raw::connect(chain.edge.address()).await;
        let response = raw.ask(post(path, message)).await;
        assert_eq!(response.error().1, code, "{fault}");
        assert_eq!(response.message(), text, "{fault}");
        let json = response.json();
        let details = json["details"].as_array().map_or(&[][..], Vec::as_slice);
        let is_delay = |detail: &serde_json::Value| detail["type"] == "google.rpc.RetryInfo";
        assert!(details.iter().all(is_delay), "{fault}: {json}");
    }
}

/// A trusted caller that asks for the chain reads there what our client says of a page.
#[tokio::test]
async fn the_chain_has_the_text_of_a_client() {
    let pages = start_pages().await;
    let relay = Relay {
        way: Way::QuestionMark,
        next: vec![("", client(&pages, Way::QuestionMark))],
        is_edge: false,
        seen: Seen::default(),
    };
    let middle = Running::start(relay.server()).await;
    let client = client(&middle.url(), Way::QuestionMark);
    for (fault, code) in [("page 0", Code::Unauthenticated), ("page 6", Code::Unknown)] {
        let error = client.open(fault).await.unwrap_err();
        assert_eq!(error.code(), Code::Internal, "{fault}");
        let origin = error.hops().last().unwrap();
        assert_eq!(origin.code, code, "{fault}");
        assert!(origin.message.contains("canary-page"), "{error:?}");
    }
    let error = client.open("page 1").await.unwrap_err();
    assert!(error.message().contains("canary-page"), "{error:?}");
}

/// A response above the client's limit is described without the limit and the address.
#[tokio::test]
async fn a_response_that_is_too_large_has_a_general_text() {
    let far = Running::start(Server::new("far").add(VaultServer::new(Far))).await;
    let limited = Client::new(&far.url()).unwrap();
    let limited = limited.message_limit(1).retry(RetryPolicy::off());
    let relay = Relay {
        way: Way::QuestionMark,
        next: vec![("", super::far_end::VaultClient::with_client(limited))],
        is_edge: true,
        seen: Seen::default(),
    };
    let edge = Running::start(relay.server().trust(Trust::Edge)).await;
    let message = r#"{"fault":"fine"}"#;
    let mut raw = Raw::connect(edge.address()).await;
    let response = raw.ask(post("/hidden.v1.Vault/Open", message)).await;
    let text = "a call to a service behind this one exceeded a limit";
    assert_eq!(response.error().1, "resource_exhausted");
    assert_eq!(response.message(), text);
}

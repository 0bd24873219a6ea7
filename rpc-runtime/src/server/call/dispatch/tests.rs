use std::sync::Mutex;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use serde_json::Value;

use super::*;
use crate::observe::{CallEnd, CallStart, Observer};
use crate::server::call::access::HttpAccess;
use crate::server::call::peer_origin::PeerOrigin;
use crate::server::inner::ServerConfig;

#[derive(Default)]
struct SourceRecorder(Mutex<Vec<(Option<String>, Option<Code>)>>);

impl Observer for SourceRecorder {
    fn call_ended(&self, call: &CallStart, end: &CallEnd<'_>) {
        let source = call.context.source().map(ToString::to_string);
        self.0.lock().unwrap().push((source, end.code()));
    }
}

fn inner(
    seen: &Arc<SourceRecorder>,
    plain: Option<(HttpAccess, axum::Router)>,
) -> Arc<ServerInner> {
    let config = ServerConfig {
        observers: vec![seen.clone()],
        plain: plain.into_iter().collect(),
        ..ServerConfig::new("wire".to_owned())
    };
    ServerInner::new(config, "wire@prod/1".parse().unwrap()).unwrap()
}

fn peer(trust: Trust, address: &str) -> Peer {
    Peer::new(trust, PeerOrigin::to_loopback(address.parse().unwrap()))
}

fn request() -> http::Request<Full<Bytes>> {
    http::Request::post("/a.B/C")
        .header("host", "localhost")
        .header("x-request-id", "r-1")
        .header("x-rpc-source", "gatekeeper@prod/1")
        .body(Full::new(Bytes::from_static(b"{}")))
        .unwrap()
}

async fn reply(inner: &Arc<ServerInner>, peer: Peer) -> (u16, String, Value) {
    let response = dispatch(
        inner,
        &peer,
        &inner.memory().unknown_peers(),
        request(),
        |_| (),
    )
    .await;
    let id = response.headers()["x-request-id"]
        .to_str()
        .unwrap()
        .to_owned();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (
        status,
        id,
        serde_json::from_slice(&body).unwrap_or_default(),
    )
}

#[tokio::test]
async fn a_peer_on_another_host_gets_only_advice() {
    let seen = Arc::new(SourceRecorder::default());
    let plain = axum::Router::new().route("/a.B/C", any(async || "plain"));
    let plain = (HttpAccess::default(), plain);
    for (fallback, advice) in [(None, "listen_edge"), (Some(plain), "http_for")] {
        let inner = inner(&seen, fallback);
        let (status, id, error) = reply(&inner, peer(Trust::Internal, "10.0.0.1:1")).await;
        assert_eq!((status, &error["code"]), (403, &"permission_denied".into()));
        assert!(
            error["message"].as_str().unwrap().contains(advice),
            "{error}"
        );
        assert_ne!(id, "r-1", "headers of an untrusted peer are ignored");
        assert!(!error.to_string().contains("wire@prod"), "{error}");
        assert_eq!(
            seen.0.lock().unwrap().pop(),
            Some((None, Some(Code::PermissionDenied)))
        );
    }
}

#[tokio::test]
async fn a_public_route_serves_a_peer_on_another_host() {
    let seen = Arc::new(SourceRecorder::default());
    let plain = axum::Router::new().route("/a.B/C", any(async || "plain"));
    let inner = inner(&seen, Some((HttpAccess::Public, plain)));
    let peer = peer(Trust::Internal, "10.0.0.1:1");
    let response = dispatch(
        &inner,
        &peer,
        &inner.memory().unknown_peers(),
        request(),
        |_| (),
    )
    .await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_ne!(response.headers()["x-request-id"], "r-1");
    assert_eq!(*seen.0.lock().unwrap(), [(None, None)]);
}

#[tokio::test]
async fn trust_in_a_peer_depends_on_its_listener() {
    let seen = Arc::new(SourceRecorder::default());
    let inner = inner(&seen, None);
    let ours = "gatekeeper@prod/1".to_owned();
    for (peer, trusted) in [
        (peer(Trust::Internal, "127.0.0.1:1"), true),
        (peer(Trust::Internal, "[::1]:1"), true),
        (peer(Trust::Edge, "127.0.0.1:1"), false),
        (peer(Trust::Edge, "10.0.0.1:1"), false),
        (Peer::mounted(Trust::Internal, None), true),
        (Peer::mounted(Trust::Edge, None), false),
    ] {
        let (status, id, _) = reply(&inner, peer.clone()).await;
        assert_eq!((status, id == "r-1"), (404, trusted), "{peer:?}");
        let source = trusted.then(|| ours.clone());
        let last = seen.0.lock().unwrap().pop();
        assert_eq!(last, Some((source, Some(Code::Unimplemented))));
    }
}

#[tokio::test]
async fn an_unknown_path_goes_to_the_applications_router() {
    let seen = Arc::new(SourceRecorder::default());
    let plain = axum::Router::new().route("/a.B/C", any(async || "plain"));
    let inner = inner(&seen, Some((HttpAccess::default(), plain)));
    let response = dispatch(
        &inner,
        &peer(Trust::Edge, "10.0.0.1:1"),
        &inner.memory().unknown_peers(),
        request(),
        |_| (),
    )
    .await;
    assert_eq!(response.headers()["x-request-id"].len(), 16);
    assert_eq!(
        response.into_body().collect().await.unwrap().to_bytes(),
        "plain"
    );
}

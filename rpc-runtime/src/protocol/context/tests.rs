#[cfg(feature = "server")]
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::*;
use crate::context::ServerInfo;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn headers(lines: &[(&'static str, &[u8])]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, HeaderValue::from_bytes(value).unwrap());
    }
    headers
}

fn context_of(lines: &[(&'static str, &[u8])], trusted: bool) -> Context {
    let incoming = read(&headers(lines), trusted, &"prod".into());
    assert!(incoming.rejection.is_none());
    let context = incoming.builder.build();
    assert_eq!(context.request_id(), incoming.id.as_str());
    context
}

fn rejection(lines: &[(&'static str, &[u8])]) -> Error {
    read(&headers(lines), true, &"prod".into())
        .rejection
        .expect("a rejection")
}

const ALL: [(&str, &[u8]); 8] = [
    ("x-request-id", b"r-1"),
    ("traceparent", PARENT.as_bytes()),
    ("tracestate", b"a=b"),
    ("baggage", b"tenant=blue"),
    ("x-rpc-source", b"gatekeeper@dev/1"),
    ("x-rpc-environment", b"dev"),
    ("x-rpc-hops", b"3"),
    ("x-rpc-attempt", b"2"),
];

#[test]
fn a_trusted_peer_sets_the_context() {
    let context = context_of(&ALL, true);
    assert_eq!(context.request_id(), "r-1");
    assert_eq!(context.client_request_id(), None);
    assert_eq!(context.trace().unwrap().to_string(), PARENT);
    assert_eq!(context.trace().unwrap().state(), Some("a=b"));
    assert_eq!(context.trace_link(), None);
    assert_eq!(context.baggage().get("tenant"), Some("blue"));
    assert_eq!(context.source().unwrap().as_str(), "gatekeeper@dev/1");
    assert_eq!(context.environment(), Some("dev"));
    assert_eq!((context.hops(), context.attempt()), (3, 2));
}

#[test]
fn an_untrusted_peer_does_not_set_the_context() {
    let context = context_of(&ALL, false);
    assert_ne!(context.request_id(), "r-1");
    assert_eq!(context.client_request_id(), Some("r-1"));
    assert_eq!(context.trace(), None);
    assert_eq!(context.trace_link().unwrap().to_string(), PARENT);
    assert!(context.baggage().is_empty());
    assert_eq!(context.source(), None);
    assert_eq!(context.environment(), Some("prod"));
    assert_eq!((context.hops(), context.attempt()), (0, 1));
}

#[test]
fn an_invalid_request_id_is_replaced() {
    let long = "a".repeat(10 << 10);
    let bad: [&[(&'static str, &[u8])]; 7] = [
        &[("x-request-id", b"")],
        &[("x-request-id", b"a b")],
        &[("x-request-id", b"\xc3\xa9")],
        &[("x-request-id", b"\"a\"")],
        &[("x-request-id", b"<script>")],
        &[("x-request-id", long.as_bytes())],
        &[("x-request-id", b"a"), ("x-request-id", b"a")],
    ];
    for lines in bad {
        for trusted in [true, false] {
            let context = context_of(lines, trusted);
            assert_eq!(context.request_id().len(), 16);
            assert_eq!(context.client_request_id(), None);
        }
    }
}

#[test]
fn invalid_hops_and_environments_are_rejected() {
    assert_eq!(
        rejection(&[("x-rpc-hops", b"17")]).code(),
        Code::FailedPrecondition
    );
    assert!(
        rejection(&[("x-rpc-hops", b"17")])
            .message()
            .contains("loop detected")
    );
    for (name, value) in [
        ("x-rpc-hops", &b"-1"[..]),
        ("x-rpc-hops", b"many"),
        ("x-rpc-hops", b"99999999999"),
        ("x-rpc-environment", b""),
        ("x-rpc-environment", b"a b"),
        ("x-rpc-environment", &[b'a'; 65]),
    ] {
        let error = rejection(&[(name, value)]);
        assert_eq!(error.code(), Code::InvalidArgument, "{name}");
        assert!(error.message().contains(name), "{error}");
    }
    let twice = [("x-rpc-hops", &b"1"[..]), ("x-rpc-hops", b"2")];
    assert_eq!(rejection(&twice).code(), Code::InvalidArgument);
}

#[test]
fn other_invalid_headers_are_ignored() {
    let large = "a=1,".repeat(2000);
    let context = context_of(
        &[
            ("traceparent", b"no trace"),
            ("baggage", large.as_bytes()),
            ("x-rpc-source", b"no source"),
            ("x-rpc-attempt", b"first"),
        ],
        true,
    );
    assert_eq!((context.trace(), context.source()), (None, None));
    assert!(context.baggage().is_empty());
    assert_eq!(context.attempt(), 1);
    let context = context_of(&[("baggage", b"a=1"), ("baggage", b"b=2")], true);
    assert_eq!(context.baggage().to_string(), "a=1,b=2");
}

#[test]
fn a_written_context_is_read() {
    let server = Arc::new("pricing@dev/2".parse().unwrap());
    let context = Context::builder(Propagated {
        environment: Some("dev".into()),
        trace: TraceContext::parse(PARENT, Some("a=b")),
        hops: 4,
        deadline: Some(Instant::now() + Duration::from_secs(1)),
        ..Propagated::new(RequestId::parse("r-1").unwrap())
    })
    .server_info(Arc::new(ServerInfo::new(server, None, crate::Flags::new())))
    .build();
    let outgoing = context
        .with_baggage("tenant", "blue, green")
        .unwrap()
        .child(None, None, None)
        .unwrap();
    let mut written = HeaderMap::new();
    write(&outgoing, &mut written);
    let incoming = read(&written, true, &"prod".into());
    assert!(incoming.rejection.is_none());
    let read = incoming.builder.build();
    assert_eq!(read.request_id(), "r-1");
    assert_eq!(read.source().unwrap().as_str(), "pricing@dev/2");
    assert_eq!(read.environment(), Some("dev"));
    assert_eq!(read.trace(), outgoing.trace());
    assert_eq!(read.baggage().get("tenant"), Some("blue, green"));
    assert_eq!(read.hops(), 5);
    assert!(
        !written.contains_key("x-rpc-attempt"),
        "the first attempt has no header"
    );
}

/// Counts events.
#[cfg(feature = "server")]
struct EventCounter(Arc<AtomicU32>);

#[cfg(feature = "server")]
impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for EventCounter {
    fn on_event(&self, _: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
#[cfg(feature = "server")]
fn a_missing_request_id_loses_no_event() {
    use tracing_subscriber::layer::SubscriberExt as _;
    use tracing_subscriber::{Layer as _, registry};

    let counted = Arc::new(AtomicU32::new(0));
    let counter = EventCounter(Arc::clone(&counted));
    let all = EventCounter(Arc::default()).with_filter(LevelFilter::TRACE);
    let subscriber = registry()
        .with(all)
        .with(counter.with_filter(LevelFilter::WARN));
    tracing::subscriber::with_default(subscriber, || {
        for _ in 0..3 {
            context_of(&[], false);
            tracing::warn!("follows");
        }
    });
    assert_eq!(counted.load(Ordering::Relaxed), 3);
}

//! Every field of every settings struct at 0, 1 and its largest value: the start names the field,
//! or calls are served.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rpc_runtime::backoff::{ExponentialBackoff, Jitter};
use rpc_runtime::idempotency::MemoryStore;
use rpc_runtime::logs::LogExporter;
use rpc_runtime::prelude::*;
use rpc_runtime::{Client, Compression, Limits, RateLimit, RetryPolicy};
use rpc_tests::Running;
use rpc_tests::raw::{Raw, post, post_with};
use rpc_tests::wait::{until, within};
use tokio::sync::Semaphore;

#[rpc_service(package = "settings.v1")]
trait Work {
    #[rpc(no_side_effects)]
    async fn next(&self, n: u64) -> Result<u64>;
    async fn keyed(&self, #[rpc(idempotency_key)] key: &str) -> Result<String>;
    async fn held(&self) -> Result<u64>;
}

struct Worker(Arc<Semaphore>);

impl Work for Worker {
    async fn next(&self, n: u64) -> Result<u64> {
        Ok(n + 1)
    }

    async fn keyed(&self, key: &str) -> Result<String> {
        Ok(key.to_owned())
    }

    async fn held(&self) -> Result<u64> {
        let permit = self.0.acquire().await;
        permit
            .map(|_| 1)
            .map_err(|error| Error::new(Code::Internal, error.to_string()))
    }
}

const NEXT: &str = "/settings.v1.Work/Next";
const NS: Duration = Duration::from_nanos(1);

fn server() -> Server {
    Server::new("work").add(WorkServer::new(Worker(Arc::new(Semaphore::new(1)))))
}

/// Returns the names of the fields that a `Debug` output has at its first level.
fn fields(debug: &str) -> BTreeSet<String> {
    let inner = debug.split_once(" {").map_or("", |(_, inner)| inner);
    let (mut depth, mut plain) = (0, String::new());
    for c in inner.chars() {
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => depth -= 1,
            _ if depth == 0 => plain.push(c),
            _ => {}
        }
    }
    let fields = plain.split(',').filter_map(|field| field.split_once(':'));
    fields.map(|(name, _)| name.trim().to_owned()).collect()
}

type SetLimit = (&'static str, fn(&mut Limits, Extreme));

/// The values of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Extreme {
    Zero,
    One,
    Largest,
}

use Extreme::{Largest, One, Zero};

impl Extreme {
    fn number(self) -> usize {
        [0, 1, usize::MAX][self as usize]
    }

    fn small(self) -> u32 {
        [0, 1, u32::MAX][self as usize]
    }

    fn time(self) -> Duration {
        [Duration::ZERO, NS, Duration::MAX][self as usize]
    }
}

const LIMITS: [SetLimit; 17] = [
    ("message_bytes", |limits, value| {
        limits.message_bytes = value.number();
    }),
    ("header_bytes", |limits, value| {
        limits.header_bytes = value.number();
    }),
    ("header_count", |limits, value| {
        limits.header_count = value.number();
    }),
    ("path_bytes", |limits, value| {
        limits.path_bytes = value.number();
    }),
    ("first_byte_timeout", |limits, value| {
        limits.first_byte_timeout = value.time();
    }),
    ("header_timeout", |limits, value| {
        limits.header_timeout = value.time();
    }),
    ("idle_timeout", |limits, value| {
        limits.idle_timeout = value.time();
    }),
    ("body_timeout", |limits, value| {
        limits.body_timeout = value.time();
    }),
    ("connections", |limits, value| {
        limits.connections = value.number();
    }),
    ("connections_per_peer", |limits, value| {
        limits.connections_per_peer = value.number();
    }),
    ("running_calls", |limits, value| {
        limits.running_calls = value.number();
    }),
    ("queued_calls", |limits, value| {
        limits.queued_calls = value.number();
    }),
    ("queue_timeout", |limits, value| {
        limits.queue_timeout = value.time();
    }),
    ("default_deadline", |limits, value| {
        limits.default_deadline = value.time();
    }),
    ("deadline_cap", |limits, value| {
        limits.deadline_cap = value.time();
    }),
    ("lame_duck", |limits, value| {
        limits.lame_duck = value.time();
    }),
    ("drain_timeout", |limits, value| {
        limits.drain_timeout = value.time();
    }),
];

/// The fields of which 0 and 1 are refused, except 1 where it is in the list.
const REFUSED_AT_0: [&str; 13] = [
    "message_bytes",
    "header_bytes",
    "header_count",
    "path_bytes",
    "first_byte_timeout",
    "header_timeout",
    "idle_timeout",
    "body_timeout",
    "connections",
    "connections_per_peer",
    "running_calls",
    "default_deadline",
    "deadline_cap",
];
const SERVES_AT_1: [&str; 3] = ["connections", "connections_per_peer", "running_calls"];

#[test]
fn every_field_of_the_limits_is_tested() {
    let tested: BTreeSet<_> = LIMITS.iter().map(|limit| limit.0.to_owned()).collect();
    assert_eq!(fields(&format!("{:?}", Limits::default())), tested);
}

#[tokio::test]
async fn limits_are_refused_by_name_or_serve() {
    for (field, set) in LIMITS {
        for value in [Zero, One, Largest] {
            let refused = match value {
                Zero => REFUSED_AT_0.contains(&field),
                One => REFUSED_AT_0.contains(&field) && !SERVES_AT_1.contains(&field),
                Largest => false,
            };
            let mut limits = Limits::default();
            set(&mut limits, value);
            let bound = server().limits(limits).listen("127.0.0.1:0").bind().await;
            let bound = match bound {
                Err(error) => {
                    assert!(refused, "{field} {value:?}: {error}");
                    assert_eq!(error.code(), Code::InvalidArgument, "{error}");
                    let name = format!("`Limits::{field}` is ");
                    assert!(error.message().starts_with(&name), "{error}");
                    continue;
                }
                Ok(bound) => bound,
            };
            assert!(!refused, "{field} {value:?} must be refused");
            let address = bound.addresses()[0];
            let serving = tokio::spawn(bound.serve(std::future::pending()));
            let mut raw = Raw::connect(address).await;
            let response = raw.ask(post(NEXT, r#"{"n":1}"#)).await;
            assert_eq!(response.value(), (200, 2.into()), "{field} {value:?}");
            // A second request on the connection, which was idle meanwhile.
            let response = raw.ask(post(NEXT, r#"{"n":2}"#)).await;
            assert_eq!(response.value(), (200, 3.into()), "{field} {value:?}");
            drop(raw);
            if field != "connections_per_peer" || value != One {
                let client = Client::new(&format!("http://{address}")).unwrap().http2();
                let client = WorkClient::with_client(client);
                assert_eq!(
                    within(client.next(1)).await.unwrap(),
                    2,
                    "{field} {value:?}"
                );
            }
            serving.abort();
        }
    }
}

#[tokio::test]
async fn the_smallest_limits_serve_the_smallest_call() {
    let mut limits = Limits::default();
    limits.message_bytes = 2;
    limits.header_count = 3;
    limits.header_bytes = 64;
    // The longest path of the server itself.
    limits.path_bytes = 1;
    let empty = Server::new("empty").limits(limits.clone()).into_router();
    let error = empty.unwrap_err();
    let least = error.message().rsplit_once(' ').map(|(_, least)| least);
    limits.path_bytes = least.unwrap().parse().unwrap();
    assert!(limits.path_bytes >= "/rpc.v1.Status/Get".len());
    let running = Running::start(Server::new("empty").limits(limits.clone())).await;
    let mut raw = Raw::connect(running.address()).await;
    let request = b"POST /rpc.v1.Status/Get HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
    assert_eq!(raw.ask(request).await.status, 200);
    // The longest path of the server counts.
    limits.path_bytes -= 1;
    let error = server().limits(limits).into_router().unwrap_err();
    assert!(error.message().contains("`Limits::path_bytes`"), "{error}");
}

#[tokio::test]
async fn every_way_to_start_checks_the_limits() {
    let mut limits = Limits::default();
    limits.running_calls = 0;
    let error = server().limits(limits.clone()).into_router().unwrap_err();
    assert!(
        error.message().contains("`Limits::running_calls`"),
        "{error}"
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let served = server().limits(limits).serve(listener, async {}).await;
    let error = served.unwrap_err();
    assert!(
        error.message().contains("`Limits::running_calls`"),
        "{error}"
    );
}

#[tokio::test]
async fn many_headers_are_served_without_a_limit() {
    let mut limits = Limits::default();
    limits.header_count = usize::MAX;
    limits.header_bytes = usize::MAX;
    let running = Running::start(server().limits(limits)).await;
    let names: Vec<_> = (0..2000).map(|n| format!("x-{n}")).collect();
    let lines: Vec<_> = names.iter().map(|name| (name.as_str(), "1")).collect();
    let request = post_with(NEXT, &lines, r#"{"n":1}"#);
    let mut raw = Raw::connect(running.address()).await;
    assert_eq!(raw.ask(request).await.value(), (200, 2.into()));
    // More than a header map can hold is a response and not a panic.
    let names: Vec<_> = (0..40_000).map(|n| format!("x-{n}")).collect();
    let lines: Vec<_> = names.iter().map(|name| (name.as_str(), "1")).collect();
    let request = post_with(NEXT, &lines, "{}");
    // The server responds before it has read the whole head.
    let _ = raw.send(request).await;
    let response = raw.try_response().await;
    assert!(response.is_ok_and(|response| response.status == 431));
}

#[tokio::test]
async fn a_call_waits_under_the_longest_queue_timeout() {
    let go = Arc::new(Semaphore::new(0));
    let mut limits = Limits::default();
    limits.running_calls = 1;
    limits.queued_calls = usize::MAX;
    limits.queue_timeout = Duration::MAX;
    limits.default_deadline = Duration::MAX;
    limits.deadline_cap = Duration::MAX;
    let work = WorkServer::new(Worker(Arc::clone(&go)));
    let running = Running::start(Server::new("work").add(work).limits(limits)).await;
    let client = WorkClient::connect(&running.url()).unwrap();
    let calls: Vec<_> = (0..3)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.held().timeout(Duration::MAX).await })
        })
        .collect();
    go.add_permits(1);
    for call in calls {
        assert_eq!(within(call).await.unwrap().unwrap(), 1);
    }
}

#[tokio::test]
async fn rate_limits_are_refused_by_name_or_serve() {
    for calls in [Zero, One, Largest] {
        for burst in [None, Some(Zero), Some(One), Some(Largest)] {
            for per in [RateLimit::per_second, RateLimit::per_minute] {
                let mut limit = per(calls.small());
                if let Some(burst) = burst {
                    limit = limit.burst(burst.small());
                }
                let shown = format!("{limit:?}");
                assert_eq!(fields(&shown).len(), 4, "a new field needs a test: {shown}");
                let server = server().rate_limit(limit).listen("127.0.0.1:0");
                let field = match (calls, burst) {
                    (Zero, _) => Some("`calls`"),
                    (_, Some(Zero)) => Some("`burst`"),
                    _ => None,
                };
                let bound = match (server.bind().await, field) {
                    (Ok(bound), None) => bound,
                    (Err(error), Some(field)) => {
                        assert!(error.message().contains(field), "{shown}: {error}");
                        continue;
                    }
                    (outcome, _) => panic!("{shown}: {:?}", outcome.err()),
                };
                let url = bound.url();
                let serving = tokio::spawn(bound.serve(std::future::pending()));
                let client = WorkClient::connect(&url).unwrap();
                assert_eq!(client.next(1).await.unwrap(), 2, "{shown}");
                if burst == Some(Largest) || (burst.is_none() && calls == Largest) {
                    for n in 0..50 {
                        assert_eq!(client.next(n).await.unwrap(), n + 1, "{shown}");
                    }
                }
                serving.abort();
            }
        }
    }
}

#[tokio::test]
async fn idempotency_stores_are_refused_by_name_or_serve() {
    type SetStore = (&'static str, fn(MemoryStore, Extreme) -> MemoryStore);
    let settings: [SetStore; 3] = [
        ("keep", |store, value| store.keep(value.time())),
        ("entries", |store, value| store.entries(value.number())),
        ("bytes", |store, value| store.bytes(value.number())),
    ];
    for (field, set) in settings {
        for value in [Zero, One, Largest] {
            let store = set(MemoryStore::new(), value);
            let server = server().idempotency_store(store).listen("127.0.0.1:0");
            let serves = value == Largest || field == "keep" || (field, value) == ("entries", One);
            let bound = match server.bind().await {
                Ok(bound) => bound,
                Err(error) => {
                    assert!(!serves, "{field} {value:?}: {error}");
                    assert!(error.message().contains(&format!("`{field}`")), "{error}");
                    continue;
                }
            };
            assert!(serves, "{field} {value:?} must be refused");
            let url = bound.url();
            let serving = tokio::spawn(bound.serve(std::future::pending()));
            let client = WorkClient::connect(&url).unwrap();
            for _ in 0..2 {
                assert_eq!(client.keyed("k").await.unwrap(), "k", "{field} {value:?}");
            }
            serving.abort();
        }
    }
}

#[tokio::test]
async fn clients_never_panic_and_stay_within_their_budget() {
    let running = Running::start(server()).await;
    let closed = Running::start(server()).await;
    let nowhere = closed.url();
    closed.stop().await;
    assert_eq!(fields(&format!("{:?}", RetryPolicy::default())).len(), 3);
    let mut policies = Vec::new();
    for value in [Zero, One, Largest] {
        let policy = RetryPolicy::default().backoff(Duration::ZERO, NS);
        policies.push(policy.attempts(value.small()));
        policies.push(policy.attempts(u32::MAX).budget_percent(value.small()));
        for other in [Zero, One, Largest] {
            policies.push(RetryPolicy::default().backoff(value.time(), other.time()));
        }
    }
    for policy in policies {
        let client = |url: &str| {
            let client = Client::new(url).unwrap().retry(policy).without_observers();
            WorkClient::with_client(client)
        };
        assert_eq!(within(client(&running.url()).next(1)).await.unwrap(), 2);
        let error = within(client(&nowhere).next(1)).await.unwrap_err();
        assert_eq!(error.code(), Code::Unavailable, "{policy:?}: {error}");
    }
    for value in [Zero, One, Largest] {
        let client = Client::new(&running.url()).unwrap();
        let hedged = WorkClient::with_client(client.clone().hedge(value.time()));
        assert_eq!(within(hedged.next(1)).await.unwrap(), 2, "{value:?}");
        let limited = WorkClient::with_client(client.timeout(value.time()));
        let outcome = within(limited.next(1)).await;
        let code = outcome.as_ref().err().map(Remote::code);
        let expected = (value != Largest).then_some(Code::DeadlineExceeded);
        assert_eq!(code, expected, "{value:?}");
    }
}

#[tokio::test]
async fn limits_of_client_and_call_hold_on_all_transports() {
    let running = Running::start(server()).await;
    let remote = Client::new(&running.url()).unwrap();
    let local = server().into_local_client().unwrap();
    for client in [remote.clone(), remote.http2(), local] {
        for value in [Zero, One, Largest] {
            let limit = value.number();
            let limited = WorkClient::with_client(client.clone().message_limit(limit));
            let plain = WorkClient::with_client(client.clone());
            for call in [limited.next(1), plain.next(1).message_limit(limit)] {
                let outcome = within(call).await;
                if value == Largest {
                    assert_eq!(outcome.unwrap(), 2);
                    continue;
                }
                let error = outcome.unwrap_err();
                assert_eq!(error.code(), Code::ResourceExhausted, "{error}");
                let limit = format!("limit of {limit} bytes");
                assert!(error.message().contains(&limit), "{error}");
            }
            // The limit of a call takes precedence.
            let call = limited.next(1).message_limit(100);
            assert_eq!(within(call).await.unwrap(), 2);
            let outcome = within(plain.next(1).timeout(value.time())).await;
            let code = outcome.as_ref().err().map(Remote::code);
            let expected = (value != Largest).then_some(Code::DeadlineExceeded);
            assert_eq!(code, expected, "{value:?}");
            let compression = Compression::gzip().min_size(value.number());
            let call = plain.next(1).compression(compression);
            assert_eq!(within(call).await.unwrap(), 2, "{value:?}");
        }
    }
}

#[test]
fn every_backoff_is_within_its_bounds() {
    for jitter in [Jitter::None, Jitter::Equal, Jitter::Full] {
        for (min, max) in [
            (Zero, Zero),
            (Zero, One),
            (One, Largest),
            (Largest, Largest),
            (Largest, Zero),
        ] {
            let backoff = ExponentialBackoff::new(min.time(), max.time(), jitter);
            for failures in [0, 1, u32::MAX] {
                assert!(backoff.delay(failures) <= max.time(), "{backoff:?}");
            }
        }
    }
}

/// Serves until `stop`, and returns the address and the end.
async fn serve_until(
    limits: Limits,
    stop: impl Future<Output = ()> + Send + 'static,
) -> (std::net::SocketAddr, tokio::task::JoinHandle<()>) {
    let bound = server().limits(limits).listen("127.0.0.1:0").bind().await;
    let bound = bound.unwrap();
    (bound.addresses()[0], tokio::spawn(bound.serve(stop)))
}

#[tokio::test]
async fn a_server_stops_with_every_lame_duck_and_drain_time() {
    for value in [Zero, One, Largest] {
        let mut limits = Limits::default();
        limits.drain_timeout = value.time();
        let (_, serving) = serve_until(limits, async {}).await;
        within(serving).await.unwrap();

        let mut limits = Limits::default();
        limits.lame_duck = value.time();
        let (address, serving) = serve_until(limits, async {}).await;
        if value != Largest {
            within(serving).await.unwrap();
            continue;
        }
        // It says that it is not ready, and serves until its process is ended.
        until(async || {
            let mut raw = Raw::connect(address).await;
            let probe = "GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n";
            raw.ask(probe).await.status == 503
        })
        .await;
        let mut raw = Raw::connect(address).await;
        let response = raw.ask(post(NEXT, r#"{"n":1}"#)).await;
        assert_eq!(response.value(), (200, 2.into()));
        serving.abort();
    }
}

#[tokio::test]
async fn log_exporters_are_refused_by_name_or_start() {
    let sink = || Client::new("http://127.0.0.1:1").unwrap();
    for value in [Zero, One, Largest] {
        let spool = u64::try_from(value.number()).unwrap();
        let folder = std::env::temp_dir().join(format!("rpc-settings-{}", std::process::id()));
        for (field, builder) in [
            (
                "memory_limit",
                LogExporter::builder(sink())
                    .memory_only()
                    .memory_limit(value.number()),
            ),
            (
                "spool_limit",
                LogExporter::builder(sink())
                    .spool(&folder)
                    .spool_limit(spool),
            ),
        ] {
            let shown = format!("{builder:?}");
            assert_eq!(fields(&shown).len(), 6, "a new field needs a test: {shown}");
            match builder.start() {
                Ok(exporter) => {
                    assert_eq!(value, Largest, "{field} must be refused");
                    exporter.shutdown(Duration::ZERO).await;
                }
                Err(error) => {
                    assert_ne!(value, Largest, "{field}: {error}");
                    assert_eq!(error.code(), Code::InvalidArgument, "{error}");
                    let name = format!("`{field}` of the log exporter");
                    assert!(error.message().starts_with(&name), "{error}");
                }
            }
        }
        // It exists only after a start.
        let _ = std::fs::remove_dir_all(&folder);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn socket_modes_are_refused_by_name_or_serve() {
    let path = std::env::temp_dir().join(format!("rpc-mode-{}.sock", std::process::id()));
    let address = format!("unix:{}", path.display());
    for (mode, is_valid) in [
        (0, false),
        (1, false),
        (0o400, false),
        (0o1777, false),
        (u32::MAX, false),
        (0o200, true),
        (0o777, true),
    ] {
        match server().listen(&address).socket_mode(mode).bind().await {
            Ok(_) => assert!(is_valid, "{mode:o}"),
            Err(error) => {
                assert!(!is_valid, "{mode:o}: {error}");
                assert_eq!(error.code(), Code::InvalidArgument, "{error}");
                assert!(error.message().contains("`socket_mode`"), "{error}");
            }
        }
    }
    std::fs::remove_file(path.with_extension("sock.lock")).unwrap();
}

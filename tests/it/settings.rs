//! Every field of every settings struct at 0, 1 and its largest value: the start names the field,
//! or calls are served.

mod limits;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rpc_runtime::backoff::{ExponentialBackoff, Jitter};
use rpc_runtime::idempotency::MemoryStore;
use rpc_runtime::logs::LogExporter;
use rpc_runtime::prelude::*;
use rpc_runtime::{Client, Compression, Limits, RateLimit, RetryPolicy};
use rpc_tests::Running;
use rpc_tests::raw::{Raw, post};
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
                assert_eq!(fields(&shown).len(), 5, "a new field needs a test: {shown}");
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

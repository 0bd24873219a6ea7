//! Export of log lines from a server to the sink, with and without failures.

#[cfg(unix)]
mod processes;
mod unavailable;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rpc_runtime::logs::{Level, LogExporter, LogExporterBuilder, Logs, LogsServer, Record};
use rpc_runtime::prelude::*;
use rpc_runtime::testing::Proxy;
use rpc_runtime::{Client, RequestId, Secret};
use rpc_tests::Running;
use rpc_tests::folder::Folder;
use rpc_tests::wait::until;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::layer::SubscriberExt as _;

/// Timeout of waits for events that normally occur at once.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A sink that stores each record once, identified by its sequence number.
#[derive(Clone, Default)]
struct Sink(Arc<SinkState>);

#[derive(Default)]
struct SinkState {
    records: Mutex<Vec<Record>>,
    /// Number of records that arrived repeatedly.
    repeated: AtomicUsize,
    calls: AtomicUsize,
}

impl Logs for Sink {
    async fn append(&self, records: &[Record]) -> Result<u32> {
        let calls = self.0.calls.fetch_add(1, Ordering::SeqCst);
        // A log line of the sink itself; exporting it would cause an endless loop.
        tracing::warn!(calls, "records came");
        if let Some(record) = records.iter().find(|record| record.text == "poison") {
            fail!(Code::InvalidArgument, "not this one: {:?}", record.sequence);
        }
        let mut kept = self.0.records.lock().unwrap();
        let before = kept.len();
        for record in records {
            let is_new = kept.iter().all(|other| key(other) != key(record));
            if is_new {
                kept.push(record.clone());
            } else {
                self.0.repeated.fetch_add(1, Ordering::SeqCst);
            }
        }
        Ok(u32::try_from(kept.len() - before).unwrap())
    }
}

fn key(record: &Record) -> (String, u64, u64) {
    let source = record.source.to_string();
    (source, record.epoch.unwrap(), record.sequence.unwrap())
}

impl Sink {
    async fn start(&self) -> Running {
        Running::start(Server::new("sink").add(LogsServer::new(self.clone()))).await
    }

    fn records(&self) -> Vec<Record> {
        self.0.records.lock().unwrap().clone()
    }

    fn texts(&self) -> Vec<String> {
        self.records()
            .into_iter()
            .map(|record| record.text)
            .collect()
    }

    /// Waits until the sink has this many records.
    async fn has(&self, count: usize) -> Vec<Record> {
        until(async || self.records().len() >= count).await;
        self.records()
    }
}

/// Starts a sink that cannot be reached until its proxy accepts connections.
async fn start_unreachable() -> (Sink, Running, Proxy) {
    let sink = Sink::default();
    let there = sink.start().await;
    let mut proxy = Proxy::start(there.address()).await.unwrap();
    proxy.refuse().await;
    (sink, there, proxy)
}

/// The folder of a spool.
struct SpoolFolder(Folder);

impl SpoolFolder {
    fn new() -> Self {
        Self(Folder::missing())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Returns the lines of all segments.
    fn lines(&self) -> usize {
        let folders = |path: &Path| {
            let entries = std::fs::read_dir(path).into_iter().flatten();
            entries
                .map(|entry| entry.unwrap().path())
                .collect::<Vec<_>>()
        };
        let files = folders(self.path())
            .into_iter()
            .flat_map(|session| folders(&session));
        let segments = files.filter(|path| path.extension().is_some_and(|e| e == "jsonl"));
        // A segment that was deleted meanwhile has been sent.
        segments
            .map(|path| std::fs::read_to_string(path).map_or(0, |text| text.lines().count()))
            .sum()
    }
}

fn builder(url: &str) -> LogExporterBuilder {
    let client = Client::new(url).unwrap();
    LogExporter::builder(client)
        .source("process@dev/1".parse().unwrap())
        .memory_only()
}

/// Installs the exporter for the events of this thread, on which all tasks of such a test run.
fn start(builder: LogExporterBuilder) -> (LogExporter, DefaultGuard) {
    let exporter = builder.start().unwrap();
    let subscriber = tracing_subscriber::registry().with(exporter.layer());
    (exporter, tracing::subscriber::set_default(subscriber))
}

#[rpc_service(package = "logs.v1")]
trait Shop {
    async fn buy(&self, what: &str) -> Result<()>;
    async fn refuse(&self, password: Secret<String>) -> Result<()>;
}

struct Counter;

impl Shop for Counter {
    async fn buy(&self, what: &str) -> Result<()> {
        tracing::info!(target: "shop", what, "bought");
        Ok(())
    }

    async fn refuse(&self, password: Secret<String>) -> Result<()> {
        tracing::error!(target: "shop", ?password, other = %password, "refused {password:?}");
        fail!(Code::Aborted, "not with {password}")
    }
}

fn shop(instance: &str) -> Server {
    Server::new("shop")
        .environment("dev")
        .instance(instance)
        .add(ShopServer::new(Counter))
}

async fn buy(client: &ShopClient, request: &str, what: &str) {
    let context = Context::for_request(RequestId::parse(request).unwrap());
    context.enter(|| client.buy(what)).await.unwrap();
}

#[tokio::test]
async fn an_event_arrives_with_server_request_and_level() {
    let sink = Sink::default();
    let there = sink.start().await;
    let (exporter, _guard) = start(builder(&there.url()));
    let running = Running::start(shop("a")).await;
    let client = ShopClient::connect(&running.url()).unwrap();
    buy(&client, "r1", "tea").await;
    buy(&client, "r2", "tea and cake").await;
    tracing::warn!("outside of any server");
    tracing::debug!("not shipped");

    let records = sink.has(3).await;
    let seen: Vec<_> = records
        .iter()
        .map(|record| {
            let id = record
                .request_id
                .map_or("-".to_owned(), |id| id.to_string());
            let Record {
                source,
                target,
                text,
                ..
            } = record;
            format!("{source} {} {id} {target} {text}", record.sequence.unwrap())
        })
        .collect();
    assert_eq!(
        seen,
        [
            "shop@dev/a 1 r1 shop bought what=tea",
            "shop@dev/a 2 r2 shop bought what=\"tea and cake\"",
            "process@dev/1 1 - it::logs outside of any server",
        ]
    );
    let levels: Vec<_> = records.iter().map(|record| record.level).collect();
    assert_eq!(levels, [Level::Info, Level::Info, Level::Warn]);
    let status = exporter.shutdown(TIMEOUT).await;
    assert_eq!((status.sent, status.queued, status.sink_up), (3, 0, true));
    assert_eq!(status.dropped.to_string(), "none");
}

#[tokio::test]
async fn two_servers_in_one_process_are_two_sources() {
    let sink = Sink::default();
    let there = sink.start().await;
    let (exporter, _guard) = start(builder(&there.url()));
    let running = [
        Running::start(shop("a")).await,
        Running::start(shop("b")).await,
    ];
    let [to_a, to_b] = running
        .each_ref()
        .map(|running| ShopClient::connect(&running.url()).unwrap());
    for n in 0..10 {
        buy(&to_a, "r", &format!("{n}")).await;
        buy(&to_b, "r", &format!("{n}")).await;
    }
    let status = exporter.shutdown(TIMEOUT).await;
    assert_eq!(status.sent, 20);
    let mut by_source: BTreeMap<String, Vec<(u64, String)>> = BTreeMap::new();
    for record in sink.records() {
        let of = by_source.entry(record.source.to_string()).or_default();
        of.push((record.sequence.unwrap(), record.text));
    }
    assert_eq!(by_source.len(), 2);
    for (source, records) in by_source {
        let expected = (0..10).map(|n| (n + 1, format!("bought what={n}")));
        assert!(
            records.iter().cloned().eq(expected),
            "{source}: {records:?}"
        );
    }
}

#[tokio::test]
async fn failed_calls_are_exported_over_every_transport() {
    let sink = Sink::default();
    let there = sink.start().await;
    let (exporter, _guard) = start(builder(&there.url()).filter("off,rpc=warn").unwrap());
    let running = Running::start(shop("a")).await;
    let http = Client::new(&running.url()).unwrap();
    let clients = [
        http.clone(),
        http.http2(),
        shop("a").into_local_client().unwrap(),
    ];
    for (n, client) in clients.into_iter().enumerate() {
        let client = ShopClient::with_client(client.without_observers());
        buy(&client, "fine", "tea").await;
        let context = Context::for_request(RequestId::parse(&format!("r{n}")).unwrap());
        let password = Secret::new("canary".to_owned());
        context.enter(|| client.refuse(password)).await.unwrap_err();
    }
    exporter.shutdown(TIMEOUT).await;
    let records = sink.records();
    assert_eq!(records.len(), 3, "{records:?}");
    for (n, record) in records.iter().enumerate() {
        assert_eq!(record.source.as_str(), "shop@dev/a");
        assert_eq!(record.request_id.unwrap().as_str(), format!("r{n}"));
        assert_eq!((record.level, &*record.target), (Level::Warn, "rpc"));
        let text = &record.text;
        assert!(text.starts_with("call side=server source="), "{text}");
        assert!(
            text.contains("rpc.method=logs.v1.Shop/Refuse code=aborted"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn the_lines_of_log_rpc_are_exported() {
    let sink = Sink::default();
    let there = sink.start().await;
    let (exporter, _guard) = start(builder(&there.url()));
    let server = shop("a").flag(&rpc_runtime::flags::LOG_RPC, true);
    let running = Running::start(server).await;
    let client = ShopClient::connect(&running.url()).unwrap();
    buy(&client, "r1", "tea").await;
    exporter.shutdown(TIMEOUT).await;
    let records = sink.records();
    let line = records
        .iter()
        .find(|record| record.text.starts_with("RPC r1 -->shop:buy("))
        .unwrap_or_else(|| panic!("{records:#?}"));
    assert_eq!(line.source.as_str(), "shop@dev/a");
    assert_eq!(line.request_id.unwrap().as_str(), "r1");
}

#[tokio::test]
async fn a_secret_never_shows() {
    let sink = Sink::default();
    let there = sink.start().await;
    let (exporter, _guard) = start(builder(&there.url()).filter("trace").unwrap());
    let running = Running::start(shop("a")).await;
    let client = ShopClient::connect(&running.url()).unwrap();
    let password = Secret::new("canary".to_owned());
    client.refuse(password).await.unwrap_err();
    exporter.shutdown(TIMEOUT).await;
    let texts = sink.texts();
    let refused = "refused *** password=*** other=***";
    assert!(texts.iter().any(|text| text == refused), "{texts:#?}");
    assert!(
        texts.iter().all(|text| !text.contains("canary")),
        "{texts:#?}"
    );
}

#[tokio::test]
async fn a_sink_and_the_exporter_export_no_own_records() {
    let sink = Sink::default();
    // The sink runs on this thread with the layer installed, and all levels enabled.
    let (there, proxied) = {
        let there = sink.start().await;
        let proxy = Proxy::start(there.address()).await.unwrap();
        (there, proxy)
    };
    let (exporter, _guard) = start(builder(&proxied.url()).filter("warn").unwrap());
    for n in 0..10 {
        tracing::warn!("{n}");
        sink.has(n + 1).await;
    }
    assert!(sink.0.calls.load(Ordering::SeqCst) >= 10);
    // Returns when nothing is left to send, which an export loop would prevent.
    let status = exporter.shutdown(TIMEOUT).await;
    assert_eq!((status.sent, status.queued), (10, 0));
    assert_eq!(sink.records().len(), 10);
    drop(there);
}

/// Logs ten lines in a server, which an unavailable sink must not affect.
async fn ten_calls() {
    let running = Running::start(shop("a")).await;
    let client = ShopClient::connect(&running.url()).unwrap();
    for n in 0..10 {
        buy(&client, "r", &n.to_string()).await;
    }
}

fn ten_texts(times: usize) -> Vec<String> {
    let ten = (0..10).map(|n| format!("bought what={n}"));
    std::iter::repeat_n(ten, times).flatten().collect()
}

//! Export of log lines from a server to the sink, with and without failures.

#[cfg(unix)]
mod processes;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rpc_runtime::logs::{Level, LogExporter, LogExporterBuilder, Logs, LogsServer, Record};
use rpc_runtime::prelude::*;
use rpc_runtime::testing::{NetworkFault, Proxy};
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

#[tokio::test]
async fn a_sink_that_was_away_gets_all_records_in_order() {
    let sink = Sink::default();
    let there = sink.start().await;
    let mut proxy = Proxy::start(there.address()).await.unwrap();
    proxy.refuse().await;
    let folder = SpoolFolder::new();
    let (exporter, _guard) = start(builder(&proxy.url()).spool(folder.path()));
    // Unavailable at the start …
    ten_calls().await;
    until(async || folder.lines() == 10).await;
    until(async || !exporter.status().sink_up).await;
    assert_eq!(exporter.status().queued, 0, "the record is in the spool");
    assert_eq!(sink.records().len(), 0);
    ten_calls().await;
    proxy.accept().await.unwrap();
    sink.has(20).await;
    // … and later.
    proxy.refuse().await;
    ten_calls().await;
    until(async || folder.lines() == 10).await;
    proxy.accept().await.unwrap();
    sink.has(30).await;
    let status = exporter.shutdown(TIMEOUT).await;
    assert_eq!(sink.texts(), ten_texts(3));
    assert_eq!(
        (status.sent, status.spooled_bytes, status.sink_up),
        (30, 0, true)
    );
    assert_eq!((folder.lines(), status.dropped.total()), (0, 0));
}

#[tokio::test]
async fn a_batch_with_a_lost_response_is_sent_again() {
    let sink = Sink::default();
    let there = sink.start().await;
    let proxy = Proxy::start(there.address()).await.unwrap();
    let folder = SpoolFolder::new();
    for spool in [true, false] {
        proxy.set(NetworkFault::CutResponses { after: 0 });
        let mut builder = builder(&proxy.url());
        if spool {
            builder = builder.spool(folder.path());
        }
        let repeated = &sink.0.repeated;
        repeated.store(0, Ordering::SeqCst);
        let (exporter, _guard) = start(builder);
        ten_calls().await;
        until(async || repeated.load(Ordering::SeqCst) > 0).await;
        proxy.set(NetworkFault::None);
        until(async || exporter.status().sent == 10).await;
        let status = exporter.shutdown(TIMEOUT).await;
        assert_eq!((status.sent, status.dropped.total()), (10, 0));
    }
    assert_eq!(sink.texts(), ten_texts(2));
}

#[tokio::test]
async fn a_silent_sink_delays_no_call_and_no_shutdown() {
    let sink = Sink::default();
    let there = sink.start().await;
    let proxy = Proxy::start(there.address()).await.unwrap();
    proxy.set(NetworkFault::BlackHole);
    let folder = SpoolFolder::new();
    {
        let (exporter, _guard) = start(builder(&proxy.url()).spool(folder.path()));
        ten_calls().await;
        // Long before the timeout of the call, so that killing the process loses nothing.
        until(async || folder.lines() == 10).await;
        let timeout = Duration::from_millis(300);
        let status = tokio::time::timeout(TIMEOUT, exporter.shutdown(timeout)).await;
        let status = status.unwrap();
        assert_eq!(
            (status.sent, status.queued, status.dropped.total()),
            (0, 0, 0)
        );
        assert_eq!(folder.lines(), 10);
    }
    proxy.set(NetworkFault::None);
    // The next session sends the records left by the last one, with their numbers, and then new
    // ones.
    let (exporter, _guard) = start(builder(&proxy.url()).spool(folder.path()));
    ten_calls().await;
    let records = sink.has(20).await;
    let status = exporter.shutdown(TIMEOUT).await;
    assert_eq!(status.sent, 20);
    assert_eq!(sink.texts(), ten_texts(2));
    let epochs: Vec<_> = records.iter().map(|record| record.epoch.unwrap()).collect();
    assert!(epochs[0] < epochs[19], "{epochs:?}");
    assert!(epochs[..10].iter().all(|epoch| *epoch == epochs[0]));
    assert!(epochs[10..].iter().all(|epoch| *epoch == epochs[19]));
}

#[tokio::test]
async fn records_over_the_limit_are_dropped_and_counted() {
    let sink = Sink::default();
    let there = sink.start().await;
    let mut proxy = Proxy::start(there.address()).await.unwrap();
    proxy.refuse().await;
    let (exporter, _guard) = start(builder(&proxy.url()).memory_limit(20_000));
    for n in 0..1000 {
        tracing::info!("{n}");
    }
    let status = exporter.status();
    let dropped = usize::try_from(status.dropped.queue_full).unwrap();
    assert!(dropped > 500, "{status:?}");
    assert_eq!(status.queued + dropped, 1000);
    assert!(rpc_runtime::logs::dropped() >= status.dropped.queue_full);
    proxy.accept().await.unwrap();
    let records = sink.has(status.queued + 1).await;
    let status = exporter.shutdown(TIMEOUT).await;
    assert_eq!(usize::try_from(status.dropped.total()).unwrap(), dropped);
    let (last, kept) = records.split_last().unwrap();
    assert_eq!(
        last.text,
        format!(
            "{dropped} log records were dropped: {dropped} queue full ({dropped} since the start)"
        )
    );
    assert_eq!(last.level, Level::Warn);
    // The gap in the numbers equals the count.
    assert!(
        kept.iter()
            .enumerate()
            .all(|(n, record)| record.text == n.to_string())
    );
    assert_eq!(last.sequence, Some(1001));
}

#[tokio::test]
async fn a_full_spool_drops_the_oldest() {
    let sink = Sink::default();
    let there = sink.start().await;
    let mut proxy = Proxy::start(there.address()).await.unwrap();
    proxy.refuse().await;
    let folder = SpoolFolder::new();
    let (exporter, _guard) = start(
        builder(&proxy.url())
            .spool(folder.path())
            .spool_limit(20_000),
    );
    tracing::info!("first");
    until(async || !exporter.status().sink_up).await;
    for n in 0..1000 {
        tracing::info!("{n}");
    }
    // The first record is in flight. It returns to memory once it is evicted; all others are then
    // on disk or dropped.
    let is_settled = || {
        let status = exporter.status();
        let dropped = usize::try_from(status.dropped.spool_full).unwrap();
        status.queued == 1 && folder.lines() + dropped == 1000
    };
    until(async || is_settled()).await;
    let status = exporter.status();
    let dropped = usize::try_from(status.dropped.spool_full).unwrap();
    assert!(dropped > 500, "{status:?}");
    assert!(status.spooled_bytes <= 20_000, "{status:?}");
    proxy.accept().await.unwrap();
    sink.has(1001 - dropped + 1).await;
    exporter.shutdown(TIMEOUT).await;
    let said = format!("{dropped} log records were dropped: {dropped} spool full");
    let (about, texts): (Vec<_>, Vec<_>) = sink
        .texts()
        .into_iter()
        .partition(|text| text.starts_with(&said));
    assert_eq!(about.len(), 1, "{texts:?}");
    assert_eq!(texts[0], "first");
    let newest = (dropped..1000).map(|n| n.to_string());
    assert!(texts[1..].iter().cloned().eq(newest), "{texts:?}");
}

#[tokio::test]
async fn a_record_rejected_by_the_sink_is_dropped_alone() {
    let sink = Sink::default();
    let there = sink.start().await;
    let (exporter, _guard) = start(builder(&there.url()));
    for n in 0..500 {
        tracing::info!("{n}");
        if n == 321 {
            tracing::info!("poison");
        }
    }
    let records = sink.has(501).await;
    let status = exporter.shutdown(TIMEOUT).await;
    assert_eq!(
        (status.dropped.refused, status.dropped.total(), status.sent),
        (1, 1, 501)
    );
    assert_eq!(
        records[500].text,
        "1 log record was dropped: 1 refused (1 since the start)"
    );
    let expected = (0..500).map(|n| n.to_string());
    assert!(
        records[..500]
            .iter()
            .map(|record| record.text.clone())
            .eq(expected)
    );
}

#[tokio::test]
async fn without_a_spool_shutdown_counts_unsent_records() {
    let proxy = {
        let mut proxy = Proxy::start("127.0.0.1:1".parse().unwrap()).await.unwrap();
        proxy.refuse().await;
        proxy
    };
    let (exporter, _guard) = start(builder(&proxy.url()));
    for n in 0..7 {
        tracing::info!("{n}");
    }
    let status = exporter.shutdown(Duration::from_millis(100)).await;
    assert_eq!(
        (status.dropped.unsent, status.dropped.total(), status.queued),
        (7, 7, 0)
    );
}

/// Logs numbered events until the spool has at least so many lines; returns how many were logged.
async fn fill_spool(folder: &SpoolFolder, first: usize, lines: usize) -> usize {
    let mut count = 0;
    until(async || {
        tracing::info!("text {}", first + count);
        count += 1;
        folder.lines() >= lines
    })
    .await;
    count
}

#[tokio::test]
async fn records_of_a_removed_spool_are_counted() {
    let folder = SpoolFolder::new();
    let sink = Sink::default();
    let there = sink.start().await;
    let mut proxy = Proxy::start(there.address()).await.unwrap();
    proxy.refuse().await;
    let (exporter, _guard) = start(builder(&proxy.url()).spool(folder.path()));
    let mut logged = fill_spool(&folder, 0, 40).await;
    std::fs::remove_dir_all(folder.path()).unwrap();
    until(async || exporter.status().dropped.removed > 0).await;
    // The spool goes on in a new folder.
    logged += fill_spool(&folder, logged, 5).await;
    proxy.accept().await.unwrap();
    tracing::info!("the last one");
    until(async || sink.texts().contains(&"the last one".to_owned())).await;
    until(async || {
        sink.texts()
            .iter()
            .any(|text| text.contains("removed from the spool"))
    })
    .await;
    let dropped = exporter.status().dropped;
    assert_eq!(dropped.total(), dropped.removed, "{dropped}");
    let records = sink.records();
    let texts = records
        .iter()
        .filter(|record| record.text.starts_with("text "));
    let removed = usize::try_from(dropped.removed).unwrap();
    assert_eq!(texts.count() + removed, logged);
    exporter.shutdown(TIMEOUT).await;
}

#[tokio::test]
async fn a_spool_removed_before_the_end_is_counted() {
    let ways: [fn(&SpoolFolder, &SpoolFolder); 3] = [
        |folder, _| std::fs::remove_dir_all(folder.path()).unwrap(),
        |folder, elsewhere| std::fs::rename(folder.path(), elsewhere.path()).unwrap(),
        |folder, elsewhere| {
            let mut entries = std::fs::read_dir(folder.path()).unwrap();
            let session = entries.find(|entry| entry.as_ref().unwrap().path().is_dir());
            std::fs::rename(session.unwrap().unwrap().path(), elsewhere.path()).unwrap();
        },
    ];
    for lose in ways {
        let (folder, elsewhere) = (SpoolFolder::new(), SpoolFolder::new());
        let there = Sink::default().start().await;
        let mut proxy = Proxy::start(there.address()).await.unwrap();
        proxy.refuse().await;
        let (exporter, guard) = start(builder(&proxy.url()).spool(folder.path()));
        let logged = fill_spool(&folder, 0, 20).await;
        drop(guard);
        until(async || exporter.status().queued == 0).await;
        lose(&folder, &elsewhere);
        let status = exporter.shutdown(TIMEOUT).await;
        // Those that were being sent are still in memory, and are spooled again.
        let dropped = usize::try_from(status.dropped.total()).unwrap();
        assert_eq!(dropped + folder.lines(), logged, "{}", status.dropped);
    }
}

#[tokio::test]
async fn a_spool_that_cannot_be_used_ends_the_start() {
    let folder = SpoolFolder::new();
    std::fs::write(folder.path(), "a file").unwrap();
    let error = builder("http://127.0.0.1:1")
        .spool(folder.path().join("x"))
        .start()
        .unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
    assert!(
        error
            .message()
            .starts_with("cannot open the log spool in /"),
        "{error}"
    );
    std::fs::remove_file(folder.path()).unwrap();
}

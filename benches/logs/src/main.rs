//! Log events at an even pace during small calls: lost records, and the effect on the calls.
//!
//! `cargo run --release -p bench-logs [EVENTS_A_SECOND] [SECONDS]`, in `benches`. The sink is a
//! server in a separate process that counts records and discards them, so only the sending side is
//! measured. The calls go to a server in this process, one at a time, while other tasks of its
//! runtime write the events. Rounds: no events; events without a subscriber; events formatted and
//! discarded; events exported to the sink.
//!
//! `cargo run --release -p bench-logs accept URL` measures the other side: how many records a
//! second the log sink at a URL accepts. Discard its standard output.

mod accept;

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bench_work::{EchoClient, EchoServer, Handlers, NAME};
use nix::time::ClockId;
use rpc_runtime::logs::{LogExporter, LogExporterStatus, Logs, LogsClient, LogsServer, Record};
use rpc_runtime::prelude::*;
use rpc_runtime::{Client, Source};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::instrument::WithSubscriber as _;
use tracing_subscriber::layer::SubscriberExt as _;

type Outcome<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Number of bursts of events a second.
const TICKS: u32 = 1000;

/// The text of an event without its number; about 80 bytes together.
const MESSAGE: &str = "Credit for username was changed and the change is now known";

/// Number of writing tasks.
const WRITERS: u32 = 2;

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let first = arguments.next();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    if first.as_deref() == Some("sink") {
        return Ok(runtime.block_on(sink())?);
    }
    if first.as_deref() == Some("accept") {
        let url = arguments.next().ok_or("the URL of a log sink is missing")?;
        return runtime.block_on(accept::measure(&url));
    }
    let events = first.map_or(Ok(100_000), |text| text.parse())?;
    let seconds = arguments.next().map_or(Ok(5), |text| text.parse())?;
    runtime.block_on(measure(events, Duration::from_secs(seconds)))
}

/// Counts records and gaps in their sequence numbers.
#[derive(Default)]
struct Counting {
    records: AtomicU64,
    last: Mutex<HashMap<(Source, Option<u64>), u64>>,
}

impl Logs for Counting {
    async fn append(&self, records: &[Record]) -> Result<u32> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let mut new = 0;
        for record in records {
            let key = (record.source.clone(), record.epoch);
            let last = last.entry(key).or_default();
            let number = record.sequence.unwrap_or(0);
            // One sender in order: a record out of sequence is a repeat, or shows as missing in the
            // count.
            if number > *last {
                *last = number;
                new += 1;
            }
        }
        self.records.fetch_add(new.into(), Ordering::Relaxed);
        Ok(new)
    }
}

#[rpc_service(package = "bench.v1")]
trait Count {
    /// Returns the number of records.
    async fn count(&self) -> Result<u64>;
}

struct CountingService(Arc<Counting>);

impl Logs for CountingService {
    async fn append(&self, records: &[Record]) -> Result<u32> {
        self.0.append(records).await
    }
}

impl Count for CountingService {
    async fn count(&self) -> Result<u64> {
        Ok(self.0.records.load(Ordering::Relaxed))
    }
}

async fn sink() -> Result<()> {
    let counting = Arc::new(Counting::default());
    Server::new("sink")
        .listen("127.0.0.1:0")
        .without_observers()
        .add(LogsServer::new(CountingService(Arc::clone(&counting))))
        .add(CountServer::new(CountingService(counting)))
        .run()
        .await
}

/// The process of the sink.
struct Sink {
    child: Child,
    url: String,
}

impl Sink {
    fn start() -> Outcome<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("sink")
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().ok_or("no stdout")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let url = line
            .trim()
            .rsplit(' ')
            .next()
            .unwrap_or_default()
            .to_owned();
        Ok(Self { child, url })
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        // It has nothing left to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn measure(events: u32, round: Duration) -> Outcome<()> {
    let sink = Sink::start()?;
    // Connects before the measurement.
    LogsClient::connect(&sink.url)?.append(&[]).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let client = Client::new(&format!("http://{}", listener.local_addr()?))?.without_observers();
    let server = Server::new("backend")
        .without_observers()
        .add(EchoServer::new(Handlers));
    let serving = tokio::spawn(server.serve(listener, std::future::pending()));
    let client = EchoClient::with_client(client);
    let mut out = std::io::stdout();
    calls(&client, quiet(Duration::from_millis(500))).await?;
    writeln!(
        out,
        "| | events/s | calls/s | p50 µs | p99 µs | CPU-s/s | lost | lag |"
    )?;
    writeln!(out, "| --- | --- | --- | --- | --- | --- | --- | --- |")?;

    let none = calls(&client, quiet(round)).await?;
    writeln!(out, "| no events | 0 | {none} | - | - |")?;
    let without_subscriber = calls(&client, write(events, round)).await?;
    writeln!(
        out,
        "| no subscriber | {events} | {without_subscriber} | - | - |"
    )?;
    let printed = tracing_subscriber::fmt()
        .with_writer(std::io::sink)
        .finish();
    let printed = {
        let _guard = tracing::subscriber::set_default(printed);
        calls(&client, write(events, round).with_current_subscriber()).await?
    };
    writeln!(
        out,
        "| formatted and discarded | {events} | {printed} | - | - |"
    )?;

    measure_export(&sink, &client, (events, round)).await?;
    serving.abort();
    Ok(())
}

/// Measures rounds in which the events are exported to the sink.
async fn measure_export(
    sink: &Sink,
    client: &EchoClient,
    (events, round): (u32, Duration),
) -> Outcome<()> {
    let mut out = std::io::stdout();
    let counts = CountClient::connect(&sink.url)?;
    // Connects before the measurement.
    counts.count().await?;
    let spool = std::env::temp_dir().join(format!("bench-logs-{}", std::process::id()));
    let exporter = LogExporter::builder(Client::new(&sink.url)?)
        .spool(&spool)
        .start()?;
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(exporter.layer()))?;
    for name in ["exported", "exported, again"] {
        let before = counts.count().await?;
        let exported = calls(client, write(events, round)).await?;
        let end = Instant::now();
        while exporter.status().queued > 0 || exporter.status().spooled_bytes > 0 {
            sleep(Duration::from_millis(1)).await;
        }
        let lag = end.elapsed();
        let arrived = counts.count().await? - before;
        let lost = exported.written - arrived;
        writeln!(
            out,
            "| {name} | {events} | {exported} | {lost} | {lag:.0?} |"
        )?;
    }
    let status: LogExporterStatus = exporter.shutdown(Duration::from_secs(5)).await;
    writeln!(out, "\n{status:?}")?;
    std::fs::remove_dir_all(spool)?;
    Ok(())
}

/// No events.
async fn quiet(time: Duration) -> u64 {
    sleep(time).await;
    0
}

/// The result of a round.
struct Round {
    latencies: Vec<Duration>,
    time: Duration,
    cpu: Duration,
    written: u64,
}

impl std::fmt::Display for Round {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at = |percent: usize| {
            let time = self.latencies.get(self.latencies.len() * percent / 100);
            time.map_or(0.0, |time| time.as_secs_f64() * 1e6)
        };
        let seconds = self.time.as_secs_f64();
        let rate = self.latencies.len() as f64 / seconds;
        let cpu = self.cpu.as_secs_f64() / seconds;
        write!(f, "{rate:.0} | {:.1} | {:.1} | {cpu:.2}", at(50), at(99))
    }
}

/// Makes small calls one at a time until `background` has finished.
async fn calls(
    client: &EchoClient,
    background: impl Future<Output = u64> + Send + 'static,
) -> Outcome<Round> {
    let (start, cpu) = (Instant::now(), cpu()?);
    let mut background = tokio::spawn(background);
    let mut latencies = Vec::new();
    loop {
        let now = Instant::now();
        client.greet(NAME).await?;
        latencies.push(now.elapsed());
        if background.is_finished() {
            break;
        }
    }
    latencies.sort_unstable();
    Ok(Round {
        latencies,
        time: start.elapsed(),
        cpu: self::cpu()?.saturating_sub(cpu),
        written: (&mut background).await?,
    })
}

/// Returns the CPU time of this process, user and system.
fn cpu() -> Outcome<Duration> {
    Ok(ClockId::CLOCK_PROCESS_CPUTIME_ID.now()?.into())
}

/// Writes events at an even pace from several tasks; returns their number.
async fn write(events: u32, time: Duration) -> u64 {
    let writers: JoinSet<u64> = (0..WRITERS)
        .map(|writer| async move {
            let mut ticks = interval(Duration::from_secs(1) / TICKS);
            // Late ticks are caught up, so that the pace stays at its nominal value.
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
            let per_tick = events / TICKS / WRITERS;
            let end = Instant::now() + time;
            let mut written = 0;
            while Instant::now() < end {
                ticks.tick().await;
                for _ in 0..per_tick {
                    tracing::info!(target: "bench", writer, number = written, MESSAGE);
                    written += 1;
                }
            }
            written
        })
        .collect();
    writers.join_all().await.into_iter().sum()
}

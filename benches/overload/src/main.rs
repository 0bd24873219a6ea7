//! A server under 1, 2, 5 and 10 times the calls that it can do, and under 1 time again.
//!
//! `cargo run --release -p bench-overload [SECONDS]`, in `benches`. The server has 8 places, and each call takes 20 ms of one:
//! 400 calls a second. Calls arrive at an even pace whatever becomes of them, with a deadline of 500 ms: an open loop, as
//! a crowd of callers is one. Two servers are measured: one with the limits on, and one that lets everything in, whose
//! calls then share 8 places by themselves, as calls share a database.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rpc_runtime::prelude::*;
use rpc_runtime::{Client, Limits};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

const PLACES: usize = 8;
const WORK: Duration = Duration::from_millis(20);
const DEADLINE: Duration = Duration::from_millis(500);

/// Calls a second that the server can do.
const CAPACITY: u32 = 400;

/// The load of each phase, in times of the capacity.
const PHASES: [u32; 5] = [1, 2, 5, 10, 1];

#[rpc_service(package = "overload.v1")]
trait Backend {
    /// Takes one of the places for a while.
    async fn work(&self) -> Result<()>;
}

struct Store(Arc<Semaphore>);

impl Backend for Store {
    async fn work(&self) -> Result<()> {
        let place = self.0.acquire().await;
        let _place = place.map_err(|_| Error::new(Code::Unavailable, "closed"))?;
        sleep(WORK).await;
        Ok(())
    }
}

/// What became of a call, and after how long.
type Outcome = (Option<Code>, Duration);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let seconds = std::env::args()
        .nth(1)
        .map_or(Ok(3.0), |text| text.parse())?;
    let phase = Duration::try_from_secs_f64(seconds)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let limited = Limits::default();
        let mut on = limited.clone();
        (on.running_calls, on.queued_calls) = (PLACES, PLACES);
        let mut off = limited;
        off.running_calls = usize::MAX;
        measure("limits on", on, phase).await?;
        measure("limits off", off, phase).await
    })
}

async fn measure(
    name: &str,
    limits: Limits,
    phase: Duration,
) -> Result<(), Box<dyn std::error::Error>> {
    let store = Store(Arc::new(Semaphore::new(PLACES)));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let client = Client::new(&format!("http://{}", listener.local_addr()?))?;
    let server = Server::new("backend")
        .without_observers()
        .limits(limits)
        .add(BackendServer::new(store));
    let serving = tokio::spawn(server.serve(listener, std::future::pending()));
    let client = BackendClient::with_client(client.without_observers());
    let mut out = std::io::stdout();
    writeln!(
        out,
        "{name}\n  load  done/s  done p99  refused/s  refused p50  refused p99  late/s"
    )?;
    for load in PHASES {
        let outcomes = calls(&client, load, phase).await;
        writeln!(out, "{}", line(load, &outcomes, phase))?;
    }
    serving.abort();
    Ok(())
}

/// Calls at an even pace for a while, then waits for the last answers.
async fn calls(client: &BackendClient, load: u32, phase: Duration) -> Vec<Outcome> {
    let mut ticks = interval(Duration::from_secs(1) / (CAPACITY * load));
    // A late tick is made up for: the load is what it is said to be.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut calls = JoinSet::new();
    let end = Instant::now() + phase;
    while Instant::now() < end {
        ticks.tick().await;
        let client = client.clone();
        calls.spawn(async move {
            let start = Instant::now();
            let answer = client.work().timeout(DEADLINE).await;
            (answer.err().map(|error| error.code()), start.elapsed())
        });
    }
    calls.join_all().await
}

fn line(load: u32, outcomes: &[Outcome], phase: Duration) -> String {
    let of = |wanted: &[Option<Code>]| {
        let mut times: Vec<_> = outcomes
            .iter()
            .filter(|outcome| wanted.contains(&outcome.0))
            .map(|outcome| outcome.1)
            .collect();
        times.sort_unstable();
        times
    };
    let rate = |times: &[Duration]| times.len() as f64 / phase.as_secs_f64();
    let percentile = |times: &[Duration], percent: usize| {
        let time = times.get(times.len() * percent / 100);
        time.map_or("-".to_owned(), |time| {
            format!("{:.1} ms", time.as_secs_f64() * 1e3)
        })
    };
    let done = of(&[None]);
    let refused = of(&[Some(Code::Unavailable)]);
    let late = of(&[Some(Code::DeadlineExceeded)]);
    format!(
        "  {load:>3}x  {:>6.0}  {:>8}  {:>9.0}  {:>11}  {:>11}  {:>6.0}",
        rate(&done),
        percentile(&done, 99),
        rate(&refused),
        percentile(&refused, 50),
        percentile(&refused, 99),
        rate(&late),
    )
}

//! A server under 1, 2, 5, 10 and again 1 times its capacity.
//!
//! `cargo run --release -p bench-overload [SECONDS]`, in `benches`. The backend has 8 slots, and
//! each call uses one for 20 ms: 400 calls a second. Calls arrive in an open loop at an even pace,
//! with a deadline of 500 ms. Two servers are measured: one limits admission to the 8 slots; the
//! other admits every call, and the calls queue for the slots.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rpc_runtime::prelude::*;
use rpc_runtime::{Client, Limits};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

const SLOTS: usize = 8;
const WORK: Duration = Duration::from_millis(20);
const DEADLINE: Duration = Duration::from_millis(500);

/// Capacity of the server in calls a second.
const CAPACITY: u32 = 400;

/// The load of each phase as a multiple of the capacity.
const PHASES: [u32; 5] = [1, 2, 5, 10, 1];

#[rpc_service(package = "overload.v1")]
trait Backend {
    /// Uses one slot for [`WORK`].
    async fn work(&self) -> Result<()>;
}

struct Store(Arc<Semaphore>);

impl Backend for Store {
    async fn work(&self) -> Result<()> {
        let slot = self.0.acquire().await;
        let _slot = slot.map_err(|_| Error::new(Code::Unavailable, "closed"))?;
        sleep(WORK).await;
        Ok(())
    }
}

/// The error code and the duration of a call.
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
        (on.running_calls, on.queued_calls) = (SLOTS, SLOTS);
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
    let store = Store(Arc::new(Semaphore::new(SLOTS)));
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

/// Starts calls at an even pace for the length of a phase, then waits for all of them.
async fn calls(client: &BackendClient, load: u32, phase: Duration) -> Vec<Outcome> {
    let mut ticks = interval(Duration::from_secs(1) / (CAPACITY * load));
    // Late ticks are caught up, so that the load stays at its nominal value.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut calls = JoinSet::new();
    let end = Instant::now() + phase;
    while Instant::now() < end {
        ticks.tick().await;
        let client = client.clone();
        calls.spawn(async move {
            let start = Instant::now();
            let result = client.work().timeout(DEADLINE).await;
            (result.err().map(|error| error.code()), start.elapsed())
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

//! The process of the client: calls in a closed loop and measures them.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bench_work::{Record, records};
use clap::Args;
use nix::time::{ClockId, clock_getcpuclockid};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::candidate::{Candidate, Client, Work};
use crate::{Result, seconds};

/// Length of the warm-up as a share of the measurement.
const WARM_UP: f64 = 0.25;

/// One measurement.
#[derive(Debug, Args)]
pub(crate) struct Load {
    /// The candidate whose client calls
    pub(crate) candidate: Candidate,
    /// The call to make
    pub(crate) work: Work,
    /// Number of concurrent calls
    pub(crate) in_flight: usize,
    /// Length of the measurement in seconds
    pub(crate) seconds: f64,
    /// Address of the server
    #[arg(long, default_value = "")]
    pub(crate) address: String,
    /// Process id of the server; absent when it runs in this process
    #[arg(long)]
    pub(crate) server: Option<i32>,
    /// Folder of the certificate
    #[arg(long)]
    pub(crate) certificate: PathBuf,
}

/// The result of one measurement.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) calls_per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// CPU-seconds per 100,000 calls, user and system, of all threads of the process.
    pub(crate) client_cpu: f64,
    pub(crate) server_cpu: f64,
}

impl Sample {
    pub(crate) fn cpu(&self) -> f64 {
        self.client_cpu + self.server_cpu
    }
}

impl Load {
    /// Warms up, measures, prints the sample as JSON.
    pub(crate) async fn run(self) -> Result<()> {
        let client = self.candidate.client(&self.address, &self.certificate)?;
        let records: Arc<[Record]> = records().into();
        self.calls(&client, &records, seconds(self.seconds * WARM_UP)?)
            .await?;

        let (client_clock, server_clock) = self.clocks()?;
        let before = (cpu(client_clock)?, cpu(server_clock)?);
        let start = Instant::now();
        let mut latencies = self
            .calls(&client, &records, seconds(self.seconds)?)
            .await?;
        let time = start.elapsed().as_secs_f64();
        let after = (cpu(client_clock)?, cpu(server_clock)?);

        latencies.sort_unstable();
        let calls = latencies.len() as f64;
        let percentile = |percent: usize| {
            latencies
                .get(latencies.len() * percent / 100)
                .map_or(0.0, |ns| f64::from(*ns) / 1e3)
        };
        let per_100k = |before: Duration, after: Duration| {
            after.saturating_sub(before).as_secs_f64() / calls * 1e5
        };
        let sample = Sample {
            calls_per_second: calls / time,
            p50_us: percentile(50),
            p99_us: percentile(99),
            client_cpu: per_100k(before.0, after.0),
            server_cpu: per_100k(before.1, after.1),
        };
        writeln!(std::io::stdout(), "{}", serde_json::to_string(&sample)?)?;
        Ok(())
    }

    /// The clocks that count the CPU time of the two processes.
    fn clocks(&self) -> Result<(ClockId, Option<ClockId>)> {
        let server = self
            .server
            .map(|pid| clock_getcpuclockid(Pid::from_raw(pid)))
            .transpose()?;
        Ok((ClockId::CLOCK_PROCESS_CPUTIME_ID, server))
    }

    /// Calls for a while, and gives the nanoseconds that each call took.
    async fn calls(
        &self,
        client: &Client,
        records: &Arc<[Record]>,
        time: Duration,
    ) -> Result<Vec<u32>> {
        let end = Instant::now() + time;
        let workers: Vec<_> = (0..self.in_flight)
            .map(|_| {
                let work = worker(client.clone(), self.work, Arc::clone(records), end);
                Ok(match self.candidate.context()? {
                    Some(context) => tokio::spawn(context.scope(work)),
                    None => tokio::spawn(work),
                })
            })
            .collect::<Result<_>>()?;
        let mut latencies = Vec::new();
        for worker in workers {
            latencies.append(&mut worker.await??);
        }
        Ok(latencies)
    }
}

async fn worker(
    client: Client,
    work: Work,
    records: Arc<[Record]>,
    end: Instant,
) -> Result<Vec<u32>> {
    let mut latencies = Vec::new();
    let mut now = Instant::now();
    while now < end {
        client.call(work, &records).await?;
        let done = Instant::now();
        latencies.push(u32::try_from(done.duration_since(now).as_nanos()).unwrap_or(u32::MAX));
        now = done;
    }
    Ok(latencies)
}

fn cpu(clock: impl Into<Option<ClockId>>) -> Result<Duration> {
    Ok(clock
        .into()
        .map(ClockId::now)
        .transpose()?
        .map_or(Duration::ZERO, Duration::from))
}

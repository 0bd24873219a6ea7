//! The monitor: asks every service whether it is there, and for its numbers.
//!
//! All are asked at the same time, each has a time of its own, and what one of them does to its question hides nothing
//! of the others.

pub mod program;
mod table;

use std::time::{Duration, Instant};

use rpc_runtime::status::{MethodStatus, ServerStatus, StatusClient};
use rpc_runtime::{Client, Error, IdentityKeys, Result, RetryPolicy};
use serde::Serialize;

pub use table::write_table;

/// The services that are looked at. Connections stay open between two looks.
#[derive(Debug)]
pub struct Monitor {
    targets: Vec<Target>,
    timeout: Duration,
}

#[derive(Debug)]
struct Target {
    service: String,
    url: String,
    status: StatusClient,
}

/// What was seen of a service.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ServiceReport {
    /// The name that it was looked for under, such as `pricing`.
    pub service: String,
    /// Where: the URL.
    pub address: String,
    /// Whether it answered.
    pub up: bool,
    /// Why it counts as down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ProbeError>,
    /// What it said.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub numbers: Option<Stats>,
}

/// Why a service is down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProbeError {
    /// The code, such as `unavailable`.
    pub code: String,
    /// What happened.
    pub message: String,
}

/// What a service says of itself. Stats are those since it started, pings and questions for the numbers left out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stats {
    /// The environment that it runs in.
    pub environment: String,
    /// Which instance of it answered.
    pub instance: String,
    /// Its version.
    pub version: String,
    /// How long it has been up, in seconds.
    pub uptime_s: f64,
    /// How long a ping took on an open connection, in microseconds.
    pub latency_us: u64,
    /// Calls that have started.
    pub requests: u64,
    /// Calls that run now.
    pub in_flight: u64,
    /// Calls that failed, whatever the code.
    pub failed: u64,
    /// Failed ones of a hundred calls; 0 before the first.
    pub failed_percent: f64,
    /// What half of the calls did not exceed, in microseconds; `None` before the first has ended.
    pub p50_us: Option<u64>,
    /// What 99 of 100 calls did not exceed, in microseconds.
    pub p99_us: Option<u64>,
    /// Records of its log that nobody kept; `None` where nobody counts them.
    pub logs_dropped: Option<u64>,
}

impl Monitor {
    /// A monitor of services by name and URL, each of which has `timeout` to answer. `keys` sign the questions, for
    /// services that answer nobody else.
    ///
    /// # Errors
    ///
    /// `invalid_argument` for what is no URL.
    pub fn new<'t>(
        targets: impl IntoIterator<Item = (&'t str, String)>,
        keys: Option<&IdentityKeys>,
        timeout: Duration,
    ) -> Result<Self> {
        let targets = targets.into_iter().map(|(service, url)| {
            // What is seen is what is: no second try, and no breaker that answers in the place of the service.
            let mut client = Client::new(&url)?
                .named("monitor")?
                .retry(RetryPolicy::off())
                .without_circuit_breaker()
                .without_observers();
            if let Some(keys) = keys {
                client = client.identity(keys.clone());
            }
            let status = StatusClient::with_client(client);
            Ok(Target {
                service: service.to_owned(),
                url,
                status,
            })
        });
        Ok(Self {
            targets: targets.collect::<Result<_>>()?,
            timeout,
        })
    }

    /// Looks at all services once, in the order in which they were given.
    pub async fn probe(&self) -> Vec<ServiceReport> {
        let looks = self.targets.iter().map(|target| target.probe(self.timeout));
        futures_util::future::join_all(looks).await
    }
}

impl Target {
    async fn probe(&self, timeout: Duration) -> ServiceReport {
        let (error, numbers) = match self.ask(timeout).await {
            Ok(numbers) => (None, Some(numbers)),
            Err(error) => (Some(ProbeError::from(&error)), None),
        };
        ServiceReport {
            service: self.service.clone(),
            address: self.url.clone(),
            up: error.is_none(),
            error,
            numbers,
        }
    }

    async fn ask(&self, timeout: Duration) -> Result<Stats> {
        let start = Instant::now();
        let status = self.status.get().timeout(timeout).await?;
        // Now there is a connection, and a ping measures the service.
        let left = timeout.saturating_sub(start.elapsed());
        let start = Instant::now();
        self.status.ping().timeout(left).await?;
        Ok(Stats::new(status, start.elapsed()))
    }
}

impl From<&Error> for ProbeError {
    fn from(error: &Error) -> Self {
        Self {
            code: error.code().to_string(),
            message: error.message().to_owned(),
        }
    }
}

impl Stats {
    fn new(status: ServerStatus, latency: Duration) -> Self {
        let total = status.total.as_ref();
        let requests = total.map_or(0, |total| total.requests);
        let failed = total.map_or(0, MethodStatus::failed);
        Self {
            environment: status.environment,
            instance: status.instance,
            version: status.version,
            uptime_s: status.uptime.as_secs_f64(),
            latency_us: u64::try_from(latency.as_micros()).unwrap_or(u64::MAX),
            requests,
            in_flight: total.map_or(0, |total| total.in_flight),
            failed,
            failed_percent: percent(failed, requests),
            p50_us: total.and_then(|total| total.p50_us),
            p99_us: total.and_then(|total| total.p99_us),
            logs_dropped: status.logs_dropped,
        }
    }
}

/// Exact enough for people: counts beyond 2^53 lose their last digits.
#[allow(clippy::cast_precision_loss, reason = "as said above")]
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    100.0 * part as f64 / whole as f64
}

//! The monitor: probes every service and reads its statistics.
//!
//! All services are probed concurrently, each with its own timeout, so a failing one does not hide
//! or delay the others.

pub mod program;
mod table;

use std::time::{Duration, Instant};

use rpc_runtime::status::{MethodStatus, ServerStatus, StatusClient};
use rpc_runtime::{Client, Error, IdentityKeys, Result, RetryPolicy};
use serde::Serialize;

pub use table::write_table;

/// The monitored services. Connections stay open between two rounds.
#[derive(Debug)]
pub struct Monitor {
    targets: Vec<MonitoredService>,
    timeout: Duration,
}

#[derive(Debug)]
struct MonitoredService {
    service: String,
    url: String,
    status: StatusClient,
}

/// The result of probing one service.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ServiceReport {
    /// The name of its endpoint, such as `pricing`.
    pub service: String,
    /// Its URL.
    pub address: String,
    /// Whether it responded.
    pub up: bool,
    /// The error, if it is down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ProbeError>,
    /// Its statistics, if it is up.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub numbers: Option<Stats>,
}

/// The error of a failed probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProbeError {
    /// The code, such as `unavailable`.
    pub code: String,
    /// The text of the error.
    pub message: String,
}

/// The statistics of a service since its start, without pings and status calls.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stats {
    /// Environment of the service.
    pub environment: String,
    /// The instance that responded.
    pub instance: String,
    /// Version of the service.
    pub version: String,
    /// Uptime in seconds.
    pub uptime_s: f64,
    /// Duration of a ping on an open connection, in microseconds.
    pub latency_us: u64,
    /// Calls started.
    pub requests: u64,
    /// Calls in flight.
    pub in_flight: u64,
    /// Failed calls, with any code: `errors` and `refused`.
    pub failed: u64,
    /// Failed calls in percent; 0 before the first call.
    pub failed_percent: f64,
    /// Calls that failed because of the service; see
    /// [`Code::is_server_error`](rpc_runtime::Code::is_server_error).
    pub errors: u64,
    /// The same in percent.
    pub errors_percent: f64,
    /// Calls that failed because of their caller, such as a purchase without credit.
    pub refused: u64,
    /// The same in percent.
    pub refused_percent: f64,
    /// Median duration of a call, in microseconds; `None` before the first call has ended.
    pub p50_us: Option<u64>,
    /// 99th percentile of the durations, in microseconds.
    pub p99_us: Option<u64>,
    /// Log records that were dropped; `None` if the service does not count them.
    pub logs_dropped: Option<u64>,
}

impl Monitor {
    /// Creates a monitor of services by name and URL. Each probe has `timeout`; `keys` sign the
    /// calls, for services that require it.
    ///
    /// # Errors
    ///
    /// `invalid_argument` for an address that is not a URL.
    pub fn new<'t>(
        targets: impl IntoIterator<Item = (&'t str, String)>,
        keys: Option<&IdentityKeys>,
        timeout: Duration,
    ) -> Result<Self> {
        let targets = targets.into_iter().map(|(service, url)| {
            let client = Client::new(&url)?;
            Ok((service, url, client))
        });
        Self::of_clients(targets.collect::<Result<Vec<_>>>()?, keys, timeout)
    }

    /// Creates a monitor as [`new`](Self::new) does, with a client for each URL.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn of_clients<'t>(
        targets: impl IntoIterator<Item = (&'t str, String, Client)>,
        keys: Option<&IdentityKeys>,
        timeout: Duration,
    ) -> Result<Self> {
        let targets = targets.into_iter().map(|(service, url, client)| {
            // Without retries, so that each probe shows the state of the service itself.
            let mut client = client
                .named("monitor")?
                .retry(RetryPolicy::off())
                .without_observers();
            if let Some(keys) = keys {
                client = client.identity(keys.clone());
            }
            let status = StatusClient::with_client(client);
            Ok(MonitoredService {
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

    /// Probes all services once and returns the reports in the given order.
    pub async fn probe(&self) -> Vec<ServiceReport> {
        let looks = self.targets.iter().map(|target| target.probe(self.timeout));
        futures_util::future::join_all(looks).await
    }
}

impl MonitoredService {
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
        // The connection is open now, so the ping measures the service alone.
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
        let errors = total.map_or(0, MethodStatus::server_errors);
        let refused = total.map_or(0, |total| total.refused);
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
            errors,
            errors_percent: percent(errors, requests),
            refused,
            refused_percent: percent(refused, requests),
            p50_us: total.and_then(|total| total.p50_us),
            p99_us: total.and_then(|total| total.p99_us),
            logs_dropped: status.logs_dropped,
        }
    }
}

/// Converts a count for display; counts beyond 2^53 lose their last digits.
#[allow(clippy::cast_precision_loss, reason = "documented above")]
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    100.0 * part as f64 / whole as f64
}

//! The exporter's worker. It runs on its own thread, so a slow collector delays nothing else.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;
use prost::Message as _;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout, timeout_at};

use super::processor::SpanCounts;
use crate::client::{Collected, Collector};

/// The most spans of a request.
const BATCH_SPANS: usize = 512;

/// Longest time that a span waits for a batch to fill.
const BATCH_INTERVAL: Duration = Duration::from_millis(500);

/// Timeout of a request to the collector.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The number of times that a batch is sent, at most, and the delay before the second one, which
/// doubles with each further one.
const ATTEMPTS: u32 = 5;
const FIRST_DELAY: Duration = Duration::from_millis(500);

/// The least time between two reports of lost spans in the log.
const REPORT_INTERVAL: Duration = Duration::from_secs(30);

pub(super) struct Worker {
    collector: Collector,
    queue: mpsc::Receiver<SpanData>,
    resource: ResourceAttributesWithSchema,
    counts: Arc<SpanCounts>,
    /// The deadline of the shutdown; `None` while the exporter runs.
    stop: watch::Receiver<Option<Instant>>,
    /// The number of lost spans in the last report, and its time.
    reported: (u64, Option<Instant>),
}

impl Worker {
    pub(super) fn new(
        collector: Collector,
        queue: mpsc::Receiver<SpanData>,
        resource: &Resource,
        counts: Arc<SpanCounts>,
        stop: watch::Receiver<Option<Instant>>,
    ) -> Self {
        Self {
            collector,
            queue,
            resource: resource.into(),
            counts,
            stop,
            reported: (0, None),
        }
    }

    pub(super) fn run(mut self) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        match runtime {
            Ok(runtime) => runtime.block_on(self.work()),
            Err(error) => {
                tracing::error!(target: "rpc", %error, "cannot export traces: no runtime for the exporter");
            }
        }
    }

    async fn work(&mut self) {
        while let Some(batch) = self.next_batch().await {
            self.send(batch).await;
            self.report(false);
        }
        // What still waits after the deadline.
        let mut left = 0;
        self.queue.close();
        while self.queue.try_recv().is_ok() {
            left += 1;
        }
        self.counts.failed.fetch_add(left, Ordering::Relaxed);
        self.report(true);
    }

    /// Returns the next spans; `None` at the end.
    async fn next_batch(&mut self) -> Option<Vec<SpanData>> {
        let mut batch = Vec::new();
        let (queue, stop) = (&mut self.queue, &mut self.stop);
        let full_at = tokio::time::Instant::now() + BATCH_INTERVAL;
        tokio::select! {
            biased;
            () = stop_asked(stop) => {}
            () = fill(queue, &mut batch, full_at) => {}
        }
        let Some(deadline) = *stop.borrow() else {
            return Some(batch);
        };
        while batch.len() < BATCH_SPANS
            && let Ok(span) = queue.try_recv()
        {
            batch.push(span);
        }
        if batch.is_empty() {
            return None;
        }
        if deadline <= Instant::now() {
            self.lose(&batch);
            return None;
        }
        Some(batch)
    }

    fn lose(&self, spans: &[SpanData]) {
        let spans = u64::try_from(spans.len()).unwrap_or(u64::MAX);
        self.counts.failed.fetch_add(spans, Ordering::Relaxed);
    }

    async fn send(&mut self, batch: Vec<SpanData>) {
        if batch.is_empty() {
            return;
        }
        let spans = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        let message = ExportTraceServiceRequest { resource_spans };
        let message = message.encode_to_vec();
        let mut stop = self.stop.clone();
        let sent = tokio::select! {
            sent = deliver(&self.collector, message) => sent,
            () = stop_passed(&mut stop) => Err("the time of the shutdown has passed".to_owned()),
        };
        match sent {
            Ok(rejected) => {
                let rejected = rejected.min(spans);
                self.counts.failed.fetch_add(rejected, Ordering::Relaxed);
                self.counts
                    .exported
                    .fetch_add(spans - rejected, Ordering::Relaxed);
            }
            Err(error) => {
                self.counts.failed.fetch_add(spans, Ordering::Relaxed);
                tracing::debug!(target: "rpc", %error, spans, "cannot export spans");
                self.report_failure(&error);
            }
        }
    }

    fn report_failure(&mut self, error: &str) {
        if self.reported.1.is_none() {
            let collector = self.collector.target();
            tracing::warn!(target: "rpc", collector, error, "cannot export traces; calls are not affected");
        }
    }

    /// Logs the number of lost spans, if it has grown. `is_last` at the end of the exporter.
    fn report(&mut self, is_last: bool) {
        let dropped = self.counts.dropped();
        let is_due = self
            .reported
            .1
            .is_none_or(|at| at.elapsed() >= REPORT_INTERVAL);
        if dropped == self.reported.0 || !(is_due || is_last) {
            return;
        }
        tracing::warn!(
            target: "rpc",
            collector = self.collector.target(),
            dropped,
            queue_full = self.counts.queue_full.load(Ordering::Relaxed),
            failed = self.counts.failed.load(Ordering::Relaxed),
            exported = self.counts.exported.load(Ordering::Relaxed),
            "spans were lost; the numbers count from the start"
        );
        self.reported = (dropped, Some(Instant::now()));
    }
}

/// Waits for spans, and then for more of them until `full_at` or until the batch is full.
async fn fill(
    queue: &mut mpsc::Receiver<SpanData>,
    batch: &mut Vec<SpanData>,
    full_at: tokio::time::Instant,
) {
    while batch.len() < BATCH_SPANS {
        let room = BATCH_SPANS - batch.len();
        match timeout_at(full_at, queue.recv_many(batch, room)).await {
            Ok(1..) => {}
            // The time has passed, or the layer is gone: then only the stop remains.
            Ok(0) => sleep(BATCH_INTERVAL).await,
            Err(_) => return,
        }
    }
}

/// Completes when the exporter is to stop.
async fn stop_asked(stop: &mut watch::Receiver<Option<Instant>>) {
    // An error means that the handle was dropped without a shutdown: the exporter goes on.
    if stop.wait_for(Option::is_some).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Completes when the time of the shutdown has passed.
async fn stop_passed(stop: &mut watch::Receiver<Option<Instant>>) {
    stop_asked(stop).await;
    let deadline = *stop.borrow();
    if let Some(deadline) = deadline {
        tokio::time::sleep_until(deadline.into()).await;
    }
}

/// Sends spans, several times if the collector is busy or cannot be reached. Returns the number of
/// spans that it has rejected.
async fn deliver(collector: &Collector, message: Vec<u8>) -> Result<u64, String> {
    let message = bytes::Bytes::from(message);
    let mut delay = FIRST_DELAY;
    let mut attempt = 1;
    loop {
        let (error, wait) = match attempt_once(collector, message.clone()).await {
            Attempt::Done(result) => return result,
            Attempt::Again(error, _) if attempt == ATTEMPTS => return Err(error),
            Attempt::Again(error, wait) => (error, wait),
        };
        tracing::debug!(target: "rpc", %error, "exporting traces again");
        sleep(delay.max(wait)).await;
        delay *= 2;
        attempt += 1;
    }
}

/// The result of sending spans once.
enum Attempt {
    /// With the number of spans that the collector has rejected.
    Done(Result<u64, String>),
    /// The problem, and the time that the collector asks to wait for.
    Again(String, Duration),
}

async fn attempt_once(collector: &Collector, message: bytes::Bytes) -> Attempt {
    let sent = timeout(REQUEST_TIMEOUT, collector.send_traces(message)).await;
    let response = match sent {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => return Attempt::Again(error, Duration::ZERO),
        Err(_) => {
            let error = "the collector did not respond in time".to_owned();
            return Attempt::Again(error, Duration::ZERO);
        }
    };
    let Collected {
        status,
        retry_after,
        body,
    } = response;
    let error = format!("the collector responded with HTTP {status}");
    match status {
        200..300 => Attempt::Done(Ok(rejected(&body))),
        429 | 502..=504 => {
            let wait = retry_after.unwrap_or_default().min(REQUEST_TIMEOUT);
            Attempt::Again(error, wait)
        }
        _ => Attempt::Done(Err(error)),
    }
}

/// Returns the number of spans that a collector has rejected. A body that is not that of OTLP says
/// nothing.
fn rejected(body: &[u8]) -> u64 {
    let response = ExportTraceServiceResponse::decode(body).unwrap_or_default();
    let rejected = response
        .partial_success
        .map(|partial| partial.rejected_spans);
    rejected
        .and_then(|spans| u64::try_from(spans).ok())
        .unwrap_or(0)
}

//! The exporter's worker. It runs on its own thread, so a slow sink or disk blocks nothing else.
//!
//! Records are sent in order. From the oldest to the newest they are in:
//!
//! ```text
//! batch      being sent, or to be sent again
//! spool      on disk: logged while the sink was unavailable or too slow
//! backlog    in memory: did not fit into the last batch, or could not be written to disk
//! queue      in memory: logged since the last drain
//! ```

mod report;
mod spill;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{sleep, sleep_until};

use super::backlog::{Backlog, queue_size};
use super::failure::{self, FailureKind};
use super::layer::OWN_TARGET;
use super::shared::{BATCH_BYTES, BATCH_RECORDS, ExporterState};
use super::spool::Spool;
use super::status::{DropCause, Dropped};
use super::{LogsClient, Record};
use crate::error::Error;

/// Longest time that a record waits for a batch to fill.
const BATCH_INTERVAL: Duration = Duration::from_millis(200);

/// Timeout of a call to the sink.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Duration after which a pending call counts as slow. From then on records are moved to disk.
const SLOW_CALL: Duration = Duration::from_secs(1);

/// Deadline of the shutdown; `None` while the exporter runs.
pub(super) type StopSignal = watch::Receiver<Option<Instant>>;

pub(super) struct Worker {
    shared: Arc<ExporterState>,
    client: LogsClient,
    /// Target of the client, for log texts.
    sink: Arc<str>,
    stop: StopSignal,
    spool: Option<Spool>,
    /// Time of the next attempt to write the spool, after a failed one.
    spool_retry_at: Option<Instant>,
    batch: Batch,
    backlog: Backlog,
    /// Consecutive failures.
    failures: u32,
    /// Whether the shutdown had begun at the last wait.
    was_stopping: bool,
    /// Time of the first failure since the last success.
    unavailable_since: Option<Instant>,
    /// Drops included in the last drop report.
    reported: Dropped,
    /// Drops at the last check; unequal to `reported` once a warning was logged.
    warned: Dropped,
}

/// The records to send next.
struct Batch {
    records: Vec<Record>,
    /// Whether they are also on disk.
    is_spooled: bool,
    /// Limit of the records in the next call.
    max_records: usize,
    /// Failed attempts to send a single record.
    single_record_attempts: u32,
}

/// Result of a call to the sink.
enum SendResult {
    Accepted(usize),
    Failed(Error),
    /// The shutdown deadline passed before the response.
    OutOfTime,
}

impl Worker {
    pub(super) fn new(
        shared: Arc<ExporterState>,
        client: LogsClient,
        sink: Arc<str>,
        spool: Option<Spool>,
        stop: StopSignal,
    ) -> Self {
        Self {
            shared,
            client,
            sink,
            stop,
            spool,
            spool_retry_at: None,
            batch: Batch {
                records: Vec::new(),
                is_spooled: false,
                max_records: BATCH_RECORDS,
                single_record_attempts: 0,
            },
            backlog: Backlog::default(),
            failures: 0,
            was_stopping: false,
            unavailable_since: None,
            reported: Dropped::default(),
            warned: Dropped::default(),
        }
    }

    /// Runs until the shutdown.
    pub(super) async fn run(mut self) {
        self.recover();
        loop {
            if self.batch.records.is_empty() {
                self.fill_batch().await;
            }
            if self.batch.records.is_empty() || self.is_out_of_time() {
                if self.is_stopping() {
                    break;
                }
                continue;
            }
            let is_last_try = self.is_stopping() && self.spool.is_some();
            match self.send().await {
                SendResult::Accepted(count) => self.on_accepted(count),
                // No further attempts during the shutdown: the records stay in the spool.
                SendResult::Failed(error)
                    if is_last_try && FailureKind::of(&error) != FailureKind::InvalidRecord =>
                {
                    self.report_unavailable(&error);
                    break;
                }
                SendResult::Failed(error) => self.on_failure(&error).await,
                SendResult::OutOfTime => break,
            }
        }
        self.finish();
    }

    fn recover(&mut self) {
        let Some(spool) = &mut self.spool else {
            return;
        };
        spool.recover();
        if spool.bytes() > 0 {
            let bytes = spool.bytes();
            tracing::info!(target: OWN_TARGET, bytes, "sending the log records that an earlier session left in the spool first");
        }
        self.update_spool_metrics();
    }

    /// Waits for the next batch and takes it from the spool, the backlog or the queue.
    async fn fill_batch(&mut self) {
        self.batch.is_spooled = false;
        self.batch.single_record_attempts = 0;
        if let Some(spool) = &mut self.spool {
            self.batch.records = spool.take(BATCH_RECORDS, BATCH_BYTES);
            self.batch.is_spooled = !self.batch.records.is_empty();
            self.update_spool_metrics();
        }
        if self.batch.records.is_empty() && self.backlog.is_empty() {
            self.wait_for_batch().await;
            self.backlog.fill(&self.shared.queue);
        }
        if self.batch.records.is_empty() {
            self.batch.records = self.backlog.take(BATCH_RECORDS, BATCH_BYTES);
        }
    }

    /// Waits until the queue has a full batch, or records that have waited for [`BATCH_INTERVAL`].
    async fn wait_for_batch(&mut self) {
        let mut due = None;
        while !self.is_stopping() && !self.shared.has_batch() {
            if due.is_none() && self.shared.queue.waiting().records > 0 {
                due = Some(tokio::time::Instant::now() + BATCH_INTERVAL);
            }
            let over = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = over => return,
                () = self.shared.wake.notified() => {}
                () = stopped(&mut self.stop) => {}
            }
        }
    }

    /// Sends the batch, or as much of it as `max_records` allows. Spills the queue to disk
    /// meanwhile if needed.
    async fn send(&mut self) -> SendResult {
        let count = self.batch.max_records.min(self.batch.records.len());
        let timeout = match self.time_left() {
            Some(left) => CALL_TIMEOUT.min(left),
            None => CALL_TIMEOUT,
        };
        let records = &self.batch.records[..count];
        let mut call = self.client.append(records).timeout(timeout);
        let start = Instant::now();
        loop {
            tokio::select! {
                biased;
                outcome = &mut call => return match outcome {
                    Ok(_) => SendResult::Accepted(count),
                    Err(error) => SendResult::Failed(error.into_inner()),
                },
                () = sleep(BATCH_INTERVAL) => {}
                () = self.shared.wake.notified() => {}
                () = stopped(&mut self.stop), if !self.is_stopping() => {}
            }
            if self.is_out_of_time() {
                return SendResult::OutOfTime;
            }
            if start.elapsed() >= SLOW_CALL || self.shared.queue.above_high_watermark() {
                self.spill();
            }
            self.warn_of_drops();
        }
    }

    fn on_accepted(&mut self, count: usize) {
        let batch = &mut self.batch;
        let rest = batch.records.split_off(count);
        let sent = std::mem::replace(&mut batch.records, rest);
        batch.max_records = (batch.max_records * 2).min(BATCH_RECORDS);
        batch.single_record_attempts = 0;
        self.release_records(&sent);
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.shared.metrics.sent.fetch_add(count, Ordering::Relaxed);
        self.report_available();
        self.queue_drop_report();
    }

    /// Releases the memory or the spool space of records that are done.
    fn release_records(&mut self, records: &[Record]) {
        if self.batch.is_spooled {
            if let Some(spool) = &mut self.spool {
                spool.acknowledge(records.len());
            }
            self.update_spool_metrics();
        } else {
            self.shared.queue.release(queue_size(records));
        }
    }

    async fn on_failure(&mut self, error: &Error) {
        let kind = FailureKind::of(error);
        let batch = &mut self.batch;
        let count = batch.max_records.min(batch.records.len());
        if kind != FailureKind::Unavailable {
            batch.max_records = (count / 2).max(1);
        }
        if count == 1 && matches!(kind, FailureKind::InvalidRecord | FailureKind::SinkError) {
            batch.single_record_attempts += 1;
            if kind == FailureKind::InvalidRecord
                || batch.single_record_attempts >= failure::MAX_SINGLE_RECORD_ATTEMPTS
            {
                self.drop_first_record(error);
            }
        }
        if kind == FailureKind::InvalidRecord {
            // The sink is available: it has checked the batch.
            return self.report_available();
        }
        self.report_unavailable(error);
        self.failures = self.failures.saturating_add(1);
        // While the sink is unavailable, records should not be in memory only.
        self.spill();
        let wait = failure::delay(self.failures, error.retry_after(), fastrand::f64());
        self.wait_before_retry(wait).await;
    }

    /// Drops the first record of the batch so that the others can be sent.
    fn drop_first_record(&mut self, error: &Error) {
        let rest = self.batch.records.split_off(1);
        let refused = std::mem::replace(&mut self.batch.records, rest);
        self.release_records(&refused);
        self.batch.single_record_attempts = 0;
        self.shared.metrics.drop_records(DropCause::Refused, 1);
        if self.reported.refused == self.warned.refused {
            let (sink, sequence) = (&*self.sink, refused[0].sequence);
            let source = refused[0].source.as_str();
            tracing::warn!(target: OWN_TARGET, sink, source, sequence, %error, "dropped a log record that the log sink does not accept");
        }
        self.warned.refused = self.shared.metrics.dropped().refused;
    }

    /// Waits before the next attempt and spills the queue meanwhile. Ends early when a shutdown
    /// begins.
    async fn wait_before_retry(&mut self, wait: Duration) {
        let until = tokio::time::Instant::now() + wait;
        let was_stopping = self.was_stopping;
        self.was_stopping = self.is_stopping();
        if was_stopping != self.was_stopping {
            return;
        }
        loop {
            tokio::select! {
                () = sleep_until(until) => return,
                () = sleep(BATCH_INTERVAL) => {}
                () = self.shared.wake.notified() => {}
                // A shutdown gets one attempt at once.
                () = stopped(&mut self.stop), if !was_stopping => {
                    self.was_stopping = true;
                    return;
                }
            }
            if self.is_out_of_time() {
                return;
            }
            self.spill();
            self.warn_of_drops();
        }
    }

    fn is_stopping(&self) -> bool {
        self.stop.borrow().is_some()
    }

    /// Returns the time until the shutdown deadline; `None` without a shutdown.
    fn time_left(&self) -> Option<Duration> {
        let end = *self.stop.borrow();
        Some(end?.saturating_duration_since(Instant::now()))
    }

    fn is_out_of_time(&self) -> bool {
        self.time_left().is_some_and(|left| left.is_zero())
    }
}

/// Waits until a shutdown begins; forever if the handle is gone without one.
async fn stopped(stop: &mut StopSignal) {
    if stop.wait_for(Option::is_some).await.is_err() {
        std::future::pending::<()>().await;
    }
}

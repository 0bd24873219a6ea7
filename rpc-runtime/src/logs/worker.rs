//! The one who ships: a thread of its own, so that neither a slow sink nor a slow disk holds up anybody else.
//!
//! Records pass in one order, and lie in at most four places on their way, from the oldest:
//!
//! ```text
//! batch      is being sent, or was and is to be sent again
//! spool      on disk: what came while the sink was away, or faster than it takes them
//! backlog    in memory: what did not fit into the last batch, or not on the disk
//! queue      in memory: what was written since
//! ```

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{sleep, sleep_until};

use super::backlog::{Backlog, queue_size};
use super::failure::{self, FailureKind};
use super::layer::OWN_TARGET;
use super::shared::{BATCH_BYTES, BATCH_RECORDS, ExporterState};
use super::spool::{Spool, append_line};
use super::status::{DropCause, Dropped};
use super::{Level, LogsClient, Record};
use crate::error::Error;

/// How long a record waits in memory for others that go with it.
const BATCH_INTERVAL: Duration = Duration::from_millis(200);

/// How long a sink may take for a batch.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// From when on a sink that has not answered counts as one that may not: nothing should be only in memory then.
const SLOW_CALL: Duration = Duration::from_secs(1);

/// How long to leave a disk alone that could not be written.
const SPOOL_RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// When shipping ends: whatever is not sent by then is not.
pub(super) type StopSignal = watch::Receiver<Option<Instant>>;

pub(super) struct Worker {
    shared: Arc<ExporterState>,
    client: LogsClient,
    /// The sink, for people.
    sink: Arc<str>,
    stop: StopSignal,
    spool: Option<Spool>,
    /// When the disk may be tried again.
    spool_retry_at: Option<Instant>,
    batch: Batch,
    backlog: Backlog,
    /// Failures in a row.
    failures: u32,
    /// Whether the last wait knew of the end.
    was_stopping: bool,
    /// Since when the sink is away.
    unavailable_since: Option<Instant>,
    /// What was lost up to the last record that says so.
    reported: Dropped,
    /// What was lost up to the last warning.
    warned: Dropped,
}

/// The records that are sent next.
struct Batch {
    records: Vec<Record>,
    /// Whether they are on disk as well.
    is_spooled: bool,
    /// How many of them the next call has at most.
    max_records: usize,
    /// How often a single one was sent.
    single_record_attempts: u32,
}

/// How a call ended.
enum SendResult {
    Accepted(usize),
    Failed(Error),
    /// There was no time left for an answer.
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

    /// Ships until it is told to stop.
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
                // There is no use in trying on: what is left can stay in the spool.
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
            tracing::info!(target: OWN_TARGET, bytes, "an earlier life left log records in the spool; they are sent first");
        }
        self.update_spool_metrics();
    }

    /// Looks for the next batch, and waits until there is one.
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

    /// Waits until the queue has a batch, or something that has waited for long enough.
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

    /// Sends the batch, or the part of it that is small enough, and goes on emptying the queue meanwhile.
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

    /// Lets go of the oldest records of the batch, wherever they are.
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
            // It is there, and looks at what it gets.
            return self.report_available();
        }
        self.report_unavailable(error);
        self.failures = self.failures.saturating_add(1);
        // While the sink is away, nothing should be only in memory.
        self.spill();
        let wait = failure::delay(self.failures, error.retry_after(), fastrand::f64());
        self.wait_before_retry(wait).await;
    }

    /// Gives the first record of the batch up, so that the others get through.
    fn drop_first_record(&mut self, error: &Error) {
        let rest = self.batch.records.split_off(1);
        let refused = std::mem::replace(&mut self.batch.records, rest);
        self.release_records(&refused);
        self.batch.single_record_attempts = 0;
        self.shared.metrics.drop_records(DropCause::Refused, 1);
        if self.reported.refused == self.warned.refused {
            let (sink, sequence) = (&*self.sink, refused[0].sequence);
            let source = refused[0].source.as_str();
            tracing::warn!(target: OWN_TARGET, sink, source, sequence, %error, "the log sink refuses a record, which is dropped");
        }
        self.warned.refused = self.shared.metrics.dropped().refused;
    }

    /// Waits, and keeps the queue empty meanwhile.
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
                // The end is worth an attempt at once.
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

    /// Moves everything from memory to the spool, as far as there is one that can be written.
    fn spill(&mut self) {
        let now = Instant::now();
        if self.spool.is_none() || self.spool_retry_at.is_some_and(|until| now < until) {
            return;
        }
        self.spool_retry_at = None;
        if let Err(error) = self.try_spill() {
            self.spool_retry_at = now.checked_add(SPOOL_RETRY_INTERVAL);
            tracing::warn!(
                target: OWN_TARGET, %error,
                "the log spool cannot be written; records stay in memory as long as there is room"
            );
        }
        self.update_spool_metrics();
    }

    fn try_spill(&mut self) -> io::Result<()> {
        let Some(spool) = &mut self.spool else {
            return Ok(());
        };
        let queue = &self.shared.queue;
        let batch = &mut self.batch;
        // The batch is older than all that follows; where something waits in the spool already, it is too late for that.
        if !batch.records.is_empty() && !batch.is_spooled && spool.is_drained() {
            let lines = encode_lines(&batch.records);
            if spool.could_fit(&lines) {
                spool.append(&lines, batch.records.len(), true)?;
                queue.release(queue_size(&batch.records));
                batch.is_spooled = true;
            }
        }
        loop {
            if self.backlog.is_empty() {
                self.backlog.fill(queue);
            }
            // No more than a segment has: what is dropped to make room for it is as much.
            let records = self.backlog.take(BATCH_RECORDS, spool.segment_bytes() / 2);
            if records.is_empty() {
                return Ok(());
            }
            match spool.append(&encode_lines(&records), records.len(), false) {
                Ok(()) => queue.release(queue_size(&records)),
                Err(error) => {
                    self.backlog.put_back(records);
                    return Err(error);
                }
            }
        }
    }

    /// Counts what the spool could not keep, and notes its size.
    fn update_spool_metrics(&mut self) {
        let Some(spool) = &mut self.spool else {
            return;
        };
        let lost = spool.take_losses();
        let metrics = &self.shared.metrics;
        metrics.drop_records(DropCause::SpoolFull, lost.evicted);
        metrics.drop_records(DropCause::Damaged, lost.damaged);
        metrics
            .spooled_bytes
            .store(spool.bytes(), Ordering::Relaxed);
        if lost.in_flight && self.batch.is_spooled {
            // Now they are in memory alone, which has room for one batch.
            self.batch.is_spooled = false;
            self.shared.queue.reserve(queue_size(&self.batch.records));
        }
        self.warn_of_drops();
    }

    fn report_unavailable(&mut self, error: &Error) {
        self.shared.metrics.sink_up.store(false, Ordering::Relaxed);
        if self.unavailable_since.is_none() {
            self.unavailable_since = Some(Instant::now());
            let keeps = match &self.spool {
                Some(spool) => format!("records wait in {}", spool.path().display()),
                None => "records wait in memory alone".to_owned(),
            };
            tracing::warn!(target: OWN_TARGET, sink = &*self.sink, %error, "the log sink does not take records; {keeps}");
        }
    }

    fn report_available(&mut self) {
        self.failures = 0;
        self.shared.metrics.sink_up.store(true, Ordering::Relaxed);
        if let Some(since) = self.unavailable_since.take() {
            let away = since.elapsed();
            tracing::info!(target: OWN_TARGET, sink = &*self.sink, ?away, "the log sink takes records again");
        }
    }

    /// Says once in the log of the process that records are being lost.
    fn warn_of_drops(&mut self) {
        let dropped = self.shared.metrics.dropped();
        if self.warned == self.reported && dropped != self.warned {
            let new = dropped.since(&self.reported);
            tracing::warn!(target: OWN_TARGET, sink = &*self.sink, "log records are being dropped: {new}");
        }
        self.warned = dropped;
    }

    /// Says in a record of its own what was lost; to be called when the sink takes records.
    fn queue_drop_report(&mut self) {
        let dropped = self.shared.metrics.dropped();
        if dropped == self.reported {
            return;
        }
        let new = dropped.since(&self.reported);
        let (count, total) = (new.total(), dropped.total());
        let were = if count == 1 {
            "record was"
        } else {
            "records were"
        };
        self.shared.queue.push_unbounded(
            Level::Warn,
            OWN_TARGET,
            format!("{count} log {were} dropped: {new} ({total} since the start)"),
        );
        self.reported = dropped;
        self.warned = dropped;
    }

    /// Puts away what was not sent.
    fn finish(mut self) {
        self.shared.queue.close();
        self.spool_retry_at = None;
        self.spill();
        if let Some(spool) = &mut self.spool
            && !self.batch.records.is_empty()
            && !self.batch.is_spooled
        {
            // Behind those that came later, since their place was dropped: the numbers tell.
            let (lines, count) = (encode_lines(&self.batch.records), self.batch.records.len());
            self.batch.is_spooled = spool.append(&lines, count, false).is_ok();
        }
        self.update_spool_metrics();
        let mut unsent = 0;
        if !self.batch.is_spooled {
            unsent += self.batch.records.len();
        }
        self.backlog.fill(&self.shared.queue);
        loop {
            let left = self.backlog.take(BATCH_RECORDS, BATCH_BYTES);
            if left.is_empty() {
                break;
            }
            unsent += left.len();
        }
        let held = self.shared.queue.in_memory();
        self.shared.queue.release(held);
        self.shared.metrics.drop_records(DropCause::Unsent, unsent);
        let new = self.shared.metrics.dropped().since(&self.reported);
        if new.total() > 0 {
            tracing::warn!(target: OWN_TARGET, sink = &*self.sink, "log records were dropped: {new}");
        }
        if let Some(spool) = self.spool.take() {
            spool.close();
        }
    }

    fn is_stopping(&self) -> bool {
        self.stop.borrow().is_some()
    }

    /// How much time there is until the end; `None` while nobody speaks of an end.
    fn time_left(&self) -> Option<Duration> {
        let end = *self.stop.borrow();
        Some(end?.saturating_duration_since(Instant::now()))
    }

    fn is_out_of_time(&self) -> bool {
        self.time_left().is_some_and(|left| left.is_zero())
    }
}

/// Records as they stand in the spool.
fn encode_lines(records: &[Record]) -> Vec<u8> {
    let mut lines = Vec::new();
    for record in records {
        append_line(&mut lines, record);
    }
    lines
}

/// Waits until the end has a time. Nobody who could name one is left when the handle is gone without a word.
async fn stopped(stop: &mut StopSignal) {
    if stop.wait_for(Option::is_some).await.is_err() {
        std::future::pending::<()>().await;
    }
}

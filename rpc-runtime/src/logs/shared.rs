//! State shared by the threads that log and the exporter thread.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::Notify;

use super::queue::{LogEvent, PushResult, Queue, QueueSize};
use super::status::{DropCause, ExporterMetrics, LogExporterStatus};

/// Limit of the records in one call. Larger batches are not faster and take longer to arrive.
pub(super) const BATCH_RECORDS: usize = 1000;

/// No more records are added to a call once their size reaches this, in bytes. Even with one more
/// record of maximum length and every character escaped, the message is well below the default
/// message limit of a server.
pub(super) const BATCH_BYTES: usize = 512 << 10;

/// Size of the waiting events at which a batch is sent immediately.
const BATCH: QueueSize = QueueSize {
    records: BATCH_RECORDS,
    bytes: BATCH_BYTES,
};

pub(super) struct ExporterState {
    /// The sink in printable form.
    pub(super) target: Arc<str>,
    pub(super) queue: Queue,
    pub(super) metrics: ExporterMetrics,
    /// Wakes the worker.
    pub(super) wake: Notify,
}

impl ExporterState {
    pub(super) fn new(target: Arc<str>, queue: Queue) -> Self {
        Self {
            target,
            queue,
            metrics: ExporterMetrics::default(),
            wake: Notify::new(),
        }
    }

    /// Adds an event. Called on the thread that logs, and never blocks.
    pub(super) fn push(&self, event: LogEvent) {
        match self.queue.push(event, BATCH) {
            PushResult::Queued { wake: false } => {}
            PushResult::Queued { wake: true } => self.wake.notify_one(),
            PushResult::Full => self.metrics.drop_records(DropCause::QueueFull, 1),
            PushResult::Closed => self.metrics.drop_records(DropCause::Unsent, 1),
        }
    }

    /// Returns whether enough events wait in memory for a call.
    pub(super) fn has_batch(&self) -> bool {
        let waiting = self.queue.waiting();
        waiting.records >= BATCH.records || waiting.bytes >= BATCH.bytes
    }

    pub(super) fn status(&self) -> LogExporterStatus {
        let ExporterMetrics {
            sent,
            spooled_bytes,
            sink_up,
            ..
        } = &self.metrics;
        LogExporterStatus {
            sink_up: sink_up.load(Ordering::Relaxed),
            sent: sent.load(Ordering::Relaxed),
            queued: self.queue.in_memory().records,
            spooled_bytes: spooled_bytes.load(Ordering::Relaxed),
            dropped: self.metrics.dropped(),
        }
    }
}

impl fmt::Debug for ExporterState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ExporterState")
            .field(&self.status())
            .finish()
    }
}

//! What the threads that write and the one that ships have in common.

use std::fmt;
use std::sync::atomic::Ordering;

use tokio::sync::Notify;

use super::queue::{LogEvent, PushResult, Queue, QueueSize};
use super::status::{DropCause, ExporterMetrics, LogExporterStatus};

/// The most records of one call. A larger batch is no faster and lies on the way for longer.
pub(super) const BATCH_RECORDS: usize = 1000;

/// A call has no more records once their texts are this long, in bytes: with one more record of the longest kind, and
/// every character of it escaped, the message is well below what a server takes by default.
pub(super) const BATCH_BYTES: usize = 512 << 10;

/// As many as are worth a call at once.
const BATCH: QueueSize = QueueSize {
    records: BATCH_RECORDS,
    bytes: BATCH_BYTES,
};

pub(super) struct ExporterState {
    pub(super) queue: Queue,
    pub(super) metrics: ExporterMetrics,
    /// Wakes the one that ships.
    pub(super) wake: Notify,
}

impl ExporterState {
    pub(super) fn new(queue: Queue) -> Self {
        Self {
            queue,
            metrics: ExporterMetrics::default(),
            wake: Notify::new(),
        }
    }

    /// Takes an event from the thread that wrote it, which waits for nobody.
    pub(super) fn push(&self, event: LogEvent) {
        match self.queue.push(event, BATCH) {
            PushResult::Kept { wake: false } => {}
            PushResult::Kept { wake: true } => self.wake.notify_one(),
            PushResult::Full => self.metrics.drop_records(DropCause::QueueFull, 1),
            PushResult::Closed => self.metrics.drop_records(DropCause::Unsent, 1),
        }
    }

    /// Whether so much waits in memory that a call is due.
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

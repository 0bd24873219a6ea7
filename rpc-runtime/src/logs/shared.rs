//! What the threads that write and the one that ships have in common.

use std::fmt;
use std::sync::atomic::Ordering;

use tokio::sync::Notify;

use super::queue::{Event, Load, Pushed, Queue};
use super::status::{Cause, Gauges, ShippingStatus};

/// The most records of one call. A larger batch is no faster and lies on the way for longer.
pub(super) const BATCH_RECORDS: usize = 1000;

/// A call has no more records once their texts are this long, in bytes: with one more record of the longest kind, and
/// every character of it escaped, the message is well below what a server takes by default.
pub(super) const BATCH_BYTES: usize = 512 << 10;

/// As many as are worth a call at once.
const BATCH: Load = Load {
    records: BATCH_RECORDS,
    bytes: BATCH_BYTES,
};

pub(super) struct Shared {
    pub(super) queue: Queue,
    pub(super) gauges: Gauges,
    /// Wakes the one that ships.
    pub(super) wake: Notify,
}

impl Shared {
    pub(super) fn new(queue: Queue) -> Self {
        Self {
            queue,
            gauges: Gauges::default(),
            wake: Notify::new(),
        }
    }

    /// Takes an event from the thread that wrote it, which waits for nobody.
    pub(super) fn push(&self, event: Event) {
        match self.queue.push(event, BATCH) {
            Pushed::Kept { wake: false } => {}
            Pushed::Kept { wake: true } => self.wake.notify_one(),
            Pushed::Full => self.gauges.drop_records(Cause::QueueFull, 1),
            Pushed::Closed => self.gauges.drop_records(Cause::Unsent, 1),
        }
    }

    /// Whether so much waits in memory that a call is due.
    pub(super) fn has_batch(&self) -> bool {
        let waiting = self.queue.waiting();
        waiting.records >= BATCH.records || waiting.bytes >= BATCH.bytes
    }

    pub(super) fn status(&self) -> ShippingStatus {
        let Gauges {
            sent,
            spooled_bytes,
            sink_up,
            ..
        } = &self.gauges;
        ShippingStatus {
            sink_up: sink_up.load(Ordering::Relaxed),
            sent: sent.load(Ordering::Relaxed),
            queued: self.queue.held().records,
            spooled_bytes: spooled_bytes.load(Ordering::Relaxed),
            dropped: self.gauges.dropped(),
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Shared").field(&self.status()).finish()
    }
}

//! The worker's moves of records from memory to the spool.

use std::io;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Worker;
use crate::logs::Record;
use crate::logs::backlog::queue_size;
use crate::logs::layer::OWN_TARGET;
use crate::logs::shared::{BATCH_BYTES, BATCH_RECORDS};
use crate::logs::spool::append_line;
use crate::logs::status::DropCause;

/// Time until the spool is tried again after a failed write.
const SPOOL_RETRY_INTERVAL: Duration = Duration::from_secs(1);

impl Worker {
    /// Moves all records from memory to the spool. Does nothing without a spool, or shortly after a
    /// failed write.
    pub(super) fn spill(&mut self) {
        let now = Instant::now();
        if self.spool.is_none() || self.spool_retry_at.is_some_and(|until| now < until) {
            return;
        }
        self.spool_retry_at = None;
        if let Some(spool) = &mut self.spool {
            spool.check_files();
        }
        // The batch may be in memory only now, and is spooled again.
        self.update_spool_metrics();
        if let Err(error) = self.try_spill() {
            self.spool_retry_at = now.checked_add(SPOOL_RETRY_INTERVAL);
            tracing::warn!(
                target: OWN_TARGET, %error,
                "cannot write the log spool; records stay in memory and are dropped when the queue is full"
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
        // The batch is older than all other records in memory. It is spooled only into a drained
        // spool: records that wait there would otherwise come before it.
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
            // Limited to about a segment, the amount that is evicted when the spool is full.
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

    /// Updates the metrics with the losses and the size of the spool.
    pub(super) fn update_spool_metrics(&mut self) {
        let Some(spool) = &mut self.spool else {
            return;
        };
        let losses = spool.take_losses();
        let metrics = &self.shared.metrics;
        metrics.drop_records(DropCause::SpoolFull, losses.evicted);
        metrics.drop_records(DropCause::Damaged, losses.damaged);
        metrics.drop_records(DropCause::Removed, losses.removed);
        metrics
            .spooled_bytes
            .store(spool.bytes(), Ordering::Relaxed);
        if losses.in_flight && self.batch.is_spooled {
            // The batch is now in memory only. Its size counts even if that exceeds the limit.
            self.batch.is_spooled = false;
            self.shared.queue.reserve(queue_size(&self.batch.records));
        }
        self.warn_of_drops();
    }

    /// Moves unsent records to the spool, counts the rest as dropped, and closes the spool.
    pub(super) fn finish(mut self) {
        self.shared.queue.close();
        self.spool_retry_at = None;
        self.spill();
        if let Some(spool) = &mut self.spool
            && !self.batch.records.is_empty()
            && !self.batch.is_spooled
        {
            // The spool evicted these records before. They are appended after newer ones; their
            // sequence numbers still give the order.
            let (lines, count) = (encode_lines(&self.batch.records), self.batch.records.len());
            self.batch.is_spooled = spool.append(&lines, count, false).is_ok();
        }
        if let Some(spool) = &mut self.spool {
            spool.check_files_at_end();
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
}

/// Encodes records as lines of the spool.
fn encode_lines(records: &[Record]) -> Vec<u8> {
    let mut lines = Vec::new();
    for record in records {
        append_line(&mut lines, record);
    }
    lines
}

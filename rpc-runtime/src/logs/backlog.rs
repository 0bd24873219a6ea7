//! Records that were drained from the queue and are still in memory, in order.

use std::collections::VecDeque;

use super::Record;
use super::queue::{Drained, Queue, QueueSize};

/// Records between the queue and the next batch or the spool.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    records: VecDeque<Record>,
    drained: VecDeque<Drained>,
}

impl Backlog {
    /// Drains the queue into the backlog.
    pub(super) fn fill(&mut self, queue: &Queue) {
        self.drained.push_back(queue.drain());
    }

    /// Removes the oldest records: at most `records`, and none after their size has reached
    /// `bytes`.
    pub(super) fn take(&mut self, records: usize, bytes: usize) -> Vec<Record> {
        let mut batch = Vec::new();
        let mut size = 0;
        while batch.len() < records
            && size < bytes
            && let Some(record) = self.next()
        {
            size += QueueSize::of(&record.text).bytes;
            batch.push(record);
        }
        batch
    }

    /// Puts back the records that were taken last.
    pub(super) fn put_back(&mut self, records: Vec<Record>) {
        for record in records.into_iter().rev() {
            self.records.push_front(record);
        }
    }

    pub(super) fn is_empty(&mut self) -> bool {
        match self.next() {
            Some(record) => {
                self.records.push_front(record);
                false
            }
            None => true,
        }
    }

    fn next(&mut self) -> Option<Record> {
        loop {
            if let Some(record) = self.records.pop_front() {
                return Some(record);
            }
            match self.drained.front_mut()?.next_records() {
                Some(records) => self.records.extend(records),
                None => {
                    self.drained.pop_front();
                }
            }
        }
    }
}

/// Returns the size that the queue accounts for these records.
pub(super) fn queue_size(records: &[Record]) -> QueueSize {
    let mut load = QueueSize::default();
    for record in records {
        load.add(QueueSize::of(&record.text));
    }
    load
}

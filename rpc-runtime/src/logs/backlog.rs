//! The records that were taken from the queue and lie in memory still, in their order.

use std::collections::VecDeque;

use super::Record;
use super::queue::{Queue, QueueSize};

/// Records between the queue and whatever takes them next: a call, or the spool.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    records: VecDeque<Record>,
    taken: VecDeque<super::queue::Drained>,
}

impl Backlog {
    /// Takes what is in the queue.
    pub(super) fn fill(&mut self, queue: &Queue) {
        self.taken.push_back(queue.drain());
    }

    /// The oldest: at most `records`, and no more once they take `bytes`.
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

    /// Takes records back that were taken last.
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
            match self.taken.front_mut()?.next_records() {
                Some(records) => self.records.extend(records),
                None => {
                    self.taken.pop_front();
                }
            }
        }
    }
}

/// What records count in the account of the queue's memory.
pub(super) fn queue_size(records: &[Record]) -> QueueSize {
    let mut load = QueueSize::default();
    for record in records {
        load.add(QueueSize::of(&record.text));
    }
    load
}

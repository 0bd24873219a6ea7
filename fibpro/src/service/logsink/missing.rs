//! Counts records that are missing from an output, each once.

use super::sequence::SequenceTracker;
use crate::api::logsink::Record;

/// Records that could not be written. A record that is sent again is counted once, and not at all
/// when it is written at last.
#[derive(Debug, Default)]
pub(super) struct MissingRecords {
    numbered: SequenceTracker,
    count: u64,
}

impl MissingRecords {
    /// Adds a record. One without a number cannot be recognized and always counts.
    pub(super) fn add(&mut self, record: &Record) {
        let is_new = match (record.epoch, record.sequence) {
            (Some(epoch), Some(sequence)) => self.numbered.insert(&record.source, epoch, sequence),
            _ => true,
        };
        self.count += u64::from(is_new);
        self.numbered.forget();
    }

    /// Removes a record that was written now.
    pub(super) fn remove(&mut self, record: &Record) {
        if self.count > 0
            && let (Some(epoch), Some(sequence)) = (record.epoch, record.sequence)
            && self.numbered.remove(&record.source, epoch, sequence)
        {
            self.count = self.count.saturating_sub(1);
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::logsink::Level;

    fn record(sequence: Option<u64>) -> Record {
        let time = "2026-11-22T12:25:34.021Z".parse().unwrap();
        let mut record = Record::new("a@prod/1".parse().unwrap(), time, Level::Info, "x");
        record.epoch = sequence.map(|_| 1);
        record.sequence = sequence;
        record
    }

    #[test]
    fn a_record_counts_once_until_it_is_written() {
        let mut missing = MissingRecords::default();
        for (number, count) in [
            (Some(1), 1),
            (Some(1), 1),
            (Some(2), 2),
            (None, 3),
            (None, 4),
        ] {
            missing.add(&record(number));
            assert_eq!(missing.count(), count);
        }
        for (number, count) in [
            (Some(1), 3),
            (Some(1), 3),
            (Some(7), 3),
            (None, 3),
            (Some(2), 2),
        ] {
            missing.remove(&record(number));
            assert_eq!(missing.count(), count);
        }
    }
}

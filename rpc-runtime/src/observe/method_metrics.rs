//! The numbers of one method, whoever calls it: how many calls, how they ended, how long they took.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::histogram::{Histogram, percentiles_of};
use crate::error::Code;

/// One place for success and one for each code.
const OUTCOMES: usize = 17;

/// Counts calls. Shared without a lock.
#[derive(Debug)]
pub(super) struct MethodMetrics {
    started: AtomicU64,
    ended: [AtomicU64; OUTCOMES],
    durations: Histogram,
}

/// What has been counted so far.
#[derive(Debug)]
pub(crate) struct MetricsSnapshot {
    /// Calls that have started.
    pub(crate) requests: u64,
    pub(crate) in_flight: u64,
    /// In the order of the codes, without zeros.
    pub(crate) errors: Vec<(Code, u64)>,
    /// The 50th, 90th and 99th percentile of the duration, in microseconds; `None` before a call has ended.
    pub(crate) percentiles: Option<[u64; 3]>,
}

impl MethodMetrics {
    pub(super) fn new() -> Self {
        Self {
            started: AtomicU64::new(0),
            ended: array::from_fn(|_| AtomicU64::new(0)),
            durations: Histogram::new(),
        }
    }

    pub(super) fn start(&self) {
        self.started.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn end(&self, code: Option<Code>, duration: Duration) {
        self.durations.record(duration);
        let outcome = code.map_or(0, |code| usize::from(code.number()));
        // Released, so that whoever reads the end of a call has its start as well.
        self.ended[outcome].fetch_add(1, Ordering::Release);
    }

    pub(super) fn read(&self) -> MetricsSnapshot {
        Self::read_all(&[self])
    }

    /// The numbers of several together.
    pub(super) fn read_all(all: &[&Self]) -> MetricsSnapshot {
        // Ends before starts: no call is ended that has not started.
        let ended: [u64; OUTCOMES] = array::from_fn(|outcome| {
            let ended = all
                .iter()
                .map(|counts| counts.ended[outcome].load(Ordering::Acquire));
            ended.sum()
        });
        let requests: u64 = all
            .iter()
            .map(|counts| counts.started.load(Ordering::Relaxed))
            .sum();
        MetricsSnapshot {
            requests,
            in_flight: requests.saturating_sub(ended.iter().sum()),
            errors: Code::all()
                .map(|code| (code, ended[usize::from(code.number())]))
                .filter(|entry| entry.1 > 0)
                .collect(),
            percentiles: percentiles_of(all.iter().map(|counts| &counts.durations), [50, 90, 99]),
        }
    }
}

/// A number that is a part of one in [`MethodMetrics`]. It is added to behind that one and read before it, so that nobody reads
/// a part that is larger than the whole.
#[derive(Debug, Default)]
pub(super) struct SubCounter(AtomicU64);

impl SubCounter {
    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::Release);
    }

    pub(super) fn read(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

//! Metrics of one method, of a server or client: number, result and duration of calls.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::histogram::{Histogram, percentiles_of};
use crate::error::Code;

/// Success and one outcome for each code.
const OUTCOMES: usize = 17;

/// Counts calls without a lock.
#[derive(Debug)]
pub(super) struct MethodMetrics {
    started: AtomicU64,
    ended: [AtomicU64; OUTCOMES],
    durations: Histogram,
}

/// Values of [`MethodMetrics`] at one point in time.
#[derive(Debug)]
pub(crate) struct MetricsSnapshot {
    /// Started calls.
    pub(crate) requests: u64,
    pub(crate) in_flight: u64,
    /// Failed calls by code, in the order of the codes, without zeros.
    pub(crate) errors: Vec<(Code, u64)>,
    /// The 50th, 90th and 99th percentile of the duration, in microseconds; `None` before a call
    /// has ended.
    pub(crate) percentiles: Option<[u64; 3]>,
}

impl MetricsSnapshot {
    /// Returns the number of failed calls whose code puts the caller at fault.
    pub(crate) fn refused(&self) -> u64 {
        let refused = self
            .errors
            .iter()
            .filter(|entry| !entry.0.is_server_error());
        refused.map(|entry| entry.1).sum()
    }
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
        // Pairs with the acquire load of `read_all`: a reader that sees the end also sees the
        // start.
        self.ended[outcome].fetch_add(1, Ordering::Release);
    }

    pub(super) fn read(&self) -> MetricsSnapshot {
        Self::read_all(&[self])
    }

    /// Returns the sum of several.
    pub(super) fn read_all(all: &[&Self]) -> MetricsSnapshot {
        // Ends are read before starts, so there are never more ends than starts.
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

/// Counter of a subset of the calls in [`MethodMetrics`]. It is incremented after the counter of
/// all calls and read before it, so a reader never sees a subset larger than the whole.
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

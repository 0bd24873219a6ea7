//! Times of calls in buckets, from which percentiles are read.
//!
//! Our own and no library: the histograms of those that are well kept want `&mut` or a lock to record, and this stands
//! on the path of every call. Recording is two additions that wait for nobody.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Buckets for each doubling: what is read from a bucket is too large by a 32nd at most.
const STEPS: u64 = 1 << STEP_BITS;
const STEP_BITS: u32 = 5;

/// The last bucket ends here, in microseconds: 71 minutes. A call that takes longer counts as that.
const LARGEST: u64 = (1 << 32) - 1;

const BUCKETS: usize = bucket(LARGEST) + 1;

/// Counts durations. Shared without a lock; an answer may miss what is recorded at the same time.
#[derive(Debug)]
pub(super) struct Histogram {
    buckets: Box<[AtomicU64; BUCKETS]>,
}

impl Histogram {
    pub(super) fn new() -> Self {
        Self {
            buckets: Box::new(array::from_fn(|_| AtomicU64::new(0))),
        }
    }

    pub(super) fn record(&self, duration: Duration) {
        let microseconds = u64::try_from(duration.as_micros()).unwrap_or(LARGEST);
        self.buckets[bucket(microseconds.min(LARGEST))].fetch_add(1, Ordering::Relaxed);
    }
}

/// For each of these percents, in ascending order, what so many of the durations in all of the histograms together do
/// not exceed, in microseconds. `None` before anything was recorded.
pub(super) fn percentiles_of<'h, const N: usize>(
    histograms: impl Iterator<Item = &'h Histogram>,
    percents: [u64; N],
) -> Option<[u64; N]> {
    let mut counts = vec![0; BUCKETS];
    for histogram in histograms {
        for (count, bucket) in counts.iter_mut().zip(histogram.buckets.iter()) {
            *count += bucket.load(Ordering::Relaxed);
        }
    }
    let total: u64 = counts.iter().sum();
    if total == 0 {
        return None;
    }
    let (mut next, mut seen) = (0, counts[0]);
    Some(percents.map(|percent| {
        let rank = (total * percent).div_ceil(100).max(1);
        while seen < rank {
            next += 1;
            seen += counts[next];
        }
        largest_of(next)
    }))
}

/// The bucket of a value. Below 2 × `STEPS` each value has its own; above, each doubling has `STEPS`.
#[allow(
    clippy::cast_possible_truncation,
    reason = "there are fewer than a thousand buckets"
)]
const fn bucket(value: u64) -> usize {
    if value < STEPS {
        return value as usize;
    }
    let shift = value.ilog2() - STEP_BITS;
    (shift as u64 * STEPS + (value >> shift)) as usize
}

/// The largest value of a bucket.
fn largest_of(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * STEPS {
        return bucket;
    }
    let shift = bucket / STEPS - 1;
    ((bucket % STEPS + STEPS + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_contiguous_and_narrow() {
        let mut smallest = 0;
        for index in 0..BUCKETS {
            let largest = largest_of(index);
            assert_eq!((bucket(smallest), bucket(largest)), (index, index));
            assert!((largest - smallest) * STEPS <= smallest.max(1), "{index}");
            smallest = largest + 1;
        }
        assert_eq!(smallest, LARGEST + 1);
    }

    #[test]
    fn percentiles_match_recorded_durations() {
        let histogram = Histogram::new();
        assert_eq!(percentiles_of([&histogram].into_iter(), [50]), None);
        for microseconds in 1..=1000 {
            histogram.record(Duration::from_micros(microseconds));
        }
        let read = percentiles_of([&histogram].into_iter(), [0, 50, 90, 99, 100]).unwrap();
        for (read, exact) in read.into_iter().zip([1, 500, 900, 990, 1000]) {
            assert!(
                (exact..=exact + exact / 32).contains(&read),
                "{read} {exact}"
            );
        }
    }

    #[test]
    fn the_longest_duration_is_counted() {
        let histogram = Histogram::new();
        histogram.record(Duration::MAX);
        assert_eq!(
            percentiles_of([&histogram].into_iter(), [50]),
            Some([LARGEST])
        );
    }
}

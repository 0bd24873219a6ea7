//! Histogram of call durations, from which percentiles are computed.

use std::time::Duration;

use histogram::{AtomicHistogram, Config};

/// Longest duration, in microseconds: 71 minutes. A longer call counts as this.
const MAX_MICROS: u64 = (1 << MAX_BITS) - 1;
const MAX_BITS: u8 = 32;

/// Each doubling has 2⁵ buckets, so a percentile is at most 1/32 too large. A histogram takes 7
/// KiB.
const CONFIG: Config = match Config::new(5, MAX_BITS) {
    Ok(config) => config,
    Err(_) => panic!("invalid configuration of the histogram"),
};

/// Counts durations without a lock. A reader may miss durations that are recorded concurrently.
#[derive(Debug)]
pub(super) struct Histogram(AtomicHistogram);

impl Histogram {
    pub(super) fn new() -> Self {
        Self(AtomicHistogram::with_config(&CONFIG))
    }

    pub(super) fn record(&self, duration: Duration) {
        let microseconds = u64::try_from(duration.as_micros()).unwrap_or(MAX_MICROS);
        // Fails only for values above the maximum.
        let _ = self.0.increment(microseconds.min(MAX_MICROS));
    }
}

/// Returns percentiles over all histograms together, in microseconds. `None` if nothing was
/// recorded.
pub(super) fn percentiles_of<'h, const N: usize>(
    histograms: impl Iterator<Item = &'h Histogram>,
    percents: [u8; N],
) -> Option<[u64; N]> {
    let mut sum = histogram::Histogram::with_config(&CONFIG);
    for histogram in histograms {
        sum.checked_add_assign(&histogram.0.load()).ok()?;
    }
    let quantiles = percents.map(|percent| f64::from(percent) / 100.0);
    let mut buckets = [const { None }; N];
    sum.quantile_buckets_into(&quantiles, &mut buckets).ok()?;
    let mut percentiles = [0; N];
    for (percentile, bucket) in percentiles.iter_mut().zip(buckets) {
        *percentile = bucket?.end();
    }
    Some(percentiles)
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn every_percentile_is_the_end_of_a_narrow_bucket() {
        for shift in 0..MAX_BITS {
            for value in [1 << shift, (1 << shift) + 1, (1_u64 << shift) * 2 - 1] {
                let histogram = Histogram::new();
                histogram.record(Duration::from_micros(value));
                let [read] = percentiles_of([&histogram].into_iter(), [50]).unwrap();
                assert!(
                    (value..=value + value / 32).contains(&read),
                    "{value} {read}"
                );
            }
        }
    }

    #[test]
    fn several_histograms_are_read_as_one() {
        let [one, two] = [Histogram::new(), Histogram::new()];
        for _ in 0..9 {
            one.record(Duration::from_micros(10));
        }
        two.record(Duration::from_micros(20));
        let read = percentiles_of([&one, &two].into_iter(), [50, 90, 99]);
        assert_eq!(read, Some([10, 10, 20]));
    }

    #[test]
    fn the_longest_duration_is_counted() {
        let histogram = Histogram::new();
        histogram.record(Duration::MAX);
        assert_eq!(
            percentiles_of([&histogram].into_iter(), [50]),
            Some([MAX_MICROS])
        );
    }
}

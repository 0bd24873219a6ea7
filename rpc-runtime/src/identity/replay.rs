//! Replay protection: the calls of the last seconds.

use std::collections::{BTreeMap, HashSet};

use super::VALID_MS;

/// The maximum number of remembered calls: about 16 MiB, and 35,000 calls a second while a
/// signature is valid.
pub(super) const CAPACITY: usize = 1 << 20;

/// The number of calls that are remembered after their signatures have expired: about 1 MiB. A
/// clock that is set back makes their signatures valid again.
pub(super) const RETAINED: usize = 1 << 16;

/// The received calls, grouped by the second of the signature.
///
/// Memory is bounded, and no call is admitted twice, also when the clock jumps. A second whose
/// calls are discarded stays discarded: all calls that were signed in it are rejected. At the
/// capacity the oldest second is discarded, so a flood of calls shortens the window.
#[derive(Debug)]
pub(super) struct ReplayWindow {
    seconds: BTreeMap<u64, HashSet<u64>>,
    count: usize,
    capacity: usize,
    retained: usize,
    discarded: SecondRanges,
}

/// The reason for which a call is rejected.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ReplayError {
    /// The call was received before.
    Replayed,
    /// The call may have been received before: its second is discarded.
    Discarded,
}

impl ReplayWindow {
    /// Creates a window that remembers up to `capacity` calls, and up to `retained` of them after
    /// their signatures have expired.
    pub(super) fn new(capacity: usize, retained: usize) -> Self {
        Self {
            seconds: BTreeMap::new(),
            count: 0,
            capacity,
            retained,
            discarded: SecondRanges::default(),
        }
    }

    /// Admits a call once. `time` is the time of its valid signature; both times are in
    /// milliseconds.
    pub(super) fn admit(&mut self, time: u64, tag: u64, now: u64) -> Result<(), ReplayError> {
        self.expire(now);
        let second = time / 1000;
        if self.discarded.contains(second) {
            return Err(ReplayError::Discarded);
        }
        if !self.seconds.entry(second).or_default().insert(tag) {
            return Err(ReplayError::Replayed);
        }
        self.count += 1;
        if self.count > self.capacity {
            self.discard_one(now);
        }
        Ok(())
    }

    /// Discards the oldest calls whose signatures have expired, except for the retained ones.
    fn expire(&mut self, now: u64) {
        let oldest = now.saturating_sub(VALID_MS) / 1000;
        while self.count > self.retained
            && let Some(first) = self.seconds.first_entry()
            && *first.key() < oldest
        {
            let (second, calls) = first.remove_entry();
            self.discard(second, calls.len(), now);
        }
    }

    /// Discards the oldest second. Discards the newest one if its signatures are not valid yet, as
    /// after a clock was set back: calls of the present are needed more.
    fn discard_one(&mut self, now: u64) {
        let newest_valid = now.saturating_add(VALID_MS) / 1000;
        let ahead = self.seconds.last_entry();
        let dropped = match ahead.filter(|last| *last.key() > newest_valid) {
            Some(last) => Some(last.remove_entry()),
            None => self.seconds.pop_first(),
        };
        if let Some((second, calls)) = dropped {
            self.discard(second, calls.len(), now);
        }
    }

    fn discard(&mut self, second: u64, calls: usize, now: u64) {
        self.count -= calls;
        self.discarded.insert(second, now / 1000);
    }
}

/// Maximum number of ranges. Beyond it, the two with the smallest gap are merged.
const RANGES: usize = 64;

/// Gap over which two ranges are always merged, so that a server with few calls has few ranges.
const GAP: u64 = VALID_MS / 1000;

/// A set of seconds, as sorted ranges. Contains each inserted second, and may contain others
/// between them.
#[derive(Debug, Default)]
struct SecondRanges(Vec<(u64, u64)>);

impl SecondRanges {
    fn contains(&self, second: u64) -> bool {
        let after = self.0.partition_point(|(start, _)| *start <= second);
        after > 0 && second <= self.0[after - 1].1
    }

    /// Adds a second. Merges ranges, but never over the second `now`: calls that are signed now
    /// must remain possible.
    fn insert(&mut self, second: u64, now: u64) {
        if self.contains(second) {
            return;
        }
        let at = self.0.partition_point(|(start, _)| *start <= second);
        self.0.insert(at, (second, second));
        // The later neighbour first, since merging removes the later range of two.
        for at in [Some(at), at.checked_sub(1)].into_iter().flatten() {
            if self.gap_after(at, now).is_some_and(|gap| gap <= GAP) {
                self.merge_after(at);
            }
        }
        if self.0.len() > RANGES {
            let gaps = (0..self.0.len()).filter_map(|at| Some((self.gap_after(at, now)?, at)));
            if let Some((_, at)) = gaps.min() {
                self.merge_after(at);
            }
        }
    }

    /// Returns the gap between a range and the next one, unless `now` is in it.
    fn gap_after(&self, at: usize, now: u64) -> Option<u64> {
        let (end, start) = (self.0.get(at)?.1, self.0.get(at + 1)?.0);
        let has_now = end < now && now < start;
        (!has_now).then_some(start - end)
    }

    fn merge_after(&mut self, at: usize) {
        let (_, end) = self.0.remove(at + 1);
        self.0[at].1 = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The start of each scenario, in milliseconds.
    const T: u64 = 1_000_000_000;

    const YEAR: u64 = 365 * 24 * 3600 * 1000;

    #[test]
    fn a_call_is_admitted_once_while_it_is_valid() {
        let mut window = ReplayWindow::new(100, 0);
        assert_eq!(window.admit(50_000, 7, 50_000), Ok(()));
        assert_eq!(window.admit(50_000, 7, 50_001), Err(ReplayError::Replayed));
        assert_eq!(window.admit(50_000, 8, 50_001), Ok(()));
        assert_eq!(window.admit(50_000, 7, 80_000), Err(ReplayError::Replayed));
        assert_eq!(window.count, 2);
        // One second later their signatures have expired, and they are removed.
        assert_eq!(window.admit(81_000, 9, 81_000), Ok(()));
        assert_eq!((window.count, window.seconds.len()), (1, 1));
    }

    #[test]
    fn a_full_window_becomes_shorter() {
        let mut window = ReplayWindow::new(10, 10);
        for tag in 0..8 {
            assert_eq!(window.admit(10_000 + tag * 1000, tag, 20_000), Ok(()));
        }
        for tag in 100..200 {
            assert_eq!(window.admit(20_000, tag, 20_000), Ok(()), "{tag}");
            assert!(window.count <= 10);
            assert!(window.admit(20_000, tag, 20_000).is_err(), "{tag}");
            if window.discarded.contains(20) {
                return;
            }
        }
        panic!("a window of ten cannot hold a hundred");
    }

    #[test]
    fn a_clock_that_jumps_ahead_and_back_admits_no_replay() {
        for retained in [0, RETAINED] {
            for jump in [31_000, 120_000, 3_600_000, 20 * YEAR] {
                let mut window = ReplayWindow::new(CAPACITY, retained);
                assert_eq!(window.admit(T, 1, T), Ok(()));
                // Calls of hosts whose clocks jump together.
                for second in 0..60 {
                    let now = T + jump + second * 1000;
                    assert_eq!(window.admit(now, second, now), Ok(()), "{jump}");
                }
                assert!(window.admit(T, 1, T).is_err(), "{jump}");
                // New calls of the present are admitted, at the latest from the next second on.
                assert_eq!(window.admit(T + 1000, 2, T + 1000), Ok(()), "{jump}");
                // The calls of the jump are no replays for the time to come either.
                let later = T + jump + 30_000;
                assert!(window.admit(later, 30, later).is_err(), "{jump}");
            }
        }
    }

    #[test]
    fn a_clock_that_is_set_back_admits_no_replay() {
        for (retained, new) in [(0, Err(ReplayError::Discarded)), (RETAINED, Ok(()))] {
            let mut window = ReplayWindow::new(CAPACITY, retained);
            for second in 0..600 {
                let now = T + second * 1000;
                assert_eq!(window.admit(now, second, now), Ok(()));
            }
            let back = T + 300_000;
            assert!(window.admit(back, 300, back).is_err());
            // New calls of a second whose calls are still known are admitted.
            assert_eq!(window.admit(back, 7777, back), new);
        }
    }

    #[test]
    fn calls_of_the_future_yield_to_those_of_the_present() {
        let mut window = ReplayWindow::new(10, 10);
        for tag in 0..10 {
            let now = T + YEAR + tag * 1000;
            assert_eq!(window.admit(now, tag, now), Ok(()));
        }
        for tag in 0..10 {
            let now = T + tag * 1000;
            assert_eq!(window.admit(now, tag, now), Ok(()), "{tag}");
        }
        for tag in 0..10 {
            let later = T + YEAR + tag * 1000;
            assert!(window.admit(later, tag, T + 9000).is_err(), "{tag}");
        }
        assert!(window.discarded.0.len() < 4, "{:?}", window.discarded);
    }

    #[test]
    fn no_load_and_no_clock_admits_a_call_twice() {
        let mut random = fastrand::Rng::with_seed(7);
        for retained in [0, 20, 50] {
            let mut window = ReplayWindow::new(50, retained);
            let mut admitted = HashSet::new();
            let mut now = 100_000_000;
            for _ in 0..20_000 {
                now = match random.u32(0..2000) {
                    0 => now + random.u64(0..400_000),
                    1 => now - random.u64(0..400_000),
                    _ => now + 10,
                };
                let call = (now + 30_000 - random.u64(0..60_000), random.u64(0..200));
                if window.admit(call.0, call.1, now).is_ok() {
                    assert!(admitted.insert(call), "{call:?} at {now}");
                }
                assert!(window.count <= 51, "{}", window.count);
                assert!(window.discarded.0.len() <= RANGES);
            }
            assert!(admitted.len() > 1000, "{}", admitted.len());
        }
    }

    #[test]
    fn many_ranges_merge_but_never_over_the_present() {
        let mut ranges = SecondRanges::default();
        let now = 1_000_000;
        for n in 0..1000_u64 {
            let second = if n % 2 == 0 {
                now - 40 * n
            } else {
                now + 40 * n
            };
            ranges.insert(second - 1, now);
            assert!(ranges.contains(second - 1));
        }
        assert!(ranges.0.len() <= RANGES, "{}", ranges.0.len());
        assert!(
            (0..1000)
                .step_by(2)
                .all(|n| ranges.contains(now - 40 * n - 1))
        );
        assert!(!ranges.contains(now) && !ranges.contains(now + 1));
    }
}

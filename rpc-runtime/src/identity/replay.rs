//! Replay protection: the calls of the last seconds.

use std::collections::{BTreeMap, HashSet};

use super::VALID_MS;

/// The maximum number of remembered calls: about 16 MiB, and 35,000 calls a second while a
/// signature is valid.
pub(super) const CAPACITY: usize = 1 << 20;

/// The received calls whose signatures are still valid, grouped by the second of the signature.
///
/// Memory is bounded, and no call is admitted twice: at the capacity the oldest second is
/// discarded, and calls that were signed in it or earlier are rejected. A flood of calls shortens
/// the window.
#[derive(Debug)]
pub(super) struct ReplayWindow {
    seconds: BTreeMap<u64, HashSet<u64>>,
    count: usize,
    capacity: usize,
    /// Calls that were signed before this second are rejected.
    start: u64,
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
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            seconds: BTreeMap::new(),
            count: 0,
            capacity,
            start: 0,
        }
    }

    /// Admits a call once. `time` is the time of its valid signature; both times are in
    /// milliseconds.
    pub(super) fn admit(&mut self, time: u64, tag: u64, now: u64) -> Result<(), ReplayError> {
        self.expire(now);
        let second = time / 1000;
        if second < self.start {
            return Err(ReplayError::Discarded);
        }
        if !self.seconds.entry(second).or_default().insert(tag) {
            return Err(ReplayError::Replayed);
        }
        self.count += 1;
        if self.count > self.capacity
            && let Some((oldest, calls)) = self.seconds.pop_first()
        {
            self.count -= calls.len();
            self.start = oldest + 1;
        }
        Ok(())
    }

    /// Removes calls whose signatures have expired.
    fn expire(&mut self, now: u64) {
        let oldest = now.saturating_sub(VALID_MS) / 1000;
        while let Some(first) = self.seconds.first_entry()
            && *first.key() < oldest
        {
            self.count -= first.remove().len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_admitted_once_while_it_is_valid() {
        let mut window = ReplayWindow::new(100);
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
        let mut window = ReplayWindow::new(10);
        for tag in 0..8 {
            assert_eq!(window.admit(10_000 + tag * 1000, tag, 20_000), Ok(()));
        }
        for tag in 100..200 {
            assert_eq!(window.admit(20_000, tag, 20_000), Ok(()), "{tag}");
            assert!(window.count <= 10);
            assert!(window.admit(20_000, tag, 20_000).is_err(), "{tag}");
            if window.start > 20 {
                return;
            }
        }
        panic!("a window of ten cannot hold a hundred");
    }

    #[test]
    fn no_load_admits_a_call_twice() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut window = ReplayWindow::new(50);
        let mut admitted = HashSet::new();
        for step in 0..20_000_u64 {
            let now = 100_000 + step * 10;
            let call = (now - random.u64(0..30_000), random.u64(0..200));
            if window.admit(call.0, call.1, now).is_ok() {
                assert!(admitted.insert(call), "{call:?} at {now}");
            }
            assert!(window.count <= 51, "{}", window.count);
        }
        assert!(admitted.len() > 1000, "{}", admitted.len());
    }
}

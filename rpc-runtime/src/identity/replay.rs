//! What has arrived in the last seconds, so that it does not count twice.

use std::collections::{BTreeMap, HashSet};

use super::VALID_MS;

/// How many calls are remembered: about 16 MiB, and 35,000 calls a second over the whole time of a signature.
pub(super) const CAPACITY: usize = 1 << 20;

/// The calls that have arrived and could arrive again, by the second in which they were signed.
///
/// Memory is bounded without ever letting a call in twice: at the cap the oldest second is forgotten, and from then on
/// what was signed in it or before is refused. A flood makes the window shorter and not leaky.
#[derive(Debug)]
pub(super) struct ReplayWindow {
    seconds: BTreeMap<u64, HashSet<u64>>,
    count: usize,
    capacity: usize,
    /// What was signed before this second is not let in any more.
    start: u64,
}

/// Why a call is not let in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ReplayError {
    /// It has arrived before.
    Seen,
    /// It could have arrived before: its second is forgotten.
    Forgotten,
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

    /// Lets a call in that was signed at `time`, once. Both times in milliseconds; `time` is within its validity.
    pub(super) fn admit(&mut self, time: u64, tag: u64, now: u64) -> Result<(), ReplayError> {
        self.expire(now);
        let second = time / 1000;
        if second < self.start {
            return Err(ReplayError::Forgotten);
        }
        if !self.seconds.entry(second).or_default().insert(tag) {
            return Err(ReplayError::Seen);
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

    /// Forgets what the time alone refuses.
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
    fn a_call_is_let_in_once_for_as_long_as_it_is_valid() {
        let mut window = ReplayWindow::new(100);
        assert_eq!(window.admit(50_000, 7, 50_000), Ok(()));
        assert_eq!(window.admit(50_000, 7, 50_001), Err(ReplayError::Seen));
        assert_eq!(window.admit(50_000, 8, 50_001), Ok(()));
        assert_eq!(window.admit(50_000, 7, 80_000), Err(ReplayError::Seen));
        assert_eq!(window.count, 2);
        // A second later no clock lets them in any more, and nothing of them is kept.
        assert_eq!(window.admit(81_000, 9, 81_000), Ok(()));
        assert_eq!((window.count, window.seconds.len()), (1, 1));
    }

    #[test]
    fn a_full_window_becomes_shorter_and_lets_nothing_in_twice() {
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
        panic!("a window of ten holds no hundred");
    }

    #[test]
    fn whatever_the_load_nothing_is_let_in_twice() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut window = ReplayWindow::new(50);
        let mut let_in = HashSet::new();
        for step in 0..20_000_u64 {
            let now = 100_000 + step * 10;
            let call = (now - random.u64(0..30_000), random.u64(0..200));
            if window.admit(call.0, call.1, now).is_ok() {
                assert!(let_in.insert(call), "{call:?} at {now}");
            }
            assert!(window.count <= 51, "{}", window.count);
        }
        assert!(let_in.len() > 1000, "{}", let_in.len());
    }
}

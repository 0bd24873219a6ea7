//! Logs events that untrusted peers cause, without filling the log.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts events, and selects the first, the second, the fourth, the eighth and so on for the log.
#[derive(Debug, Default)]
pub(crate) struct LogThrottle(AtomicU64);

impl LogThrottle {
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Counts an event; returns the number so far if the event is to be logged.
    pub(crate) fn record(&self) -> Option<u64> {
        let count = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        count.is_power_of_two().then_some(count)
    }

    /// Returns the number of events so far.
    #[cfg(feature = "server")]
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

//! Numbers of exported, waiting and dropped records.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Records dropped by all exporters of this process.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Returns the number of log records that this process has dropped since it started, for any
/// [reason](Dropped).
#[must_use]
pub fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// State of a log exporter; see [`LogExporter::status`](super::LogExporter::status).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogExporterStatus {
    /// Whether the sink accepted the last batch; true before the first one.
    pub sink_up: bool,
    /// Records that the sink has accepted, including those that an earlier session left in the
    /// spool.
    pub sent: u64,
    /// Records in memory.
    pub queued: usize,
    /// Size of the spool, in bytes.
    pub spooled_bytes: u64,
    /// Dropped records.
    pub dropped: Dropped,
}

/// Dropped log records, by cause.
///
/// Displays as `3 queue full, 1 refused`, or as `none`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dropped {
    /// The queue in memory was full: the sink was unavailable or slow, and there was no spool or it
    /// could not be written.
    pub queue_full: u64,
    /// The spool was full, and these were its oldest records.
    pub spool_full: u64,
    /// The sink rejected the record as invalid, or failed on it alone every time.
    pub refused: u64,
    /// Damaged lines of the spool, such as the last line after a power loss.
    pub damaged: u64,
    /// The files of the spool that held these records were removed or replaced.
    pub removed: u64,
    /// The exporter ended before the sink was available again, and there was no spool; or the event
    /// was logged after the exporter had ended.
    pub unsent: u64,
}

impl Dropped {
    /// Returns the sum over all causes.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.causes().iter().map(|(count, _)| count).sum()
    }

    fn causes(&self) -> [(u64, &'static str); 6] {
        [
            (self.queue_full, "queue full"),
            (self.spool_full, "spool full"),
            (self.refused, "refused"),
            (self.damaged, "damaged"),
            (self.removed, "removed from the spool"),
            (self.unsent, "not sent before the end"),
        ]
    }

    /// Returns the difference to `earlier`.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        Self {
            queue_full: self.queue_full - earlier.queue_full,
            spool_full: self.spool_full - earlier.spool_full,
            refused: self.refused - earlier.refused,
            damaged: self.damaged - earlier.damaged,
            removed: self.removed - earlier.removed,
            unsent: self.unsent - earlier.unsent,
        }
    }
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (count, cause) in self.causes().into_iter().filter(|(count, _)| *count > 0) {
            write!(f, "{separator}{count} {cause}")?;
            separator = ", ";
        }
        if separator.is_empty() {
            f.write_str("none")?;
        }
        Ok(())
    }
}

/// Reason why records are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DropCause {
    QueueFull,
    SpoolFull,
    Refused,
    Damaged,
    Removed,
    Unsent,
}

/// Live counters of an exporter.
#[derive(Debug)]
pub(super) struct ExporterMetrics {
    dropped: [AtomicU64; 6],
    pub(super) sent: AtomicU64,
    pub(super) spooled_bytes: AtomicU64,
    pub(super) sink_up: AtomicBool,
}

impl Default for ExporterMetrics {
    fn default() -> Self {
        Self {
            dropped: Default::default(),
            sent: AtomicU64::new(0),
            spooled_bytes: AtomicU64::new(0),
            sink_up: AtomicBool::new(true),
        }
    }
}

impl ExporterMetrics {
    pub(super) fn drop_records(&self, cause: DropCause, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.dropped[cause as usize].fetch_add(count, Ordering::Relaxed);
        DROPPED.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn dropped(&self) -> Dropped {
        let of = |cause: DropCause| self.dropped[cause as usize].load(Ordering::Relaxed);
        Dropped {
            queue_full: of(DropCause::QueueFull),
            spool_full: of(DropCause::SpoolFull),
            refused: of(DropCause::Refused),
            damaged: of(DropCause::Damaged),
            removed: of(DropCause::Removed),
            unsent: of(DropCause::Unsent),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_are_counted_and_displayed_by_cause() {
        let metrics = ExporterMetrics::default();
        assert_eq!(metrics.dropped().to_string(), "none");
        let before = dropped();
        metrics.drop_records(DropCause::QueueFull, 3);
        let earlier = metrics.dropped();
        metrics.drop_records(DropCause::Refused, 1);
        metrics.drop_records(DropCause::Unsent, 2);
        let all = metrics.dropped();
        assert_eq!(
            all.to_string(),
            "3 queue full, 1 refused, 2 not sent before the end"
        );
        assert_eq!((all.total(), all.since(&earlier).total()), (6, 3));
        assert!(dropped() >= before + 6);
    }
}

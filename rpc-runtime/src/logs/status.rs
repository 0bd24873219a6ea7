//! What has become of the records of a process, in numbers.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Everything that this process has dropped, whoever shipped it.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// How many log records this process has dropped since it started, for whatever [reason](Dropped); 0 when all is well.
#[must_use]
pub fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// How the shipping of a process stands; see [`LogExporter::status`](super::LogExporter::status).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogExporterStatus {
    /// Whether the sink took what it was last sent; true before there was anything to send.
    pub sink_up: bool,
    /// Records that the sink has taken, those of an earlier life of the process included.
    pub sent: u64,
    /// Records that lie in memory.
    pub queued: usize,
    /// The size of the spool, in bytes.
    pub spooled_bytes: u64,
    /// Records that are lost.
    pub dropped: Dropped,
}

/// Log records that are lost, by the cause.
///
/// Prints as `3 queue full, 1 refused`, or as `none`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dropped {
    /// The memory for them was full: the sink was away or slow, and there is no spool, or it could not be written.
    pub queue_full: u64,
    /// The spool was full, and these were the oldest in it.
    pub spool_full: u64,
    /// The sink takes all but these, again and again.
    pub refused: u64,
    /// Lines of the spool that were damaged, such as the last one of a host that lost its power.
    pub damaged: u64,
    /// The process ended before the sink was back, and there is no spool; or it still wrote when its shipping had ended.
    pub unsent: u64,
}

impl Dropped {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.causes().iter().map(|(count, _)| count).sum()
    }

    fn causes(&self) -> [(u64, &'static str); 5] {
        [
            (self.queue_full, "queue full"),
            (self.spool_full, "spool full"),
            (self.refused, "refused"),
            (self.damaged, "damaged"),
            (self.unsent, "not sent before the end"),
        ]
    }

    /// What has been added since `earlier`.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        Self {
            queue_full: self.queue_full - earlier.queue_full,
            spool_full: self.spool_full - earlier.spool_full,
            refused: self.refused - earlier.refused,
            damaged: self.damaged - earlier.damaged,
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

/// Why records are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DropCause {
    QueueFull,
    SpoolFull,
    Refused,
    Damaged,
    Unsent,
}

/// The numbers while they grow.
#[derive(Debug)]
pub(super) struct ExporterMetrics {
    dropped: [AtomicU64; 5],
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
            unsent: of(DropCause::Unsent),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_is_counted_by_cause_and_said_in_words() {
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

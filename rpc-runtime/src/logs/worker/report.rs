//! Reports of the worker in the log: outages of the sink, and dropped records.

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::Worker;
use crate::error::Error;
use crate::logs::Level;
use crate::logs::layer::OWN_TARGET;

impl Worker {
    /// Logs the first failure of an outage.
    pub(super) fn report_unavailable(&mut self, error: &Error) {
        self.shared.metrics.sink_up.store(false, Ordering::Relaxed);
        if self.unavailable_since.is_none() {
            self.unavailable_since = Some(Instant::now());
            let buffer = match &self.spool {
                Some(spool) => format!("buffering records in {}", spool.path().display()),
                None => "buffering records in memory only".to_owned(),
            };
            tracing::warn!(target: OWN_TARGET, sink = &*self.sink, %error, "log sink unavailable; {buffer}");
        }
    }

    /// Logs the end of an outage.
    pub(super) fn report_available(&mut self) {
        self.failures = 0;
        self.shared.metrics.sink_up.store(true, Ordering::Relaxed);
        if let Some(since) = self.unavailable_since.take() {
            let away = since.elapsed();
            tracing::info!(target: OWN_TARGET, sink = &*self.sink, ?away, "log sink available again");
        }
    }

    /// Logs a warning when the first records since the last drop report are dropped.
    pub(super) fn warn_of_drops(&mut self) {
        let dropped = self.shared.metrics.dropped();
        if self.warned == self.reported && dropped != self.warned {
            let new = dropped.since(&self.reported);
            tracing::warn!(target: OWN_TARGET, sink = &*self.sink, "log records are being dropped: {new}");
        }
        self.warned = dropped;
    }

    /// Queues a record that reports the dropped records. Called when the sink accepts records.
    pub(super) fn queue_drop_report(&mut self) {
        let dropped = self.shared.metrics.dropped();
        if dropped == self.reported {
            return;
        }
        let new = dropped.since(&self.reported);
        let (count, total) = (new.total(), dropped.total());
        let were = if count == 1 {
            "record was"
        } else {
            "records were"
        };
        self.shared.queue.push_unbounded(
            Level::Warn,
            OWN_TARGET,
            format!("{count} log {were} dropped: {new} ({total} since the start)"),
        );
        self.reported = dropped;
        self.warned = dropped;
    }
}

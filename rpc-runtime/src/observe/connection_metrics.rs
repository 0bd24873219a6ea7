//! Metrics of the connections that a server refuses or ends.

use super::LogThrottle;

/// Counts connections that a server refuses or ends because of its limits.
#[derive(Debug, Default)]
pub(crate) struct ConnectionMetrics {
    /// Refused: their peer had reached its limit.
    over_limit: LogThrottle,
    /// Closed without a response: too many were being refused, or they sent no request in time.
    unanswered: LogThrottle,
    /// Ended: their peer did not take a response.
    untaken: LogThrottle,
}

/// The numbers of [`ConnectionMetrics`] at one point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConnectionSnapshot {
    pub(crate) over_limit: u64,
    pub(crate) unanswered: u64,
    pub(crate) untaken: u64,
}

impl ConnectionMetrics {
    /// Counts a refused connection from `place`, whose peer had `most` of them.
    pub(crate) fn over_limit(&self, place: &dyn std::fmt::Debug, most: usize) {
        if let Some(count) = self.over_limit.record() {
            tracing::warn!(
                target: "rpc",
                ?place,
                most,
                count,
                "connection rejected: per-peer connection limit reached; `count` so far"
            );
        }
    }

    /// Counts a refused connection that is closed without a response.
    pub(crate) fn unanswered(&self, reason: &'static str) {
        if let Some(count) = self.unanswered.record() {
            tracing::warn!(
                target: "rpc",
                reason,
                count,
                "refused connection closed without a response; `count` so far"
            );
        }
    }

    /// Counts a connection that ends because its peer did not take a response.
    pub(crate) fn untaken(&self) {
        if let Some(count) = self.untaken.record() {
            tracing::warn!(
                target: "rpc",
                count,
                "a connection ends: its peer did not take the next part of a response within `idle_timeout`; `count` so far"
            );
        }
    }

    pub(crate) fn read(&self) -> ConnectionSnapshot {
        ConnectionSnapshot {
            over_limit: self.over_limit.count(),
            unanswered: self.unanswered.count(),
            untaken: self.untaken.count(),
        }
    }
}

//! Takes the spans that ended into the queue of the exporter.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use tokio::sync::mpsc::Sender;

/// The numbers of spans that were exported and lost.
#[derive(Debug, Default)]
pub(super) struct SpanCounts {
    pub(super) exported: AtomicU64,
    /// Of a full queue, or after the end of the exporter.
    pub(super) queue_full: AtomicU64,
    /// Not accepted by the collector.
    pub(super) failed: AtomicU64,
}

impl SpanCounts {
    pub(super) fn dropped(&self) -> u64 {
        self.queue_full.load(Ordering::Relaxed) + self.failed.load(Ordering::Relaxed)
    }
}

/// Queues spans, and counts those for which there is no place.
#[derive(Debug)]
pub(super) struct QueueProcessor {
    pub(super) queue: Sender<SpanData>,
    pub(super) counts: Arc<SpanCounts>,
}

impl SpanProcessor for QueueProcessor {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() && self.queue.try_send(span).is_err() {
            self.counts.queue_full.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The worker sends without being asked to.
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    /// The exporter has its own shutdown.
    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

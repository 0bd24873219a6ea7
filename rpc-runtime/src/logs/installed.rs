//! The exporters of this process whose layer belongs to a subscriber.

use std::sync::{Arc, Mutex, Weak};

use super::shared::ExporterState;
use crate::sync::MutexExt as _;

static INSTALLED: Mutex<Vec<Weak<ExporterState>>> = Mutex::new(Vec::new());

/// Returns whether the program exports its log.
pub(crate) fn is_exporting() -> bool {
    any_exporter(|_| true)
}

/// Returns whether the program exports its log to this sink.
pub(crate) fn is_exporting_to(target: &str) -> bool {
    any_exporter(|exporter| *exporter.target == *target)
}

/// Records that the layer of an exporter belongs to a subscriber.
pub(super) fn add(exporter: &Arc<ExporterState>) {
    let mut installed = INSTALLED.lock_unpoisoned();
    installed.retain(|exporter| exporter.strong_count() > 0);
    installed.push(Arc::downgrade(exporter));
}

fn any_exporter(holds: impl Fn(&ExporterState) -> bool) -> bool {
    let installed = INSTALLED.lock_unpoisoned();
    let mut running = installed.iter().filter_map(Weak::upgrade);
    running.any(|exporter| exporter.queue.is_open() && holds(&exporter))
}

//! Listeners for changes. They are called one at a time, in the order of the changes, without the
//! lock of the writer.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, Weak};

use super::cell::{Value, catch_panic};
use super::registry;
use crate::sync::MutexExt as _;

/// A change of a flag.
pub(super) struct Change {
    pub(super) index: usize,
    pub(super) old: Value,
    pub(super) new: Value,
}

type ChangeListener = Arc<dyn Fn(&Value, &Value) + Send + Sync>;

/// The pending changes, and the listeners.
#[derive(Default)]
pub(super) struct Notifier {
    pending: Mutex<PendingChanges>,
    listeners: Mutex<Vec<(u64, usize, ChangeListener)>>,
}

#[derive(Default)]
struct PendingChanges {
    changes: VecDeque<Change>,
    /// Whether a thread is calling the listeners. Other threads leave their changes to it.
    is_notifying: bool,
}

impl Notifier {
    /// Queues a change. The caller holds the lock of the writer, so the order is that of the
    /// changes.
    pub(super) fn push(&self, change: Change) {
        self.pending.lock_unpoisoned().changes.push_back(change);
    }

    /// Calls the listeners for all pending changes, unless another thread does. Changes by
    /// listeners are queued.
    pub(super) fn notify(&self) {
        {
            let mut pending = self.pending.lock_unpoisoned();
            if pending.is_notifying {
                return;
            }
            pending.is_notifying = true;
        }
        loop {
            let change = {
                let mut pending = self.pending.lock_unpoisoned();
                match pending.changes.pop_front() {
                    Some(change) => change,
                    None => {
                        pending.is_notifying = false;
                        return;
                    }
                }
            };
            self.notify_one(&change);
        }
    }

    fn notify_one(&self, change: &Change) {
        let Change { index, old, new } = change;
        let Some(known) = registry::all().get(*index) else {
            return;
        };
        let name = known.flag.meta().name;
        let panicked = || tracing::error!(target: "rpc", flag = name, "a listener for changes of a flag panicked");
        if catch_panic(|| known.flag.notify(old, new)).is_err() {
            panicked();
        }
        let listeners: Vec<_> = self
            .listeners
            .lock_unpoisoned()
            .iter()
            .filter(|listener| listener.1 == *index)
            .map(|listener| Arc::clone(&listener.2))
            .collect();
        for listener in listeners {
            if catch_panic(|| listener(old, new)).is_err() {
                panicked();
            }
        }
    }

    pub(super) fn listen(self: &Arc<Self>, index: usize, listener: ChangeListener) -> WatchGuard {
        let mut listeners = self.listeners.lock_unpoisoned();
        let id = listeners.last().map_or(0, |last| last.0 + 1);
        listeners.push((id, index, listener));
        WatchGuard {
            notifier: Arc::downgrade(self),
            id,
        }
    }
}

/// Keeps a listener for changes registered until it is dropped. See
/// [`Flags::watch`](crate::Flags::watch).
#[must_use = "the listener is removed when this is dropped"]
pub struct WatchGuard {
    notifier: Weak<Notifier>,
    id: u64,
}

impl Drop for WatchGuard {
    fn drop(&mut self) {
        if let Some(notifier) = self.notifier.upgrade() {
            let mut listeners = notifier.listeners.lock_unpoisoned();
            // Dropped after the lock: the drop runs code of the application.
            let at = listeners.iter().position(|listener| listener.0 == self.id);
            let gone = at.map(|at| listeners.remove(at));
            drop(listeners);
            drop(gone);
        }
    }
}

impl fmt::Debug for WatchGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WatchGuard")
    }
}

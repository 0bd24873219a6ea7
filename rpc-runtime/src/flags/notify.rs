//! Who is told of changes: in their order, one after the other, and never under the lock of a writer.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, Weak};

use super::cell::{Value, catch_panic};
use super::registry;
use crate::sync::MutexExt as _;

/// A change, to be told.
pub(super) struct Change {
    pub(super) index: usize,
    pub(super) old: Value,
    pub(super) new: Value,
}

type Listener = Arc<dyn Fn(&Value, &Value) + Send + Sync>;

/// The changes that wait to be told, and who wants to know.
#[derive(Default)]
pub(super) struct Notifier {
    waiting: Mutex<Waiting>,
    listeners: Mutex<Vec<(u64, usize, Listener)>>,
}

#[derive(Default)]
struct Waiting {
    changes: VecDeque<Change>,
    /// Whether somebody tells them now; whoever changes something meanwhile leaves it to that one.
    is_told: bool,
}

impl Notifier {
    /// Puts a change at the end. Called by the one writer, so the order is that of the changes.
    pub(super) fn push(&self, change: Change) {
        self.waiting.lock_unpoisoned().changes.push_back(change);
    }

    /// Tells what waits, unless somebody else does. A listener may change flags: that is told behind it.
    pub(super) fn tell(&self) {
        {
            let mut waiting = self.waiting.lock_unpoisoned();
            if waiting.is_told {
                return;
            }
            waiting.is_told = true;
        }
        loop {
            let change = {
                let mut waiting = self.waiting.lock_unpoisoned();
                match waiting.changes.pop_front() {
                    Some(change) => change,
                    None => {
                        waiting.is_told = false;
                        return;
                    }
                }
            };
            self.tell_one(&change);
        }
    }

    fn tell_one(&self, change: &Change) {
        let Change { index, old, new } = change;
        let Some(known) = registry::all().get(*index) else {
            return;
        };
        let name = known.flag.meta().name;
        let panicked =
            || tracing::error!(target: "rpc", flag = name, "a notifier of a flag panicked");
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

    pub(super) fn listen(self: &Arc<Self>, index: usize, listener: Listener) -> WatchGuard {
        let mut listeners = self.listeners.lock_unpoisoned();
        let id = listeners.last().map_or(0, |last| last.0 + 1);
        listeners.push((id, index, listener));
        WatchGuard {
            notifier: Arc::downgrade(self),
            id,
        }
    }
}

/// Who is told of the changes of a flag, for as long as this lives; see [`Flags::watch`](super::Flags::watch).
#[must_use = "dropped, nothing is told"]
pub struct WatchGuard {
    notifier: Weak<Notifier>,
    id: u64,
}

impl Drop for WatchGuard {
    fn drop(&mut self) {
        if let Some(notifier) = self.notifier.upgrade() {
            let mut listeners = notifier.listeners.lock_unpoisoned();
            // What it holds may be anything, so it is dropped behind the lock.
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

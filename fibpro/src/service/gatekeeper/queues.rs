//! A queue for each key, each with its number of turns.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Those that run and wait in a queue are too many.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct QueueFull;

/// A queue for each key. A key that has none in its queue takes no memory.
pub(super) struct Queues<K: Eq + Hash + Copy> {
    at_once: usize,
    queues: Arc<Mutex<HashMap<K, Queue>>>,
}

struct Queue {
    turns: Arc<Semaphore>,
    members: usize,
}

impl<K: Eq + Hash + Copy> Queues<K> {
    pub(super) fn new(at_once: usize) -> Self {
        Self {
            at_once,
            queues: Arc::default(),
        }
    }

    /// Joins the queue of a key, which has at most `max` members.
    pub(super) fn join(&self, key: K, max: usize) -> Result<QueueSlot<K>, QueueFull> {
        let mut queues = self.queues.lock();
        let queue = queues.entry(key).or_insert_with(|| Queue {
            turns: Arc::new(Semaphore::new(self.at_once)),
            members: 0,
        });
        if queue.members >= max {
            return Err(QueueFull);
        }
        queue.members += 1;
        Ok(QueueSlot {
            key,
            turns: Arc::clone(&queue.turns),
            queues: Arc::clone(&self.queues),
        })
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.queues.lock().is_empty()
    }
}

impl<K: Eq + Hash + Copy> fmt::Debug for Queues<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queues")
            .field("keys", &self.queues.lock().len())
            .finish_non_exhaustive()
    }
}

/// Slot in a queue, waiting or running.
pub(super) struct QueueSlot<K: Eq + Hash + Copy> {
    key: K,
    turns: Arc<Semaphore>,
    queues: Arc<Mutex<HashMap<K, Queue>>>,
}

impl<K: Eq + Hash + Copy> QueueSlot<K> {
    /// Waits for a turn, in the order of arrival.
    pub(super) async fn turn(&self) -> Result<OwnedSemaphorePermit, QueueFull> {
        turn(&self.turns).await
    }
}

impl<K: Eq + Hash + Copy> fmt::Debug for QueueSlot<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueSlot").finish_non_exhaustive()
    }
}

impl<K: Eq + Hash + Copy> Drop for QueueSlot<K> {
    fn drop(&mut self) {
        let mut queues = self.queues.lock();
        if let Some(queue) = queues.get_mut(&self.key) {
            queue.members -= 1;
            if queue.members == 0 {
                queues.remove(&self.key);
            }
        }
    }
}

/// Waits for a permit of a semaphore that is never closed.
pub(super) async fn turn(turns: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, QueueFull> {
    let turn = Arc::clone(turns).acquire_owned().await;
    turn.map_err(|_| QueueFull)
}

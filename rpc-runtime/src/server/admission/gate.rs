//! The concurrency limit of a server, with a short queue.
//!
//! One atomic word holds the counts of running and waiting calls. A call that is admitted at once,
//! and a call that ends while no call waits, change it once without a lock. The lock protects the
//! queue, which is used only while the server is full.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::timeout_at;

use crate::server::Limits;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Mutex, MutexExt as _, MutexGuard};

/// One running call in the state word.
const RUNNING: u64 = 1;
/// One waiting call in the state word.
const WAITING: u64 = 1 << 32;

/// The number of waiting calls that the state word can hold.
const MAX_WAITING: usize = u32::MAX as usize;

/// The maximum of the queue timeout, with which the clock does not overflow. No deadline is later.
/// The value of `duration::FAR_FUTURE`, which is not imported because the models compile this file
/// without that module.
const MAX_QUEUE_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Limits the calls that run concurrently, and the calls that wait.
///
/// Waiting calls are admitted first come, first served. The reverse order (LIFO) prefers calls with
/// most of their deadline left, and suits long queues. This queue is short and no call waits longer
/// than `queue_timeout`, so LIFO would reject exactly the calls that have waited longest.
#[derive(Debug)]
pub(crate) struct Gate {
    /// Waiting calls in the upper half, running calls in the lower half. While a call waits, every
    /// slot is taken: a slot that becomes free is handed to the next waiting call.
    state: AtomicU64,
    slots: u64,
    queue: Mutex<WaitQueue>,
    queue_capacity: usize,
    queue_timeout: Duration,
}

#[derive(Debug, Default)]
struct WaitQueue {
    waiting: VecDeque<(u64, oneshot::Sender<()>)>,
    next: u64,
}

/// The reason for which a call is not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AdmitError {
    /// All slots were taken, and the queue was full or the queue timeout passed.
    Busy,
    /// The deadline passed in the queue.
    Late,
}

impl Gate {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            state: AtomicU64::new(0),
            slots: u64::try_from(limits.running_calls).map_or(WAITING - 1, |n| n.min(WAITING - 1)),
            queue: Mutex::default(),
            queue_capacity: limits.queued_calls.min(MAX_WAITING),
            queue_timeout: limits.queue_timeout.min(MAX_QUEUE_TIMEOUT),
        }
    }

    /// Waits for a slot.
    ///
    /// # Cancellation
    ///
    /// Dropping the future leaves the queue. A slot that was handed over at that moment goes to the
    /// next waiting call.
    pub(super) async fn enter(&self, deadline: Option<Instant>) -> Result<Permit<'_>, AdmitError> {
        match self.try_enter() {
            Some(permit) => Ok(permit),
            // Boxed to keep the future of a call that does not wait small.
            None => Box::pin(self.wait(deadline)).await,
        }
    }

    async fn wait(&self, deadline: Option<Instant>) -> Result<Permit<'_>, AdmitError> {
        let waiting = match self.enqueue() {
            Admission::Free(permit) => return Ok(permit),
            Admission::None => return Err(AdmitError::Busy),
            Admission::InQueue(waiting) => waiting,
        };
        let late = |now| deadline.is_some_and(|deadline| deadline <= now);
        let end = Instant::now() + self.queue_timeout;
        let end = deadline.map_or(end, |deadline| deadline.min(end));
        let permit = timeout_at(end.into(), waiting.over()).await;
        match permit {
            // Handed over at the last moment: the caller no longer waits for the response.
            _ if late(Instant::now()) => Err(AdmitError::Late),
            Ok(Some(permit)) => Ok(permit),
            Ok(None) | Err(_) => Err(AdmitError::Busy),
        }
    }

    fn try_enter(&self) -> Option<Permit<'_>> {
        let free = |state| (running(state) < self.slots).then_some(state + RUNNING);
        let entered = self
            .state
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, free);
        // Created lazily, since dropping a permit releases a slot.
        entered.is_ok().then(|| Permit { gate: self })
    }

    fn enqueue(&self) -> Admission<'_> {
        let mut queue = self.queue();
        if queue.waiting.len() >= self.queue_capacity {
            return self.try_enter().map_or(Admission::None, Admission::Free);
        }
        // Only while every slot is taken: otherwise no running call would hand one over.
        let full = |state| (running(state) >= self.slots).then_some(state + WAITING);
        loop {
            let waits = self
                .state
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, full);
            if waits.is_ok() {
                break;
            }
            if let Some(permit) = self.try_enter() {
                return Admission::Free(permit);
            }
        }
        let (sender, turn) = oneshot::channel();
        let id = queue.next;
        queue.next += 1;
        queue.waiting.push_back((id, sender));
        Admission::InQueue(QueuedCall {
            gate: self,
            id,
            turn,
            over: false,
        })
    }

    /// Hands the slot to the call that has waited longest, or releases it.
    fn release(&self) {
        let alone = |state| (state < WAITING).then(|| state - RUNNING);
        let left = self
            .state
            .fetch_update(Ordering::Release, Ordering::Relaxed, alone);
        if left.is_ok() {
            return;
        }
        let mut queue = self.queue();
        while let Some((_, sender)) = queue.waiting.pop_front() {
            self.state.fetch_sub(WAITING, Ordering::Relaxed);
            // A waiting call removes its entry under the lock before it is dropped, so a receiver
            // exists here.
            if sender.send(()).is_ok() {
                return;
            }
        }
        // All waiting calls have left since. None can be queued now, since that takes the lock.
        self.state.fetch_sub(RUNNING, Ordering::Release);
    }

    fn queue(&self) -> MutexGuard<'_, WaitQueue> {
        self.queue.lock_unpoisoned()
    }
}

fn running(state: u64) -> u64 {
    state & (WAITING - 1)
}

/// The result for a call that was not admitted at once.
enum Admission<'g> {
    Free(Permit<'g>),
    InQueue(QueuedCall<'g>),
    None,
}

/// The position of a call in the queue.
struct QueuedCall<'g> {
    gate: &'g Gate,
    id: u64,
    turn: oneshot::Receiver<()>,
    over: bool,
}

impl<'g> QueuedCall<'g> {
    async fn over(mut self) -> Option<Permit<'g>> {
        let handed = (&mut self.turn).await;
        self.over = true;
        // A sender is dropped only after use, or with the gate.
        handed.ok().map(|()| Permit { gate: self.gate })
    }
}

impl Drop for QueuedCall<'_> {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let mut queue = self.gate.queue();
        let place = queue.waiting.iter().position(|entry| entry.0 == self.id);
        if let Some(place) = place {
            queue.waiting.remove(place);
            self.gate.state.fetch_sub(WAITING, Ordering::Relaxed);
            return;
        }
        drop(queue);
        // A slot was handed over at this moment, so it is passed on.
        self.gate.release();
    }
}

/// The slot of a running call, released on drop.
#[derive(Debug)]
#[must_use = "the slot is released on drop"]
pub(crate) struct Permit<'g> {
    gate: &'g Gate,
}

impl Permit<'_> {
    /// Converts to a permit for work that outlives the call: detached work, or a response stream.
    pub(crate) fn into_owned(self, gate: Arc<Gate>) -> OwnedPermit {
        debug_assert!(
            std::ptr::eq(self.gate, &*gate),
            "internal error: the permit belongs to another gate"
        );
        // The slot is not released: the new value owns it.
        std::mem::forget(self);
        OwnedPermit { gate }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.gate.release();
    }
}

/// A [`Permit`] that borrows nothing.
#[derive(Debug)]
pub(crate) struct OwnedPermit {
    gate: Arc<Gate>,
}

impl Drop for OwnedPermit {
    fn drop(&mut self) {
        self.gate.release();
    }
}

#[cfg(test)]
// Explicit, since `rpc-models` includes this file by its path, from which the module would be
// resolved differently.
#[path = "gate/tests.rs"]
mod tests;

//! How many calls run at one time, and how many more wait for a moment.
//!
//! One word holds both numbers, so a call that finds a free place and a call that leaves while nobody waits change it
//! once and take no lock. The lock is for the queue, which exists only while the server is full.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::timeout_at;

use crate::server::Limits;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Mutex, MutexExt as _, MutexGuard};

/// One running call in the state.
const RUNNING: u64 = 1;
/// One waiting call in the state.
const WAITING: u64 = 1 << 32;

/// Lets so many calls run, and so many more wait.
///
/// Who waits is let in first come, first served. The other order would give the places to those with most of their time
/// left, and is better where a queue is long; this one is short, nobody waits in it for longer than `queue_timeout`, and
/// the last come, first served would turn exactly those away who have waited for all of that.
#[derive(Debug)]
pub(crate) struct Gate {
    /// The waiting calls in the upper half and the running ones in the lower. While anybody waits, every place is taken:
    /// a place that becomes free is handed on and not given up.
    state: AtomicU64,
    places: u64,
    queue: Mutex<WaitQueue>,
    room: usize,
    patience: Duration,
}

#[derive(Debug, Default)]
struct WaitQueue {
    waiting: VecDeque<(u64, oneshot::Sender<()>)>,
    next: u64,
}

/// Why a call is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AdmitError {
    /// All places were taken, and the queue was full or did not move.
    Busy,
    /// The deadline passed in the queue.
    Late,
}

impl Gate {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            state: AtomicU64::new(0),
            places: u64::try_from(limits.running_calls).map_or(WAITING - 1, |n| n.min(WAITING - 1)),
            queue: Mutex::default(),
            room: limits.queued_calls,
            patience: limits.queue_timeout,
        }
    }

    /// Waits for a place.
    ///
    /// # Cancellation
    ///
    /// Dropping the future leaves the queue; a place that was handed over at that moment goes to the next one.
    pub(super) async fn enter(&self, deadline: Option<Instant>) -> Result<Permit<'_>, AdmitError> {
        match self.try_enter() {
            Some(permit) => Ok(permit),
            // Boxed, so that the future of a call that need not wait has no room for it.
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
        let end = Instant::now() + self.patience;
        let end = deadline.map_or(end, |deadline| deadline.min(end));
        let permit = timeout_at(end.into(), waiting.over()).await;
        match permit {
            // Handed over at the last moment: nobody waits for the answer any more.
            _ if late(Instant::now()) => Err(AdmitError::Late),
            Ok(Some(permit)) => Ok(permit),
            Ok(None) | Err(_) => Err(AdmitError::Busy),
        }
    }

    fn try_enter(&self) -> Option<Permit<'_>> {
        let free = |state| (running(state) < self.places).then_some(state + RUNNING);
        let entered = self
            .state
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, free);
        // Lazily: a permit that is made gives a place up when it is dropped.
        entered.is_ok().then(|| Permit { gate: self })
    }

    fn enqueue(&self) -> Admission<'_> {
        let mut queue = self.queue();
        if queue.waiting.len() >= self.room {
            return self.try_enter().map_or(Admission::None, Admission::Free);
        }
        // Only while every place is taken: otherwise nobody would be there to hand one over.
        let full = |state| (running(state) >= self.places).then_some(state + WAITING);
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

    /// Gives a place to who waits the longest, or gives it up.
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
            // Who waits leaves the queue, under its lock, before it goes: there is always somebody to take it.
            if sender.send(()).is_ok() {
                return;
            }
        }
        // Who waited has gone since. Nobody can line up now: that takes the lock.
        self.state.fetch_sub(RUNNING, Ordering::Release);
    }

    fn queue(&self) -> MutexGuard<'_, WaitQueue> {
        self.queue.lock_unpoisoned()
    }
}

fn running(state: u64) -> u64 {
    state & (WAITING - 1)
}

/// What a call finds that did not get in at once.
enum Admission<'g> {
    Free(Permit<'g>),
    InQueue(QueuedCall<'g>),
    None,
}

/// A place in the queue.
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
        // A sender is dropped only after it was used, or with the gate.
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
        // It was called in just now, and goes instead.
        self.gate.release();
    }
}

/// The place of a call that runs; given up when it is dropped.
#[derive(Debug)]
#[must_use = "a place is given up when it is dropped"]
pub(crate) struct Permit<'g> {
    gate: &'g Gate,
}

impl Permit<'_> {
    /// The same place for work that outlives the call: detached, or the stream of an answer.
    pub(crate) fn into_owned(self, gate: Arc<Gate>) -> OwnedPermit {
        debug_assert!(std::ptr::eq(self.gate, &*gate), "a place of another gate");
        // The place is not given up: it goes to the other value.
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
// Said, since `rpc-models` takes this file by its path, from where the module would be looked for elsewhere.
#[path = "gate/tests.rs"]
mod tests;

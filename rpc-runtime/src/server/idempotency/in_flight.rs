//! The calls in flight, by key: one runs, and concurrent repeats wait for its result.

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;

use super::held_claim::{Ending, HeldClaim, LATE_CLAIM_TIMEOUT, STORE_TIMEOUT};
use super::timing::within;
use super::{Claim, Fingerprint, IdempotencyKey, IdempotencyStore, Outcome};
use crate::error::Error;
use crate::sync::{Mutex, MutexExt as _, MutexGuard};

/// The maximum number of calls that have ended and of which the store is not yet told. Of further
/// ones the key stays claimed.
const UNSETTLED_LIMIT: usize = 1_000;

/// The maximum number of repeats that wait for one call.
const REPEATS_PER_KEY: usize = 100;
/// The maximum number of repeats that wait. Those of one caller take at most a half.
const REPEATS: usize = 1_000;

/// A resource of a running call, such as its slot of the gate; freed on drop.
pub(super) type Place = Box<dyn Any + Send>;

/// The running calls of a server, by idempotency key.
pub(super) struct InFlightCalls {
    calls: Mutex<Calls>,
    /// The maximum number of calls that run without a place, since their callers have left.
    orphan_limit: usize,
}

#[derive(Default)]
struct Calls {
    by_key: HashMap<IdempotencyKey, InFlight>,
    /// The number of those in [`Stage::Settling`].
    unsettled: usize,
    /// The number of repeats that wait, and the number of those of each caller.
    repeats: usize,
    repeats_by_caller: HashMap<String, usize>,
    /// The number of those that run without a place.
    orphans: usize,
}

struct InFlight {
    message: Fingerprint,
    receiver: watch::Receiver<Stage>,
    /// The number of callers that wait for the result, and of those that are repeats.
    callers: usize,
    repeats: usize,
    /// The resource of the call, while it runs and a caller waits for it.
    place: Option<Place>,
    is_orphan: bool,
}

/// The progress of a running call.
enum Stage {
    /// The store has not yet returned the claim. The key may turn out to belong to another message.
    Claiming,
    /// The call holds the key.
    Running,
    /// The call has ended, and the store is not yet told. Repeats get the result here.
    Settling(CallResult),
    Done(CallResult),
}

/// The outcome of [`InFlightCalls::join`].
pub(super) enum Join {
    /// No call runs with this key: the caller runs the leader, and waits like any follower.
    Leader(Leader, Waiter),
    /// A call with the same message is running; the caller waits for its result.
    Follower(Waiter),
    /// The key belongs to a call with another message.
    KeyReused,
    /// A call with another message has not been executed, and the store is not yet told.
    Unsettled,
    /// Too many repeats wait.
    TooManyRepeats,
}

/// The result that a running call gives to all of its waiters.
#[derive(Debug, Clone)]
pub(super) enum CallResult {
    /// The call has run.
    Ran(Outcome),
    /// The store had the result of an earlier call.
    Stored(Outcome),
    /// The store has the key of an earlier call with another message.
    KeyReused,
    /// The call is running in another process.
    RunningElsewhere,
    /// The store has no capacity for one more key.
    StoreFull,
    /// The store did not respond within [`STORE_TIMEOUT`].
    StoreTimeout,
    /// The store returned an error.
    StoreFailed(Error),
    /// All callers left before the store returned the claim.
    CallersLeft,
}

impl CallResult {
    /// Returns whether the key belongs to this call from now on.
    fn holds_key(&self) -> bool {
        match self {
            Self::Ran(outcome) => outcome.is_final(),
            Self::Stored(_) | Self::RunningElsewhere => true,
            Self::KeyReused
            | Self::StoreFull
            | Self::StoreTimeout
            | Self::StoreFailed(_)
            | Self::CallersLeft => false,
        }
    }
}

impl Default for InFlightCalls {
    fn default() -> Self {
        Self::new(UNSETTLED_LIMIT)
    }
}

impl InFlightCalls {
    /// Creates an empty list, in which at most `orphan_limit` calls run without a place.
    pub(super) fn new(orphan_limit: usize) -> Self {
        Self {
            calls: Mutex::default(),
            orphan_limit,
        }
    }

    pub(super) async fn join(self: &Arc<Self>, key: &IdempotencyKey, message: Fingerprint) -> Join {
        loop {
            let mut waiter = match self.try_join(key, message) {
                Ok(joined) => return joined,
                Err(waiter) => waiter,
            };
            // A different message is rejected only once the store confirms who holds the key: if an
            // earlier call with this message holds it, its stored result is returned here.
            let Ok(stage) = waiter
                .receiver
                .wait_for(|stage| !matches!(stage, Stage::Claiming))
                .await
            else {
                continue;
            };
            match &*stage {
                Stage::Running => return Join::KeyReused,
                Stage::Settling(result) | Stage::Done(result) if result.holds_key() => {
                    return Join::KeyReused;
                }
                // Waiting for the store may take minutes.
                Stage::Settling(_) => return Join::Unsettled,
                Stage::Claiming | Stage::Done(_) => {}
            }
        }
    }

    /// Returns `Err` if a call with a different message is in flight.
    fn try_join(
        self: &Arc<Self>,
        key: &IdempotencyKey,
        message: Fingerprint,
    ) -> Result<Join, Waiter> {
        let waiter = |receiver, is_repeat| Waiter {
            in_flight: Arc::clone(self),
            key: key.clone(),
            receiver,
            is_repeat,
        };
        let mut calls = self.calls();
        if calls.by_key.contains_key(key) {
            let Some((receiver, running)) = calls.add_repeat(key) else {
                return Ok(Join::TooManyRepeats);
            };
            let waiter = waiter(receiver, true);
            return if running == message {
                Ok(Join::Follower(waiter))
            } else {
                Err(waiter)
            };
        }
        let (sender, receiver) = watch::channel(Stage::Claiming);
        let call = InFlight {
            message,
            receiver: receiver.clone(),
            callers: 1,
            repeats: 0,
            place: None,
            is_orphan: false,
        };
        calls.by_key.insert(key.clone(), call);
        let leader = Leader {
            in_flight: Arc::clone(self),
            key: key.clone(),
            message,
            sender,
            is_listed: true,
        };
        Ok(Join::Leader(leader, waiter(receiver, false)))
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock_unpoisoned()
    }

    /// Records that a caller no longer waits. When the last one of a running call has left, the
    /// call frees its place.
    fn leave(&self, waiter: &Waiter) {
        let mut calls = self.calls();
        if waiter.is_repeat {
            calls.remove_repeat(waiter.key.caller());
        }
        let has_room = calls.orphans < self.orphan_limit;
        let call = calls.by_key.get_mut(&waiter.key);
        // Later calls may have the same key.
        let Some(call) = call.filter(|call| call.receiver.same_channel(&waiter.receiver)) else {
            return;
        };
        call.callers -= 1;
        call.repeats -= usize::from(waiter.is_repeat);
        if call.callers > 0 || call.place.is_none() || !has_room {
            return;
        }
        call.is_orphan = true;
        let place = call.place.take();
        calls.orphans += 1;
        drop(calls);
        drop(place);
    }
}

impl Calls {
    /// Adds a repeat of a call; returns `None` if too many wait.
    fn add_repeat(
        &mut self,
        key: &IdempotencyKey,
    ) -> Option<(watch::Receiver<Stage>, Fingerprint)> {
        let of_caller = self.repeats_by_caller.get(key.caller()).copied();
        let of_caller = of_caller.unwrap_or_default();
        let call = self.by_key.get_mut(key)?;
        if call.repeats >= REPEATS_PER_KEY || self.repeats >= REPEATS || of_caller >= REPEATS / 2 {
            return None;
        }
        call.callers += 1;
        call.repeats += 1;
        self.repeats += 1;
        let caller = key.caller().to_owned();
        self.repeats_by_caller.insert(caller, of_caller + 1);
        Some((call.receiver.clone(), call.message))
    }

    /// Records that the work of a call has ended, and returns its place.
    fn end_work(&mut self, key: &IdempotencyKey) -> Option<Place> {
        let call = self.by_key.get_mut(key)?;
        self.orphans -= usize::from(std::mem::take(&mut call.is_orphan));
        call.place.take()
    }

    fn remove_repeat(&mut self, caller: &str) {
        self.repeats -= 1;
        if let Some(of_caller) = self.repeats_by_caller.get_mut(caller) {
            *of_caller -= 1;
            if *of_caller == 0 {
                self.repeats_by_caller.remove(caller);
            }
        }
    }
}

/// Waits for a result.
pub(super) struct Waiter {
    in_flight: Arc<InFlightCalls>,
    key: IdempotencyKey,
    receiver: watch::Receiver<Stage>,
    /// Whether another call runs with the key.
    is_repeat: bool,
}

impl Waiter {
    /// Returns `None` if the leader was dropped, for example at the end of the process.
    pub(super) async fn result(mut self) -> Option<CallResult> {
        let ended = |stage: &Stage| matches!(stage, Stage::Settling(_) | Stage::Done(_));
        match &*self.receiver.wait_for(ended).await.ok()? {
            Stage::Settling(result) | Stage::Done(result) => Some(result.clone()),
            Stage::Claiming | Stage::Running => None,
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.in_flight.leave(self);
    }
}

/// The call that runs. If it is dropped before its end, its key is stored with the outcome "lost".
pub(super) struct Leader {
    in_flight: Arc<InFlightCalls>,
    key: IdempotencyKey,
    message: Fingerprint,
    sender: watch::Sender<Stage>,
    /// Whether the call is in `in_flight`.
    is_listed: bool,
}

impl Leader {
    /// Sets what the call occupies. It is freed when the work ends, or when all callers have left.
    pub(super) fn occupy(&self, place: Place) {
        let mut calls = self.in_flight.calls();
        if let Some(call) = calls.by_key.get_mut(&self.key) {
            call.place = Some(place);
        }
    }

    /// Frees the place after the work.
    fn free_place(&self) {
        let mut calls = self.in_flight.calls();
        let place = calls.end_work(&self.key);
        drop(calls);
        drop(place);
    }

    /// Claims the key, runs the work if the key was free, and stores its result.
    ///
    /// Calls `ended` when the callers get their result, with the result and whether a caller waits
    /// for it. After that it may still try to reach the store for minutes.
    pub(super) async fn run(
        mut self,
        store: &dyn IdempotencyStore,
        work: impl Future<Output = Outcome>,
        ended: impl FnOnce(&CallResult, bool),
    ) {
        let key = self.key.clone();
        let claim = HeldClaim::new(store, &key, self.message);
        let mut begin = store.begin(&key, self.message);
        match within(STORE_TIMEOUT, begin.as_mut()).await {
            Some(Ok(begun)) => match self.unclaimed(begun) {
                Some(result) => {
                    claim.forget();
                    self.finish(result, ended);
                }
                None if self.start() => {
                    let outcome = work.await;
                    self.free_place();
                    let ending = if outcome.is_final() {
                        Ending::Complete(outcome.clone())
                    } else {
                        Ending::Abandon
                    };
                    let result = CallResult::Ran(outcome);
                    self.end(claim.ending(ending), result, ended).await;
                }
                None => {
                    let claim = claim.ending(Ending::Abandon);
                    self.end(claim, CallResult::CallersLeft, ended).await;
                }
            },
            // The store may have claimed the key before it failed.
            Some(Err(error)) => {
                let claim = claim.ending(Ending::Abandon);
                let result = CallResult::StoreFailed(error);
                self.end(claim, result, ended).await;
            }
            None => {
                let claim = claim.ending(Ending::Abandon);
                if !self.settle_later(CallResult::StoreTimeout, ended) {
                    return;
                }
                // Until it responds, the store may still claim the key. The work never runs, since
                // the callers have been told so.
                match within(LATE_CLAIM_TIMEOUT, begin).await {
                    Some(Ok(begun)) if !matches!(begun, Claim::New) => claim.forget(),
                    Some(_) | None => claim.settle().await,
                }
            }
        }
    }

    /// Begins the work. Returns `false` if all callers have left: a caller that comes later gets
    /// [`CallResult::CallersLeft`].
    fn start(&self) -> bool {
        // Under the lock, so that no caller joins in between. One receiver is that of the list.
        let _calls = self.in_flight.calls();
        let is_awaited = self.sender.receiver_count() > 1;
        if is_awaited {
            self.sender.send_replace(Stage::Running);
        }
        is_awaited
    }

    /// Returns the result of a call that did not get its key, or `None` if it did.
    fn unclaimed(&self, claim: Claim) -> Option<CallResult> {
        Some(match claim {
            Claim::New => return None,
            Claim::Done(message, outcome) if message == self.message => CallResult::Stored(outcome),
            Claim::Running(message) if message == self.message => CallResult::RunningElsewhere,
            Claim::Done(..) | Claim::Running(_) => CallResult::KeyReused,
            Claim::Full => CallResult::StoreFull,
        })
    }

    /// Tells the store how the claim ends, and the callers the result.
    async fn end(
        mut self,
        mut claim: HeldClaim<'_>,
        result: CallResult,
        ended: impl FnOnce(&CallResult, bool),
    ) {
        if claim.try_settle().await {
            self.finish(result, ended);
        } else if self.settle_later(result, ended) {
            claim.settle().await;
        } else {
            claim.give_up();
        }
    }

    /// Gives the result to the callers and removes the call from the list.
    fn finish(&mut self, result: CallResult, ended: impl FnOnce(&CallResult, bool)) {
        // In this order: until the store has the result, repeats must find the call here; and a
        // caller that received the result and repeats the call must find it in the store.
        self.unlist();
        let is_awaited = self.sender.receiver_count() > 0;
        ended(&result, is_awaited);
        self.sender.send_replace(Stage::Done(result));
    }

    /// Gives the result to the callers, and leaves the call in the list until this leader is
    /// dropped. Returns `false` if too many calls are in this stage, and finishes the call then.
    fn settle_later(&mut self, result: CallResult, ended: impl FnOnce(&CallResult, bool)) -> bool {
        let mut calls = self.in_flight.calls();
        if calls.unsettled >= UNSETTLED_LIMIT {
            drop(calls);
            self.finish(result, ended);
            return false;
        }
        calls.unsettled += 1;
        let is_awaited = self.sender.receiver_count() > 1;
        drop(calls);
        ended(&result, is_awaited);
        self.sender.send_replace(Stage::Settling(result));
        true
    }

    fn unlist(&mut self) {
        if std::mem::take(&mut self.is_listed) {
            let mut calls = self.in_flight.calls();
            if matches!(&*self.sender.borrow(), Stage::Settling(_)) {
                calls.unsettled -= 1;
            }
            let place = calls.end_work(&self.key);
            calls.by_key.remove(&self.key);
            drop(calls);
            drop(place);
        }
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        // After `finish`, the key may belong to a later call.
        self.unlist();
    }
}

#[cfg(test)]
// Explicit, since `rpc-models` includes this file by its path.
#[path = "in_flight/tests.rs"]
mod tests;

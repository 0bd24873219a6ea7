//! The calls that are running under a key: one runs, and those that repeat it meanwhile wait for its result.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use super::{Claim, Fingerprint, IdempotencyKey, IdempotencyStore, Outcome, StoreFuture};
use crate::error::Error;
use crate::sync::{Mutex, MutexExt as _, MutexGuard};

/// How long a store may take for an answer.
const STORE_TIMEOUT: Duration = Duration::from_secs(5);

/// The running calls of a server, by idempotency key.
#[derive(Default)]
pub(super) struct InFlightCalls(Mutex<HashMap<IdempotencyKey, InFlight>>);

struct InFlight {
    message: Fingerprint,
    waiter: watch::Receiver<Stage>,
}

/// The progress of a running call.
enum Stage {
    /// The store has not yet returned the claim. The key may turn out to belong to another message.
    Claiming,
    /// The call holds the key.
    Running,
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
}

impl InFlightCalls {
    pub(super) async fn join(self: &Arc<Self>, key: &IdempotencyKey, message: Fingerprint) -> Join {
        loop {
            let mut waiter = match self.try_join(key, message) {
                Ok(joined) => return joined,
                Err(waiter) => waiter,
            };
            // Another message does not have the key before the store says so: when it belongs to an earlier call, with
            // this message, that one's result is due here.
            let Ok(stage) = waiter
                .wait_for(|stage| !matches!(stage, Stage::Claiming))
                .await
            else {
                continue;
            };
            match &*stage {
                Stage::Running
                | Stage::Done(
                    CallResult::Ran(_) | CallResult::Stored(_) | CallResult::RunningElsewhere,
                ) => {
                    return Join::KeyReused;
                }
                Stage::Claiming | Stage::Done(_) => {}
            }
        }
    }

    /// `Err` where another message is ahead.
    fn try_join(
        self: &Arc<Self>,
        key: &IdempotencyKey,
        message: Fingerprint,
    ) -> Result<Join, watch::Receiver<Stage>> {
        let mut running = self.running();
        if let Some(call) = running.get(key) {
            let waiter = call.waiter.clone();
            return if call.message == message {
                Ok(Join::Follower(Waiter(waiter)))
            } else {
                Err(waiter)
            };
        }
        let (sender, waiter) = watch::channel(Stage::Claiming);
        let call = InFlight {
            message,
            waiter: waiter.clone(),
        };
        running.insert(key.clone(), call);
        let leader = Leader {
            in_flight: Arc::clone(self),
            key: key.clone(),
            message,
            sender,
            is_done: false,
        };
        Ok(Join::Leader(leader, Waiter(waiter)))
    }

    fn running(&self) -> MutexGuard<'_, HashMap<IdempotencyKey, InFlight>> {
        self.0.lock_unpoisoned()
    }
}

/// Waits for a result.
pub(super) struct Waiter(watch::Receiver<Stage>);

impl Waiter {
    /// `None` where what ran was dropped, as at the end of the process.
    pub(super) async fn result(mut self) -> Option<CallResult> {
        let result = self.0.wait_for(|stage| matches!(stage, Stage::Done(_)));
        match &*result.await.ok()? {
            Stage::Done(result) => Some(result.clone()),
            Stage::Claiming | Stage::Running => None,
        }
    }
}

/// The call that runs. Dropped before its end, it leaves the key behind as one whose call was lost.
pub(super) struct Leader {
    in_flight: Arc<InFlightCalls>,
    key: IdempotencyKey,
    message: Fingerprint,
    sender: watch::Sender<Stage>,
    is_done: bool,
}

impl Leader {
    /// Asks the store, runs the work where nobody has done it, and keeps its result. `true` where somebody waits for it.
    pub(super) async fn run(
        mut self,
        store: &dyn IdempotencyStore,
        work: impl Future<Output = Outcome>,
    ) -> bool {
        let result = match with_timeout(store.begin(&self.key, self.message)).await {
            Err(result) => result,
            Ok(Claim::Done(message, outcome)) if message == self.message => {
                CallResult::Stored(outcome)
            }
            Ok(Claim::Running(message)) if message == self.message => CallResult::RunningElsewhere,
            Ok(Claim::Done(..) | Claim::Running(_)) => CallResult::KeyReused,
            Ok(Claim::Full) => CallResult::StoreFull,
            Ok(Claim::New) => CallResult::Ran(self.claimed(store, work).await),
        };
        // In this order: until the store knows the result, repeats must find the call here, and whoever is told the
        // result and comes again must find it in the store.
        self.in_flight.running().remove(&self.key);
        self.is_done = true;
        self.sender.send(Stage::Done(result)).is_ok()
    }

    async fn claimed(
        &self,
        store: &dyn IdempotencyStore,
        work: impl Future<Output = Outcome>,
    ) -> Outcome {
        let mut claim = ClaimGuard {
            leader: self,
            store,
            settled: false,
        };
        self.sender.send_replace(Stage::Running);
        let outcome = work.await;
        claim.settled = true;
        let kept = if outcome.is_final() {
            with_timeout(store.complete(&self.key, self.message, &outcome)).await
        } else {
            with_timeout(store.abandon(&self.key)).await
        };
        if let Err(result) = kept {
            tracing::error!(
                target: "rpc",
                key = %self.key,
                why = ?result,
                "the store of idempotency keys did not take the result of a call: repeats are turned away until it gives the key up"
            );
        }
        outcome
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        // Behind `run` the key may be a later call's.
        if !self.is_done {
            self.in_flight.running().remove(&self.key);
        }
    }
}

/// A claim between `begin` and its end.
struct ClaimGuard<'a> {
    leader: &'a Leader,
    store: &'a dyn IdempotencyStore,
    settled: bool,
}

impl Drop for ClaimGuard<'_> {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        // Nobody is there to wait for the store: memory takes it at once, and another store has the claim.
        let lost = Outcome::lost();
        let mut told = self
            .store
            .complete(&self.leader.key, self.leader.message, &lost);
        let _ = told.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    }
}

async fn with_timeout<T>(answer: StoreFuture<'_, T>) -> Result<T, CallResult> {
    match timeout(STORE_TIMEOUT, answer).await {
        Ok(answer) => answer.map_err(CallResult::StoreFailed),
        Err(_) => Err(CallResult::StoreTimeout),
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::super::MemoryStore;
    use super::*;

    const MESSAGE: Fingerprint = Fingerprint::from_bytes([1; 32]);

    async fn first(in_flight: &Arc<InFlightCalls>, key: &IdempotencyKey) -> (Leader, Waiter) {
        match in_flight.join(key, MESSAGE).await {
            Join::Leader(leader, waiter) => (leader, waiter),
            Join::Follower(_) | Join::KeyReused => panic!("somebody runs"),
        }
    }

    #[tokio::test]
    async fn a_call_that_is_dropped_in_its_middle_is_lost_and_does_not_run_again() {
        let (in_flight, store) = (Arc::<InFlightCalls>::default(), MemoryStore::new());
        let key = IdempotencyKey::new("/a.B/C", "-", "k");
        let (leader, waiter) = first(&in_flight, &key).await;
        {
            let mut running = pin!(leader.run(&store, std::future::pending()));
            let polled = running
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()));
            assert!(polled.is_pending());
            assert!(matches!(
                in_flight.join(&key, MESSAGE).await,
                Join::Follower(_)
            ));
        }
        assert!(waiter.result().await.is_none());
        assert!(in_flight.running().is_empty());

        let (leader, waiter) = first(&in_flight, &key).await;
        assert!(leader.run(&store, async { panic!("it runs again") }).await);
        let Some(CallResult::Stored(outcome)) = waiter.result().await else {
            panic!("it was begun");
        };
        assert_eq!(outcome.error().unwrap().code(), crate::Code::Unknown);
    }

    /// A store that says nothing.
    struct Silence;

    impl IdempotencyStore for Silence {
        fn begin<'a>(&'a self, _: &'a IdempotencyKey, _: Fingerprint) -> StoreFuture<'a, Claim> {
            Box::pin(std::future::pending())
        }

        fn complete<'a>(
            &'a self,
            _: &'a IdempotencyKey,
            _: Fingerprint,
            _: &'a Outcome,
        ) -> StoreFuture<'a, ()> {
            Box::pin(std::future::pending())
        }

        fn abandon<'a>(&'a self, _: &'a IdempotencyKey) -> StoreFuture<'a, ()> {
            Box::pin(std::future::pending())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_says_nothing_is_given_up_and_nothing_runs() {
        let in_flight = Arc::<InFlightCalls>::default();
        let key = IdempotencyKey::new("/a.B/C", "-", "k");
        let (leader, waiter) = first(&in_flight, &key).await;
        let start = tokio::time::Instant::now();
        assert!(leader.run(&Silence, async { panic!("it runs") }).await);
        assert_eq!(start.elapsed().as_secs(), STORE_TIMEOUT.as_secs());
        assert!(matches!(
            waiter.result().await,
            Some(CallResult::StoreTimeout)
        ));
        assert!(in_flight.running().is_empty());
    }
}

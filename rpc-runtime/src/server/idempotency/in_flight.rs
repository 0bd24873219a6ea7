//! The calls in flight, by key: one runs, and concurrent repeats wait for its result.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use super::{Claim, Fingerprint, IdempotencyKey, IdempotencyStore, Outcome, StoreFuture};
use crate::error::Error;
use crate::sync::{Mutex, MutexExt as _, MutexGuard};

/// The timeout of an operation of the store.
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
            // A different message is rejected only once the store confirms who holds the key: if an
            // earlier call with this message holds it, its stored result is returned here.
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

    /// Returns `Err` if a call with a different message is in flight.
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
    /// Returns `None` if the leader was dropped, for example at the end of the process.
    pub(super) async fn result(mut self) -> Option<CallResult> {
        let result = self.0.wait_for(|stage| matches!(stage, Stage::Done(_)));
        match &*result.await.ok()? {
            Stage::Done(result) => Some(result.clone()),
            Stage::Claiming | Stage::Running => None,
        }
    }
}

/// The call that runs. If it is dropped before its end, its key is stored with the outcome "lost".
pub(super) struct Leader {
    in_flight: Arc<InFlightCalls>,
    key: IdempotencyKey,
    message: Fingerprint,
    sender: watch::Sender<Stage>,
    is_done: bool,
}

impl Leader {
    /// Claims the key, runs the work if the key was free, and stores its result. Returns whether a
    /// waiter receives the result.
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
        // In this order: until the store has the result, repeats must find the call here; and a
        // caller that received the result and repeats the call must find it in the store.
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
                "failed to update the idempotency store after a call; repeats are rejected until the store releases the idempotency key"
            );
        }
        outcome
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        // After `run`, the key may belong to a later call.
        if !self.is_done {
            self.in_flight.running().remove(&self.key);
        }
    }
}

/// A claimed key, from `begin` until its result is stored.
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
        // `drop` cannot wait for the store. `MemoryStore` completes in one poll; any other store
        // keeps the claim.
        let lost = Outcome::lost();
        let mut told = self
            .store
            .complete(&self.leader.key, self.leader.message, &lost);
        let _ = told.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    }
}

async fn with_timeout<T>(response: StoreFuture<'_, T>) -> Result<T, CallResult> {
    match timeout(STORE_TIMEOUT, response).await {
        Ok(response) => response.map_err(CallResult::StoreFailed),
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
            Join::Follower(_) | Join::KeyReused => panic!("the key is in use"),
        }
    }

    #[tokio::test]
    async fn a_call_dropped_while_running_does_not_run_again() {
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

    /// A store that never responds.
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
    async fn a_silent_store_times_out_and_nothing_runs() {
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

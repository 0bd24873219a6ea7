//! The calls that are running under a key: one runs, and those that repeat it meanwhile wait for its result.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use super::{Begin, DedupeKey, DedupeStore, Fingerprint, Outcome, StoreFuture};
use crate::error::Error;
use crate::sync::{Mutex, MutexExt as _, MutexGuard};

/// How long a store may take for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What runs at the moment, by its key.
#[derive(Default)]
pub(super) struct Flights(Mutex<HashMap<DedupeKey, Flight>>);

struct Flight {
    message: Fingerprint,
    landing: watch::Receiver<Stage>,
}

/// How far a call has come.
enum Stage {
    /// The store is asked. The key may turn out to be another message's.
    Asking,
    /// The key is its own.
    Running,
    Landed(Landed),
}

/// How a call comes to its result.
pub(super) enum Joined {
    /// By running: the first half does it, whoever still waits for the second one.
    First(Lead, Landing),
    /// By waiting for the one that runs.
    Repeat(Landing),
    /// Not at all: the key is that of a call with another message.
    Other,
}

/// What became of a call.
#[derive(Debug, Clone)]
pub(super) enum Landed {
    /// It has run.
    Ran(Outcome),
    /// An earlier one has.
    Stored(Outcome),
    /// An earlier one has, with another message.
    Other,
    /// One runs in another process.
    Elsewhere,
    /// The store has no room.
    Full,
    /// The store does not answer.
    Silent,
    /// The store failed.
    Failed(Error),
}

impl Flights {
    pub(super) async fn join(self: &Arc<Self>, key: &DedupeKey, message: Fingerprint) -> Joined {
        loop {
            let mut landing = match self.try_join(key, message) {
                Ok(joined) => return joined,
                Err(landing) => landing,
            };
            // Another message does not have the key before the store says so: when it belongs to an earlier call, with
            // this message, that one's result is due here.
            let Ok(stage) = landing
                .wait_for(|stage| !matches!(stage, Stage::Asking))
                .await
            else {
                continue;
            };
            match &*stage {
                Stage::Running
                | Stage::Landed(Landed::Ran(_) | Landed::Stored(_) | Landed::Elsewhere) => {
                    return Joined::Other;
                }
                Stage::Asking | Stage::Landed(_) => {}
            }
        }
    }

    /// `Err` where another message is ahead.
    fn try_join(
        self: &Arc<Self>,
        key: &DedupeKey,
        message: Fingerprint,
    ) -> Result<Joined, watch::Receiver<Stage>> {
        let mut running = self.running();
        if let Some(flight) = running.get(key) {
            let landing = flight.landing.clone();
            return if flight.message == message {
                Ok(Joined::Repeat(Landing(landing)))
            } else {
                Err(landing)
            };
        }
        let (sender, landing) = watch::channel(Stage::Asking);
        let flight = Flight {
            message,
            landing: landing.clone(),
        };
        running.insert(key.clone(), flight);
        let lead = Lead {
            flights: Arc::clone(self),
            key: key.clone(),
            message,
            sender,
            landed: false,
        };
        Ok(Joined::First(lead, Landing(landing)))
    }

    fn running(&self) -> MutexGuard<'_, HashMap<DedupeKey, Flight>> {
        self.0.lock_unpoisoned()
    }
}

/// Waits for a result.
pub(super) struct Landing(watch::Receiver<Stage>);

impl Landing {
    /// `None` where what ran was dropped, as at the end of the process.
    pub(super) async fn landed(mut self) -> Option<Landed> {
        let landed = self.0.wait_for(|stage| matches!(stage, Stage::Landed(_)));
        match &*landed.await.ok()? {
            Stage::Landed(landed) => Some(landed.clone()),
            Stage::Asking | Stage::Running => None,
        }
    }
}

/// The call that runs. Dropped before its end, it leaves the key behind as one whose call was lost.
pub(super) struct Lead {
    flights: Arc<Flights>,
    key: DedupeKey,
    message: Fingerprint,
    sender: watch::Sender<Stage>,
    landed: bool,
}

impl Lead {
    /// Asks the store, runs the work where nobody has done it, and keeps its result. `true` where somebody waits for it.
    pub(super) async fn run(
        mut self,
        store: &dyn DedupeStore,
        work: impl Future<Output = Outcome>,
    ) -> bool {
        let landed = match patiently(store.begin(&self.key, self.message)).await {
            Err(landed) => landed,
            Ok(Begin::Done(message, outcome)) if message == self.message => Landed::Stored(outcome),
            Ok(Begin::Running(message)) if message == self.message => Landed::Elsewhere,
            Ok(Begin::Done(..) | Begin::Running(_)) => Landed::Other,
            Ok(Begin::Full) => Landed::Full,
            Ok(Begin::New) => Landed::Ran(self.claimed(store, work).await),
        };
        // In this order: until the store knows the result, repeats must find the call here, and whoever is told the
        // result and comes again must find it in the store.
        self.flights.running().remove(&self.key);
        self.landed = true;
        self.sender.send(Stage::Landed(landed)).is_ok()
    }

    async fn claimed(
        &self,
        store: &dyn DedupeStore,
        work: impl Future<Output = Outcome>,
    ) -> Outcome {
        let mut claim = Claim {
            lead: self,
            store,
            settled: false,
        };
        self.sender.send_replace(Stage::Running);
        let outcome = work.await;
        claim.settled = true;
        let kept = if outcome.is_final() {
            patiently(store.complete(&self.key, self.message, &outcome)).await
        } else {
            patiently(store.abandon(&self.key)).await
        };
        if let Err(landed) = kept {
            tracing::error!(
                target: "rpc",
                key = %self.key,
                why = ?landed,
                "the store of idempotency keys did not take the result of a call: repeats are turned away until it gives the key up"
            );
        }
        outcome
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        // Behind `run` the key may be a later call's.
        if !self.landed {
            self.flights.running().remove(&self.key);
        }
    }
}

/// A claim between `begin` and its end.
struct Claim<'a> {
    lead: &'a Lead,
    store: &'a dyn DedupeStore,
    settled: bool,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        // Nobody is there to wait for the store: memory takes it at once, and another store has the claim.
        let lost = Outcome::lost();
        let mut told = self
            .store
            .complete(&self.lead.key, self.lead.message, &lost);
        let _ = told.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    }
}

async fn patiently<T>(answer: StoreFuture<'_, T>) -> Result<T, Landed> {
    match timeout(PATIENCE, answer).await {
        Ok(answer) => answer.map_err(Landed::Failed),
        Err(_) => Err(Landed::Silent),
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::super::MemoryDedupe;
    use super::*;

    const MESSAGE: Fingerprint = Fingerprint::from_bytes([1; 32]);

    async fn first(flights: &Arc<Flights>, key: &DedupeKey) -> (Lead, Landing) {
        match flights.join(key, MESSAGE).await {
            Joined::First(lead, landing) => (lead, landing),
            Joined::Repeat(_) | Joined::Other => panic!("somebody runs"),
        }
    }

    #[tokio::test]
    async fn a_call_that_is_dropped_in_its_middle_is_lost_and_does_not_run_again() {
        let (flights, store) = (Arc::<Flights>::default(), MemoryDedupe::new());
        let key = DedupeKey::new("/a.B/C", "-", "k");
        let (lead, landing) = first(&flights, &key).await;
        {
            let mut running = pin!(lead.run(&store, std::future::pending()));
            let polled = running
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()));
            assert!(polled.is_pending());
            assert!(matches!(
                flights.join(&key, MESSAGE).await,
                Joined::Repeat(_)
            ));
        }
        assert!(landing.landed().await.is_none());
        assert!(flights.running().is_empty());

        let (lead, landing) = first(&flights, &key).await;
        assert!(lead.run(&store, async { panic!("it runs again") }).await);
        let Some(Landed::Stored(outcome)) = landing.landed().await else {
            panic!("it was begun");
        };
        assert_eq!(outcome.error().unwrap().code(), crate::Code::Unknown);
    }

    /// A store that says nothing.
    struct Silence;

    impl DedupeStore for Silence {
        fn begin<'a>(&'a self, _: &'a DedupeKey, _: Fingerprint) -> StoreFuture<'a, Begin> {
            Box::pin(std::future::pending())
        }

        fn complete<'a>(
            &'a self,
            _: &'a DedupeKey,
            _: Fingerprint,
            _: &'a Outcome,
        ) -> StoreFuture<'a, ()> {
            Box::pin(std::future::pending())
        }

        fn abandon<'a>(&'a self, _: &'a DedupeKey) -> StoreFuture<'a, ()> {
            Box::pin(std::future::pending())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_says_nothing_is_given_up_and_nothing_runs() {
        let flights = Arc::<Flights>::default();
        let key = DedupeKey::new("/a.B/C", "-", "k");
        let (lead, landing) = first(&flights, &key).await;
        let start = tokio::time::Instant::now();
        assert!(lead.run(&Silence, async { panic!("it runs") }).await);
        assert_eq!(start.elapsed().as_secs(), PATIENCE.as_secs());
        assert!(matches!(landing.landed().await, Some(Landed::Silent)));
        assert!(flights.running().is_empty());
    }
}

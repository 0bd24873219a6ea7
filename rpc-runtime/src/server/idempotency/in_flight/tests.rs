use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::super::held_claim::STORE_TIMEOUT;
use super::super::{MemoryStore, StoreFuture};
use super::*;
use crate::error::Code;

const MESSAGE: Fingerprint = Fingerprint::from_bytes([1; 32]);
const OTHER: Fingerprint = Fingerprint::from_bytes([2; 32]);

fn key() -> IdempotencyKey {
    IdempotencyKey::new("/a.B/C", "-", "k")
}

/// A store in memory that is slow or fails.
#[derive(Default)]
struct FaultyStore {
    memory: MemoryStore,
    /// The time between a claim and the response to it.
    slow: Duration,
    /// The number of next claims whose response is an error.
    lost_claims: AtomicU32,
    /// The number of next operations that end a claim and fail.
    lost_ends: AtomicU32,
}

impl FaultyStore {
    fn fails(counter: &AtomicU32) -> Result<(), Error> {
        let next = |left: u32| left.checked_sub(1);
        match counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next) {
            Ok(_) => Err(Error::new(Code::Unavailable, "the store is away")),
            Err(_) => Ok(()),
        }
    }
}

impl IdempotencyStore for FaultyStore {
    fn begin<'a>(
        &'a self,
        key: &'a IdempotencyKey,
        message: Fingerprint,
    ) -> StoreFuture<'a, Claim> {
        Box::pin(async move {
            let claim = self.memory.begin(key, message).await?;
            sleep(self.slow).await;
            Self::fails(&self.lost_claims)?;
            Ok(claim)
        })
    }

    fn complete<'a>(
        &'a self,
        key: &'a IdempotencyKey,
        message: Fingerprint,
        outcome: &'a Outcome,
    ) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            Self::fails(&self.lost_ends)?;
            self.memory.complete(key, message, outcome).await
        })
    }

    fn abandon<'a>(&'a self, key: &'a IdempotencyKey) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            Self::fails(&self.lost_ends)?;
            self.memory.abandon(key).await
        })
    }
}

/// A server with a store.
#[derive(Clone)]
struct Fixture {
    in_flight: Arc<InFlightCalls>,
    store: Arc<FaultyStore>,
    runs: Arc<AtomicU32>,
}

impl Fixture {
    fn new(store: FaultyStore) -> Self {
        Self {
            in_flight: Arc::default(),
            store: Arc::new(store),
            runs: Arc::default(),
        }
    }

    async fn lead(&self) -> (Leader, Waiter) {
        match self.in_flight.join(&key(), MESSAGE).await {
            Join::Leader(leader, waiter) => (leader, waiter),
            _ => panic!("the key is in use"),
        }
    }

    /// Starts a call with a new leader, whose work has this outcome.
    async fn start(&self, outcome: Outcome) -> (Waiter, tokio::task::JoinHandle<()>) {
        let (leader, waiter) = self.lead().await;
        let fixture = self.clone();
        let running = tokio::spawn(async move {
            let work = async {
                fixture.runs.fetch_add(1, Ordering::SeqCst);
                outcome
            };
            leader.run(&*fixture.store, work, |_, _| {}).await;
        });
        (waiter, running)
    }

    /// Returns the result of a repeat that does not have to run.
    async fn follow(&self) -> CallResult {
        let Join::Follower(waiter) = self.in_flight.join(&key(), MESSAGE).await else {
            panic!("no call is listed");
        };
        waiter.result().await.unwrap()
    }

    fn runs(&self) -> u32 {
        self.runs.load(Ordering::SeqCst)
    }

    fn is_empty(&self) -> bool {
        let calls = self.in_flight.calls();
        calls.by_key.is_empty() && calls.unsettled == 0
    }

    /// Checks that the key is free, by a call that runs.
    async fn assert_is_free(&self) {
        assert!(self.is_empty());
        let before = self.runs();
        let (waiter, running) = self.start(Outcome::of_message("free")).await;
        running.await.unwrap();
        let result = waiter.result().await;
        assert!(matches!(result, Some(CallResult::Ran(_))), "{result:?}");
        assert_eq!(self.runs(), before + 1);
    }
}

#[tokio::test]
async fn a_call_dropped_while_running_does_not_run_again() {
    let fixture = Fixture::new(FaultyStore::default());
    let (leader, waiter) = fixture.lead().await;
    {
        let work = std::future::pending();
        let mut running = pin!(leader.run(&*fixture.store, work, |_, _| {}));
        let polled = running
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
        let joined = fixture.in_flight.join(&key(), MESSAGE).await;
        assert!(matches!(joined, Join::Follower(_)));
    }
    assert!(waiter.result().await.is_none());
    assert!(fixture.is_empty());

    let (waiter, running) = fixture.start(Outcome::of_message("again")).await;
    running.await.unwrap();
    let Some(CallResult::Stored(outcome)) = waiter.result().await else {
        panic!("it was begun");
    };
    assert_eq!(outcome.error().unwrap().code(), Code::Unknown);
    assert_eq!(fixture.runs(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_claim_after_the_timeout_is_released() {
    for slow in [6, 60, 3600] {
        let fixture = Fixture::new(FaultyStore {
            slow: Duration::from_secs(slow),
            ..FaultyStore::default()
        });
        let start = Instant::now();
        let (waiter, running) = fixture.start(Outcome::of_message("x")).await;
        let result = waiter.result().await;
        assert!(
            matches!(result, Some(CallResult::StoreTimeout)),
            "{result:?}"
        );
        assert_eq!(start.elapsed(), STORE_TIMEOUT);
        // Until the store has released the key, repeats are told at once.
        let result = fixture.follow().await;
        assert!(matches!(result, CallResult::StoreTimeout), "{result:?}");
        let other = fixture.in_flight.join(&key(), OTHER).await;
        assert!(matches!(other, Join::Unsettled));
        assert_eq!(start.elapsed(), STORE_TIMEOUT);
        running.await.unwrap();
        assert_eq!(
            fixture.runs(),
            0,
            "the callers were told that it did not run"
        );
        let memory = &fixture.store.memory;
        let claim = memory.begin(&key(), MESSAGE).await;
        assert!(matches!(claim, Ok(Claim::New)), "{claim:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_claim_whose_response_fails_is_released() {
    for lost_ends in [0, 1, 5] {
        let fixture = Fixture::new(FaultyStore {
            lost_claims: 1.into(),
            lost_ends: lost_ends.into(),
            ..FaultyStore::default()
        });
        let (waiter, running) = fixture.start(Outcome::of_message("x")).await;
        let result = waiter.result().await;
        assert!(
            matches!(result, Some(CallResult::StoreFailed(_))),
            "{result:?}"
        );
        running.await.unwrap();
        assert_eq!(fixture.runs(), 0);
        fixture.assert_is_free().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_result_is_kept_until_the_store_has_it() {
    for lost_ends in [1, 5] {
        let fixture = Fixture::new(FaultyStore {
            lost_ends: lost_ends.into(),
            ..FaultyStore::default()
        });
        let (waiter, running) = fixture.start(Outcome::of_message("x")).await;
        let result = waiter.result().await;
        assert!(matches!(result, Some(CallResult::Ran(_))), "{result:?}");
        let result = fixture.follow().await;
        assert!(matches!(result, CallResult::Ran(_)), "{result:?}");
        let other = fixture.in_flight.join(&key(), OTHER).await;
        assert!(matches!(other, Join::KeyReused));
        running.await.unwrap();
        let memory = &fixture.store.memory;
        let claim = memory.begin(&key(), MESSAGE).await;
        assert!(matches!(claim, Ok(Claim::Done(..))), "{claim:?}");
        assert!(fixture.is_empty());
        assert_eq!(fixture.runs(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_unexecuted_call_frees_its_key_in_the_end() {
    for lost_ends in [0, 1, 5] {
        let fixture = Fixture::new(FaultyStore {
            lost_ends: lost_ends.into(),
            ..FaultyStore::default()
        });
        let error = Error::new(Code::Unavailable, "not now").not_executed();
        let (waiter, running) = fixture.start(Outcome::from(error)).await;
        assert!(matches!(waiter.result().await, Some(CallResult::Ran(_))));
        running.await.unwrap();
        fixture.assert_is_free().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_callers_left_first_does_not_run() {
    let fixture = Fixture::new(FaultyStore {
        slow: Duration::from_secs(1),
        ..FaultyStore::default()
    });
    let (waiter, running) = fixture.start(Outcome::of_message("x")).await;
    drop(waiter);
    running.await.unwrap();
    assert_eq!(fixture.runs(), 0);
    fixture.assert_is_free().await;
    // A repeat that still waits gets the work done.
    let fixture = Fixture::new(FaultyStore {
        slow: Duration::from_secs(1),
        ..FaultyStore::default()
    });
    let (waiter, running) = fixture.start(Outcome::of_message("x")).await;
    let repeat = tokio::spawn({
        let fixture = fixture.clone();
        async move { fixture.follow().await }
    });
    tokio::task::yield_now().await;
    drop(waiter);
    running.await.unwrap();
    assert!(matches!(repeat.await.unwrap(), CallResult::Ran(_)));
    assert_eq!(fixture.runs(), 1);
}

#[tokio::test]
async fn repeats_are_limited_and_leave() {
    let fixture = Fixture::new(FaultyStore::default());
    let (leader, first) = fixture.lead().await;
    let repeat = async || match fixture.in_flight.join(&key(), MESSAGE).await {
        Join::Follower(waiter) => Some(waiter),
        Join::TooManyRepeats => None,
        _ => panic!("the key is not in use"),
    };
    let mut waiting = Vec::new();
    while let Some(waiter) = repeat().await {
        waiting.push(waiter);
    }
    assert_eq!(waiting.len(), REPEATS_PER_KEY);
    waiting.pop();
    let again = repeat().await;
    assert!(again.is_some() && repeat().await.is_none());
    drop((waiting, again, first, leader));
    let calls = fixture.in_flight.calls();
    assert_eq!((calls.repeats, calls.repeats_by_caller.len()), (0, 0));
    assert!(calls.by_key.is_empty());
}

#[tokio::test]
async fn one_caller_has_a_half_of_the_repeats() {
    let in_flight = Arc::new(InFlightCalls::default());
    let key = |caller, n: usize| IdempotencyKey::new("/a.B/C", caller, n.to_string());
    let mut held = Vec::new();
    let mut waiting_of = async |caller| {
        let mut waiting = Vec::new();
        for n in 0..REPEATS / REPEATS_PER_KEY {
            let joined = in_flight.join(&key(caller, n), MESSAGE).await;
            assert!(matches!(joined, Join::Leader(..)));
            held.push(joined);
            while let Join::Follower(waiter) = in_flight.join(&key(caller, n), MESSAGE).await {
                waiting.push(waiter);
            }
        }
        waiting
    };
    let strangers = waiting_of("-").await;
    assert_eq!(strangers.len(), REPEATS / 2);
    let others = waiting_of("a@prod").await;
    assert_eq!(others.len(), REPEATS / 2);
    assert_eq!(waiting_of("b@prod").await.len(), 0);
    drop(strangers);
    assert_eq!(waiting_of("c@prod").await.len(), REPEATS / 2);
}

#[tokio::test]
async fn a_call_without_callers_frees_its_place() {
    let in_flight = Arc::new(InFlightCalls::new(1));
    let key = |n: usize| IdempotencyKey::new("/a.B/C", "-", n.to_string());
    let place = Arc::new(());
    let lead = async |n| match in_flight.join(&key(n), MESSAGE).await {
        Join::Leader(leader, waiter) => {
            leader.occupy(Box::new(Arc::clone(&place)));
            (leader, waiter)
        }
        _ => panic!("the key is in use"),
    };
    let occupied = || Arc::strong_count(&place) - 1;
    let (first, waiter) = lead(1).await;
    let Join::Follower(repeat) = in_flight.join(&key(1), MESSAGE).await else {
        panic!("the call runs");
    };
    drop(waiter);
    assert_eq!(occupied(), 1, "a repeat waits");
    drop(repeat);
    assert_eq!(occupied(), 0);
    // As many as are allowed run without a place.
    let (second, waiter) = lead(2).await;
    drop(waiter);
    assert_eq!(occupied(), 1);
    first.free_place();
    drop(first);
    let (third, waiter) = lead(3).await;
    drop(waiter);
    assert_eq!(occupied(), 1);
    // The end of the work frees it in any case.
    second.free_place();
    assert_eq!(occupied(), 0);
    drop((second, third));
    assert_eq!(in_flight.calls().orphans, 0);
}

//! Models of the admission gate and the store of rate limits.

#[path = "../../rpc-runtime/src/server/admission/gate.rs"]
mod gate;
#[path = "../../rpc-runtime/src/server/admission/rate_limit_store.rs"]
mod rate_limit_store;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};

use governor::nanos::Nanos;
use governor::state::StateStore as _;
use governor::state::keyed::ShrinkableKeyedStateStore as _;
use rpc_runtime::Limits;
use shuttle::future::block_on;
use shuttle::thread;

use self::gate::{Gate, Permit};
use self::rate_limit_store::RateLimitStore;

/// Number of running calls, in plain atomics, which add no interleavings.
#[derive(Default)]
struct RunningCounts {
    now: AtomicUsize,
    total: AtomicUsize,
}

impl RunningCounts {
    /// Runs a call that yields in the middle.
    fn call(&self, permit: Permit<'_>, slots: usize) {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        assert!(now <= slots, "{now} calls run in {slots} slots");
        self.total.fetch_add(1, Ordering::SeqCst);
        thread::yield_now();
        self.now.fetch_sub(1, Ordering::SeqCst);
        drop(permit);
    }
}

fn gate(slots: usize, queue: usize) -> Arc<Gate> {
    let mut limits = Limits::default();
    (limits.running_calls, limits.queued_calls) = (slots, queue);
    Arc::new(Gate::new(&limits))
}

/// Checks that all slots are free and the queue is empty: exactly `slots` calls are admitted.
fn assert_is_empty(gate: &Gate, slots: usize) {
    let enter = || block_on(gate.enter(None)).ok();
    let all: Vec<_> = (0..slots).map(|_| enter().expect("a free slot")).collect();
    let mut more = pin!(gate.enter(None));
    let polled = more.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(
        !matches!(polled, std::task::Poll::Ready(Ok(_))),
        "one slot too many"
    );
    drop(all);
}

/// Never more calls than slots run, and every waiting call is admitted. A lost wake-up would be a
/// deadlock, which shuttle reports.
pub fn every_call_is_admitted() {
    const SLOTS: usize = 2;
    let gate = gate(SLOTS, 8);
    let running = Arc::new(RunningCounts::default());
    let calls: Vec<_> = (0..5)
        .map(|_| {
            let (gate, running) = (Arc::clone(&gate), Arc::clone(&running));
            thread::spawn(move || {
                let entered = block_on(gate.enter(None));
                running.call(entered.expect("the queue has space for all calls"), SLOTS);
            })
        })
        .collect();
    for call in calls {
        call.join().expect("the call ran");
    }
    assert_eq!(running.total.load(Ordering::SeqCst), 5);
    assert_is_empty(&gate, SLOTS);
}

/// A call that is dropped while it waits, even at the moment it is admitted, keeps no slot.
pub fn a_dropped_waiter_keeps_no_slot() {
    let gate = gate(1, 8);
    let running = Arc::new(RunningCounts::default());
    let calls: Vec<_> = (0..4)
        .map(|n| {
            let (gate, running) = (Arc::clone(&gate), Arc::clone(&running));
            thread::spawn(move || {
                if n % 2 == 0 {
                    let entered = block_on(gate.enter(None));
                    return running.call(entered.expect("the queue has space for all calls"), 1);
                }
                let mut entering = pin!(gate.enter(None));
                let polled = entering
                    .as_mut()
                    .poll(&mut Context::from_waker(Waker::noop()));
                if let std::task::Poll::Ready(Ok(permit)) = polled {
                    running.call(permit, 1);
                }
                // Otherwise other calls may hand it a slot before it is dropped.
                thread::yield_now();
            })
        })
        .collect();
    for call in calls {
        call.join().expect("the call ran");
    }
    assert!(running.total.load(Ordering::SeqCst) >= 2);
    assert_is_empty(&gate, 1);
}

/// The store of a rate limit stays within its capacity and never allows a caller more than its
/// limit.
pub fn rate_limits_are_bounded_and_exact() {
    const CAPACITY: usize = 2;
    const CALLERS: usize = 4;
    let store = Arc::new(RateLimitStore::new(CAPACITY));
    let allowed = Arc::new(AtomicUsize::new(0));
    let calls: Vec<_> = (0..3)
        .map(|thread| {
            let (store, allowed) = (Arc::clone(&store), Arc::clone(&allowed));
            thread::spawn(move || {
                for n in 0..CALLERS {
                    let key = (n + thread) % CALLERS;
                    // A limit of one call: a caller with a state has used it.
                    let once = |state: Option<Nanos>| match state {
                        None => Ok(((), Nanos::new(1))),
                        Some(_) => Err(()),
                    };
                    if store.measure_and_replace(&key, once).is_ok() {
                        allowed.fetch_add(1, Ordering::SeqCst);
                    }
                    assert!(store.len() <= CAPACITY, "{} entries", store.len());
                }
            })
        })
        .collect();
    for call in calls {
        call.join().expect("the call ran");
    }
    // One for each stored caller, and one shared by all others.
    assert_eq!(allowed.load(Ordering::SeqCst), CAPACITY + 1);
    store.retain_recent(Nanos::new(1));
    assert!(store.is_empty());
}

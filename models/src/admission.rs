//! The admission gate and the memory of the rate limits.

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
use self::rate_limit_store::{RateLimitKey, RateLimitStore};

/// How many calls run. Plain atomics: what is counted is no part of what is checked, and must not add orders.
#[derive(Default)]
struct Running {
    now: AtomicUsize,
    ever: AtomicUsize,
}

impl Running {
    /// A call, with a switch in its middle.
    fn call(&self, permit: Permit<'_>, places: usize) {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        assert!(now <= places, "{now} calls run in {places} places");
        self.ever.fetch_add(1, Ordering::SeqCst);
        thread::yield_now();
        self.now.fetch_sub(1, Ordering::SeqCst);
        drop(permit);
    }
}

fn gate(places: usize, room: usize) -> Arc<Gate> {
    let mut limits = Limits::default();
    (limits.running_calls, limits.queued_calls) = (places, room);
    Arc::new(Gate::new(&limits))
}

/// All places are free, and nobody is in the queue: exactly so many calls get in one after the other.
fn assert_is_empty(gate: &Gate, places: usize) {
    let enter = || block_on(gate.enter(None)).ok();
    let all: Vec<_> = (0..places)
        .map(|_| enter().expect("a free place"))
        .collect();
    let mut more = pin!(gate.enter(None));
    let polled = more.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(
        !matches!(polled, std::task::Poll::Ready(Ok(_))),
        "a place too many"
    );
    drop(all);
}

/// Never more calls than places run, and everybody who waits gets in: were a wake-up lost, or a place free beside a
/// queue, somebody would wait for ever, and shuttle says so.
pub fn everybody_gets_in() {
    const PLACES: usize = 2;
    let gate = gate(PLACES, 8);
    let running = Arc::new(Running::default());
    let calls: Vec<_> = (0..5)
        .map(|_| {
            let (gate, running) = (Arc::clone(&gate), Arc::clone(&running));
            thread::spawn(move || {
                let entered = block_on(gate.enter(None));
                running.call(entered.expect("there is room for all"), PLACES);
            })
        })
        .collect();
    for call in calls {
        call.join().expect("the call ran");
    }
    assert_eq!(running.ever.load(Ordering::SeqCst), 5);
    assert_is_empty(&gate, PLACES);
}

/// Who gives up waiting, also at the moment at which it is called in, takes no place with it.
pub fn who_gives_up_leaves_nothing() {
    let gate = gate(1, 8);
    let running = Arc::new(Running::default());
    let calls: Vec<_> = (0..4)
        .map(|n| {
            let (gate, running) = (Arc::clone(&gate), Arc::clone(&running));
            thread::spawn(move || {
                if n % 2 == 0 {
                    let entered = block_on(gate.enter(None));
                    return running.call(entered.expect("there is room for all"), 1);
                }
                let mut entering = pin!(gate.enter(None));
                let polled = entering
                    .as_mut()
                    .poll(&mut Context::from_waker(Waker::noop()));
                if let std::task::Poll::Ready(Ok(permit)) = polled {
                    running.call(permit, 1);
                }
                // Otherwise the others may hand it a place before it goes.
                thread::yield_now();
            })
        })
        .collect();
    for call in calls {
        call.join().expect("the call ran");
    }
    assert!(running.ever.load(Ordering::SeqCst) >= 2);
    assert_is_empty(&gate, 1);
}

/// The memory of a rate limit holds no more rate_limit_store than it may, and lets no caller in twice where it may once.
pub fn allowances_are_bounded_and_given_once() {
    const PAIRS: usize = 2;
    const CALLERS: usize = 4;
    let rate_limit_store = Arc::new(RateLimitStore::new(PAIRS));
    let let_in = Arc::new(AtomicUsize::new(0));
    let calls: Vec<_> = (0..3)
        .map(|thread| {
            let (rate_limit_store, let_in) = (Arc::clone(&rate_limit_store), Arc::clone(&let_in));
            thread::spawn(move || {
                for n in 0..CALLERS {
                    let caller = format!("s{}@prod/1", (n + thread) % CALLERS).parse();
                    let pair = RateLimitKey {
                        caller: Some(Arc::new(caller.expect("a source"))),
                        path: "/a.B/C",
                    };
                    // Once each: whoever has a state has had it.
                    let once = |state: Option<Nanos>| match state {
                        None => Ok(((), Nanos::new(1))),
                        Some(_) => Err(()),
                    };
                    if rate_limit_store.measure_and_replace(&pair, once).is_ok() {
                        let_in.fetch_add(1, Ordering::SeqCst);
                    }
                    assert!(
                        rate_limit_store.len() <= PAIRS,
                        "{} rate_limit_store",
                        rate_limit_store.len()
                    );
                }
            })
        })
        .collect();
    for call in calls {
        call.join().expect("the call ran");
    }
    // One each, and one for all the others.
    assert_eq!(let_in.load(Ordering::SeqCst), PAIRS + 1);
    rate_limit_store.retain_recent(Nanos::new(1));
    assert!(rate_limit_store.is_empty());
}

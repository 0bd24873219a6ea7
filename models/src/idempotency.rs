//! Idempotency keys: the calls that are running, and the store in memory.

#[path = "../../rpc-runtime/src/server/idempotency/in_flight.rs"]
mod in_flight;
#[path = "../../rpc-runtime/src/server/idempotency/memory.rs"]
mod memory;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rpc_runtime::idempotency::{
    Claim, Fingerprint, IdempotencyKey, IdempotencyStore, Outcome, StoreFuture,
};
use rpc_runtime::{Code, Error};
use shuttle::future::block_on;
use shuttle::thread;

use self::in_flight::{CallResult, InFlightCalls, Join};
use self::memory::MemoryStore;

const MESSAGE: Fingerprint = Fingerprint::from_bytes([1; 32]);
const OTHER: Fingerprint = Fingerprint::from_bytes([2; 32]);

/// A server's part of it: what runs, and the store.
#[derive(Clone)]
struct Till {
    in_flight: Arc<InFlightCalls>,
    store: Arc<MemoryStore>,
    runs: Arc<AtomicUsize>,
}

impl Till {
    fn new(store: MemoryStore) -> Self {
        Self {
            in_flight: Arc::default(),
            store: Arc::new(store),
            runs: Arc::default(),
        }
    }

    /// A call with the key, as the server makes it: what runs is a task of its own. The first run ends as `first` says,
    /// later ones with their number.
    fn call(
        &self,
        message: Fingerprint,
        first: impl FnOnce() -> Outcome + Send + 'static,
    ) -> Option<CallResult> {
        let key = IdempotencyKey::new("/a.B/C", "-", "k");
        match block_on(self.in_flight.join(&key, message)) {
            Join::KeyReused => Some(CallResult::KeyReused),
            Join::Follower(waiter) => block_on(waiter.result()),
            Join::Leader(leader, waiter) => {
                let till = self.clone();
                let work = async move {
                    let run = till.runs.fetch_add(1, Ordering::SeqCst) + 1;
                    thread::yield_now();
                    if run == 1 {
                        first()
                    } else {
                        Outcome::of_message(run.to_string())
                    }
                };
                let store = Arc::clone(&self.store);
                let task = shuttle::future::spawn(async move { leader.run(&*store, work).await });
                let landed = block_on(waiter.result());
                block_on(task).expect("the task ran");
                landed
            }
        }
    }
}

fn result_of(landed: Option<CallResult>) -> Outcome {
    match landed {
        Some(CallResult::Ran(outcome) | CallResult::Stored(outcome)) => outcome,
        other => panic!("no result: {other:?}"),
    }
}

/// However the calls with one key fall together, one runs and all get its result; one with another message gets none.
pub fn one_runs_and_all_get_its_result() {
    let till = Till::new(MemoryStore::new());
    let calls: Vec<_> = (0..3)
        .map(|_| {
            let till = till.clone();
            thread::spawn(move || {
                // The second is a repeat that comes later.
                for _ in 0..2 {
                    let outcome = result_of(till.call(MESSAGE, || Outcome::of_message("1")));
                    assert!(outcome.error().is_none());
                }
            })
        })
        .collect();
    for call in calls {
        call.join().expect("the call ended");
    }
    assert_eq!(till.runs.load(Ordering::SeqCst), 1);
    let other = till.call(OTHER, || Outcome::of_message("2"));
    assert!(matches!(other, Some(CallResult::KeyReused)), "{other:?}");
    assert_eq!(till.runs.load(Ordering::SeqCst), 1);
}

/// Of two messages under one key one runs, and the other one is refused whenever it comes; a repeat of the first gets its
/// result, also while the other one asks.
pub fn another_message_never_runs() {
    let till = Till::new(MemoryStore::new());
    let call = |message| {
        let till = till.clone();
        thread::spawn(move || till.call(message, || Outcome::of_message("1")))
    };
    let calls = [call(MESSAGE), call(OTHER), call(MESSAGE)];
    let landed = calls.map(|call| call.join().expect("the call ended"));
    let refused = |landed: &Option<CallResult>| matches!(landed, Some(CallResult::KeyReused));
    let [a, b, c] = &landed;
    assert!(
        refused(a) == refused(c) && refused(a) != refused(b),
        "{landed:?}"
    );
    assert_eq!(till.runs.load(Ordering::SeqCst), 1);
}

/// A call that was not done leaves nothing: the next one runs, and its result stays.
pub fn what_was_not_done_runs_again() {
    let till = Till::new(MemoryStore::new());
    let calls: Vec<_> = (0..3)
        .map(|_| {
            let till = till.clone();
            thread::spawn(move || {
                let busy = || Outcome::from(Error::new(Code::Unavailable, "not now"));
                result_of(till.call(MESSAGE, busy)).error().is_some()
            })
        })
        .collect();
    let failed = calls
        .into_iter()
        .map(|call| call.join().expect("the call ended"));
    let failed = failed.filter(|failed| *failed).count();
    let runs = till.runs.load(Ordering::SeqCst);
    assert!(
        failed >= 1 && runs == if failed == 3 { 1 } else { 2 },
        "{failed} failed, {runs} ran"
    );
    result_of(till.call(MESSAGE, || Outcome::of_message("x")));
    assert_eq!(till.runs.load(Ordering::SeqCst), 2);
}

/// A store that has room for two keys is given up by no call that runs: between `New` and its end nobody else gets it.
pub fn what_runs_is_never_forgotten() {
    let store = Arc::new(MemoryStore::new().entries(2));
    let running = Arc::new([const { AtomicUsize::new(0) }; 2]);
    let calls: Vec<_> = (0..4)
        .map(|n| {
            let (store, running) = (Arc::clone(&store), Arc::clone(&running));
            thread::spawn(move || {
                for round in 0..2 {
                    let n = (n + round) % 2;
                    let key = IdempotencyKey::new("/a.B/C", "-", n.to_string());
                    // A key that comes and goes, so that something has to be evicted.
                    let passing = IdempotencyKey::new("/a.B/C", "-", "passing");
                    let begin = |key| block_on(store.begin(key, MESSAGE)).expect("memory");
                    let complete =
                        |key| block_on(store.complete(key, MESSAGE, &Outcome::of_message("x")));
                    if matches!(begin(&key), Claim::New) {
                        let others = running[n].fetch_add(1, Ordering::SeqCst);
                        assert_eq!(others, 0, "two calls run with one key");
                        if matches!(begin(&passing), Claim::New) {
                            complete(&passing).expect("memory");
                        }
                        running[n].fetch_sub(1, Ordering::SeqCst);
                        complete(&key).expect("memory");
                    }
                }
            })
        })
        .collect();
    for call in calls {
        call.join().expect("the call ended");
    }
}

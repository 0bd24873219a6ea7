//! Models of idempotency keys: calls in flight, and the store in memory.

#[path = "../../rpc-runtime/src/server/idempotency/in_flight.rs"]
mod in_flight;
#[path = "../../rpc-runtime/src/server/idempotency/memory.rs"]
mod memory;
#[path = "../../rpc-runtime/src/server/idempotency/store.rs"]
mod store;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rpc_runtime::idempotency::Outcome;
use rpc_runtime::{Code, Error};
use shuttle::future::block_on;
use shuttle::thread;

use self::in_flight::{CallResult, InFlightCalls, Join};
use self::memory::MemoryStore;
use self::store::{Claim, Fingerprint, IdempotencyKey, IdempotencyStore, StoreFuture};

const MESSAGE: Fingerprint = Fingerprint::from_bytes([1; 32]);
const OTHER: Fingerprint = Fingerprint::from_bytes([2; 32]);

/// The idempotency state of a server.
#[derive(Clone)]
struct IdempotentServer {
    in_flight: Arc<InFlightCalls>,
    store: Arc<MemoryStore>,
    runs: Arc<AtomicUsize>,
}

impl IdempotentServer {
    fn new(store: MemoryStore) -> Self {
        Self {
            in_flight: Arc::default(),
            store: Arc::new(store),
            runs: Arc::default(),
        }
    }

    /// Makes a call with the key as the runtime does, with the work in a separate task. The first
    /// run returns the result of `first`, later ones their number.
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
                let server = self.clone();
                let work = async move {
                    let run = server.runs.fetch_add(1, Ordering::SeqCst) + 1;
                    thread::yield_now();
                    if run == 1 {
                        first()
                    } else {
                        Outcome::of_message(run.to_string())
                    }
                };
                let store = Arc::clone(&self.store);
                let task = shuttle::future::spawn(async move { leader.run(&*store, work).await });
                let result = block_on(waiter.result());
                block_on(task).expect("the task ran");
                result
            }
        }
    }
}

fn result_of(result: Option<CallResult>) -> Outcome {
    match result {
        Some(CallResult::Ran(outcome) | CallResult::Stored(outcome)) => outcome,
        other => panic!("no result: {other:?}"),
    }
}

/// Of concurrent calls with one key, one runs and all get its result. A call with another message
/// gets an error.
pub fn one_call_runs_and_all_get_its_result() {
    let server = IdempotentServer::new(MemoryStore::new());
    let calls: Vec<_> = (0..3)
        .map(|_| {
            let server = server.clone();
            thread::spawn(move || {
                // The second call is a later repeat.
                for _ in 0..2 {
                    let outcome = result_of(server.call(MESSAGE, || Outcome::of_message("1")));
                    assert!(outcome.error().is_none());
                }
            })
        })
        .collect();
    for call in calls {
        call.join().expect("the call ended");
    }
    assert_eq!(server.runs.load(Ordering::SeqCst), 1);
    let other = server.call(OTHER, || Outcome::of_message("2"));
    assert!(matches!(other, Some(CallResult::KeyReused)), "{other:?}");
    assert_eq!(server.runs.load(Ordering::SeqCst), 1);
}

/// Of two messages with one key, only one runs and the other is rejected. A repeat of the first
/// gets its result, even while the other is being checked.
pub fn another_message_never_runs() {
    let server = IdempotentServer::new(MemoryStore::new());
    let call = |message| {
        let server = server.clone();
        thread::spawn(move || server.call(message, || Outcome::of_message("1")))
    };
    let calls = [call(MESSAGE), call(OTHER), call(MESSAGE)];
    let results = calls.map(|call| call.join().expect("the call ended"));
    let rejected = |result: &Option<CallResult>| matches!(result, Some(CallResult::KeyReused));
    let [a, b, c] = &results;
    assert!(
        rejected(a) == rejected(c) && rejected(a) != rejected(b),
        "{results:?}"
    );
    assert_eq!(server.runs.load(Ordering::SeqCst), 1);
}

/// A call that was not executed leaves no result: the next one runs, and its result is kept.
pub fn an_unexecuted_call_runs_again() {
    let server = IdempotentServer::new(MemoryStore::new());
    let calls: Vec<_> = (0..3)
        .map(|_| {
            let server = server.clone();
            thread::spawn(move || {
                let busy = || Outcome::from(Error::new(Code::Unavailable, "not now"));
                result_of(server.call(MESSAGE, busy)).error().is_some()
            })
        })
        .collect();
    let failed = calls
        .into_iter()
        .map(|call| call.join().expect("the call ended"));
    let failed = failed.filter(|failed| *failed).count();
    let runs = server.runs.load(Ordering::SeqCst);
    assert!(
        failed >= 1 && runs == if failed == 3 { 1 } else { 2 },
        "{failed} failed, {runs} ran"
    );
    result_of(server.call(MESSAGE, || Outcome::of_message("x")));
    assert_eq!(server.runs.load(Ordering::SeqCst), 2);
}

/// A full store never evicts the key of a running call: until it completes, no other call gets
/// `Claim::New` for the key.
pub fn the_key_of_a_running_call_is_never_evicted() {
    let store = Arc::new(MemoryStore::new().entries(2));
    let running = Arc::new([const { AtomicUsize::new(0) }; 2]);
    let calls: Vec<_> = (0..4)
        .map(|n| {
            let (store, running) = (Arc::clone(&store), Arc::clone(&running));
            thread::spawn(move || {
                for round in 0..2 {
                    let n = (n + round) % 2;
                    let key = IdempotencyKey::new("/a.B/C", "-", n.to_string());
                    // A third key, so that the store has to evict one.
                    let other = IdempotencyKey::new("/a.B/C", "-", "other");
                    let begin = |key| block_on(store.begin(key, MESSAGE)).expect("memory");
                    let complete =
                        |key| block_on(store.complete(key, MESSAGE, &Outcome::of_message("x")));
                    if matches!(begin(&key), Claim::New) {
                        let others = running[n].fetch_add(1, Ordering::SeqCst);
                        assert_eq!(others, 0, "two calls run with one key");
                        if matches!(begin(&other), Claim::New) {
                            complete(&other).expect("memory");
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

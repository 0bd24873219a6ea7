//! Models of idempotency keys: calls in flight, the store in memory, and a store that is slow, full
//! or failing.

#[path = "../../rpc-runtime/src/server/idempotency/held_claim.rs"]
mod held_claim;
#[path = "../../rpc-runtime/src/server/idempotency/in_flight.rs"]
mod in_flight;
#[path = "../../rpc-runtime/src/server/idempotency/memory.rs"]
mod memory;
#[path = "../../rpc-runtime/src/server/idempotency/store.rs"]
mod store;
mod timing;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rpc_runtime::idempotency::Outcome;
use rpc_runtime::{Code, Error};
use shuttle::future::{self, block_on};
use shuttle::rand::{Rng as _, thread_rng};
use shuttle::thread;
use tokio::sync::oneshot;

use self::in_flight::{CallResult, InFlightCalls, Join};
use self::memory::MemoryStore;
use self::store::{Claim, ClaimToken, Fingerprint, IdempotencyKey, IdempotencyStore, StoreFuture};

const MESSAGE: Fingerprint = Fingerprint::from_bytes([1; 32]);
const OTHER: Fingerprint = Fingerprint::from_bytes([2; 32]);

/// The idempotency state of a server.
struct IdempotentServer<S = MemoryStore> {
    in_flight: Arc<InFlightCalls>,
    store: Arc<S>,
    runs: Arc<AtomicUsize>,
}

impl<S> Clone for IdempotentServer<S> {
    fn clone(&self) -> Self {
        Self {
            in_flight: Arc::clone(&self.in_flight),
            store: Arc::clone(&self.store),
            runs: Arc::clone(&self.runs),
        }
    }
}

impl<S: IdempotencyStore> IdempotentServer<S> {
    fn new(store: S) -> Self {
        Self {
            in_flight: Arc::default(),
            store: Arc::new(store),
            runs: Arc::default(),
        }
    }

    /// Returns another server with the same store.
    fn replica(&self) -> Self {
        Self {
            in_flight: Arc::default(),
            ..self.clone()
        }
    }

    /// Makes a call with the key as the runtime does, with the work in a separate task. The first
    /// run returns the result of `first`, later ones their number.
    fn call(
        &self,
        message: Fingerprint,
        first: impl FnOnce() -> Outcome + Send + 'static,
    ) -> Option<CallResult> {
        let (result, task) = self.begin(message, first);
        if let Some(task) = task {
            block_on(task).expect("the task ran");
        }
        result
    }

    /// Makes a call, and returns its result and the task that may still settle it.
    fn begin(
        &self,
        message: Fingerprint,
        first: impl FnOnce() -> Outcome + Send + 'static,
    ) -> (Option<CallResult>, Option<future::JoinHandle<()>>) {
        let key = IdempotencyKey::new("/a.B/C", "-", "k").with_token(ClaimToken::random());
        match block_on(self.in_flight.join(&key, message)) {
            Join::KeyReused => (Some(CallResult::KeyReused), None),
            Join::Unsettled => (Some(CallResult::StoreTimeout), None),
            Join::TooManyRepeats => panic!("there are few calls"),
            Join::Follower(waiter) => (block_on(waiter.result()), None),
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
                let task = future::spawn(async move {
                    leader.run(&*store, work, |_, _| {}).await;
                });
                (block_on(waiter.result()), Some(task))
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
                let busy = || {
                    let error = Error::new(Code::Unavailable, "not now");
                    Outcome::from(error.not_executed())
                };
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

/// A store in another process: each operation is a request, which arrives though its sender has
/// given up. It may be full, fail before it does anything, or lose its response.
struct RemoteStore {
    memory: Arc<MemoryStore>,
    /// The number of faults that are left.
    faults: Arc<AtomicUsize>,
}

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    Full,
    Fails,
    LosesResponse,
}

impl RemoteStore {
    fn fault(&self) -> Fault {
        let left = self.faults.load(Ordering::SeqCst);
        let fault = match thread_rng().gen_range(0..6) {
            0 if left > 0 => Fault::Full,
            1 if left > 0 => Fault::Fails,
            2 if left > 0 => Fault::LosesResponse,
            _ => return Fault::None,
        };
        self.faults.store(left - 1, Ordering::SeqCst);
        fault
    }

    fn request<T: Send + 'static>(
        &self,
        fault: Fault,
        operation: impl Future<Output = rpc_runtime::Result<T>> + Send + 'static,
    ) -> StoreFuture<'static, T> {
        let (sender, response) = oneshot::channel();
        drop(future::spawn(async move {
            thread::yield_now();
            let away = || Error::new(Code::Unavailable, "the store is away");
            let done = match fault {
                Fault::Fails => Err(away()),
                _ => operation.await,
            };
            thread::yield_now();
            // The sender may have given up.
            let _ = sender.send(match fault {
                Fault::LosesResponse => Err(away()),
                _ => done,
            });
        }));
        Box::pin(async move { response.await.expect("the store responds") })
    }
}

impl IdempotencyStore for RemoteStore {
    fn begin<'a>(
        &'a self,
        key: &'a IdempotencyKey,
        message: Fingerprint,
    ) -> StoreFuture<'a, Claim> {
        let (memory, key, fault) = (Arc::clone(&self.memory), key.clone(), self.fault());
        self.request(fault, async move {
            if fault == Fault::Full {
                return Ok(Claim::Full);
            }
            memory.begin(&key, message).await
        })
    }

    fn complete<'a>(
        &'a self,
        key: &'a IdempotencyKey,
        message: Fingerprint,
        outcome: &'a Outcome,
    ) -> StoreFuture<'a, ()> {
        let (memory, key, outcome) = (Arc::clone(&self.memory), key.clone(), outcome.clone());
        self.request(self.fault(), async move {
            memory.complete(&key, message, &outcome).await
        })
    }

    fn abandon<'a>(&'a self, key: &'a IdempotencyKey) -> StoreFuture<'a, ()> {
        let (memory, key) = (Arc::clone(&self.memory), key.clone());
        self.request(self.fault(), async move { memory.abandon(&key).await })
    }
}

/// A client: sends the call again elsewhere if it was not executed, and to the same replica if its
/// outcome is unknown. Returns whether it got the result, and the tasks of its calls.
fn retry(
    replicas: &[IdempotentServer<RemoteStore>; 2],
    first: usize,
) -> (bool, Vec<future::JoinHandle<()>>) {
    let (mut replica, mut bound, mut tasks) = (first, false, Vec::new());
    for _ in 0..3 {
        let (result, task) = replicas[replica].begin(MESSAGE, || Outcome::of_message("1"));
        tasks.extend(task);
        match result.expect("the replica runs") {
            CallResult::Ran(outcome) | CallResult::Stored(outcome) => {
                assert!(outcome.error().is_none(), "{outcome:?}");
                return (true, tasks);
            }
            CallResult::RunningElsewhere => bound = true,
            CallResult::StoreFull
            | CallResult::StoreTimeout
            | CallResult::StoreFailed(_)
            | CallResult::CallersLeft => {}
            CallResult::KeyReused => panic!("there is one message"),
        }
        replica = if bound { replica } else { 1 - replica };
        thread::yield_now();
    }
    (false, tasks)
}

/// Of calls with one key at two replicas, one runs at most, however slow, full or failing their
/// store is; and the key is not lost: when the store works again, a call gets the result.
pub fn two_replicas_run_a_call_once_and_lose_no_key() {
    const CLIENTS: usize = 3;
    let faults = Arc::new(AtomicUsize::new(3));
    timing::set_timeouts(3);
    let one = IdempotentServer::new(RemoteStore {
        memory: Arc::new(MemoryStore::new()),
        faults: Arc::clone(&faults),
    });
    let replicas = [one.replica(), one];
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let replicas = replicas.clone();
            thread::spawn(move || retry(&replicas, client % 2))
        })
        .collect();
    let runs = &replicas[0].runs;
    for client in clients {
        let (has_result, tasks) = client.join().expect("the client ended");
        assert!(!has_result || runs.load(Ordering::SeqCst) == 1);
        for task in tasks {
            block_on(task).expect("the call was settled");
        }
    }
    faults.store(0, Ordering::SeqCst);
    timing::set_timeouts(0);
    // A lost key would be `RunningElsewhere`.
    let result = replicas[0].call(MESSAGE, || Outcome::of_message("1"));
    assert!(result_of(result).error().is_none());
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

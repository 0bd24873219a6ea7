//! The default store: results in memory, limited in age, number and size.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use super::{
    Claim, ClaimToken, Fingerprint, IdempotencyKey, IdempotencyStore, Outcome, StoreFuture,
};
use crate::error::{Code, Error, Result};
use crate::sync::{Mutex, MutexExt as _, MutexGuard};

/// The default retention of a result.
const RETENTION: Duration = Duration::from_secs(24 * 60 * 60);
/// The default maximum number of keys.
const ENTRIES: usize = 100_000;
/// The default maximum size of all results, in bytes.
const BYTES: usize = 32 << 20;
/// The approximate size of an entry without the text of its key and its result, in bytes.
const OVERHEAD: usize = 256;
/// The minimum size of all results: one small result, in bytes.
const MIN_BYTES: usize = 1024;

/// Stores results in memory. They are lost when the process ends, and other instances of the server
/// do not see them.
///
/// By default results are kept for 24 hours, up to 100,000 keys and 32 MiB. When a limit is
/// reached, the oldest results are evicted early. A repeat of an evicted call runs again, so
/// evictions are counted ([`evicted`](Self::evicted)) and logged. Calls in flight are never
/// evicted. When all keys belong to calls in flight, a further call is rejected with
/// `resource_exhausted`.
///
/// ```
/// use std::time::Duration;
/// use rpc_runtime::Server;
/// use rpc_runtime::idempotency::MemoryStore;
///
/// let store = MemoryStore::new().keep(Duration::from_secs(3600)).entries(10_000).bytes(4 << 20);
/// let server = Server::new("till").idempotency_store(store);
/// # drop(server);
/// ```
pub struct MemoryStore {
    keep: Duration,
    entries: usize,
    bytes: usize,
    state: Mutex<MemoryState>,
}

#[derive(Default)]
struct MemoryState {
    known: HashMap<IdempotencyKey, MemoryEntry>,
    /// Keys with a result, oldest result first. Evicted and expired in this order.
    done: VecDeque<IdempotencyKey>,
    /// The size of all results, in bytes.
    bytes: usize,
    evicted: u64,
}

struct MemoryEntry {
    message: Fingerprint,
    /// The call that claimed the key.
    token: ClaimToken,
    result: Option<StoredResult>,
}

impl MemoryEntry {
    fn is_claimed_by(&self, token: ClaimToken) -> bool {
        self.result.is_none() && self.token == token
    }
}

struct StoredResult {
    outcome: Outcome,
    since: Instant,
    bytes: usize,
}

impl MemoryStore {
    /// Creates an empty store with the default limits.
    #[must_use]
    pub fn new() -> Self {
        Self {
            keep: RETENTION,
            entries: ENTRIES,
            bytes: BYTES,
            state: Mutex::new(MemoryState::default()),
        }
    }

    /// Sets the retention of a result, counted from the end of its call. Defaults to 24 hours. With
    /// 0, only repeats of a call in flight get its result.
    #[must_use]
    pub fn keep(mut self, time: Duration) -> Self {
        self.keep = time;
        self
    }

    /// Sets the maximum number of keys, including those of calls in flight. Defaults to 100,000.
    #[must_use]
    pub fn entries(mut self, number: usize) -> Self {
        self.entries = number;
        self
    }

    /// Sets the maximum size of all results, in bytes. Defaults to 32 MiB. For a single larger
    /// result only its existence is stored: a repeat gets `data_loss`, and does not run.
    #[must_use]
    pub fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// Returns the number of results that were evicted early.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.state().evicted
    }

    fn state(&self) -> MutexGuard<'_, MemoryState> {
        self.state.lock_unpoisoned()
    }

    fn look_up(&self, key: &IdempotencyKey, message: Fingerprint) -> Claim {
        let mut state = self.state();
        state.expire(self.keep);
        if let Some(entry) = state.known.get(key) {
            return match &entry.result {
                None => Claim::Running(entry.message),
                Some(kept) => Claim::Done(entry.message, kept.outcome.clone()),
            };
        }
        if state.known.len() >= self.entries && !state.evict() {
            return Claim::Full;
        }
        let entry = MemoryEntry {
            message,
            token: key.token(),
            result: None,
        };
        state.known.insert(key.clone(), entry);
        Claim::New
    }

    fn keep_result(&self, key: &IdempotencyKey, outcome: &Outcome) {
        let names = key.caller().len() + key.key().len();
        let size = |outcome: &Outcome| OVERHEAD + names + outcome.size();
        let outcome = if size(outcome) > self.bytes {
            Outcome::too_large()
        } else {
            outcome.clone()
        };
        let kept = StoredResult {
            bytes: size(&outcome),
            since: Instant::now(),
            outcome,
        };
        let mut state = self.state();
        // A second result for one key would put the key into `done` twice.
        let entry = state.known.get_mut(key);
        let Some(entry) = entry.filter(|entry| entry.is_claimed_by(key.token())) else {
            return;
        };
        let bytes = kept.bytes;
        entry.result = Some(kept);
        state.bytes += bytes;
        state.done.push_back(key.clone());
        // The newest result stays even above the limit, since its caller may repeat the call at
        // once.
        while state.bytes > self.bytes && state.done.len() > 1 {
            state.evict();
        }
    }
}

impl MemoryState {
    /// Removes the results whose retention is over.
    fn expire(&mut self, keep: Duration) {
        let over = |kept: &StoredResult| kept.since.elapsed() >= keep;
        while let Some(oldest) = self.done.front() {
            let kept = self
                .known
                .get(oldest)
                .and_then(|entry| entry.result.as_ref());
            if !kept.is_none_or(over) {
                return;
            }
            self.forget_oldest();
        }
    }

    /// Evicts the oldest result; returns `false` if all calls are in flight.
    fn evict(&mut self) -> bool {
        let gone = self.forget_oldest();
        if gone {
            self.evicted += 1;
            // Logged at each doubling, so that a store that is too small is visible without
            // flooding the log. Not a `LogThrottle`, which is atomic: this count is under the lock.
            if self.evicted.is_power_of_two() {
                tracing::warn!(
                    target: "rpc",
                    evicted = self.evicted,
                    "the idempotency store is full: results are evicted early, and repeats of their calls run again; raise its limits"
                );
            }
        }
        gone
    }

    fn forget_oldest(&mut self) -> bool {
        let Some(key) = self.done.pop_front() else {
            return false;
        };
        let kept = self.known.remove(&key).and_then(|entry| entry.result);
        self.bytes -= kept.map_or(0, |kept| kept.bytes);
        true
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl IdempotencyStore for MemoryStore {
    fn check(&self) -> Result<()> {
        let Self {
            // With 0, only repeats of calls in flight are recognized.
            keep: _,
            entries,
            bytes,
            state: _,
        } = self;
        let problem = if *entries == 0 {
            "`entries` is 0, so that every call would be rejected; use at least 1".to_owned()
        } else if *bytes < MIN_BYTES {
            format!("`bytes` is {bytes}, into which no result fits; use at least {MIN_BYTES}")
        } else {
            return Ok(());
        };
        let text = format!("the settings of the idempotency store are not valid: {problem}");
        Err(Error::new(Code::InvalidArgument, text))
    }

    fn begin<'a>(
        &'a self,
        key: &'a IdempotencyKey,
        message: Fingerprint,
    ) -> StoreFuture<'a, Claim> {
        Box::pin(async move { Ok(self.look_up(key, message)) })
    }

    fn complete<'a>(
        &'a self,
        key: &'a IdempotencyKey,
        _: Fingerprint,
        outcome: &'a Outcome,
    ) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.keep_result(key, outcome);
            Ok(())
        })
    }

    fn abandon<'a>(&'a self, key: &'a IdempotencyKey) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let mut state = self.state();
            let entry = state.known.get(key);
            if entry.is_some_and(|entry| entry.is_claimed_by(key.token())) {
                state.known.remove(key);
            }
            Ok(())
        })
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("MemoryStore")
            .field("known", &state.known.len())
            .field("done", &state.done.len())
            .field("bytes", &state.bytes)
            .field("evicted", &state.evicted)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: Fingerprint = Fingerprint::from_bytes([1; 32]);

    fn key(n: usize) -> IdempotencyKey {
        IdempotencyKey::new("/a.B/C", "-", n.to_string())
    }

    fn done(store: &MemoryStore, n: usize, text: &str) {
        assert!(matches!(store.look_up(&key(n), MESSAGE), Claim::New), "{n}");
        store.keep_result(&key(n), &Outcome::of_message(text.to_owned()));
    }

    fn is_known(store: &MemoryStore, n: usize) -> bool {
        store.state().known.contains_key(&key(n))
    }

    #[test]
    fn a_key_is_new_running_and_done() {
        let store = MemoryStore::new();
        assert!(matches!(store.look_up(&key(1), MESSAGE), Claim::New));
        let other = Fingerprint::from_bytes([2; 32]);
        assert!(matches!(
            store.look_up(&key(1), other),
            Claim::Running(MESSAGE)
        ));
        store.keep_result(&key(1), &Outcome::of_message("x"));
        assert!(matches!(
            store.look_up(&key(1), other),
            Claim::Done(MESSAGE, _)
        ));
    }

    #[test]
    fn the_oldest_results_are_evicted_but_no_running_call() {
        let store = MemoryStore::new().entries(3);
        assert!(matches!(store.look_up(&key(0), MESSAGE), Claim::New));
        for n in 1..5 {
            done(&store, n, "x");
        }
        assert!(is_known(&store, 0) && is_known(&store, 3) && is_known(&store, 4));
        assert_eq!(store.state().known.len(), 3);
        assert_eq!(store.evicted(), 2);
        // All keys belong to calls in flight.
        assert!(matches!(store.look_up(&key(5), MESSAGE), Claim::New));
        assert!(matches!(store.look_up(&key(6), MESSAGE), Claim::New));
        assert!(matches!(store.look_up(&key(7), MESSAGE), Claim::Full));
    }

    #[test]
    fn results_stay_within_the_memory_limit() {
        let store = MemoryStore::new().bytes(4_000);
        for n in 0..100 {
            done(&store, n, &"x".repeat(1_000));
            assert!(store.state().bytes <= 4_000);
        }
        assert!(is_known(&store, 99) && !is_known(&store, 0));
        done(&store, 100, &"x".repeat(5_000));
        let Claim::Done(_, outcome) = store.look_up(&key(100), MESSAGE) else {
            panic!("it was done");
        };
        assert!(outcome.error().is_some(), "too large to keep");
        assert!(store.state().bytes <= 4_000);
    }

    #[tokio::test(start_paused = true)]
    async fn an_expired_result_frees_its_memory() {
        let store = MemoryStore::new();
        done(&store, 1, "x");
        tokio::time::advance(RETENTION - Duration::from_secs(1)).await;
        assert!(matches!(store.look_up(&key(1), MESSAGE), Claim::Done(..)));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(matches!(store.look_up(&key(1), MESSAGE), Claim::New));
        assert_eq!(store.state().bytes, 0);
        assert_eq!(store.evicted(), 0);
    }

    #[test]
    fn settings_that_keep_no_result_are_refused() {
        for (store, field) in [
            (MemoryStore::new().entries(0), "`entries`"),
            (MemoryStore::new().bytes(0), "`bytes`"),
            (MemoryStore::new().bytes(1), "`bytes`"),
        ] {
            let error = store.check().unwrap_err();
            assert!(error.message().contains(field), "{error}");
        }
    }

    #[test]
    fn the_smallest_and_largest_settings_keep_a_result() {
        for store in [
            MemoryStore::new().entries(1).bytes(MIN_BYTES),
            MemoryStore::new()
                .keep(Duration::MAX)
                .entries(usize::MAX)
                .bytes(usize::MAX),
        ] {
            store.check().unwrap();
            done(&store, 1, "x");
            let Claim::Done(_, outcome) = store.look_up(&key(1), MESSAGE) else {
                panic!("it was done");
            };
            assert!(outcome.error().is_none(), "the result itself");
        }
    }

    #[tokio::test]
    async fn an_abandoned_key_is_new_and_a_result_stays() {
        let store = MemoryStore::new();
        assert!(matches!(store.look_up(&key(1), MESSAGE), Claim::New));
        store.abandon(&key(1)).await.unwrap();
        done(&store, 1, "x");
        store.abandon(&key(1)).await.unwrap();
        assert!(matches!(store.look_up(&key(1), MESSAGE), Claim::Done(..)));
    }

    #[tokio::test]
    async fn only_its_token_ends_a_claim() {
        let store = MemoryStore::new();
        let (first, late) = (key(1), key(1).with_token(ClaimToken::random()));
        assert!(matches!(store.look_up(&first, MESSAGE), Claim::New));
        store.abandon(&late).await.unwrap();
        store.keep_result(&late, &Outcome::of_message("late"));
        let claim = store.look_up(&late, MESSAGE);
        assert!(matches!(claim, Claim::Running(MESSAGE)), "{claim:?}");
        store.keep_result(&first, &Outcome::of_message("x"));
        let claim = store.look_up(&late, MESSAGE);
        assert!(matches!(claim, Claim::Done(..)), "{claim:?}");
    }
}

//! The default store: results in memory, limited in age, number and size.

use std::collections::{BTreeMap, HashMap, VecDeque};
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
const OVERHEAD: usize = 512;
/// The minimum size of all results: one small result, in bytes.
const MIN_BYTES: usize = 1024;

/// Stores results in memory. They are lost when the process ends, and other instances of the server
/// do not see them.
///
/// By default results are kept for 24 hours, up to 100,000 keys and 32 MiB. A result counts with
/// all that it takes. Of an error, the text that no caller receives and its source are not kept.
///
/// When a limit is reached, the oldest results are evicted early: those of the caller whose call is
/// new if it has more than a half of what has run out, keys or bytes, else those of all. So one
/// caller cannot evict the results of all others. A repeat of an evicted call runs again, so
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
    /// Keys with a result, by the number of the result: the oldest is the first.
    done: BTreeMap<u64, IdempotencyKey>,
    next: u64,
    /// The results of each caller that has one.
    callers: HashMap<String, CallerResults>,
    /// The size of all results, in bytes.
    bytes: usize,
    evicted: u64,
}

/// The results of one caller.
#[derive(Default)]
struct CallerResults {
    /// Their numbers, the oldest first.
    numbers: VecDeque<u64>,
    /// Their size, in bytes.
    bytes: usize,
}

/// The limit that has been reached. Shares are compared in its unit only: a caller with many small
/// results may take little memory, and one with few large results few keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit {
    Entries,
    Bytes,
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
        if state.known.len() >= self.entries && !state.evict_for(key.caller(), Limit::Entries) {
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
        let stored = outcome.without_private_parts();
        let outcome = if size(&stored) > self.bytes {
            Outcome::too_large()
        } else {
            stored
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
        state.add_result(key, bytes);
        // The newest result stays even above the limit, since its caller may repeat the call at
        // once.
        while state.bytes > self.bytes && state.done.len() > 1 {
            state.evict_for(key.caller(), Limit::Bytes);
        }
    }
}

impl MemoryState {
    /// Removes the results whose retention is over.
    fn expire(&mut self, keep: Duration) {
        let over = |kept: &StoredResult| kept.since.elapsed() >= keep;
        while let Some((&number, oldest)) = self.done.first_key_value() {
            let kept = self
                .known
                .get(oldest)
                .and_then(|entry| entry.result.as_ref());
            if !kept.is_none_or(over) {
                return;
            }
            self.remove_result(number);
        }
    }

    fn add_result(&mut self, key: &IdempotencyKey, bytes: usize) {
        let number = self.next;
        self.next += 1;
        self.bytes += bytes;
        self.done.insert(number, key.clone());
        let caller = match self.callers.get_mut(key.caller()) {
            Some(caller) => caller,
            None => self.callers.entry(key.caller().to_owned()).or_default(),
        };
        caller.bytes += bytes;
        caller.numbers.push_back(number);
    }

    /// Evicts the oldest result of a caller that has more than a half of all results with its new
    /// one, or of their bytes if these have reached their limit, or else the oldest result of all.
    /// Returns `false` if all calls are in flight.
    fn evict_for(&mut self, caller: &str, reached: Limit) -> bool {
        let has_most = |own: &&CallerResults| match reached {
            // The key of the new call is not among the results yet.
            Limit::Entries => own.numbers.len() + 1 > self.done.len() / 2,
            // The new result is.
            Limit::Bytes => own.bytes > self.bytes / 2,
        };
        let own = self.callers.get(caller).filter(has_most);
        // The newest result stays.
        let own = own.and_then(|own| own.numbers.front());
        let own = own.filter(|number| **number + 1 != self.next);
        let oldest = own.or_else(|| self.done.keys().next()).copied();
        if let Some(oldest) = oldest {
            self.remove_result(oldest);
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
        oldest.is_some()
    }

    /// Removes a result, which is the oldest one of its caller.
    fn remove_result(&mut self, number: u64) {
        let Some(key) = self.done.remove(&number) else {
            return;
        };
        let kept = self.known.remove(&key).and_then(|entry| entry.result);
        let bytes = kept.map_or(0, |kept| kept.bytes);
        self.bytes -= bytes;
        if let Some(caller) = self.callers.get_mut(key.caller()) {
            caller.bytes -= bytes;
            caller.numbers.pop_front();
            if caller.numbers.is_empty() {
                self.callers.remove(key.caller());
            }
        }
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
// Explicit, since `rpc-models` includes this file by its path.
#[path = "memory/tests.rs"]
mod tests;

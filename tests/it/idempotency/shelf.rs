use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rpc_runtime::idempotency::{
    Claim, Fingerprint, IdempotencyKey, IdempotencyStore, Outcome, StoreFuture,
};
use rpc_runtime::prelude::*;

/// The fingerprint of a claimed key's message and, once complete, the stored result.
pub(crate) type Entry = (Fingerprint, Option<Vec<u8>>);

/// A store that outlives its servers, like one in a database.
#[derive(Default)]
pub(crate) struct Shelf {
    entries: Mutex<HashMap<IdempotencyKey, Entry>>,
    /// Number of the next requests to the store that fail.
    pub(super) failures: AtomicUsize,
    /// Number of the next claims whose response fails.
    pub(super) lost_claims: AtomicUsize,
    /// Number of the next results that do not arrive.
    pub(super) lost_results: AtomicUsize,
}

/// Fails if the counter is above zero, and decrements it.
fn fail_next(counter: &AtomicUsize) -> Result<()> {
    let failing = counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
    if failing.is_ok() {
        fail!(Code::Unavailable, "the shelf is away");
    }
    Ok(())
}

impl Shelf {
    /// Removes and returns the only entry.
    pub(crate) fn take(&self) -> (IdempotencyKey, Entry) {
        let mut entries = self.entries.lock().unwrap();
        assert_eq!(entries.len(), 1);
        entries.drain().next().unwrap()
    }

    /// Returns the number of stored results.
    pub(super) fn results(&self) -> usize {
        let entries = self.entries.lock().unwrap();
        entries.values().filter(|entry| entry.1.is_some()).count()
    }

    pub(crate) fn put(&self, key: IdempotencyKey, entry: Entry) {
        self.entries.lock().unwrap().insert(key, entry);
    }
}

impl IdempotencyStore for Shelf {
    fn begin<'a>(
        &'a self,
        key: &'a IdempotencyKey,
        message: Fingerprint,
    ) -> StoreFuture<'a, Claim> {
        Box::pin(async move {
            fail_next(&self.failures)?;
            let mut entries = self.entries.lock().unwrap();
            Ok(match entries.get(key) {
                Some((message, Some(outcome))) => {
                    Claim::Done(*message, Outcome::from_bytes(outcome)?)
                }
                Some((message, None)) => Claim::Running(*message),
                None => {
                    entries.insert(key.clone(), (message, None));
                    fail_next(&self.lost_claims)?;
                    Claim::New
                }
            })
        })
    }

    fn complete<'a>(
        &'a self,
        key: &'a IdempotencyKey,
        message: Fingerprint,
        outcome: &'a Outcome,
    ) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            fail_next(&self.lost_results)?;
            self.put(key.clone(), (message, Some(outcome.to_bytes())));
            Ok(())
        })
    }

    fn abandon<'a>(&'a self, key: &'a IdempotencyKey) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.entries.lock().unwrap().remove(key);
            Ok(())
        })
    }
}

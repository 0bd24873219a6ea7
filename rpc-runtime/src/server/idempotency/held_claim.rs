//! A claimed key, until the store is told how the claim ends.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Waker};
use std::time::Duration;

use super::timing::{pause, within};
use super::{Fingerprint, IdempotencyKey, IdempotencyStore, Outcome, StoreFuture};
use crate::backoff::{ExponentialBackoff, Jitter};

/// The timeout of an operation of the store.
pub(super) const STORE_TIMEOUT: Duration = Duration::from_secs(5);
/// The time for which the server waits for the response to a claim, after it has told the callers
/// that the store did not respond.
pub(super) const LATE_CLAIM_TIMEOUT: Duration = Duration::from_secs(60);
/// The delays before the store is told again: about ten minutes in total, without the time that the
/// store takes to fail.
const BACKOFF: ExponentialBackoff = ExponentialBackoff::new(
    Duration::from_millis(100),
    Duration::from_secs(5),
    Jitter::Equal,
);
const SETTLE_ATTEMPTS: u32 = 160;

/// The end of a claim.
pub(super) enum Ending {
    /// The result is stored.
    Complete(Outcome),
    /// The call was not executed: the key is free again.
    Abandon,
}

/// A key that this process has claimed, or may have claimed.
///
/// If it is dropped before the store is told, for example at the end of the process, the store gets
/// one poll. [`MemoryStore`](super::MemoryStore) completes in it; any other store keeps the claim.
pub(super) struct HeldClaim<'s> {
    store: &'s dyn IdempotencyStore,
    key: &'s IdempotencyKey,
    message: Fingerprint,
    /// `None` while the call may be executed at any time.
    ending: Option<Ending>,
    is_settled: bool,
}

impl<'s> HeldClaim<'s> {
    /// Creates the claim of a call that may be executed at any time from now on.
    pub(super) fn new(
        store: &'s dyn IdempotencyStore,
        key: &'s IdempotencyKey,
        message: Fingerprint,
    ) -> Self {
        Self {
            store,
            key,
            message,
            ending: None,
            is_settled: false,
        }
    }

    /// Sets how the claim ends.
    pub(super) fn ending(mut self, ending: Ending) -> Self {
        self.ending = Some(ending);
        self
    }

    /// Drops the claim of a key that was not claimed.
    pub(super) fn forget(mut self) {
        self.is_settled = true;
    }

    /// Tells the store once, and returns whether it knows.
    pub(super) async fn try_settle(&mut self) -> bool {
        let told = within(STORE_TIMEOUT, self.tell()).await;
        self.is_settled = matches!(told, Some(Ok(())));
        if !self.is_settled {
            tracing::warn!(
                target: "rpc",
                key = %self.key,
                error = told.and_then(Result::err).map(tracing::field::display),
                "the idempotency store does not know yet how a call ended; repeats at another server are rejected until it does"
            );
        }
        self.is_settled
    }

    /// Tells the store, after a delay, until it knows.
    pub(super) async fn settle(mut self) {
        for failures in 1..=SETTLE_ATTEMPTS {
            pause(BACKOFF.delay(failures)).await;
            if matches!(within(STORE_TIMEOUT, self.tell()).await, Some(Ok(()))) {
                self.is_settled = true;
                return;
            }
        }
        self.give_up();
    }

    /// Stops trying to tell the store.
    pub(super) fn give_up(self) {
        tracing::error!(
            target: "rpc",
            key = %self.key,
            "failed to tell the idempotency store how a call ended; repeats are rejected until the store releases the idempotency key"
        );
    }

    fn tell(&mut self) -> StoreFuture<'_, ()> {
        let lost = || Ending::Complete(Outcome::lost());
        match self.ending.get_or_insert_with(lost) {
            Ending::Complete(outcome) => self.store.complete(self.key, self.message, outcome),
            Ending::Abandon => self.store.abandon(self.key),
        }
    }
}

impl Drop for HeldClaim<'_> {
    fn drop(&mut self) {
        if self.is_settled {
            return;
        }
        // The claim may be dropped by a panic of the store, and a second one would end the process.
        let told = catch_unwind(AssertUnwindSafe(|| {
            let mut told = self.tell();
            told.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        }));
        // There is no one to tell.
        drop(told);
    }
}

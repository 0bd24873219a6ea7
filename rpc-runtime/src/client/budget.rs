//! How many retries a client may make in all: a share of its calls, so that a dependency in trouble is not buried
//! under the repeats of those who wait for it.

use std::sync::atomic::{AtomicU32, Ordering};

/// One retry, in the unit of the balance: a call earns whole percents of it.
const RETRY_COST: u32 = 100;

/// What a new client has before its first call. More than it takes to open the circuit breaker of an address, so that
/// a replica that dies early is not noticed; and few enough for a dependency that is down.
const INITIAL_BALANCE: u32 = 10 * RETRY_COST;

/// What is saved at most: the retries of a burst after a long calm.
const MAX_BALANCE: u32 = 100 * RETRY_COST;

/// A token bucket that calls fill and retries empty, shared by all clones of a client. In any span of time there are
/// at most as many retries as the bucket held, and the agreed share of the calls.
#[derive(Debug)]
pub(super) struct Budget {
    balance: AtomicU32,
    /// What each call earns.
    percent: u32,
}

impl Budget {
    pub(super) fn new(percent: u32) -> Self {
        Self {
            balance: AtomicU32::new(INITIAL_BALANCE),
            percent,
        }
    }

    /// A call is made. Once the bucket is full that costs one read.
    pub(super) fn deposit(&self) {
        let earn = |balance: u32| {
            (balance < MAX_BALANCE).then(|| balance.saturating_add(self.percent).min(MAX_BALANCE))
        };
        // Full is not an error.
        let _ = self
            .balance
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, earn);
    }

    /// Takes one retry out, if there is one.
    pub(super) fn withdraw(&self) -> bool {
        let spend = |balance: u32| balance.checked_sub(RETRY_COST);
        self.balance
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retries(budget: &Budget) -> u32 {
        let mut retries = 0;
        while budget.withdraw() {
            retries += 1;
        }
        retries
    }

    #[test]
    fn a_share_of_the_calls_and_a_floor() {
        let budget = Budget::new(20);
        assert_eq!(retries(&budget), 10);
        for _ in 0..60 {
            budget.deposit();
        }
        assert_eq!(retries(&budget), 12);
    }

    #[test]
    fn a_calm_saves_no_more_than_a_burst() {
        let budget = Budget::new(20);
        for _ in 0..100_000 {
            budget.deposit();
        }
        assert_eq!(retries(&budget), 100);
    }

    #[test]
    fn a_share_of_nothing_leaves_the_floor() {
        let budget = Budget::new(0);
        budget.deposit();
        assert_eq!(retries(&budget), 10);
    }
}

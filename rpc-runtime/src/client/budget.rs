//! The retry budget: limits the retries of a client to a share of its calls, so that retries do
//! not overload a failing server.
//!
//! Hand-written because tower's `TpsBudget` lets deposits expire after at most 60 s and grants a
//! minimum of retries a second; this budget is one atomic counter with a fixed initial balance.

use std::sync::atomic::{AtomicU32, Ordering};

/// The cost of a retry or hedge, in hundredths of a retry. A call earns `percent` of them.
const RETRY_COST: u32 = 100;

/// The balance of a new client: 10 retries. This is more than the failures in a row that eject an
/// address, so calls survive a replica that dies early, and few enough not to harm a dependency
/// that is down.
const INITIAL_BALANCE: u32 = 10 * RETRY_COST;

/// The maximum balance: 100 retries.
const MAX_BALANCE: u32 = 100 * RETRY_COST;

/// A token bucket that is filled by calls and emptied by retries, shared by the clones of a client.
///
/// In any period the number of retries is at most the balance at its start plus the given
/// percentage of the calls.
#[derive(Debug)]
pub(super) struct Budget {
    balance: AtomicU32,
    /// The hundredths of a retry that a call earns.
    percent: u32,
}

impl Budget {
    pub(super) fn new(percent: u32) -> Self {
        Self {
            balance: AtomicU32::new(INITIAL_BALANCE),
            percent,
        }
    }

    /// Adds the share of one call. When the bucket is full, this is a single atomic read.
    pub(super) fn deposit(&self) {
        let earn = |balance: u32| {
            (balance < MAX_BALANCE).then(|| balance.saturating_add(self.percent).min(MAX_BALANCE))
        };
        // `Err` means that the bucket is full.
        let _ = self
            .balance
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, earn);
    }

    /// Takes one retry from the bucket. Returns `false` if the balance is too low.
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
    fn retries_are_a_share_of_calls_plus_the_initial_ten() {
        let budget = Budget::new(20);
        assert_eq!(retries(&budget), 10);
        for _ in 0..60 {
            budget.deposit();
        }
        assert_eq!(retries(&budget), 12);
    }

    #[test]
    fn the_balance_is_at_most_a_hundred_retries() {
        let budget = Budget::new(20);
        for _ in 0..100_000 {
            budget.deposit();
        }
        assert_eq!(retries(&budget), 100);
    }

    #[test]
    fn zero_percent_leaves_the_initial_ten() {
        let budget = Budget::new(0);
        budget.deposit();
        assert_eq!(retries(&budget), 10);
    }
}

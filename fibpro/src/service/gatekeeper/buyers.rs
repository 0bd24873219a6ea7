//! Limits for each user: purchases that run at a time, and requests that buy nothing.
//!
//! A request that buys nothing is free, but it costs lines of the log, and rows of the databases
//! if its caller leaves before the number is computed. So a user has an allowance of such requests,
//! which grows again with time. Failures of the services cost the user nothing.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher as _;
use std::time::Duration;

use parking_lot::Mutex;
use rpc_runtime::Context;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::queues::{QueueFull, QueueSlot, Queues};

/// Maximum number of concurrent purchases of one user.
const PER_USER: usize = 64;

/// Maximum number of requests of one user, including those that wait.
const MAX_PENDING: usize = 512;

/// Allowance of a user who has made no free request lately.
const ALLOWANCE: u32 = 600;

/// Time in which an allowance grows by 1.
const GROWTH: Duration = Duration::from_millis(100);

/// Retry delay when too many requests of the user wait.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Number of users whose allowances are kept at least before full ones are forgotten.
const MIN_USERS: usize = 1024;

/// Costs of a request, taken from the allowance of its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RequestCost {
    /// A number was sold, or a service failed.
    Nothing,
    /// The request was refused, or asked for nothing.
    Free,
    /// The caller left early, or its own deadline passed. The purchase is refunded, which leaves
    /// three rows.
    Abandoned,
}

impl RequestCost {
    fn allowance(self) -> u32 {
        match self {
            Self::Nothing => 0,
            Self::Free => 1,
            Self::Abandoned => 10,
        }
    }
}

/// The requests of all users.
pub(super) struct Buyers {
    queues: Queues<u64>,
    spent: Mutex<Spent>,
    /// Users are known by their hash, so that long names take no more memory.
    keys: RandomState,
}

/// The spent allowances.
struct Spent {
    /// When the allowance of a user is whole again.
    whole_at: HashMap<u64, Instant>,
    /// Number of users at which those with a whole allowance are forgotten.
    cleanup_at: usize,
}

impl Buyers {
    pub(super) fn new() -> Self {
        Self {
            queues: Queues::new(PER_USER),
            spent: Mutex::new(Spent {
                whole_at: HashMap::new(),
                cleanup_at: MIN_USERS,
            }),
            keys: RandomState::new(),
        }
    }

    /// Begins a request of a user.
    ///
    /// # Errors
    ///
    /// The retry delay, if the allowance is used up or too many requests of the user wait.
    pub(super) fn begin(&self, username: &str) -> Result<UserRequest<'_>, Duration> {
        let key = self.keys.hash_one(username);
        self.spent.lock().check(key, Instant::now())?;
        let queued = self
            .queues
            .join(key, MAX_PENDING)
            .map_err(|QueueFull| RETRY_AFTER)?;
        Ok(UserRequest {
            buyers: self,
            key,
            queued,
            cost: RequestCost::Abandoned,
            own_deadline: own_deadline(),
        })
    }
}

impl Spent {
    fn check(&self, key: u64, now: Instant) -> Result<(), Duration> {
        let Some(whole_at) = self.whole_at.get(&key) else {
            return Ok(());
        };
        let missing = whole_at.saturating_duration_since(now) + GROWTH;
        match missing.checked_sub(GROWTH * ALLOWANCE) {
            Some(wait) if !wait.is_zero() => Err(wait),
            _ => Ok(()),
        }
    }

    fn charge(&mut self, key: u64, amount: u32, now: Instant) {
        let whole_at = self.whole_at.entry(key).or_insert(now);
        *whole_at = (*whole_at).max(now) + GROWTH * amount;
        if self.whole_at.len() >= self.cleanup_at {
            self.whole_at.retain(|_, whole_at| *whole_at > now);
            self.cleanup_at = MIN_USERS.max(2 * self.whole_at.len());
        }
    }
}

/// A request of a user, until it is dropped. It counts as abandoned unless [`end`](Self::end) is
/// called.
#[derive(Debug)]
pub(super) struct UserRequest<'b> {
    buyers: &'b Buyers,
    key: u64,
    queued: QueueSlot<u64>,
    cost: RequestCost,
    /// Deadline that the server has set, and not the caller.
    own_deadline: Option<Instant>,
}

impl UserRequest<'_> {
    /// Waits until the user has fewer than [`PER_USER`] purchases.
    pub(super) async fn turn(&self) -> Result<OwnedSemaphorePermit, QueueFull> {
        self.queued.turn().await
    }

    /// Ends the request with the costs that it had.
    pub(super) fn end(mut self, cost: RequestCost) {
        self.cost = cost;
    }
}

impl Drop for UserRequest<'_> {
    fn drop(&mut self) {
        let now = Instant::now();
        if self.cost == RequestCost::Abandoned && self.own_deadline.is_some_and(|own| own <= now) {
            // The server did not wait longer, and the caller did.
            return;
        }
        let amount = self.cost.allowance();
        if amount > 0 {
            let mut spent = self.buyers.spent.lock();
            spent.charge(self.key, amount, now);
        }
    }
}

/// Returns the deadline of the current request, unless it is that of the caller.
fn own_deadline() -> Option<Instant> {
    let context = Context::current();
    let deadline = context
        .deadline()
        .filter(|_| !context.has_caller_deadline());
    deadline.map(Instant::from_std)
}

impl fmt::Debug for Buyers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buyers")
            .field("users", &self.spent.lock().whole_at.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;
    use tokio::time::advance;

    use super::*;

    fn request(buyers: &Buyers, username: &str, cost: RequestCost) -> Result<(), Duration> {
        buyers.begin(username).map(|request| request.end(cost))
    }

    #[tokio::test(start_paused = true)]
    async fn free_requests_use_up_an_allowance_that_grows() {
        let buyers = Buyers::new();
        for n in 0..ALLOWANCE {
            assert_eq!(request(&buyers, "ada", RequestCost::Free), Ok(()), "{n}");
        }
        assert_eq!(request(&buyers, "ada", RequestCost::Free), Err(GROWTH));
        // Another user has an own allowance.
        assert_eq!(request(&buyers, "bob", RequestCost::Free), Ok(()));
        advance(GROWTH).await;
        assert_eq!(request(&buyers, "ada", RequestCost::Free), Ok(()));
        assert_eq!(request(&buyers, "ada", RequestCost::Free), Err(GROWTH));
        advance(GROWTH * ALLOWANCE).await;
        for _ in 0..ALLOWANCE {
            assert_eq!(request(&buyers, "ada", RequestCost::Free), Ok(()));
        }
        assert!(request(&buyers, "ada", RequestCost::Free).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn purchases_cost_no_allowance() {
        let buyers = Buyers::new();
        for _ in 0..10 * ALLOWANCE {
            assert_eq!(request(&buyers, "ada", RequestCost::Nothing), Ok(()));
        }
        assert!(buyers.spent.lock().whole_at.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_dropped_costs_ten() {
        let buyers = Buyers::new();
        for _ in 0..ALLOWANCE / 10 {
            drop(buyers.begin("ada").unwrap());
        }
        assert_eq!(buyers.begin("ada").unwrap_err(), GROWTH);
        // Those that ran at that time may exceed it, and are paid off.
        let bobs: Vec<_> = (0..MAX_PENDING)
            .map(|_| buyers.begin("bob").unwrap())
            .collect();
        drop(bobs);
        let debt = u32::try_from(10 * MAX_PENDING).unwrap() - ALLOWANCE;
        assert_eq!(buyers.begin("bob").unwrap_err(), GROWTH * (debt + 1));
    }

    #[tokio::test]
    async fn purchases_of_one_user_wait_for_each_other() {
        let buyers = Buyers::new();
        let mut requests: Vec<_> = (0..MAX_PENDING)
            .map(|_| buyers.begin("ada").unwrap())
            .collect();
        assert_eq!(buyers.begin("ada").unwrap_err(), RETRY_AFTER);
        let mut running = Vec::new();
        for request in &requests[..PER_USER] {
            running.push(request.turn().await.unwrap());
        }
        let mut next = Box::pin(requests[PER_USER].turn());
        assert!(poll!(&mut next).is_pending());
        // Another user does not wait.
        drop(buyers.begin("bob").unwrap().turn().await.unwrap());
        running.pop();
        drop(next.await.unwrap());
        drop(running);
        requests.clear();
        assert!(buyers.queues.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn whole_allowances_take_no_memory() {
        let buyers = Buyers::new();
        for n in 0..20 * MIN_USERS {
            request(&buyers, &n.to_string(), RequestCost::Free).unwrap();
            advance(GROWTH).await;
            assert!(buyers.spent.lock().whole_at.len() <= MIN_USERS);
        }
    }
}

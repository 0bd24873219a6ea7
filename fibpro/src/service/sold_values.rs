//! The values of recent purchases, so that a paid number is not computed again for each repeat.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use rpc_runtime::RequestId;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use tokio::time::Instant;

/// Lifetime of a value.
const LIFETIME: Duration = Duration::from_secs(600);

/// Maximum size of all values, in bytes. The largest number that is sold has 4.2 MB.
const CAPACITY: usize = 64 << 20;

/// Approximate size of an entry without its key and its value.
const OVERHEAD: usize = 400;

/// Values by the key of their purchase.
///
/// An own type and not `moka`: the lifetime is that of tokio's clock and the capacity is exact,
/// which the tests rely on.
pub(super) struct SoldValues {
    capacity: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    values: HashMap<String, SoldValue>,
    /// Keys in order of expiry, which is the order of insertion.
    order: VecDeque<(Instant, String)>,
    bytes: usize,
    /// Purchases that run, by key.
    turns: HashMap<String, Weak<AsyncMutex<()>>>,
}

struct SoldValue {
    n: u64,
    number: SoldNumber,
    until: Instant,
}

/// The value of a purchase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SoldNumber {
    pub(super) value: Arc<str>,
    /// The request that settles the purchase, or tried to; `None` if it is not known.
    pub(super) paid_by: Option<RequestId>,
}

impl SoldValues {
    pub(super) fn new() -> Self {
        Self::with_capacity(CAPACITY)
    }

    fn with_capacity(capacity: usize) -> Self {
        Self {
            capacity,
            state: Mutex::default(),
        }
    }

    /// Waits until no other call runs a purchase with this key, and returns a guard of that.
    ///
    /// # Cancellation
    ///
    /// Dropping the future gives up the place in the queue.
    pub(super) async fn turn(&self, key: &str) -> Turn {
        let turn = {
            let mut state = self.lock();
            let known = state.turns.get(key).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                // The purchases that have ended.
                state.turns.retain(|_, turn| turn.strong_count() > 0);
                let turn = Arc::default();
                state.turns.insert(key.to_owned(), Arc::downgrade(&turn));
                turn
            })
        };
        Turn {
            _held: turn.lock_owned().await,
        }
    }

    /// Returns the value of a purchase of F(n).
    pub(super) fn get(&self, key: &str, n: u64) -> Option<SoldNumber> {
        let state = self.lock();
        let sold = state.values.get(key)?;
        // A key identifies a payment and not a number.
        (sold.n == n && Instant::now() < sold.until).then(|| sold.number.clone())
    }

    /// Keeps the value of a purchase that is about to be settled, and evicts the oldest values for
    /// it. A key whose value is kept has the latest request that settles it.
    pub(super) fn insert(&self, key: &str, n: u64, value: &str, paid_by: Option<RequestId>) {
        let now = Instant::now();
        let size = size(key, value);
        if size > self.capacity {
            return;
        }
        let mut state = self.lock();
        let state = &mut *state;
        state.evict(|until, bytes| until <= now || bytes > self.capacity - size);
        match state.values.entry(key.to_owned()) {
            Entry::Vacant(place) => {
                let until = now + LIFETIME;
                state.order.push_back((until, key.to_owned()));
                state.bytes += size;
                let value = value.into();
                place.insert(SoldValue {
                    n,
                    number: SoldNumber { value, paid_by },
                    until,
                });
            }
            Entry::Occupied(mut kept) if kept.get().n == n => {
                kept.get_mut().number.paid_by = paid_by;
            }
            Entry::Occupied(_) => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl State {
    /// Removes the oldest values as long as the condition on its expiry and the size of all holds.
    fn evict(&mut self, must_go: impl Fn(Instant, usize) -> bool) {
        while let Some((until, _)) = self.order.front()
            && must_go(*until, self.bytes)
            && let Some((_, key)) = self.order.pop_front()
        {
            if let Some(sold) = self.values.remove(&key) {
                self.bytes -= size(&key, &sold.number.value);
            }
        }
    }
}

fn size(key: &str, value: &str) -> usize {
    OVERHEAD + 2 * key.len() + value.len()
}

/// The right to run a purchase; see [`SoldValues::turn`].
#[derive(Debug)]
pub(super) struct Turn {
    _held: OwnedMutexGuard<()>,
}

impl fmt::Debug for SoldValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SoldValues").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(values: &SoldValues, key: &str, n: u64) -> Option<Arc<str>> {
        values.get(key, n).map(|sold| sold.value)
    }

    #[tokio::test(start_paused = true)]
    async fn a_value_is_kept_for_ten_minutes() {
        let values = SoldValues::new();
        values.insert("k", 10, "55", None);
        tokio::time::advance(LIFETIME - Duration::from_millis(1)).await;
        assert_eq!(value(&values, "k", 10).as_deref(), Some("55"));
        // A key does not identify a number.
        assert_eq!(values.get("k", 11), None);
        assert_eq!(values.get("l", 10), None);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(values.get("k", 10), None);
        // The next insertion removes it, also one with the same key.
        values.insert("k", 10, "55", None);
        assert_eq!(value(&values, "k", 10).as_deref(), Some("55"));
        assert_eq!(values.lock().order.len(), 1);
    }

    #[test]
    fn the_latest_request_that_settles_has_paid() {
        let values = SoldValues::new();
        let [first, second] = [(); 2].map(|()| Some(RequestId::random()));
        for paid_by in [first, second, None] {
            values.insert("k", 10, "55", paid_by);
            assert_eq!(values.get("k", 10).unwrap().paid_by, paid_by);
        }
        // Another number under the key is not kept, and does not change who has paid.
        values.insert("k", 11, "89", first);
        assert_eq!(values.get("k", 10).unwrap().paid_by, None);
    }

    #[test]
    fn the_size_of_all_values_is_bounded() {
        let values = SoldValues::with_capacity(10_000);
        let value = "1".repeat(1000);
        for n in 0..100 {
            values.insert(&n.to_string(), n, &value, None);
            let state = values.lock();
            let all = state.values.iter();
            let bytes: usize = all.map(|(key, sold)| size(key, &sold.number.value)).sum();
            assert_eq!(bytes, state.bytes);
            assert!(bytes <= 10_000, "{bytes}");
            assert_eq!(state.values.len(), state.order.len());
        }
        assert!(values.get("99", 99).is_some() && values.get("90", 90).is_none());
        // Larger than all: it is not kept, and the others are.
        values.insert("large", 7, &"1".repeat(10_001), None);
        assert!(values.get("99", 99).is_some() && values.get("large", 7).is_none());
        // The same value again takes no further space.
        let values = SoldValues::new();
        for _ in 0..3 {
            values.insert("k", 1, "1", None);
        }
        assert_eq!(values.lock().bytes, size("k", "1"));
    }

    #[tokio::test]
    async fn one_call_at_a_time_has_the_turn_of_a_key() {
        let values = Arc::new(SoldValues::new());
        let first = values.turn("k").await;
        let _other = values.turn("l").await;
        let waiting = tokio::spawn({
            let values = values.clone();
            async move { drop(values.turn("k").await) }
        });
        // Runs the task up to the turn, which it does not get.
        while values.lock().turns["k"].strong_count() < 2 {
            tokio::task::yield_now().await;
        }
        assert!(!waiting.is_finished());
        drop(first);
        waiting.await.unwrap();
        // Turns that have ended take no space.
        drop(values.turn("m").await);
        drop(values.turn("n").await);
        let state = values.lock();
        let mut left: Vec<_> = state.turns.keys().map(String::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["l", "n"]);
    }
}

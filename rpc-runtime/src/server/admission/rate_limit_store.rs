//! The state of a rate limit for each pair of caller and method.

use std::collections::HashMap;
use std::hash::Hash;

use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::state::keyed::ShrinkableKeyedStateStore;

use crate::sync::{Mutex, MutexExt as _, MutexGuard};

/// Stores the state of each pair. Hand-written because governor's stores grow with the number of
/// callers; this one is bounded.
#[derive(Debug)]
pub(super) struct RateLimitStore<K> {
    /// The maximum number of tracked pairs.
    max: usize,
    states: Mutex<RateLimitStates<K>>,
}

#[derive(Debug)]
struct RateLimitStates<K> {
    known: HashMap<K, Nanos>,
    /// The shared state of all pairs beyond the maximum.
    others: Option<Nanos>,
}

impl<K> RateLimitStore<K> {
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            states: Mutex::new(RateLimitStates {
                known: HashMap::new(),
                others: None,
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, RateLimitStates<K>> {
        self.states.lock_unpoisoned()
    }
}

impl<K: Clone + Eq + Hash> StateStore for RateLimitStore<K> {
    type Key = K;

    fn measure_and_replace<T, F, E>(&self, pair: &K, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut states = self.lock();
        if let Some(state) = states.known.get_mut(pair) {
            let (outcome, new) = f(Some(*state))?;
            *state = new;
            return Ok(outcome);
        }
        if states.known.len() < self.max {
            let (outcome, new) = f(None)?;
            states.known.insert(pair.clone(), new);
            return Ok(outcome);
        }
        let (outcome, new) = f(states.others)?;
        states.others = Some(new);
        Ok(outcome)
    }
}

impl<K: Clone + Eq + Hash> ShrinkableKeyedStateStore<K> for RateLimitStore<K> {
    fn retain_recent(&self, drop_below: Nanos) {
        self.lock().known.retain(|_, state| *state > drop_below);
    }

    fn len(&self) -> usize {
        self.lock().known.len()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

//! The state of a rate limit for each pair of caller and method.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::state::keyed::ShrinkableKeyedStateStore;

use crate::context::Source;
use crate::sync::{Mutex, MutexExt as _, MutexGuard};

/// A caller and a method. All instances of a server are one caller.
#[derive(Debug, Clone)]
pub(super) struct RateLimitKey {
    pub(super) caller: Option<Arc<Source>>,
    pub(super) path: &'static str,
}

impl RateLimitKey {
    fn parts(&self) -> (Option<(&str, &str)>, &'static str) {
        let caller = self.caller.as_deref();
        (
            caller.map(|caller| (caller.server(), caller.environment())),
            self.path,
        )
    }
}

impl PartialEq for RateLimitKey {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for RateLimitKey {}

impl Hash for RateLimitKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}

/// Stores the state of each pair. Hand-written because governor's stores grow with the number of
/// callers; this one is bounded.
#[derive(Debug)]
pub(super) struct RateLimitStore {
    /// The maximum number of tracked pairs.
    max: usize,
    states: Mutex<RateLimitStates>,
}

#[derive(Debug, Default)]
struct RateLimitStates {
    known: HashMap<RateLimitKey, Nanos>,
    /// The shared state of all pairs beyond the maximum.
    others: Option<Nanos>,
}

impl RateLimitStore {
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            states: Mutex::new(RateLimitStates::default()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, RateLimitStates> {
        self.states.lock_unpoisoned()
    }
}

impl StateStore for RateLimitStore {
    type Key = RateLimitKey;

    fn measure_and_replace<T, F, E>(&self, pair: &RateLimitKey, f: F) -> Result<T, E>
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

impl ShrinkableKeyedStateStore<RateLimitKey> for RateLimitStore {
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

//! Where the values of one flag in one server are.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use super::info::Origin;
use crate::sync::RwLockExt as _;

/// A value whose type only its flag knows.
pub(super) type Value = Arc<dyn Any + Send + Sync>;

/// A value that its flag takes, with its text. No code of the developer's runs to show it.
#[derive(Debug, Clone)]
pub struct FlagEntry {
    pub(super) value: Value,
    pub(super) text: Arc<str>,
    /// The value as one word, for types that fit.
    pub(super) word: u64,
}

/// The values of one flag in one server: one a source that has one, and the one that counts.
pub(super) struct FlagSlot {
    /// The value that counts, for types that fit; others have 0.
    word: AtomicU64,
    /// Locked for as long as a pointer is copied.
    layers: RwLock<Layers>,
}

struct Layers {
    default: FlagEntry,
    /// By source, from the one that gives way to all others.
    given: [Option<FlagEntry>; Origin::GIVEN.len()],
}

impl Layers {
    fn effective(&self) -> (&FlagEntry, Origin) {
        let given = self.given.iter().zip(Origin::GIVEN).rev();
        given
            .filter_map(|(entry, origin)| entry.as_ref().zip(Some(origin)))
            .next()
            .unwrap_or((&self.default, Origin::Declaration))
    }
}

impl FlagSlot {
    pub(super) fn new(default: FlagEntry) -> Self {
        Self {
            word: AtomicU64::new(default.word),
            layers: RwLock::new(Layers {
                default,
                given: Default::default(),
            }),
        }
    }

    pub(super) fn word(&self) -> u64 {
        self.word.load(Ordering::Acquire)
    }

    pub(super) fn value(&self) -> Value {
        Arc::clone(&self.read().effective().0.value)
    }

    pub(super) fn effective(&self) -> (FlagEntry, Origin) {
        let layers = self.read();
        let (entry, origin) = layers.effective();
        (entry.clone(), origin)
    }

    /// What one source says.
    pub(super) fn layer(&self, origin: Origin) -> Option<FlagEntry> {
        let layers = self.read();
        let index = Origin::GIVEN.iter().position(|given| *given == origin)?;
        layers.given[index].clone()
    }

    /// Sets what one source says. Writers come one at a time: the set sees to that.
    pub(super) fn set_layer(&self, origin: Origin, entry: Option<FlagEntry>) {
        let mut layers = self.layers.write_unpoisoned();
        if let Some(index) = Origin::GIVEN.iter().position(|given| *given == origin) {
            layers.given[index] = entry;
        }
        self.word
            .store(layers.effective().0.word, Ordering::Release);
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Layers> {
        self.layers.read_unpoisoned()
    }
}

/// Runs code of the developer's.
///
/// # Errors
///
/// When it panics.
pub(super) fn catch_panic<R>(code: impl FnOnce() -> R) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(code)).map_err(|_| "the code that decides it panicked".to_owned())
}

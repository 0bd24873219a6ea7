//! The values of one flag in one server.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use super::info::FlagOrigin;
use crate::sync::RwLockExt as _;

/// A type-erased value. Only its flag knows the type.
pub(super) type Value = Arc<dyn Any + Send + Sync>;

/// A validated value and its text. The text is stored, so displaying it runs no code of the
/// application.
#[derive(Debug, Clone)]
pub struct FlagEntry {
    pub(super) value: Value,
    pub(super) text: Arc<str>,
    /// The value as one 64-bit word, for types that fit.
    pub(super) word: u64,
}

/// The values of one flag in one server: one per source that sets it, and the effective one.
pub(super) struct FlagSlot {
    /// The effective value as a word, or 0 for other types.
    word: AtomicU64,
    /// Locked only while a pointer is copied.
    layers: RwLock<Layers>,
}

struct Layers {
    default: FlagEntry,
    /// One value per source, in ascending order of precedence.
    layers: [Option<FlagEntry>; FlagOrigin::LAYERS.len()],
}

impl Layers {
    fn effective(&self) -> (&FlagEntry, FlagOrigin) {
        let set = self.layers.iter().zip(FlagOrigin::LAYERS).rev();
        set.filter_map(|(entry, origin)| entry.as_ref().zip(Some(origin)))
            .next()
            .unwrap_or((&self.default, FlagOrigin::Declaration))
    }
}

impl FlagSlot {
    pub(super) fn new(default: FlagEntry) -> Self {
        Self {
            word: AtomicU64::new(default.word),
            layers: RwLock::new(Layers {
                default,
                layers: Default::default(),
            }),
        }
    }

    pub(super) fn word(&self) -> u64 {
        self.word.load(Ordering::Acquire)
    }

    pub(super) fn value(&self) -> Value {
        Arc::clone(&self.read().effective().0.value)
    }

    pub(super) fn effective(&self) -> (FlagEntry, FlagOrigin) {
        let layers = self.read();
        let (entry, origin) = layers.effective();
        (entry.clone(), origin)
    }

    /// Returns the value from one source.
    pub(super) fn layer(&self, origin: FlagOrigin) -> Option<FlagEntry> {
        let layers = self.read();
        let index = FlagOrigin::LAYERS
            .iter()
            .position(|layer| *layer == origin)?;
        layers.layers[index].clone()
    }

    /// Sets the value from one source. The caller serializes writers.
    pub(super) fn set_layer(&self, origin: FlagOrigin, entry: Option<FlagEntry>) {
        let mut layers = self.layers.write_unpoisoned();
        if let Some(index) = FlagOrigin::LAYERS.iter().position(|layer| *layer == origin) {
            layers.layers[index] = entry;
        }
        self.word
            .store(layers.effective().0.word, Ordering::Release);
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Layers> {
        self.layers.read_unpoisoned()
    }
}

/// Runs code of the application.
///
/// # Errors
///
/// Fails if it panics.
pub(super) fn catch_panic<R>(code: impl FnOnce() -> R) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(code))
        .map_err(|_| "the parser, formatter or validator of the flag panicked".to_owned())
}

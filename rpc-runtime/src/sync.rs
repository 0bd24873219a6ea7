//! Locks and atomics of the modules that are model-checked, and locking without poisoning.
//!
//! In this crate they are those of the standard library. The crate `rpc-models` compiles the same
//! source files with shuttle's types under this path and runs them through many schedules, so
//! production code needs no switch.

pub(crate) use std::sync::{Mutex, MutexGuard};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

pub(crate) mod atomic {
    pub(crate) use std::sync::atomic::{AtomicU64, Ordering};
}

/// Locks a [`Mutex`] and ignores poisoning.
///
/// A panic of a handler is caught, so a poisoned lock must not fail all later calls. Code that
/// holds such a lock keeps the value valid at every point at which it can panic.
pub(crate) trait MutexExt<T: ?Sized> {
    fn lock_unpoisoned(&self) -> MutexGuard<'_, T>;
}

impl<T: ?Sized> MutexExt<T> for Mutex<T> {
    fn lock_unpoisoned(&self) -> MutexGuard<'_, T> {
        self.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Locks an [`RwLock`] and ignores poisoning, as [`MutexExt`] does.
pub(crate) trait RwLockExt<T: ?Sized> {
    fn read_unpoisoned(&self) -> RwLockReadGuard<'_, T>;
    fn write_unpoisoned(&self) -> RwLockWriteGuard<'_, T>;
}

impl<T: ?Sized> RwLockExt<T> for RwLock<T> {
    fn read_unpoisoned(&self) -> RwLockReadGuard<'_, T> {
        self.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_unpoisoned(&self) -> RwLockWriteGuard<'_, T> {
        self.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn a_poisoned_lock_still_gives_its_value() {
        let (mutex, rwlock) = (Mutex::new(1), RwLock::new(2));
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _held = (mutex.lock_unpoisoned(), rwlock.write_unpoisoned());
            panic!("while both are locked");
        }));
        assert!(panicked.is_err() && mutex.is_poisoned() && rwlock.is_poisoned());
        assert_eq!(*mutex.lock_unpoisoned(), 1);
        *rwlock.write_unpoisoned() += 1;
        assert_eq!(*rwlock.read_unpoisoned(), 3);
    }
}

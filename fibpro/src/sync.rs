//! Locking without poisoning.
//!
//! `rpc-runtime` has the same traits for itself. They are not part of its interface, since they are
//! not about calls.

use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Locks a [`Mutex`] and ignores poisoning.
///
/// A panic of a handler is caught, so a poisoned lock must not fail all later calls. Code that
/// holds such a lock keeps the value valid at every point at which it can panic.
pub trait MutexExt<T: ?Sized> {
    /// Locks the value.
    fn lock_unpoisoned(&self) -> MutexGuard<'_, T>;
}

impl<T: ?Sized> MutexExt<T> for Mutex<T> {
    fn lock_unpoisoned(&self) -> MutexGuard<'_, T> {
        self.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Locks an [`RwLock`] and ignores poisoning, as [`MutexExt`] does.
pub trait RwLockExt<T: ?Sized> {
    /// Locks the value for reading.
    fn read_unpoisoned(&self) -> RwLockReadGuard<'_, T>;

    /// Locks the value for writing.
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

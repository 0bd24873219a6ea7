//! Model checks of the concurrent parts of `rpc-runtime`, under a scheduler that tries many
//! interleavings.
//!
//! The source files of the runtime are compiled here again. Their `crate::sync` is that of this
//! crate, with shuttle's locks and atomics: at each of them shuttle may switch to another thread.
//! Everything else that they import from the runtime is public there.
//!
//! To check another file, make it import locks and atomics from `crate::sync` and nothing private
//! from other modules. Then include it below by its path and write a model for it. For shuttle, an
//! operation on a tokio channel is a single step. Timers never expire; a timeout is modelled by
//! dropping a future.
//!
//! A model runs under two schedulers: a random one, and PCT, which finds failures that need few but
//! specific switches. A failure prints a schedule that [`replay`] repeats. Deadlocks are found too;
//! they abort the whole test binary, because the blocked threads are dropped outside of the model.
//!
//! Limit: in shuttle every atomic operation is sequentially consistent, so too weak orderings pass.

// Excludes the unit tests of the included files, which run in the runtime.
#![cfg(not(test))]
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each model uses only a part of the included files"
)]

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, Runner};

mod sync {
    pub(crate) use shuttle::sync::{Mutex, MutexGuard};
    use std::sync::PoisonError;

    pub(crate) mod atomic {
        pub(crate) use shuttle::sync::atomic::{AtomicU64, Ordering};
    }

    /// The same as in the runtime.
    pub(crate) trait MutexExt<T: ?Sized> {
        fn lock_unpoisoned(&self) -> MutexGuard<'_, T>;
    }

    impl<T: ?Sized> MutexExt<T> for Mutex<T> {
        fn lock_unpoisoned(&self) -> MutexGuard<'_, T> {
            self.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }
}

// The items of the runtime that the included files import.
mod backoff {
    pub(crate) use rpc_runtime::backoff::{ExponentialBackoff, Jitter};
}

mod context {
    pub(crate) use rpc_runtime::{RequestId, Source};
}

mod error {
    pub(crate) use rpc_runtime::{Code, Error, Result};
}

mod server {
    pub(crate) use rpc_runtime::Limits;
}

pub mod admission;
pub mod idempotency;
pub mod logs;

/// Interleavings that each scheduler tries.
const INTERLEAVINGS: usize = 1_000;
/// Depth of PCT: the number of switches that a failure may need.
const SWITCHES: usize = 3;

/// Runs a model under both schedulers.
///
/// # Panics
///
/// If the model panics or deadlocks.
pub fn check(model: impl Fn() + Send + Sync + 'static) {
    let model = Arc::new(model);
    let random = RandomScheduler::new(INTERLEAVINGS);
    let few = PctScheduler::new(SWITCHES, INTERLEAVINGS);
    let config = || {
        let mut config = Config::new();
        // They are about weak orderings; see the documentation of this crate.
        config.silence_warnings = true;
        config
    };
    with_timers(|| {
        let (one, two) = (Arc::clone(&model), Arc::clone(&model));
        Runner::new(random, config()).run(move || one());
        Runner::new(few, config()).run(move || two());
    });
}

/// Runs one interleaving of a model, from the schedule that a failure printed.
///
/// # Panics
///
/// If the failure is reproduced.
pub fn replay(model: impl Fn() + Send + Sync + 'static, schedule: &str) {
    with_timers(|| shuttle::replay(model, schedule));
}

/// Runs code that sets timers, which need a runtime. The runtime is not driven, so they never
/// expire.
fn with_timers(run: impl FnOnce()) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime without sockets");
    let entered = runtime.enter();
    let ran = catch_unwind(AssertUnwindSafe(run));
    drop(entered);
    if let Err(panic) = ran {
        resume_unwind(panic);
    }
}

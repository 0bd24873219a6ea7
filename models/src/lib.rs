//! Model checks of `rpc-runtime`: its concurrent parts, under a scheduler that tries many orders of their steps.
//!
//! The very sources of the runtime are compiled here once more. Where they say `crate::sync` they get shuttle's locks
//! and atomics, at each of which shuttle may go on with another thread; the runtime itself gets the standard library's,
//! and knows nothing of this. What else they name of the runtime is its public part.
//!
//! To check one more: let its file take its locks and atomics from `crate::sync` and nothing private from elsewhere,
//! add it below by its path, and write the model beside it. Tokio's channels are a single step to shuttle. Timers work
//! and never come to their end, so time that passes is a future that is dropped.
//!
//! A model runs under two schedulers: a random one, and PCT, which finds orders that need few but ill-placed switches.
//! Whatever fails is printed with a schedule that repeats it: [`replay`]. Threads that wait for each other for ever are
//! found as well, and end the whole test binary, because what they hold is dropped outside of the model.
//!
//! What it does not see: to shuttle every atomic is sequentially consistent, so an ordering that is too weak passes.

// The sources of the runtime bring their unit tests along, which belong there.
#![cfg(not(test))]
#![allow(
    dead_code,
    unreachable_pub,
    reason = "of the sources of the runtime each model uses what it needs"
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

    /// As in the runtime.
    pub(crate) trait MutexExt<T: ?Sized> {
        fn lock_unpoisoned(&self) -> MutexGuard<'_, T>;
    }

    impl<T: ?Sized> MutexExt<T> for Mutex<T> {
        fn lock_unpoisoned(&self) -> MutexGuard<'_, T> {
            self.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }
}

// What the sources below name of the runtime.
mod context {
    pub(crate) use rpc_runtime::{RequestId, Source};
}

mod error {
    pub(crate) use rpc_runtime::Error;
}

mod server {
    pub(crate) use rpc_runtime::Limits;
}

pub mod admission;
pub mod idempotency;
pub mod logs;

/// How many orders each scheduler tries.
const ORDERS: usize = 1_000;
/// How many ill-placed switches PCT looks for.
const SWITCHES: usize = 3;

/// Runs a model under both schedulers.
///
/// # Panics
///
/// Where the model does, and where threads wait for each other for ever.
pub fn check(model: impl Fn() + Send + Sync + 'static) {
    let model = Arc::new(model);
    let random = RandomScheduler::new(ORDERS);
    let few = PctScheduler::new(SWITCHES, ORDERS);
    let config = || {
        let mut config = Config::new();
        // Of orderings; said above.
        config.silence_warnings = true;
        config
    };
    with_timers(|| {
        let (one, two) = (Arc::clone(&model), Arc::clone(&model));
        Runner::new(random, config()).run(move || one());
        Runner::new(few, config()).run(move || two());
    });
}

/// Runs one order of a model, as a failure has printed it.
///
/// # Panics
///
/// As the failure did.
pub fn replay(model: impl Fn() + Send + Sync + 'static, schedule: &str) {
    with_timers(|| shuttle::replay(model, schedule));
}

/// The code under check sets timers, which need a runtime to be there. Nobody drives it.
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

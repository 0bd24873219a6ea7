//! The locks and atomics of what is checked as a model.
//!
//! They are the standard library's. The crate `rpc-models` compiles the very sources that use this module with
//! shuttle's in their place, and runs them through many schedules. So production knows no switch.

pub(crate) use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) mod atomic {
    pub(crate) use std::sync::atomic::{AtomicU64, Ordering};
}

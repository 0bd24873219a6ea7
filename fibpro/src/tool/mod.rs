//! What operators look at the services with.

pub mod format;
pub mod keys;
pub mod monitor;

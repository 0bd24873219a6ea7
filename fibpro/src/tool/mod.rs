//! What operators look at the services with.

pub mod keys;
pub mod monitor;
pub mod units;

//! What operators look at the services with.

pub mod monitor;
pub mod units;

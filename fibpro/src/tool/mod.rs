//! Tools for operators.

pub mod format;
pub mod keys;
pub mod monitor;

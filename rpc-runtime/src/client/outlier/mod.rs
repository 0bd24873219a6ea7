//! The outlier policy: which address of a service gets an attempt, by what the earlier attempts to
//! all of its addresses have shown.
//!
//! `health` records the outcomes of one address, `choice` compares the addresses. Neither knows
//! HTTP, and both take the time as an argument, so a simulation runs them in virtual time
//! (`benches/outliers`).
//!
//! Hand-written because the crates with circuit breakers decide about one address without the
//! others, and so can refuse all of them.

mod average;
mod choice;
mod health;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

pub(crate) use choice::{Node, choose, has_other};
pub(crate) use health::{Health, Outcome};

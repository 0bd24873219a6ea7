//! Fibonacci as a service: the reference application of `rpc-runtime`.
//!
//! Each service is a trait in [`api`] and an implementation in [`service`]. [`serve`] builds a
//! server of it, and a program of `src/bin` runs it as a process. Implementations call each other
//! only through the clients of [`api`], so each may run anywhere.

pub mod api;
#[cfg(feature = "services")]
pub mod endpoints;
#[cfg(feature = "services")]
pub mod fibonacci;
#[cfg(feature = "services")]
mod login_cache;
#[cfg(feature = "services")]
pub mod number;
#[cfg(feature = "services")]
pub mod output;
#[cfg(feature = "services")]
pub mod process;
#[cfg(feature = "services")]
pub mod serve;
#[cfg(feature = "services")]
pub mod service;
#[cfg(feature = "services")]
mod sqlite;
#[cfg(feature = "services")]
pub mod terminal;
#[cfg(feature = "services")]
pub mod tool;

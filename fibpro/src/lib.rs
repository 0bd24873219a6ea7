//! Fibonacci as a service: the reference application of `rpc-runtime`.
//!
//! Each service is a trait in [`api`] and an implementation in [`service`]; [`serve`] makes a server of it, and
//! a program of `src/bin` a process. Implementations call each other through the clients of [`api`] only, so each of them may run anywhere.

pub mod api;
pub mod endpoints;
pub mod fibonacci;
pub mod number;
pub mod process;
pub mod serve;
pub mod service;
pub mod tool;

//! The implementations. One of them names others by their clients in [`api`](crate::api) only.

pub mod compute_worker;
pub mod controller;
pub mod gatekeeper;
pub mod logsink;
pub mod pricing;
pub mod userstore;

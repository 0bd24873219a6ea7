//! The contracts: traits and messages. What a caller needs to know of a service, and nothing of how it works.

pub mod compute_worker;
pub mod controller;
pub mod logsink;
pub mod pricing;
pub mod userstore;

//! Contracts of the services: traits and messages, without implementations.

pub mod compute_worker;
pub mod controller;
pub mod logsink;
pub mod pricing;
pub mod userstore;

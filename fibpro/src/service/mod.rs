//! Implementations of the services. They call each other only through the clients in
//! [`api`](crate::api).

pub mod compute_worker;
pub mod controller;
mod event_log;
mod fair_queue;
pub mod gatekeeper;
pub mod logsink;
mod normal;
pub mod pricing;
mod sold_values;
mod suspects;
pub mod userstore;

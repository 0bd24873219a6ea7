//! The contracts: traits and messages. What a caller needs to know of a service, and nothing of how it works.

pub mod logsink;

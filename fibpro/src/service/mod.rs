//! The implementations. One of them names others by their clients in [`api`](crate::api) only.

pub mod logsink;

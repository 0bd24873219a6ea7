//! Faults on purpose, for tests: what networks and dependencies do on a bad day, at the moment that a test chooses.
//!
//! With the feature `testing`. [`Proxy`] stands between a client and a server and breaks their connections;
//! [`Faults`] is a layer that breaks calls without a network.

mod faults;
mod proxy;

pub use faults::Faults;
pub use proxy::{Proxy, Trouble};

//! Faults on purpose, for tests: what networks and dependencies do on a bad day, at the moment that a test chooses.
//!
//! With the feature `testing`. [`Proxy`] stands between a client and a server and breaks their connections;
//! [`Faults`] is a layer that breaks calls without a network; [`Process`] is a program that can be killed and stopped.
//! What a running process does on purpose, asked for by a header, is [`Server::allow_faults`](crate::Server::allow_faults).

mod faults;
#[cfg(unix)]
mod process;
mod proxy;

pub use faults::Faults;
#[cfg(unix)]
pub use process::{Process, ProcessOutput};
pub use proxy::{NetworkFault, Proxy};

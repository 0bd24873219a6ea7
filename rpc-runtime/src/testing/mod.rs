//! Servers and fault injection for tests, with the feature `testing`.
//!
//! [`serve`] runs a server on sockets. [`Proxy`] is a TCP proxy that breaks connections, [`Faults`]
//! a client layer that breaks calls without a network, and [`Process`] a child process that can be
//! killed and stopped. To inject faults into a running server by a request header, see
//! [`Server::allow_faults`](crate::Server::allow_faults).

mod faults;
#[cfg(unix)]
mod process;
mod proxy;
#[cfg(feature = "server")]
mod server;

pub use faults::Faults;
#[cfg(unix)]
pub use process::{Process, ProcessOutput};
pub use proxy::{NetworkFault, Proxy};
#[cfg(feature = "server")]
pub use server::{TestServer, serve, serve_unready};

//! The function behind `local` of generated clients, which needs both sides.

use crate::client::Client;
use crate::server::Service;

/// Creates a client of a service in this process.
pub fn local<S: Service>(service: S) -> Client {
    crate::local::client(service)
}

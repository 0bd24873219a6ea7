//! All of FibPro in one test, without a socket: an example for testing other systems of services.
//!
//! The services are those of production, including the database. Only the connections differ: each
//! client calls the other server in process (`Server::into_local_client`), and the gatekeeper is
//! called as an `axum::Router` (`Server::into_router`). Contexts, deadlines, retries, limits and
//! error chains are the same as over the network, so the results hold there too.
//!
//! Three tools are enough for most tests: captured log lines (`log_lines`), a fake that implements
//! a trait (`fakes`), and a request that specifies which of its calls fail (`faults`).

// All services, wired in process.
pub(crate) mod harness;
// The log lines of one request, in order, under one id.
mod log_lines;
// One service is replaced by a fake.
mod fakes;
// Calls that fail, disconnect or hang by fault injection.
mod faults;
// Rows of the tutorial's table that need all services.
mod rows;

//! All of FibPro in one test, without a socket: how to test a system of services of your own.
//!
//! The services are those of production, down to the database. What is different is how they meet: in place of an address
//! each client has the other server itself (`Server::into_local_client`), and the gatekeeper is asked by an
//! `axum::Router` (`Server::into_router`). Contexts, deadlines, retries, limits and error chains are the same as over the
//! network, so what these tests say of them is true there.
//!
//! Three tools are enough for most tests: a log that is read like a story (`story`), a trait that is implemented by
//! something else (`fakes`), and a request that says which call on its way fails (`faults`).

// The whole system, small enough to be read.
mod harness;
// What one request writes, in order, under one id.
mod log_lines;
// One service is something else.
mod fakes;
// Calls that fail, break and hang on purpose.
mod faults;
// Rows of behaviour that need the whole system.
mod rows;

//! The user store, on SQLite and on PostgreSQL.

// A database that ends with its test, a clock that stands still, and the audit behind each test.
pub(crate) mod fixture;
// A private PostgreSQL for the run of these tests.
mod postgres;

// What becomes of credit: concurrent, repeated, abandoned, restarted.
mod purchases;
// Reservations that nobody settles, under a clock that the test moves.
mod expiry;
// Any sequence of operations does what a model of ten lines says.
mod model;
// Passwords and names: the same answer after the same work.
mod logins;
// Databases that are full, locked, damaged or gone for a moment.
mod database_errors;
// The program: its options, its log, and what must not be in it.
pub(crate) mod program;

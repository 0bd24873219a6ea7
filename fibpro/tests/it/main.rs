//! The services as their users meet them: real processes, raw HTTP, the command line.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

// What the tests share: processes that end with the test, and HTTP by hand.
mod process;

// The log sink in this process: what it prints for whom, and what becomes of a record that cannot be printed.
mod sink;
// The log sink as a process: what curl sees, signals, ports, closed pipes.
mod logsink;

// `fibpro`: output and exit codes.
mod command;
mod fib;

// Each service as a process of its own.
mod programs;

// All services in this process, with users in memory.
mod system;
// The gatekeeper: what goes in and out at the edge.
mod edge;
// What is paid when, and what becomes of it when something breaks.
mod purchase;
// The services behind it, called directly.
mod services;

// The user store: credit, passwords, and databases in trouble.
mod userstore;
// The user store under load, killed again and again.
mod userstore_crash;

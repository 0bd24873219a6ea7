//! The services as their users meet them: real processes, raw HTTP, the command line.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

// What the tests share: processes that end with the test, and HTTP by hand.
mod process;

// The log sink in this process: what it prints for whom, and what becomes of a record that cannot be printed.
mod sink;
// The log sink as a process: what curl sees, signals, ports, closed pipes.
mod logsink;

// The store of the log sink in this process: what is kept once, for how long, and what becomes of a store in trouble.
mod store;
// Searching the log sink in this process: what matches, pages, and waiting for what comes.
mod search;
// The log sink's store with real processes: curl's view, `fibpro logs`, kill -9, a restart.
mod log_store;

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
// All services as processes, killed again and again under load.
mod purchase_crash;

// All services in this process without a socket: how to test a system of your own.
mod micro;
// Forms that others hold: nothing here may change.
mod pinned;
// The tutorial's table of rows.
mod tutorial;

// `fibpro up`: all of it with one command, in one process and in one for each service.
mod up;
// The monitor: services that are there, that are not, and that say nothing.
mod monitor;

//! The services from the outside: real processes, raw HTTP, the command line.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

// Shared by the tests: processes that end with the test, and HTTP over raw sockets.
mod process;

// The log sink in process: sources of lines, and records that cannot be printed.
mod sink;
// The log sink in its own process: requests by curl, signals, ports, closed pipes.
mod logsink;

// The log sink's store in process: deduplication, retention, and storage errors.
mod store;
// Searching the log sink in process: filters, pages, and waiting for new records.
mod search;
// The log sink's store with real processes: curl, `fibpro logs`, kill -9, restart.
mod log_store;

// `fibpro`: output and exit codes.
mod call;
mod command;
mod fib;
// The tools of a terminal, and a server that sends escape sequences.
mod hostile_server;

// Each service in its own process.
/// `https` between services, and of the shop.
mod https;
mod programs;

// All services in this process, with users in memory.
mod system;
// The gatekeeper's edge listener.
mod edge;
// Requests to it that have a body.
mod edge_bodies;
// The steps of a purchase, its payment, and its failures.
mod purchase;
// Repeats of a purchase.
mod purchase_repeats;
// The keys of purchases: in responses, required, and derived ones.
mod purchase_keys;
// Web pages of other sites.
mod edge_pages;
// Requests that buy nothing, and failed logins.
mod free_requests;
// The internal services, called directly.
mod services;

// The user store: credit, passwords, and database errors.
mod userstore;
// The user store under load, killed repeatedly.
mod userstore_crash;
// All services as processes, killed repeatedly under load.
mod purchase_crash;

// All services in this process without a socket: an example for testing other systems.
mod micro;
// Forms that others hold: nothing here may change.
mod pinned;
// The tutorial's table of behaviour.
mod tutorial;

// Files that others can write, that are not regular or too large, and byte order marks.
mod files;
// `fibpro up` with an output that fails for some time.
mod failing_output;
// `fibpro chaos` that is ended before its time.
mod chaos;
// Options that are numbers, at their limits; addresses of the gatekeeper.
mod numbers;
// Environment variables of all programs: empty and invalid values.
mod variables;
// `fibpro up`, in one process and with a process for each service.
mod up;
// The listening sockets that it holds for its services, and Unix sockets.
mod up_sockets;
// Several processes of a service.
mod up_replicas;
// Its log on stderr.
mod up_log;
// Its data folder, and variables that it does not use.
mod up_data;
// Many users at its first start.
mod up_users;
// Users: who they are in each service.
mod users;
// `fibpro user`: new users, passwords, roles and credit.
mod user_command;
// Services that do not stop, ignored signals, a stop during the start.
mod up_stop;
// Databases that others use at the stop, and files that cannot be written at the start.
mod closing;
// What the README shows of a refused purchase.
mod readme;
// The monitor: services that are up, down, or silent.
mod monitor;

//! End to end: over sockets and in process. One binary, because two cores link slowly.

#![allow(
    clippy::unwrap_used,
    reason = "clippy allows it in tests, and not in what only tests call"
)]

/// How many calls run, wait and are turned away; how often each caller may call.
mod admission;
/// The rings: who may import whom.
mod architecture;
/// Several servers behind one client: balance, breakers, hedges.
mod balancing;
/// Deadlines, cancellation, detached work, panics, metadata.
mod calls;
/// Three processes in a chain, on bad days.
#[cfg(unix)]
mod chain;
/// No request ever carries another one's id.
mod context_property;
/// The links and paths of the documents.
mod documents;
/// The trouble-makers that other tests rely on.
mod fault_kit;
/// Calls that fail because their request asks for it.
mod faults;
/// Settings of a running server, and the line a call that one of them switches on.
mod flags;
/// What a client makes of servers that are broken or mean it ill.
mod hostile_server;
/// Calls that run once, however often they are sent.
mod idempotency;
/// Signed calls between services.
mod identity;
/// What arguments and values look like in JSON.
mod json_rules;
/// The onion on both sides.
mod layers;
/// Health, readiness, and how a server goes.
mod lifecycle;
/// The way of a log line to the sink.
mod logs;
/// Requests that go in circles.
mod loops;
/// Panics in odd places.
mod panics;
/// Forms that others hold.
mod pinned;
/// The application's own HTTP routes beside the services.
mod plain_http;
/// Who may call which method.
mod policy;
/// What is tried again, how often, and what never is.
mod retries;
/// Unix sockets.
#[cfg(unix)]
mod sockets;
/// The numbers of a server.
mod status;
/// Who is believed, where a service can stand, what a server refuses to start with.
mod trust;
/// Two services in a chain, over both transports: values, errors with their chain, context.
mod two_hops;
/// What strangers see: HTTP and JSON by raw sockets, hostile and not.
mod wire;

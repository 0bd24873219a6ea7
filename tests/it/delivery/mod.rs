//! Whether a call runs again after a failure: at which server, and what becomes of its key.

/// Errors of dependencies on their way through handlers, layers and further services.
mod chains;
/// Calls of a handler that then fails with the error of a dependency.
mod handlers;
/// Layers of clients and servers that fail, or refuse a call, at another time than the call itself.
mod layers;
/// Attempts that end within a response, hedges, changing addresses and gateways.
mod network;
/// Refusals of servers before the handler begins, and what clients make of them.
mod refusals;
/// The service of the table.
mod shop;
/// Stores that are slow, fail or panic, at the restart of a server and between replicas.
mod stores;
/// All events for all kinds of methods.
mod table;
/// The services of the timings.
mod vault;

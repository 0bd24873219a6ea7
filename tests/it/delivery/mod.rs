//! Whether a call runs again after a failure: at which server, and what becomes of its key.

/// Errors of dependencies on their way through handlers, layers and further services.
mod chains;
/// Refusals of servers before the handler begins, and what clients make of them.
mod refusals;
/// The service of the table.
mod shop;
/// All events for all kinds of methods.
mod table;

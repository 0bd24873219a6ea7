//! The user store, on SQLite and on PostgreSQL.

// A temporary database, a manual clock, and the audit that follows each test.
pub(crate) mod fixture;
// A private PostgreSQL for the run of these tests.
mod postgres;

// Credit under concurrent, repeated, abandoned and restarted purchases.
mod purchases;
// Deposits, withdrawals and conditional changes, each once for its key.
mod deposits;
// Reservations that are never settled, under a manual clock.
mod expiry;
// Any sequence of operations has the results of a model of a few lines.
mod model;
// Logins: equal responses and equal work for unknown users and wrong passwords.
mod logins;
// Names that an earlier version stored as they were typed.
mod names;
// Calls for a user: what it may do, and what the ledger has of it.
mod principals;
// Databases that are full, locked, damaged or temporarily gone.
mod database_errors;
// PostgreSQL that becomes read-only or restarts.
mod failover;
// Changes that wait: for locks, for a standby, for each other.
mod waiting;
// A pooler between the store and PostgreSQL.
mod pooler;
// Starts of several stores, and users that are added in parts.
pub(crate) mod starts;
// SQLite while others read, and pages of the ledger.
mod readers;
// Figures of reads, changes and limits under load.
mod load;
// Files that are removed or replaced while the store runs, and what its end leaves.
mod files;
// Starts with files that lack changes or are damaged.
mod lost_changes;
// Limits on the size of files.
mod size_limit;
// Backups under load, and restoring them.
mod backup;
// The program: options, log, and texts that must not contain secrets.
pub(crate) mod program;

//! Export of a server's log events to a central log sink.
//!
//! Developers write `tracing` events, as in any program. With a log sink (`--logsink URL`,
//! `RPC_LOGSINK`) each event is also sent there, together with the server and the request that it
//! belongs to:
//!
//! ```text
//! tracing::info!(credit, "paid")
//!  layer      on the calling thread: adds server, request, text and time; never blocks
//!  queue      in memory, at most 32 MiB; numbers events by source and session
//!  worker     on its own thread: calls the sink every 200 ms, or when 1,000 events wait
//!  spool      on disk, at most 64 MiB: used while the sink is unavailable or too slow
//! ───────────────────────────────────────────────────────────────── rpc.v1.Logs/Append
//! sink         stores each record once, by (source, epoch, sequence)
//! ```
//!
//! # Guarantees
//!
//! - **Logging never delays or fails a request**, even when the sink is unavailable, slow or
//!   hanging, or the disk is full. An event costs its formatting and a push into memory.
//! - **A record is stored once.** It is sent with the same numbers until the sink has accepted it;
//!   a sink ignores numbers that it already has. Records of one thread arrive in the order in which
//!   they were written.
//! - **Lost records are counted and reported**: in [`LogExporterStatus::dropped`], once per outage
//!   in the process's own log, and in a record (`3 log records were dropped: 3 queue full (3 since
//!   the start)`) once the sink accepts records again. A gap in the sequence of a source also marks
//!   dropped records.
//! - **The exporter's own log events are never exported.** Neither are the events of a server that
//!   implements [`Logs`]: otherwise each delivery to a sink would create the next record. They stay
//!   in the log of their process. Do not export the log of a server that a sink calls for each
//!   delivery.
//!
//! Two losses are not counted. A killed process loses the records in memory: those of the last
//! fifth of a second, or of about one second when the sink has just stopped responding. A host that
//! loses power loses the last seconds of the spool, which is never synced to disk.
//!
//! # The source of an event
//!
//! An event belongs to the server whose call or connection it was written in, which
//! [`Context::server`](crate::Context::server) returns; one process may run several servers. An
//! event outside of all calls (of a task that `main` spawns) belongs to the process. The process is
//! named after the server that [`Server::run`](crate::Server::run) runs. A task that runs in
//! [`BoundServer::context`](crate::BoundServer::context) belongs to that server. The
//! request ID is that of the context; without one, a field `request_id` of the event is used.
//!
//! # Setup
//!
//! [`ServerOptions`](crate::ServerOptions) and [`Server::run`](crate::Server::run)
//! set up the export. [`Server::export_logs`](crate::Server::export_logs) configures it in code.
//! Programs with their own subscriber, or with several servers, start a [`LogExporter`].

#[cfg(all(feature = "server", not(feature = "client")))]
mod absent;
#[cfg(all(feature = "client", feature = "server"))]
mod backlog;
#[cfg(feature = "server")]
pub(crate) mod directive;
#[cfg(all(feature = "client", feature = "server"))]
mod exporter;
#[cfg(all(feature = "client", feature = "server"))]
mod failure;
#[cfg(all(feature = "client", feature = "server"))]
mod format;
#[cfg(all(feature = "client", feature = "server"))]
mod installed;
#[cfg(all(feature = "client", feature = "server"))]
mod layer;
#[cfg(all(feature = "client", feature = "server"))]
mod options;
#[cfg(all(feature = "client", feature = "server"))]
mod queue;
mod record;
mod service;
#[cfg(all(feature = "client", feature = "server"))]
mod shared;
#[cfg(all(feature = "client", feature = "server"))]
mod spool;
#[cfg(all(feature = "client", feature = "server"))]
mod status;
mod timestamp;
#[cfg(all(feature = "client", feature = "server"))]
mod worker;

#[cfg(all(feature = "server", not(feature = "client")))]
pub use absent::LogExporterBuilder;
#[cfg(all(feature = "server", not(feature = "client")))]
pub(crate) use absent::{
    LogExportOptions, LogExporter, PreparedExporter, dropped, is_exporting, is_exporting_to,
};
#[cfg(all(feature = "client", feature = "server"))]
pub(crate) use exporter::PreparedExporter;
#[cfg(all(feature = "client", feature = "server"))]
pub use exporter::{LogExporter, LogExporterBuilder};
#[cfg(all(feature = "client", feature = "server"))]
pub(crate) use installed::{is_exporting, is_exporting_to};
#[cfg(all(feature = "client", feature = "server"))]
pub(crate) use options::LogExportOptions;
pub use record::{Level, ParseLevelError, Record};
pub use service::Logs;
#[cfg(feature = "client")]
pub use service::LogsClient;
#[cfg(feature = "server")]
pub use service::LogsServer;
pub(crate) use service::SERVICE;
#[cfg(feature = "_fuzz")]
pub(crate) use spool::{read_segment, write_segment};
#[cfg(all(feature = "client", feature = "server"))]
pub use status::{Dropped, LogExporterStatus, dropped};
pub use timestamp::{ParseTimestampError, Timestamp};

/// Default limit of the queue in memory, in bytes.
///
/// It holds one second of events at 100,000 events a second, in case the worker is not scheduled
/// for that long.
const MEMORY_LIMIT: usize = 32 << 20;

/// Default limit of the spool, in bytes.
const SPOOL_LIMIT: u64 = 64 << 20;

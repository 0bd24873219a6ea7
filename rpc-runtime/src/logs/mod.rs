//! The way of a server's log to the place where all logs are.
//!
//! Developers write events of `tracing`, as in any program. With a log sink (`--logsink URL`, `RPC_LOGSINK`) each event
//! is also sent there, with the server that wrote it and the request that it was written for:
//!
//! ```text
//! tracing::info!(credit, "paid")
//!  layer      the thread that wrote it: server and request of the context, text, time; nothing waits
//!  queue      in memory, at most 32 MiB; numbered by source and life of the process
//!  worker     a thread of its own: every 200 ms, or when there are 1,000, a call to the sink
//!  spool      on disk, at most 64 MiB: while the sink is away, or slower than what is written
//! ───────────────────────────────────────────────────────────────── rpc.v1.Logs/Append
//! sink         keeps each record once, by (source, epoch, sequence)
//! ```
//!
//! # What is promised
//!
//! - **No request waits for its log**, and none fails for it: not when the sink is away, slow or silent, nor when the
//!   disk is full. An event costs its formatting and a push into memory.
//! - **A record arrives once.** It is sent until the sink has it, with the same numbers each time; a sink that has
//!   them already leaves the second one out. Those of one thread arrive in the order in which they were written.
//! - **What is lost is counted and said**: by [`LogExporterStatus::dropped`], in the process's own log once a time of
//!   trouble, and in a record (`3 log records were dropped: 3 queue full (3 since the start)`) once the sink takes some
//!   again. A number that is missing between two of one source was dropped as well.
//! - **LogExporterBuilder brings forth no logs to ship.** What happens on its thread is not shipped, nor what a server says that
//!   answers [`Logs`] itself: a sink does not send itself what it has to say of each delivery. That stays in the
//!   log of its process. A server that a sink calls for each delivery must not ship what it says of that.
//!
//! What is lost without a sign: records that are in memory when the process is killed, which are younger than a fifth of
//! a second, or than a second or so where the sink has just fallen silent; and the last seconds of the spool when the
//! host loses its power. Nobody waits for a disk to have them.
//!
//! # Whose event it is
//!
//! An event belongs to the server whose call or connection it was written in, as
//! [`Context::server`](crate::Context::server) says; one process may run seven. What a server does outside of
//! all calls (a job that its `main` spawns) belongs to the process, whose name is that of its server where it runs one
//! by [`Server::run`](crate::Server::run), unless the job runs in [`Bound::context`](crate::server::Bound::context).
//! The request is that of the context as well; where that has none, a field `request_id` names it.
//!
//! # Where it is set up
//!
//! [`server::Options`](crate::server::Options) and [`Server::run`](crate::Server::run) do all of it;
//! [`Server::ship_logs`](crate::Server::ship_logs) sets it in code, and [`LogExporterBuilder`] is for programs with a subscriber of
//! their own or several servers.

mod backlog;
mod exporter;
mod failure;
mod format;
mod layer;
mod options;
mod queue;
mod record;
mod service;
mod shared;
mod spool;
mod status;
mod worker;

pub(crate) use exporter::PreparedExporter;
pub use exporter::{LogExporter, LogExporterBuilder};
pub(crate) use options::LogExportOptions;
pub use record::{Level, Record};
pub(crate) use service::SERVICE;
pub use service::{Logs, LogsClient, LogsServer};
pub use status::{Dropped, LogExporterStatus, dropped};

/// The most that lies in memory, in bytes, unless said.
///
/// At 100,000 records a second this is what comes in a second, in which the one who ships may not get its turn.
const MEMORY_LIMIT: usize = 32 << 20;

/// The most that lies in the spool, in bytes, unless said.
const SPOOL_LIMIT: u64 = 64 << 20;

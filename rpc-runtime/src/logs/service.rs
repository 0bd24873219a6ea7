//! `rpc.v1.Logs`: the service that a log sink implements.

use rpc_macros::rpc_service;

use super::Record;
use crate::error::Result;

/// Full name of the service. A server with this service is a log sink.
pub(crate) const SERVICE: &str = "rpc.v1.Logs";

/// A log sink: receives the log records of servers. FibPro's `logsink` implements it.
#[rpc_service(package = "rpc.v1")]
pub trait Logs {
    /// Stores the records in order, or none of them if one is invalid.
    ///
    /// Returns how many records were new. A record with a source, epoch and sequence that the sink
    /// already has is not stored again. After `resource_exhausted` or `unavailable` the client
    /// sends the same batch again later.
    #[rpc(idempotent)]
    async fn append(&self, records: &[Record]) -> Result<u32>;
}

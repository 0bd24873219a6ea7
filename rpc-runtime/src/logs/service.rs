//! `rpc.v1.Logs`: what a server must answer to be sent the logs of others.

use rpc_macros::rpc_service;

use super::Record;
use crate::error::Result;

/// The full name of the service, by which a server is known to be a sink.
pub(crate) const SERVICE: &str = "rpc.v1.Logs";

/// Takes the logs of servers. FibPro's log sink is one; whoever implements it is another.
#[rpc_service(package = "rpc.v1")]
pub trait Logs {
    /// Keeps the records in the order in which they come; none, if one of them is invalid.
    ///
    /// Answers how many were not there yet: a record that comes again, by its source, epoch and sequence, is kept once.
    /// `resource_exhausted` and `unavailable` mean that the very batch may be sent again a little later.
    #[rpc(idempotent)]
    async fn append(&self, records: &[Record]) -> Result<u32>;
}

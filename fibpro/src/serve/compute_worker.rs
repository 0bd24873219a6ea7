//! The compute worker.

use rpc_runtime::{Result, Server, server};

use super::{Prepared, Service};
use crate::api::compute_worker::{ComputeWorkerServer, DEFAULT_LARGEST_N, LARGEST_N};
use crate::service::compute_worker::Worker;

/// Where it listens unless told otherwise.
const ADDRESS: &str = "127.0.0.1:9005";

/// Computes Fibonacci numbers; listens on 127.0.0.1:9005
#[derive(Debug, clap::Parser)]
#[command(version)]
#[group(skip)]
pub struct Options {
    #[command(flatten)]
    server: server::Options,

    /// The largest n that is computed, up to 20,000,000
    #[arg(
        long,
        env = "FIBPRO_LARGEST_N",
        value_name = "N",
        default_value_t = DEFAULT_LARGEST_N,
        value_parser = clap::value_parser!(u64).range(..=LARGEST_N)
    )]
    largest_n: u64,
}

impl Service for Options {
    async fn prepare(self) -> Result<Prepared> {
        let worker = Worker::new().largest_n(self.largest_n);
        let server = Server::new("compute_worker")
            .listen(ADDRESS)
            .options(self.server)
            .add(ComputeWorkerServer::new(worker));
        Ok(Prepared::new(server))
    }

    fn server_mut(&mut self) -> &mut server::Options {
        &mut self.server
    }
}

//! The compute worker.

use rpc_runtime::{Result, Server, ServerOptions};

use super::{PreparedService, ServiceOptions};
use crate::api::compute_worker::ComputeWorkerServer;
use crate::endpoints::COMPUTE_WORKER;
use crate::process;
use crate::service::compute_worker::Worker;

/// Computes Fibonacci numbers; listens on 127.0.0.1:9005
#[derive(Debug, clap::Parser)]
#[command(version)]
#[group(skip)]
pub struct ComputeWorkerOptions {
    #[command(flatten)]
    server: ServerOptions,

    #[command(flatten)]
    bound: process::LargestN,
}

impl ServiceOptions for ComputeWorkerOptions {
    async fn prepare(self) -> Result<PreparedService> {
        let worker = Worker::new().largest_n(self.bound.largest_n);
        let server = Server::new("compute_worker")
            .listen(COMPUTE_WORKER.listen_address())
            .options(self.server)
            .add(ComputeWorkerServer::new(worker));
        Ok(PreparedService::new(server))
    }

    fn server_mut(&mut self) -> &mut ServerOptions {
        &mut self.server
    }
}

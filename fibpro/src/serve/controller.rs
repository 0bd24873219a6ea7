//! The controller.

use rpc_runtime::{Result, Server, server};

use super::{Prepared, Service};
use crate::api::compute_worker::ComputeWorkerClient;
use crate::api::controller::ControllerServer;
use crate::api::pricing::PricingClient;
use crate::process;
use crate::service::controller::Seller;

/// Where it listens unless told otherwise.
const ADDRESS: &str = "127.0.0.1:9006";

/// Sells Fibonacci numbers: pricing takes the credit, the compute worker makes the number; listens on 127.0.0.1:9006
#[derive(Debug, clap::Parser)]
#[command(version)]
#[group(skip)]
pub struct Options {
    #[command(flatten)]
    process: process::Options,
}

impl Service for Options {
    async fn prepare(self) -> Result<Prepared> {
        let process::Options { server, endpoints } = self.process;
        let pricing = PricingClient::with_client(endpoints.client("pricing")?);
        let worker = ComputeWorkerClient::with_client(endpoints.client("compute_worker")?);
        let server = Server::new("controller")
            .listen(ADDRESS)
            .options(server)
            .add(ControllerServer::new(Seller::new(pricing, worker)));
        Ok(Prepared::new(server))
    }

    fn server_mut(&mut self) -> &mut server::Options {
        &mut self.process.server
    }
}

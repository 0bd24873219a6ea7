//! The controller.

use rpc_runtime::{Result, Server, ServerOptions};

use super::{PreparedService, ServiceOptions};
use crate::api::compute_worker::ComputeWorkerClient;
use crate::api::controller::ControllerServer;
use crate::api::pricing::PricingClient;
use crate::endpoints::CONTROLLER;
use crate::process;
use crate::service::controller::Seller;

/// Sells Fibonacci numbers: pricing reserves the credit, the compute worker computes; listens on
/// 127.0.0.1:9006
#[derive(Debug, clap::Parser)]
#[command(version)]
#[group(skip)]
pub struct ControllerOptions {
    #[command(flatten)]
    process: process::ProcessOptions,
}

impl ServiceOptions for ControllerOptions {
    async fn prepare(self) -> Result<PreparedService> {
        let process::ProcessOptions { server, endpoints } = self.process;
        let pricing = PricingClient::with_client(endpoints.client("pricing")?);
        let worker = ComputeWorkerClient::with_client(endpoints.client("compute_worker")?);
        let server = Server::new("controller")
            .listen(CONTROLLER.listen_address())
            .options(server)
            .add(ControllerServer::new(Seller::new(pricing, worker)));
        Ok(PreparedService::new(server))
    }

    fn server_mut(&mut self) -> &mut ServerOptions {
        &mut self.process.server
    }
}

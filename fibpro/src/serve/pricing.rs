//! Pricing.

use rpc_runtime::{Result, Server, ServerOptions};

use super::{PreparedService, ServiceOptions};
use crate::api::pricing::PricingServer;
use crate::api::userstore::UserStoreClient;
use crate::endpoints::PRICING;
use crate::process;
use crate::service::pricing::Prices;

/// Prices Fibonacci numbers, and reserves the credit in the user store; listens on 127.0.0.1:9004
#[derive(Debug, clap::Parser)]
#[command(version)]
#[group(skip)]
pub struct PricingOptions {
    #[command(flatten)]
    process: process::ProcessOptions,
}

impl ServiceOptions for PricingOptions {
    async fn prepare(self) -> Result<PreparedService> {
        let process::ProcessOptions { server, endpoints } = self.process;
        let userstore = UserStoreClient::with_client(endpoints.client("userstore")?);
        let server = Server::new("pricing")
            .listen(PRICING.listen_address())
            .options(server)
            .add(PricingServer::new(Prices::new(userstore)));
        Ok(PreparedService::new(server))
    }

    fn server_mut(&mut self) -> &mut ServerOptions {
        &mut self.process.server
    }
}

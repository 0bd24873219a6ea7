//! Pricing.

use rpc_runtime::{Result, Server, server};

use super::{Prepared, Service};
use crate::api::pricing::PricingServer;
use crate::api::userstore::UserStoreClient;
use crate::process;
use crate::service::pricing::Prices;

/// Where it listens unless told otherwise.
const ADDRESS: &str = "127.0.0.1:9004";

/// Prices Fibonacci numbers, and takes the credit from the user store; listens on 127.0.0.1:9004
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
        let userstore = UserStoreClient::with_client(endpoints.client("userstore")?);
        let server = Server::new("pricing")
            .listen(ADDRESS)
            .options(server)
            .add(PricingServer::new(Prices::new(userstore)));
        Ok(Prepared::new(server))
    }

    fn server_mut(&mut self) -> &mut server::Options {
        &mut self.process.server
    }
}

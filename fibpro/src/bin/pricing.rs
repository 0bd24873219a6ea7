//! The process of pricing: `cargo run -p fibpro --bin pricing`.

use std::process::ExitCode;

use clap::Parser;
use fibpro::api::pricing::PricingServer;
use fibpro::api::userstore::UserStoreClient;
use fibpro::process;
use fibpro::service::pricing::Prices;
use rpc_runtime::{Result, Server};

/// Where it listens unless told otherwise.
const ADDRESS: &str = "127.0.0.1:9004";

/// Prices Fibonacci numbers, and takes the credit from the user store; listens on 127.0.0.1:9004
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    #[command(flatten)]
    process: process::Options,
}

#[tokio::main]
async fn main() -> ExitCode {
    process::exit_code(run(Options::parse().process).await)
}

async fn run(options: process::Options) -> Result<()> {
    let userstore = UserStoreClient::with_client(options.endpoints.client("userstore")?);
    Server::new("pricing")
        .listen(ADDRESS)
        .options(options.server)
        .add(PricingServer::new(Prices::new(userstore)))
        .run()
        .await
}

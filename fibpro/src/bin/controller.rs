//! The process of the controller: `cargo run -p fibpro --bin controller`.

use std::process::ExitCode;

use clap::Parser;
use fibpro::api::compute_worker::ComputeWorkerClient;
use fibpro::api::controller::ControllerServer;
use fibpro::api::pricing::PricingClient;
use fibpro::process;
use fibpro::service::controller::Seller;
use rpc_runtime::{Result, Server};

/// Where it listens unless told otherwise.
const ADDRESS: &str = "127.0.0.1:9006";

/// Sells Fibonacci numbers: pricing takes the credit, the compute worker makes the number; listens on 127.0.0.1:9006
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
    let pricing = PricingClient::with_client(options.endpoints.client("pricing")?);
    let worker = ComputeWorkerClient::with_client(options.endpoints.client("compute_worker")?);
    Server::new("controller")
        .listen(ADDRESS)
        .options(options.server)
        .add(ControllerServer::new(Seller::new(pricing, worker)))
        .run()
        .await
}
